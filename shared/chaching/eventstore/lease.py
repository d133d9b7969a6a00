"""The right to follow the log and move a checkpoint, held by one process at a time.

Theory of operation. A lease is a row: who holds it, when it was last renewed (the database's
clock) and an epoch that grows with every change of hands. The holder renews it every
``RENEW_EVERY_S``; after ``SILENCE_MAX_S`` without renewal anybody may take it. A paused or cut-off
holder cannot know that it lost the lease, so the epoch fences it: every move of the checkpoint
names the epoch, and one of an epoch that is over touches nothing and raises Fenced. The work and
the move stand in one transaction wherever doing the work twice would show.

An advisory lock would change hands faster after a kill, but a paused holder would keep it for
ever, and session locks do not pass a transaction pooler.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol

import msgspec

from chaching.envelope import Position
from chaching.eventstore.database import Database, Row
from chaching.eventstore.errors import Fenced, Unavailable
from chaching.eventstore.statements import statement

SILENCE_MAX_S: Final = 5.0
RENEW_EVERY_S: Final = 1.0
ASK_EVERY_S: Final = 0.5

_ACQUIRE: Final = statement("chaching.eventstore", "acquire_lease")
_RENEW: Final = statement("chaching.eventstore", "renew_lease")
_ADVANCE: Final = statement("chaching.eventstore", "advance_checkpoint")
_RELEASE: Final = statement("chaching.eventstore", "release_lease")


class Executes(Protocol):
    """A database or a session in a transaction."""

    async def execute(self, sql: str, *arguments: object) -> int: ...


class Held(msgspec.Struct, frozen=True):
    """A lease in hand: its epoch, and the checkpoint as it stood when it was taken."""

    epoch: int
    position: Position


class Lease:
    """The lease on one checkpoint, for one would-be holder."""

    def __init__(
        self, database: Database, name: str, holder: str, *, silence_max_s: float = SILENCE_MAX_S
    ) -> None:
        self._database = database
        self._name = name
        self._holder = holder
        self._silence_max_s = silence_max_s

    async def acquire(self) -> Held | None:
        """Return the lease if it is free or its holder fell silent; raises Unavailable."""
        row: Row | None = await self._database.fetch_row(
            _ACQUIRE, self._name, self._holder, self._silence_max_s
        )
        return None if row is None else Held(row["epoch"], Position(row["position"]))

    async def advance(
        self, held: Held, start: Position, end: Position, *, within: Executes | None = None
    ) -> None:
        """Move the checkpoint from ``start`` to ``end``, in the caller's transaction if given.

        Raises:
            Fenced: the epoch is over, or the checkpoint does not stand at ``start``.
            Unavailable: no answer in time.
        """
        executes = within or self._database
        if not await executes.execute(_ADVANCE, self._name, held.epoch, start, end):
            raise Fenced(f"the lease on {self._name} was taken over after epoch {held.epoch}")

    async def renew(self, held: Held) -> None:
        """Say that the holder is alive; raises Fenced when the epoch is over, or Unavailable."""
        if not await self._database.execute(_RENEW, self._name, held.epoch):
            raise Fenced(f"the lease on {self._name} was taken over after epoch {held.epoch}")

    async def release(self, held: Held) -> None:
        """Let go; harmless when the epoch is over or the database is away."""
        with suppress(Unavailable):
            await self._database.execute(_RELEASE, self._name, held.epoch)

    @asynccontextmanager
    async def holding(self) -> AsyncGenerator[Held]:
        """Wait until the lease is in hand, renew it for as long as the block runs, let go.

        Raises:
            Fenced: another took over while the block ran (wrapped in an ExceptionGroup).
            Unavailable: the database is away.
        """
        while (held := await self.acquire()) is None:  # noqa: ASYNC110 - the row rings no bell
            await asyncio.sleep(ASK_EVERY_S)
        try:
            async with asyncio.TaskGroup() as tasks:
                renewal = tasks.create_task(self._keep_renewing(held))
                yield held
                renewal.cancel()
        finally:
            await self.release(held)

    async def _keep_renewing(self, held: Held) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            with suppress(Unavailable):
                await self.renew(held)
