"""Search: pages of the customers that fit a query, newest first, as far as the projector knows.

A page is taken by a probe of the newest customers beyond its place; if they do not fill it, few
customers fit or none of the newest do, and the index of terms collects them. A query that terms
cannot answer is walked through to its end. The lag is read before the page, so a page is never
older than its lag says. Of a page that is behind the erased are left out; one that nobody is left
on gives way to the next, over at most ``PASSED_OVER_MAX_TIMES`` hundreds of erased customers.

Searches have sessions of their own: they may take longer than look-ups by key, must not use up
theirs, and need plans made for their arguments. The server ends a statement after
``SEARCH_TIMEOUT_S``; a query that needs longer is refused as too broad.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from chaching.eventstore.database import Database, Row, Session
from chaching.eventstore.errors import OutOfTime
from chaching.eventstore.grouping import Overloaded
from chaching.eventstore.statements import statement
from chaching_api.errors import SearchTooBroad
from chaching_api.places import Place
from chaching_api.reads import search_sql
from chaching_api.reads.search_sql import Search, Statement
from chaching_api.reads.walk import Listed

SEARCH_SESSIONS_MAX: Final = 4
SEARCH_TIMEOUT_S: Final = 2.0
SEARCHES_WAITING_MAX: Final = 64
PASSED_OVER_MAX_TIMES: Final = 5
PASSED_OVER_AT_ONCE_CUSTOMERS: Final = 100

# One search has one processor at most, and what it sorts and marks stays in memory.
SEARCHES: Final[Mapping[str, str]] = {
    "plan_cache_mode": "force_custom_plan",
    "max_parallel_workers_per_gather": "0",
    "work_mem": "32MB",
    "statement_timeout": f"{SEARCH_TIMEOUT_S * 1000:.0f}",
}

_LAG: Final = statement("chaching_api.reads", "search_lag")
_ERASED: Final = statement("chaching_api.reads", "erased_among")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A page: the customers as retrieves answer them, and the place after it if there is more.

    ``lag`` is the number of events that searches did not know of when it was taken.
    """

    customers: tuple[Listed, ...]
    following: Place | None
    total_count: int | None
    lag: int


class CustomerSearches:
    """Answers searches from one database, whose sessions are opened with ``SEARCHES``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting = 0

    async def find(
        self, search: Search, *, after: Place, limit: int, counted: bool = False
    ) -> Found:
        """Return the page of at most ``limit`` customers after a place.

        Raises:
            SearchTooBroad: it took longer than ``SEARCH_TIMEOUT_S``.
            Overloaded: too many searches wait.
            Unavailable: no answer in time.
        """
        if self._waiting >= SEARCHES_WAITING_MAX:
            raise Overloaded
        self._waiting += 1
        try:
            async with self._database.session() as session:
                return await _find(session, search, after, limit, counted=counted)
        except OutOfTime as error:
            raise SearchTooBroad from error
        finally:
            self._waiting -= 1


async def _find(
    session: Session, search: Search, after: Place, limit: int, *, counted: bool
) -> Found:
    [row] = await session.fetch(_LAG, search.account, search.livemode)
    rows = await _page(session, search, after, limit + 1)
    total_count: int | None = None
    if counted:
        [[total_count]] = await _fetch(session, search_sql.count(search))
    lag = max(row["events"], 0)
    shown, following = _cut(rows, limit)
    if lag:
        shown = await _without_erased(session, search, shown)
        if not shown and following is not None:
            shown, following = await _first_alive(session, search, following, limit)
    return Found(customers=tuple(shown), following=following, total_count=total_count, lag=lag)


def _cut(rows: Sequence[Row], limit: int) -> tuple[list[Listed], Place | None]:
    """Return a page of rows, and the place after it if there are more."""
    shown = [_listed(row) for row in rows[:limit]]
    return shown, shown[-1].place if len(rows) > limit else None


async def _first_alive(
    session: Session, search: Search, after: Place, limit: int
) -> tuple[list[Listed], Place | None]:
    """Return the next page that is not empty, since clients take an empty one for the end."""
    following: Place | None = after
    shown: list[Listed] = []
    for _ in range(PASSED_OVER_MAX_TIMES):
        if shown or following is None:
            break
        count = max(limit, PASSED_OVER_AT_ONCE_CUSTOMERS)
        found, following = _cut(await _page(session, search, following, count + 1), count)
        alive = await _without_erased(session, search, found)
        shown = alive[:limit]
        if len(alive) > limit:
            following = shown[-1].place
    return shown, following


async def _without_erased(session: Session, search: Search, shown: list[Listed]) -> list[Listed]:
    """Leave out whose erasure the read model has yet to apply; a page may be shorter for it."""
    ids = [listed.place.id for listed in shown]
    rows = await session.fetch(_ERASED, search.account, search.livemode, ids)
    erased = {row["id"] for row in rows}
    return [listed for listed in shown if listed.place.id not in erased]


def _listed(row: Row) -> Listed:
    return Listed(Place(row["created"], row["id"]), str(row["body"]).encode())


async def _page(session: Session, search: Search, after: Place, wanted: int) -> Sequence[Row]:
    rows = await _fetch(session, search_sql.probe(search, after, wanted))
    if len(rows) == wanted:
        return rows
    if search_sql.leads_by_terms(search.query):
        return await _fetch(session, search_sql.collect(search, after, wanted))
    return await _fetch(session, search_sql.walk(search, after, wanted))


async def _fetch(session: Session, asked: Statement) -> list[Row]:
    return await session.fetch(asked.sql, *asked.arguments)
