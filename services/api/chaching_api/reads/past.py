"""How a customer stood, and what happened to it: answered from the log alone.

A moment becomes one event, the newest that does not lie beyond it, and that event's state is what
a retrieve answered then. Which one it is costs a few look-ups by key however long log and stream
are: positions and versions have no gaps, so times and positions are found by halving.

A page of a history is the events beside a version. It is read in chunks and ends early when its
events are large, so what one request holds in memory has a limit. An event's id as a cursor tells
its version; one that does not is looked for among the customer's own events. So pages wait in a
line, and those of long streams keep no sessions from others.

Nothing is decoded here: an event that cannot be read has a place in a history like all others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, assert_never

import msgspec

from chaching import envelope
from chaching.domain.customer import Customer
from chaching.domain.ids import told_by_event_id
from chaching.envelope import (
    NO_VERSION,
    START,
    Position,
    RecordedEvent,
    StreamKey,
    Undecodable,
    Version,
)
from chaching.eventstore.errors import OutOfTime, Unavailable
from chaching.eventstore.grouping import Group
from chaching.eventstore.instants import Recorded
from chaching.eventstore.past import PastEvents
from chaching.eventstore.store import EventStore
from chaching.moments import AtPosition, AtVersion, During, LogMoment, Moment
from chaching_api.errors import Malformed, NoSuchCursor, NotReadable
from chaching_api.event_parameters import HistoryInput
from chaching_api.texts import SHOWN_NAME_CHARACTERS_MAX, shortened

HISTORY_CHUNK_MAX_EVENTS: Final = 20
HISTORY_PAGE_MAX_BYTES: Final = 4 * 1024 * 1024
PAGES_IN_FLIGHT_MAX: Final = 2
PAGES_WAITING_MAX: Final = 256
VERSION_CURSOR: Final = "version:"
CURSOR_DIGITS_MAX: Final = 9


class HistoryPage(msgspec.Struct, frozen=True):
    """Events of one customer in order, and whether there are more in the page's direction."""

    events: list[RecordedEvent]
    has_more: bool


class _Asked(msgspec.Struct, frozen=True):
    key: StreamKey
    wanted: HistoryInput


