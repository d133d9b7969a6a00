"""Lists as of a position of the log: who was there then, each as it stood then.

Theory of operation. What is shown comes from the log alone. Whom to look at comes from the read
model, which has a row of every customer, also of the deleted, in the order of lists; a customer's
place in it never changes. Customers that may have no row yet are in the tail, which is read first;
``lists`` tells why nobody is missed between the two. So a list is a walk along the places: of each
stretch it is asked who was there at the position, then how those stood; who does not fit then is
passed over. Nobody who came after the position can stand far above it: a customer's second of
creation is told by a gateway's clock, which may be ahead of the database's by
``CLOCKS_APART_MAX_S``, so there the walk begins.

Bounds. A request looks at ``LOOKED_AT_MAX_CUSTOMERS`` places. If the page is not full then, it ends
early and says that there is more; if it is empty, the caller is told where to go on. What was
created beyond the checkpoint must all be in the tail, or the list is refused, not shown with gaps:
an auditor must not overlook the difference. Nor is a customer left out whose event of then cannot
be read, whatever is filtered by: in its place stands that it is there. Lists of the past wait in
one line, one at a time. The caller names in a header who was erased since, which has to fit in what
clients and proxies take, so a page ends before the ids of those have more than
``ERASED_NAMED_MAX_CHARACTERS``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from chaching import envelope
from chaching.domain.customer import Customer
from chaching.domain.ids import CustomerId
from chaching.envelope import RecordedEvent, StreamKey, Undecodable
from chaching.eventstore.database import Database
from chaching.eventstore.errors import OutOfTime, Unavailable
from chaching.eventstore.grouping import Group
from chaching.eventstore.instants import Recorded
from chaching.eventstore.past import PastEvents
from chaching.eventstore.statements import statement
from chaching_api.errors import Malformed, ProjectionBehind
from chaching_api.event_object import unreadable
from chaching_api.moments import CLOCKS_APART_MAX_S
from chaching_api.places import Place
from chaching_api.reads.lists import AccountMode, Lists
from chaching_api.reads.walk import NO_ID, Listed, Page, Tail, Walk, place_of

LOOKED_AT_MAX_CUSTOMERS: Final = 20_000
STRETCH_MAX_CUSTOMERS: Final = 2_000
STATES_MAX_CUSTOMERS: Final = 100
STRETCH_GROWTH: Final = 8
PAST_LISTS_WAITING_MAX_REQUESTS: Final = 64
ERASED_NAMED_MAX_CHARACTERS: Final = 3_000

_PACKAGE: Final = "chaching_api.reads"
_FROM_NEWEST: Final = statement(_PACKAGE, "past_places_from_newest")
_FROM_OLDEST: Final = statement(_PACKAGE, "past_places_from_oldest")


class _Asked(msgspec.Struct, frozen=True):
    whose: AccountMode
    walk: Walk
    then: Recorded


class _Stretch(msgspec.Struct, frozen=True):
    """Places side by side of customers that were there; ``end`` None: nobody is beyond."""

    places: Sequence[Place]
    looked_at: int
    end: Place | None


class PastLists:
    """Answers lists of the past from one database; ``lists`` knows what has no row yet."""

    def __init__(self, database: Database, events: PastEvents, lists: Lists) -> None:
        self._database = database
        self._events = events
        self._lists = lists
        self._pages: Group[_Asked, Page] = Group(
            self._read_pages,
            batch_max=1,
            waiting_max=PAST_LISTS_WAITING_MAX_REQUESTS,
            outages=(Unavailable,),
        )

    async def page(self, whose: AccountMode, walk: Walk, then: Recorded) -> Page:
        """Return the page that a walk through an account's customers gave when the log stood there.

        Raises:
            ProjectionBehind: customers from before then may be missing in the read model.
            Malformed: nobody fits among as many customers as may be looked at.
            Unavailable: no answer in time.
            Overloaded: too many lists of the past wait.
        """
        if then.at is None:
            return Page(customers=(), has_more=False)
        newest = int(then.at.timestamp()) + CLOCKS_APART_MAX_S
        before = min(walk.before, Place(newest + 1, NO_ID))
        asked = msgspec.structs.replace(walk, before=before)
        return await self._pages.submit(_Asked(whose, asked, then))

    async def _read_pages(self, asked: Sequence[_Asked]) -> Sequence[Page | Exception]:
        try:
            return [await self._read_page(one) for one in asked]
        except OutOfTime as late:  # this one alone took too long: that is no outage for the others
            return [late] * len(asked)

    async def _read_page(self, asked: _Asked) -> Page | Exception:
        tail = await self._lists.tail(asked.whose)
        if asked.then.position > tail.applied and tail.unseen_events:
            return ProjectionBehind(tail.unseen_events)
        walk, found, looked_at = asked.walk, list[Listed](), 0
        size = walk.limit + 1
        while True:
            stretch = await self._stretch(asked, walk, tail, size)
            await self._collect(asked, stretch.places, found)
            looked_at += stretch.looked_at
            if stretch.end is None or len(found) > walk.limit:
                return _page(walk, found, has_more=len(found) > walk.limit)
            if looked_at >= LOOKED_AT_MAX_CUSTOMERS:
                return _page(walk, found, has_more=True) if found else _too_long(walk, stretch.end)
            walk = _beyond(walk, stretch.end)
            size = min(size * STRETCH_GROWTH, STRETCH_MAX_CUSTOMERS)

    async def _stretch(self, asked: _Asked, walk: Walk, tail: Tail, size: int) -> _Stretch:
        """Return who was there among the next customers on a walk, those of the tail between."""
        rows = await self._database.fetch(
            _FROM_OLDEST if walk.from_oldest else _FROM_NEWEST,
            *asked.whose,
            *msgspec.structs.astuple(walk.after),
            *msgspec.structs.astuple(walk.before),
            size,
            asked.then.position,
        )
        end = Place(rows[-1]["created"], rows[-1]["id"]) if len(rows) == size else None
        there = {Place(row["created"], row["id"]) for row in rows if row["was_there"]}
        there.update(_reached(walk, tail.customers.values(), end))
        return _Stretch(
            places=sorted(there, reverse=not walk.from_oldest), looked_at=len(rows), end=end
        )

    async def _collect(self, asked: _Asked, places: Sequence[Place], found: list[Listed]) -> None:
        """Add those who fit as they stood then, until there is one more than a page has."""
        account, livemode = asked.whose
        size = asked.walk.limit + 1
        done = 0
        while done < len(places) and len(found) <= asked.walk.limit:
            chunk = places[done : done + size]
            keys = [StreamKey(account, livemode, CustomerId(place.id)) for place in chunk]
            events = await self._events.read_newest_at(keys, asked.then.position)
            newest = {event.key.id: event for event in events}
            stood = [(p, newest[i]) for p in chunk if (i := CustomerId(p.id)) in newest]
            found += [one for p, event in stood if (one := _listed(asked.walk, p, event))]
            done += size
            size = STATES_MAX_CUSTOMERS


def _listed(walk: Walk, place: Place, event: RecordedEvent) -> Listed | None:
    """Return a customer as an event left it, None if it does not fit; the unreadable may fit."""
    try:
        [customer] = envelope.decode_customers([event])
    except Undecodable as error:
        return Listed(place, unreadable(event, error), event.erased)
    if not walk.meets(customer):
        return None
    return Listed(place_of(customer), customer, event.erased)


def _reached(walk: Walk, customers: Iterable[Customer], end: Place | None) -> Iterator[Place]:
    """Yield where customers stand that are on a walk and, in its direction, not beyond its end."""
    for place in map(place_of, customers):
        within = end is None or (place <= end if walk.from_oldest else place >= end)
        if within and walk.after < place < walk.before:
            yield place


def _beyond(walk: Walk, place: Place) -> Walk:
    """Return the rest of a walk that has come as far as a place."""
    if walk.from_oldest:
        return msgspec.structs.replace(walk, after=place)
    return msgspec.structs.replace(walk, before=place)


def _page(walk: Walk, found: Sequence[Listed], *, has_more: bool) -> Page:
    shown = _nameable(found[: walk.limit])
    return Page(
        customers=tuple(reversed(shown) if walk.from_oldest else shown),
        has_more=has_more or len(shown) < min(len(found), walk.limit),
    )


def _nameable(found: Sequence[Listed]) -> Sequence[Listed]:
    """Return the first ones, up to where the ids of the erased among them become too long."""
    characters = 0
    for number, listed in enumerate(found):
        characters += len(listed.place.id) + 1 if listed.erased else 0
        if characters > ERASED_NAMED_MAX_CHARACTERS:
            return found[:number]
    return found


def _too_long(walk: Walk, end: Place) -> Malformed:
    bound = "gte" if walk.from_oldest else "lte"
    return Malformed(
        f"None of the {LOOKED_AT_MAX_CUSTOMERS} customers that were looked at fits. To look at "
        f"further ones, ask again with created[{bound}]={end.created}.",
        param="created",
    )
