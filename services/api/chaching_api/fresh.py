"""Fresh ids: the clock and the entropy that the pure spelling in ``domain.ids`` is given."""

from __future__ import annotations

import os
import time
from typing import Final

from chaching.domain.ids import CustomerId, EventId, spell, spell_event_id, spell_invoice_prefix

DRAW_BYTES: Final = 8
BLOCK_BYTES: Final = 4096


class _Entropy:
    """64-bit numbers from the system's generator, fetched in blocks."""

    def __init__(self) -> None:
        self._block = b""
        self._used = 0

    def draw(self) -> int:
        if self._used == len(self._block):
            self._block = os.urandom(BLOCK_BYTES)
            self._used = 0
        start = self._used
        self._used = start + DRAW_BYTES
        return int.from_bytes(self._block[start : self._used], "little")


_entropy: Final = _Entropy()


def new_id(prefix: str) -> str:
    """Return a new id of a kind, such as ``req_…``."""
    return spell(prefix, time.time_ns() // 1_000_000, _entropy.draw())


def new_event_id(customer_id: CustomerId, version: int) -> EventId:
    """Return a new id for the event that brings a customer to a version."""
    return EventId(spell_event_id(customer_id, version, _entropy.draw()) or new_id("evt_"))


def new_invoice_prefix() -> str:
    """Return a new invoice prefix; that it is free is for the store to say."""
    return spell_invoice_prefix(_entropy.draw())
