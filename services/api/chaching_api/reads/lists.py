"""Lists: what was written before the request is on the page, however far behind the projector is.

Theory of operation. Two statements, each with a snapshot of its own, the tail before the page.

The *tail* tells, of one account and mode, every customer that the read model may not have as it is:
those with an event beyond the projection's checkpoint and those that are parked, each as its newest
event left it. A projector moves rows, checkpoint and parked streams in one transaction, so in the
tail's snapshot every customer outside the tail has a row that is exact. The *page* takes rows
without those of the tail; the two are merged by ``walk.page_of``.

Nothing that was answered before the request is missing: it was committed before the tail's
snapshot, so its customer is in the tail, or its row was exact then. What happens between the two
snapshots changes rows only to newer states. A projector that moves in between may bring rows of
customers in the tail up to date; they are taken from the tail all the same, so nobody stands on
the page twice and nobody falls between the two. A customer's place never changes, so rows cannot
step over a page's edge.

Bounds. The tail looks at the newest ``TAIL_MAX_EVENTS`` of the log and decodes states until
``TAIL_MAX_BYTES`` are used up. What lies beyond either, and what cannot be decoded, is counted as
unseen and told in the answer: of those customers the page shows what the read model has, unless
they were erased: those it leaves out, of the ones beyond at most ``ERASED_MAX_CUSTOMERS``.

Lists of one account and mode that wait together share a tail, which began after each of them came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Final, TypeAlias, TypeVar

import msgspec

from chaching.domain.customer import Customer
from chaching.domain.ids import AccountId, CustomerId
from chaching.envelope import Position, StreamKey, Undecodable, customer_after
from chaching.eventstore.database import Database, Row
from chaching.eventstore.encryption import DESTROYED, Keyring
from chaching.eventstore.errors import OutOfTime, Unavailable
from chaching.eventstore.grouping import Group
from chaching.eventstore.statements import statement
from chaching_api.reads.walk import Listed, Page, Place, Tail, Walk, page_of

TAIL_MAX_EVENTS: Final = 5_000
TAIL_MAX_BYTES: Final = 16 * 1024 * 1024
TAILS_IN_FLIGHT_MAX: Final = 2
TAILS_BATCH_MAX_LISTS: Final = 64
PAGES_IN_FLIGHT_MAX: Final = 2
ERASED_MAX_CUSTOMERS: Final = 5_000
LISTS_WAITING_MAX: Final = 1_000
DECODED_AT_ONCE_MAX_EVENTS: Final = 250

T = TypeVar("T")
AccountMode: TypeAlias = tuple[AccountId, bool]

_PACKAGE: Final = "chaching_api.reads"
_TAIL: Final = statement(_PACKAGE, "list_tail")
_ERASED: Final = statement(_PACKAGE, "erased_since")
_FROM_NEWEST: Final = statement(_PACKAGE, "list_from_newest")
_FROM_OLDEST: Final = statement(_PACKAGE, "list_from_oldest")
_EMAIL_FROM_NEWEST: Final = statement(_PACKAGE, "list_email_from_newest")
_EMAIL_FROM_OLDEST: Final = statement(_PACKAGE, "list_email_from_oldest")


class _Asked(msgspec.Struct, frozen=True):
    whose: AccountMode
    walk: Walk
    tail: Tail


class Lists:
    """Answers lists from one database."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring
        self._tails: Group[AccountMode, Tail] = Group(
            self._read_tails,
            batch_max=TAILS_BATCH_MAX_LISTS,
            in_flight_max=TAILS_IN_FLIGHT_MAX,
            waiting_max=LISTS_WAITING_MAX,
            outages=(Unavailable,),
        )
        self._pages: Group[_Asked, Page] = Group(
            self._read_pages,
            batch_max=1,
            in_flight_max=PAGES_IN_FLIGHT_MAX,
            waiting_max=LISTS_WAITING_MAX,
            outages=(Unavailable,),
        )

    async def page(self, whose: AccountMode, walk: Walk) -> Page:
        """Return the page that a walk through an account's customers in one mode gives.

        Raises:
            Unavailable: no answer in time.
            Overloaded: too many lists wait.
        """
        tail = await self.tail(whose)
        return await self._pages.submit(_Asked(whose, walk, tail))

    async def tail(self, whose: AccountMode) -> Tail:
        """Return the customers of an account and mode that the read model may not have as they are.

        Raises:
            Unavailable: no answer in time.
            Overloaded: too many lists wait.
        """
        return await self._tails.submit(whose)

    async def _read_tails(self, asked: Sequence[AccountMode]) -> Sequence[Tail | Exception]:
        tails = {whose: await _or_late(self._read_tail(whose)) for whose in dict.fromkeys(asked)}
        return [tails[whose] for whose in asked]

    async def _read_tail(self, whose: AccountMode) -> Tail:
        rows = await self._database.fetch(_TAIL, *whose, TAIL_MAX_EVENTS, TAIL_MAX_BYTES)
        customers: dict[CustomerId, Customer] = {}
        erased: list[CustomerId] = []
        unseen_events = max(0, rows[0]["head"] - rows[0]["checkpoint"] - TAIL_MAX_EVENTS)
        for number, row in enumerate(rows, start=1):
            if row["stream"] is None:
                continue
            key = StreamKey(*whose, CustomerId(row["stream"]))
            try:
                customers[key.id] = self._customer(row, key)
            except Undecodable:
                unseen_events += 1
                if row["data_key"] == DESTROYED:  # the parked were erased before the checkpoint
                    erased.append(key.id)
            if number % DECODED_AT_ONCE_MAX_EVENTS == 0:
                await asyncio.sleep(0)  # let other requests in
        applied = Position(rows[0]["checkpoint"])
        if unseen_events:
            erased += await self._erased_since(whose, applied)
        return Tail(
            customers=customers, unseen_events=unseen_events, erased=erased, applied=applied
        )

    async def _erased_since(self, whose: AccountMode, applied: Position) -> list[CustomerId]:
        rows = await self._database.fetch(_ERASED, *whose, applied, ERASED_MAX_CUSTOMERS)
        return [CustomerId(row["id"]) for row in rows]

    def _customer(self, row: Row, key: StreamKey) -> Customer:
        payload, state = row["payload"], row["state"]
        if payload is None and state is None:
            raise Undecodable("the tail's bytes are used up")
        texts = self._keyring.opened(key, row["version"], payload or "", state, row["data_key"])
        return customer_after(row["type"], row["schema_version"], *texts)

    async def _read_pages(self, asked: Sequence[_Asked]) -> Sequence[Page | Exception]:
        return [await _or_late(self._read_page(one)) for one in asked]

    async def _read_page(self, asked: _Asked) -> Page:
        walk = asked.walk
        arguments = (
            *asked.whose,
            walk.test_clock or "",
            *msgspec.structs.astuple(walk.after),
            *msgspec.structs.astuple(walk.before),
            [*asked.tail.customers, *asked.tail.erased],
            walk.limit + 1,
        )
        if walk.email is None:
            sql = _FROM_OLDEST if walk.from_oldest else _FROM_NEWEST
            rows = await self._database.fetch(sql, *arguments)
        else:
            sql = _EMAIL_FROM_OLDEST if walk.from_oldest else _EMAIL_FROM_NEWEST
            rows = await self._database.fetch(sql, *arguments, walk.email)
        listed = [Listed(Place(row["created"], row["id"]), row["body"].encode()) for row in rows]
        return page_of(walk, listed, asked.tail)


async def _or_late(answer: Awaitable[T]) -> T | OutOfTime:
    """Return an answer, or that it alone took too long: that is no outage for the others."""
    try:
        return await answer
    except OutOfTime as late:
        return late
