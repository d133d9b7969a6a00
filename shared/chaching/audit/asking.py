"""Asking the auditor for a checkpoint of what the log has now, which the auditor alone can sign.

Who asks rings on a channel and looks for a while whether a signed checkpoint has come that is
large enough. A ring may be lost, and the auditor may be away; then the newest checkpoint there is
must do, whose size tells what it covers. However many wait, one task looks for all of them.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from chaching.audit.notes import NotANote
from chaching.audit.stored import KeptCheckpoint, newest_checkpoint
from chaching.eventstore.database import Database
from chaching.eventstore.errors import Unavailable
from chaching.eventstore.statements import statement

ASKED_CHANNEL: Final = "chaching_audit"
ASK_LIMIT_S: Final = 2.5
LOOK_EVERY_S: Final = 0.05
LOOKS_MAX_A_RING: Final = 20

_RING: Final = statement("chaching.eventstore", "ring_doorbell")
_HEAD: Final = statement("chaching.eventstore", "head")


class FreshCheckpoints:
    """The newest signed checkpoint of one log, as fresh as the auditor makes it."""

    def __init__(self, database: Database, *, ask_limit_s: float = ASK_LIMIT_S) -> None:
        self._database = database
        self._ask_limit_s = ask_limit_s
        self._newest: KeptCheckpoint | None = None
        self._waiting = 0
        self._looked = asyncio.Condition()
        self._looking: asyncio.Task[None] | None = None

    async def newest(self) -> KeptCheckpoint | None:
        """Return a checkpoint of all that the log has now, or of less if there is no such one soon.

        Raises:
            NotANote: what is stored is none.
            Unavailable: no answer in time.
        """
        [row] = await self._database.fetch(_HEAD)
        return await self.of_size(row["position"])

    async def of_size(self, size: int) -> KeptCheckpoint | None:
        """Return a checkpoint of at least so many events, or of less; raises as ``newest`` does."""
        newest = await newest_checkpoint(self._database)
        if _covers(newest, size):
            return newest
        self._waiting += 1
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._ask_limit_s), self._looked:
                    await self._looked.wait_for(lambda: _covers(self._newest, size))
        finally:
            self._waiting -= 1
        return self._newest if _covers(self._newest, size) else newest

    async def _look(self) -> None:
        """Ring, and look what has come, for as long as anybody waits."""
        looks = 0
        while self._waiting:
            with suppress(NotANote, Unavailable):
                if looks % LOOKS_MAX_A_RING == 0:
                    await self._database.execute(_RING, ASKED_CHANNEL)
                self._newest = await newest_checkpoint(self._database)
            looks += 1
            async with self._looked:
                self._looked.notify_all()
            await asyncio.sleep(LOOK_EVERY_S)


def _covers(kept: KeptCheckpoint | None, size: int) -> bool:
    return kept is not None and kept.checkpoint.size >= size