class Past:
    """Answers from one log, of which ``events`` tells how it stood."""

    def __init__(self, store: EventStore, events: PastEvents) -> None:
        self._store = store
        self._events = events
        self._pages: Group[_Asked, HistoryPage | None] = Group(
            self._read_pages,
            batch_max=1,
            in_flight_max=PAGES_IN_FLIGHT_MAX,
            waiting_max=PAGES_WAITING_MAX,
            outages=(Unavailable,),
        )

    async def event_at(
        self, key: StreamKey, moment: Moment | None, param: str
    ) -> RecordedEvent | None:
        """Return the event that left a customer as it stood at a moment, None: it was not there.

        Without a moment it is the newest event.

        Raises:
            Malformed: there is no such version or position yet; ``param`` named it.
            Unavailable: no answer in time.
        """
        if moment is None:
            return await self._at_version(key, await self._events.newest_version(key))
        if isinstance(moment, AtVersion):
            return await self._at_named_version(key, moment.version, param)
        return await self.newest_at(key, (await self.log_at(moment, param)).position)

    async def first_event(self, key: StreamKey) -> RecordedEvent | None:
        """Return a customer's oldest event, None: there never was one; raises Unavailable."""
        found = await self._store.read_stream(key, NO_VERSION, 1)
        return found[0] if found else None

    async def log_at(self, moment: LogMoment, param: str) -> Recorded:
        """Return where the log stood at a moment; raises as ``event_at``."""
        match moment:
            case During(end=end):
                return await self._events.newest_before(end)
            case AtPosition(position=position):
                return await self._at_position(position, param)
            case _:
                assert_never(moment)

    async def newest_at(self, key: StreamKey, position: Position) -> RecordedEvent | None:
        """Return a customer's newest event that is not beyond a position; raises Unavailable."""
        found = await self._events.read_newest_at([key], position)
        return found[0] if found else None

    async def page(self, key: StreamKey, wanted: HistoryInput) -> HistoryPage | None:
        """Return a page of what happened to a customer, None: there never was one.

        Raises:
            NoSuchCursor: a cursor is none of this customer's events.
            Unavailable: no answer in time.
            Overloaded: too many pages of histories wait.
        """
        return await self._pages.submit(_Asked(key, wanted))

    async def _read_pages(
        self, asked: Sequence[_Asked]
    ) -> Sequence[HistoryPage | None | Exception]:
        try:
            return [await self._read_page(one.key, one.wanted) for one in asked]
        except OutOfTime as late:  # this one alone took too long: that is no outage for the others
            return [late] * len(asked)

    async def _read_page(self, key: StreamKey, wanted: HistoryInput) -> HistoryPage | None:
        newest = await self._events.newest_version(key)
        if newest == NO_VERSION:
            return None
        first, last = await self._part(key, newest, wanted)
        if wanted.ending_before is not None:
            end = await self._cursor(key, newest, wanted.ending_before, "ending_before")
            end = Version(min(end, last + 1))
            found = await self._read(self._events.read_stream_before, key, end, wanted.limit)
            events = [event for event in reversed(found) if event.version >= first]
            return HistoryPage(events, has_more=bool(events) and events[0].version > first)
        start = Version(first - 1)
        if wanted.starting_after is not None:
            after = await self._cursor(key, newest, wanted.starting_after, "starting_after")
            start = max(start, after)
        found = await self._read(self._store.read_stream, key, start, wanted.limit)
        events = [event for event in found if event.version <= last]
        return HistoryPage(events, has_more=bool(events) and events[-1].version < last)

    async def _part(
        self, key: StreamKey, newest: Version, wanted: HistoryInput
    ) -> tuple[Version, Version]:
        """Return the first and the last version that are asked for; the first may be beyond."""
        first, last = Version(1), newest
        match wanted.start:
            case None:
                pass
            case During(start=start):
                then = await self._events.newest_before(start)
                first = Version(await self._version_at(key, then.position) + 1)
            case AtPosition(position=position) if position > START:
                await self._at_position(position, "from")
                first = Version(await self._version_at(key, Position(position - 1)) + 1)
            case moment:
                event = await self.event_at(key, moment, "from")
                first = first if event is None else event.version
        if wanted.end is not None:
            event = await self.event_at(key, wanted.end, "to")
            last = NO_VERSION if event is None else event.version
        return first, last

    async def _version_at(self, key: StreamKey, position: Position) -> Version:
        event = await self.newest_at(key, position)
        return NO_VERSION if event is None else event.version

    @staticmethod
    async def _read(
        read: Callable[[StreamKey, Version, int], Awaitable[list[RecordedEvent]]],
        key: StreamKey,
        beside: Version,
        limit: int,
    ) -> list[RecordedEvent]:
        """Return the next events in a direction, also where some were taken out of the stream."""
        events: list[RecordedEvent] = []
        size_bytes = 0
        while len(events) < limit and size_bytes < HISTORY_PAGE_MAX_BYTES:
            wanted = min(HISTORY_CHUNK_MAX_EVENTS, limit - len(events))
            chunk = await read(key, events[-1].version if events else beside, wanted)
            events += chunk
            size_bytes += sum(map(_size_bytes, chunk))
            if len(chunk) < wanted:
                break
        return events

    async def _cursor(self, key: StreamKey, newest: Version, text: str, param: str) -> Version:
        """Return the version of the event that a cursor names."""
        digits = text.removeprefix(VERSION_CURSOR)
        if digits != text and digits.isascii() and digits.isdigit():
            if len(digits) <= CURSOR_DIGITS_MAX and 1 <= int(digits) <= newest:
                return Version(int(digits))
        elif (version := await self._version_of(key, text)) is not None:
            return version
        raise NoSuchCursor(
            f"No such event of this customer: '{shortened(text, SHOWN_NAME_CHARACTERS_MAX)}'",
            param=param,
        )

    async def _version_of(self, key: StreamKey, event_id: str) -> Version | None:
        """Return at which version an event stands; most ids tell it, the others are looked for."""
        told = told_by_event_id(event_id)
        if told is None:
            return await self._events.find_version(key, event_id)
        customer_id, version = told
        event = await self._at_version(key, Version(version)) if customer_id == key.id else None
        return None if event is None or event.event_id != event_id else event.version

    async def _at_version(self, key: StreamKey, version: Version) -> RecordedEvent | None:
        if version == NO_VERSION:
            return None
        found = await self._store.read_stream(key, Version(version - 1), 1)
        return found[0] if found else None

    async def _at_named_version(
        self, key: StreamKey, version: Version, param: str
    ) -> RecordedEvent | None:
        found = await self._at_version(key, version)
        if found is None and version != NO_VERSION:
            newest = await self._events.newest_version(key)
            if newest != NO_VERSION:
                raise Malformed(
                    f"Invalid {param}: {key.id} has no version {version}; its newest is {newest}",
                    param=param,
                )
        return found

    async def _at_position(self, position: Position, param: str) -> Recorded:
        if position == START:
            return Recorded(START, None)
        found = await self._store.read_all(Position(position - 1), 1)
        if not found:
            head = await self._store.head()
            told = (
                f"there is no position {position} yet; the newest is {head}"
                if position > head
                else f"the event at position {position} was taken out of the log"
            )
            raise Malformed(f"Invalid {param}: {told}", param=param)
        return Recorded(position, found[0].recorded_at)


def customer_of(event: RecordedEvent, param: str) -> Customer:
    """Return the customer right after an event.

    Raises:
        NotReadable: what is stored cannot be read; ``param`` named the moment.
    """
    try:
        return envelope.decode_customers([event])[0]
    except Undecodable as error:
        raise NotReadable(event, error, param) from error


def _size_bytes(event: RecordedEvent) -> int:
    return len(event.payload) + len(event.state or "")
