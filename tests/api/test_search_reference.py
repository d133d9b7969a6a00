"""Random searches among random customers find whom a plain look at every customer finds."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Sequence
from typing import Final

import pytest
from tests.support.gateways import ACCOUNT
from tests.support.search_reference import Known, fits
from tests.support.searchable import Customers, projecting

from chaching.domain.ids import AccountId
from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore
from chaching_api.reads import search_sql
from chaching_api.reads.search import SEARCHES, CustomerSearches
from chaching_api.reads.search_sql import Search
from chaching_api.search_page import TOP, Place
from chaching_api.search_query import (
    Absent,
    Clause,
    Comparison,
    Created,
    Exact,
    Field,
    Query,
    Substring,
)

# a longer campaign raises these
RANDOM_SEARCHES: Final = 300
RANDOM_CUSTOMERS: Final = 60
SEED: Final = 20_250_430
PAGE: Final = 7
LETTERS: Final = ("a", "A", "b", "ß", "ss", "É", "é", "%", "_", "\\", " ")
KEYS: Final = ("plan", "Plan", "k")
FIELDS: Final = (
    *(Field("email"), Field("name"), Field("phone")),
    *(Field("metadata", key) for key in (*KEYS, "absent")),
)
COMPARISONS: Final[tuple[Comparison, ...]] = (":", ">", "<", ">=", "<=")


@pytest.fixture
async def searches(database_url: str) -> AsyncGenerator[CustomerSearches]:
    database = Database(database_url, name="tests", sessions_max=1, settings=SEARCHES)
    await database.open()
    yield CustomerSearches(database)
    await database.close()


def text(chance: random.Random, least: int) -> str:
    drawn = "".join(chance.choices(LETTERS, k=chance.randint(least, 5)))
    return drawn.strip() or "aaa"


def customers(chance: random.Random) -> list[Known]:
    def maybe(drawn: str) -> str | None:
        return drawn if chance.random() < 0.7 else None

    return [
        Known(
            id=f"cus_{n:03}",
            created=chance.randint(100, 110),
            email=maybe(text(chance, 1)),
            name=maybe(text(chance, 1)),
            phone=maybe(text(chance, 1)),
            metadata={key: text(chance, 1) for key in KEYS if chance.random() < 0.5},
        )
        for n in range(RANDOM_CUSTOMERS)
    ]


def clause(chance: random.Random) -> Clause:
    field, negated = chance.choice(FIELDS), chance.random() < 0.3
    match chance.randrange(4):
        case 0:
            return Exact(field=field, text=text(chance, 1), negated=negated)
        case 1:
            part = "".join(chance.choices(LETTERS[:4], k=3))
            return Substring(field=field, text=part, negated=negated)
        case 2:
            return Absent(field=field, negated=negated)
        case _:
            comparison = chance.choice(COMPARISONS)
            return Created(comparison=comparison, at=chance.randint(99, 111), negated=negated)


def query(chance: random.Random) -> Query:
    drawn = tuple(clause(chance) for _ in range(chance.choice((1, 1, 2, 2, 3, 10))))
    return Query("AND" if len(drawn) == 1 else chance.choice(("AND", "OR")), drawn)


async def walked(searches: CustomerSearches, asked: Query) -> tuple[list[str], int | None]:
    """Return the ids on all pages of a search, and its total count."""
    search = Search(account=AccountId(ACCOUNT), livemode=False, query=asked)
    after, seen, total = TOP, list[str](), None
    while after is not None:
        page = await searches.find(search, after=after, limit=PAGE, counted=total is None)
        seen += [listed.place.id for listed in page.customers]
        total = page.total_count if total is None else total
        after = page.following
        assert after is None or isinstance(after, Place)
        assert after is None or len(page.customers) == PAGE
    return seen, total


def expected(asked: Query, known: Sequence[Known]) -> list[str]:
    found = [one for one in known if fits(asked, one)]
    found.sort(key=lambda one: (one.created, one.id), reverse=True)
    return [one.id for one in found]


@pytest.mark.parametrize("probed", [0, 5, search_sql.PROBED_CUSTOMERS_MAX])
async def test_random_searches_find_whom_a_plain_look_finds(
    database_url: str,
    store: EventStore,
    searches: CustomerSearches,
    monkeypatch: pytest.MonkeyPatch,
    probed: int,
) -> None:
    monkeypatch.setattr(search_sql, "PROBED_CUSTOMERS_MAX", probed)
    chance = random.Random(SEED + probed)  # noqa: S311 - no secret
    known = customers(chance)
    written = Customers(store)
    for one in known:
        await written.add(
            one.id,
            at=one.created,
            email=one.email,
            name=one.name,
            phone=one.phone,
            metadata=dict(one.metadata),
        )
    async with projecting(database_url, store) as projector:
        await projector.project()
    sizes: set[int] = set()
    for _ in range(RANDOM_SEARCHES):
        asked = query(chance)
        wanted = expected(asked, known)
        assert await walked(searches, asked) == (wanted, len(wanted)), asked
        sizes.add(len(wanted))
    assert len(sizes) > 20
