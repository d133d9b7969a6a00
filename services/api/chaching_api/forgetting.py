"""Forgets idempotency keys once they are older than the store keeps them (a day).

Every gateway does it, in batches, so that no transaction is long; the store lets those that do it
at the same time share the work. A gateway that lags behind only keeps keys for longer.
"""

from __future__ import annotations

import asyncio
from typing import Final

from chaching.eventstore.store import FORGET_BATCH_MAX_KEYS, EventStore

FORGET_EVERY_S: Final = 60.0


async def forget_old_keys(store: EventStore) -> None:
    """Forget what has become old, and again every ``FORGET_EVERY_S``, until cancelled.

    Raises:
        Unavailable: no answer in time.
    """
    while True:
        while await store.forget_idempotency_keys() == FORGET_BATCH_MAX_KEYS:
            pass
        await asyncio.sleep(FORGET_EVERY_S)
