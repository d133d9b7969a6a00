"""Tells the followers of the log that there is something new; carries no data.

A ring may be lost with a connection, so every wait has a limit after which the follower looks at
the log by itself. Rings are debounced, since a notification in every commit would serialise the
commits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final

from chaching.eventstore.database import Database
from chaching.eventstore.errors import Unavailable
from chaching.eventstore.statements import statement

CHANNEL: Final = "chaching_log"
DEBOUNCE_S: Final = 0.005

_RING: Final = statement("chaching.eventstore", "ring_doorbell")


class Doorbell:
    """The ringing side: ``ring`` is cheap and never fails."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def run(self) -> None:
        """Pass rings on, at most one every ``DEBOUNCE_S``, until cancelled."""
        while True:
            await self._rung.wait()
            self._rung.clear()
            with suppress(Unavailable):
                await self._database.execute(_RING, CHANNEL)
            await asyncio.sleep(DEBOUNCE_S)


class Listener:
    """The listening side: ``wait`` returns when it rang since the last wait, or at the limit."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    async def wait(self, limit_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._rung.wait()
        self._rung.clear()

    def ring(self) -> None:
        self._rung.set()


@asynccontextmanager
async def listening(database: Database) -> AsyncGenerator[Listener]:
    """Yield a Listener on a connection of its own; a lost one rings once, then falls silent.

    Raises:
        Unavailable: there is no connection to be had.
    """
    listener = Listener()
    async with database.listening(CHANNEL, listener.ring):
        yield listener
