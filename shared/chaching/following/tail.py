"""Shows events as they are appended, from the log itself: tail.

Theory of operation. The reader keeps one number, the position up to which it has shown everything.
It wakes at the doorbell, or at the latest every ``POLL_S``, asks for the head, and reads what the
selection holds up to there. A database that is away is told once and waited for; as the number
stays, nothing is missed or shown twice afterwards. A doorbell that stays silent while events come
is taken for broken and listened to anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from chaching.envelope import Position, RecordedEvent
from chaching.eventstore.database import Database
from chaching.eventstore.doorbell import Listener, listening
from chaching.eventstore.encryption import Keyring
from chaching.eventstore.errors import Unavailable
from chaching.eventstore.selection import SELECTED_BATCH_MAX_EVENTS, Selection, read_selected
from chaching.eventstore.store import EventStore
from chaching.runtime.lifecycle import BackOff

POLL_S: Final = 1.0


class Tail:
    """One reader of the selected events after a position, in order, each once.

    ``show`` gets at most ``SELECTED_BATCH_MAX_EVENTS`` at a time; ``note`` what a person should
    know. ``is_wanted`` is asked at every poll whether anybody still reads.
    """

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        selection: Selection,
        after: Position,
        *,
        show: Callable[[Sequence[RecordedEvent]], None],
        note: Callable[[str], None],
        is_wanted: Callable[[], bool] = lambda: True,
        limit: int | None = None,
    ) -> None:
        self._database = database
        self._store = EventStore(database, keyring)
        self._selection = selection
        self._at = after
        self._show = show
        self._note = note
        self._is_wanted = is_wanted
        self._left = limit

    @property
    def _is_done(self) -> bool:
        return self._left == 0

    async def show_present(self) -> bool:
        """Show what there is up to the head of now; return whether the log had grown.

        Raises:
            Unavailable: no answer in time.
        """
        head = await self._store.head()
        has_grown = self._at < head
        while self._at < head and not self._is_done:
            limit = min(SELECTED_BATCH_MAX_EVENTS, self._left or SELECTED_BATCH_MAX_EVENTS)
            selected = await read_selected(
                self._database, self._store.keyring, self._selection, self._at, head, limit
            )
            if selected.events:
                self._show(selected.events)
            self._at = selected.reached
            if self._left is not None:
                self._left -= len(selected.events)
        return has_grown

    async def follow(self) -> None:
        """Show what there is and what comes, until the limit is reached or nobody reads.

        Raises:
            Unavailable: the database was away to begin with.
        """
        backoff = BackOff()
        began = is_away = False
        while not self._is_done and self._is_wanted():
            try:
                async with listening(self._database) as doorbell:
                    await self.show_present()
                    if is_away:
                        self._note("the database is back")
                    began, is_away = True, False
                    backoff.reset()
                    await self._show_until_deaf(doorbell)
            except Unavailable as error:
                if not began:
                    raise
                if not is_away:
                    self._note(f"waiting for the database: {error}")
                is_away = True
                await backoff.pause()

    async def _show_until_deaf(self, doorbell: Listener) -> None:
        """Show what comes; return at the end, or when something came and no ring told of it."""
        clock = asyncio.get_running_loop().time
        while not self._is_done and self._is_wanted():
            asked_at_s = clock()
            await doorbell.wait(POLL_S)
            was_silent = clock() - asked_at_s >= POLL_S
            if await self.show_present() and was_silent:
                return
