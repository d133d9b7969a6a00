"""Seals the blocks of the log that are complete, beside the appends; see ``eventstore.lookups``.

Every gateway does it, in batches; the store lets those that do it at the same time take turns. One
that lags behind only makes walks through events longer.
"""

from __future__ import annotations

import asyncio
from typing import Final

from chaching.eventstore.lookups import SEAL_BATCH_MAX_BLOCKS, EventLookups

SEAL_EVERY_S: Final = 1.0


async def seal_blocks(lookups: EventLookups) -> None:
    """Seal what has become complete, and again every ``SEAL_EVERY_S``, until cancelled.

    Raises:
        Unavailable: no answer in time.
    """
    while True:
        while await lookups.seal() == SEAL_BATCH_MAX_BLOCKS:
            pass
        await asyncio.sleep(SEAL_EVERY_S)
