"""Finds events in the log: by id, by account and type, by time. All of it is exact at any time.

Theory of operation. The append keeps no index for this; that positions are dense stands in for it.

*By id.* An id tells the customer and the version, which are the log's own key. Ids that do not (of
events from before, and of customers with a chosen id) are few, and have a small index.

*By account, mode and type.* A block is a thousand positions side by side. Once the head has passed
its end it cannot change, and is sealed: where in it the events of each account, mode and type stand
is written down. A walk reads what is written of sealed blocks and looks at the rest in the log
itself. So what it finds does not depend on how far blocks are sealed, only how long it takes.
Gateways seal beside the appends, in no step that an append waits for; a walk that finds more than
``UNSEALED_MAX_EVENTS`` beyond them seals first. Blocks are sealed in one transaction with the
row that says so, by whoever comes first; a crash leaves both or neither.

*By time.* ``recorded_at`` is taken under the lock that orders appends, so it grows with positions,
and a second is found by halving. Where the server's clock was set back, what is near that place can
be found on the wrong side of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias

import msgspec

from chaching.domain.ids import AccountId, EventId, told_by_event_id
from chaching.envelope import Position, RecordedEvent
from chaching.eventstore.database import Database
from chaching.eventstore.encryption import Keyring
from chaching.eventstore.errors import OutOfTime, Unavailable
from chaching.eventstore.grouping import Group
from chaching.eventstore.instants import positions_before
from chaching.eventstore.statements import statement
from chaching.eventstore.store import recorded_event

FINDS_IN_FLIGHT_MAX: Final = 2
FINDS_BATCH_MAX_EVENTS: Final = 16
WALKS_IN_FLIGHT_MAX: Final = 2
WALKS_WAITING_MAX: Final = 1_000
PAGE_MAX_BYTES: Final = 16 * 1024 * 1024
SEAL_BATCH_MAX_BLOCKS: Final = 20
SEAL_TRIES_MAX_BATCHES: Final = 10
UNSEALED_MAX_EVENTS: Final = 5_000
LAST_SECOND: Final = 253_402_300_799  # the last second of the year 9999

AccountMode: TypeAlias = tuple[AccountId, bool]

_PACKAGE: Final = "chaching.eventstore"
_FIND: Final = statement(_PACKAGE, "find_events")
_FROM_NEWEST: Final = statement(_PACKAGE, "event_positions_from_newest")
_FROM_OLDEST: Final = statement(_PACKAGE, "event_positions_from_oldest")
_AT: Final = statement(_PACKAGE, "events_at")
_SEAL: Final = statement(_PACKAGE, "seal_blocks")
_SEALED: Final = statement(_PACKAGE, "sealed")


class EventWalk(msgspec.Struct, frozen=True, kw_only=True):
    """Past which events a walk goes: those between two positions, which are themselves outside.

    ``types`` are those of the log. At most ``limit`` events make a page.
    """

    whose: AccountMode
    types: tuple[str, ...]
    after: Position
    before: Position
    from_oldest: bool
    limit: int


class EventPage(msgspec.Struct, frozen=True):
    """Events in the order of the walk; fewer than its limit when they are large."""

    events: tuple[RecordedEvent, ...] = ()
    has_more: bool = False


class _Wanted(msgspec.Struct, frozen=True):
    whose: AccountMode
    event_id: str


class EventLookups:
    """Finds events in the log of one database."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring
        self._finds: Group[_Wanted, RecordedEvent | None] = Group(
            self._find_batch,
            batch_max=FINDS_BATCH_MAX_EVENTS,
            in_flight_max=FINDS_IN_FLIGHT_MAX,
            outages=(Unavailable,),
        )
        self._walks: Group[EventWalk, EventPage] = Group(
            self._walk_batch,
            batch_max=1,
            in_flight_max=WALKS_IN_FLIGHT_MAX,
            waiting_max=WALKS_WAITING_MAX,
            outages=(Unavailable,),
        )

    async def find(self, whose: AccountMode, event_id: str) -> RecordedEvent | None:
        """Return the event of an account and mode with an id, if there is one.

        Raises:
            Unavailable: no answer in time.
            Overloaded: too many are being looked for.
        """
        return await self._finds.submit(_Wanted(whose, event_id))

    async def page(self, walk: EventWalk) -> EventPage:
        """Return the first events of a walk, none begun after ``PAGE_MAX_BYTES``.

        Raises:
            Unavailable: no answer in time, or too much of the log is not sealed yet.
            Overloaded: too many walks wait.
        """
        return await self._walks.submit(walk)

    async def positions_before(self, seconds: Sequence[int]) -> list[Position]:
        """Return, for each of some unix seconds, the last position before it, 0 if there is none.

        Raises:
            Unavailable: no answer in time.
        """
        bounded = [min(max(second, 0), LAST_SECOND) for second in seconds]
        instants = [datetime.fromtimestamp(second, UTC) for second in bounded]
        return [found.position for found in await positions_before(self._database, instants)]

    async def seal(self) -> int:
        """Seal a batch of the blocks that are complete; return how many they were.

        Raises:
            Unavailable: no answer in time.
        """
        [row] = await self._database.fetch(_SEAL, SEAL_BATCH_MAX_BLOCKS)
        sealed: int = row["sealed"]
        return sealed

    async def _find_batch(self, wanted: Sequence[_Wanted]) -> list[RecordedEvent | None]:
        told = [told_by_event_id(each.event_id) for each in wanted]
        rows = await self._database.fetch(
            _FIND,
            [account for account, _ in (each.whose for each in wanted)],
            [livemode for _, livemode in (each.whose for each in wanted)],
            [EventId(each.event_id) for each in wanted],
            [None if place is None else place[0] for place in told],
            [None if place is None else place[1] for place in told],
        )
        found: list[RecordedEvent | None] = [None] * len(wanted)
        for row in rows:
            found[row["item"] - 1] = recorded_event(row, self._keyring)
        return found

    async def _walk_batch(self, walks: Sequence[EventWalk]) -> list[EventPage | Exception]:
        return [await self._page_or_late(walk) for walk in walks]

    async def _page_or_late(self, walk: EventWalk) -> EventPage | OutOfTime:
        """Return a page, or that it alone took too long: that is no outage for the others."""
        try:
            return await self._page(walk)
        except OutOfTime as late:
            return late

    async def _page(self, walk: EventWalk) -> EventPage:
        rows = await self._database.fetch(
            _FROM_OLDEST if walk.from_oldest else _FROM_NEWEST,
            *walk.whose,
            walk.types,
            walk.after,
            walk.before,
            walk.limit + 1,
            await self._sealed(),
        )
        met = [row["position"] for row in rows]
        rows = await self._database.fetch(_AT, *walk.whose, met[: walk.limit], PAGE_MAX_BYTES)
        return EventPage(
            tuple([recorded_event(row, self._keyring) for row in rows]), len(met) > len(rows)
        )

    async def _sealed(self) -> Position:
        """Return up to where blocks are sealed, when what lies beyond can be looked at."""
        for _ in range(SEAL_TRIES_MAX_BATCHES):
            [row] = await self._database.fetch(_SEALED)
            if row["unsealed"] <= UNSEALED_MAX_EVENTS:
                return Position(row["position"])
            await self.seal()
        raise Unavailable("too much of the log is not sealed yet")
