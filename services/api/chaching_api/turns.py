"""Turns: within one process, commands to one customer follow one another.

Two that overtook each other would only conflict in the store and be decided again. Between
processes the store's expected version is what decides.

A turn that ends in an outage ends it for all who wait in its line, so nobody waits for the
time-outs of those before. When ``WAITING_MAX_COMMANDS`` wait, further ones are refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from chaching.eventstore.errors import Unavailable
from chaching.eventstore.grouping import Overloaded

WAITING_MAX_COMMANDS: Final = 1_000


class _Line(msgspec.Struct):
    lock: asyncio.Lock
    commands: int = 0
    outage: Unavailable | None = None


class Turns:
    """Lines by key that exist only while somebody stands in them."""

    def __init__(self) -> None:
        self._lines: dict[Hashable, _Line] = {}

    @asynccontextmanager
    async def turn(self, key: Hashable) -> AsyncGenerator[None]:
        """Run the block when nobody else with this key does, in order of arrival.

        Raises:
            Overloaded: too many wait already.
            Unavailable: somebody before met an outage.
        """
        line = self._lines.setdefault(key, _Line(asyncio.Lock()))
        if line.commands > WAITING_MAX_COMMANDS:
            raise Overloaded
        line.commands += 1
        try:
            async with line.lock:
                if line.outage is not None:
                    raise line.outage
                yield
        except Unavailable as outage:
            line.outage = outage
            raise
        finally:
            line.commands -= 1
            if not line.commands:
                del self._lines[key]
