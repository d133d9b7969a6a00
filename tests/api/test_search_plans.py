"""Searches look at few customers where few are enough, and every statement can be prepared."""

# asyncpg's classes carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any, Final

import msgspec
import pytest

from chaching.domain.ids import AccountId, CustomerId
from chaching.envelope import StreamKey
from chaching.eventstore.database import Database, Session
from chaching.eventstore.statements import statement
from chaching_api.reads import search_sql
from chaching_api.reads.search import SEARCHES, CustomerSearches
from chaching_api.reads.search_sql import Search, Statement, leads_by_terms
from chaching_api.search_page import TOP, Place
from chaching_api.search_query import Absent, Clause, Created, Exact, Field, Query, Substring, parse
from chaching_projector.projections.search.entries import entry_of
from chaching_projector.projections.search.projection import PACKAGE

ACCOUNT: Final = AccountId("acct_1")
OTHER: Final = AccountId("acct_2")
CUSTOMERS: Final = 10_000
FILL_LIMIT_S: Final = 60.0
PAGE: Final = 10
LOOKED_PAST: Final = 30
MIDDLE: Final = Place(CUSTOMERS // 2, "cus_")

FILL_ROWS: Final = """
    INSERT INTO read_model.customers
        (account, livemode, id, version, position, created, deleted, body, attached)
    SELECT $1, false, 'cus_' || n, 1, n, n, false, '{}', '{}'
    FROM generate_series(1, $2::bigint) AS n
"""
READ_SO_FAR: Final = """
    SELECT coalesce(sum(seq_tup_read), 0)::bigint + coalesce(sum(idx_tup_fetch), 0)::bigint
    FROM pg_stat_xact_user_tables
    WHERE relid = 'read_model.search_entries'::regclass
"""

FIELDS: Final = (Field("email"), Field("name"), Field("phone"), Field("metadata", "pl'a\"n"))
KINDS: Final[tuple[Callable[[bool], Clause], ...]] = (
    *(lambda n, f=f: Exact(field=f, text="it's", negated=n) for f in FIELDS),
    *(lambda n, f=f: Substring(field=f, text="%_\\", negated=n) for f in FIELDS),
    *(lambda n, f=f: Absent(field=f, negated=n) for f in FIELDS),
    lambda n: Created(comparison=":", at=5, negated=n),
    lambda n: Created(comparison=">", at=5, negated=n),
    lambda n: Created(comparison="<", at=5, negated=n),
    lambda n: Created(comparison=">=", at=5, negated=n),
    lambda n: Created(comparison="<=", at=5, negated=n),
)


@pytest.fixture
async def searching(database_url: str) -> AsyncGenerator[Database]:
    """A database as the gateway opens it for searches."""
    database = Database(database_url, name="tests", sessions_max=1, settings=SEARCHES)
    await database.open()
    yield database
    await database.close()


async def fill(database_url: str) -> None:
    """Fill two accounts with the same customers: one in a hundred common, three in ten gold."""
    database = Database(
        database_url, name="tests", sessions_max=1, statement_timeout_s=FILL_LIMIT_S
    )
    await database.open()
    for account in (ACCOUNT, OTHER):
        await database.execute(FILL_ROWS, account, CUSTOMERS)
        await database.execute(statement(PACKAGE, "write_entries"), *columns(account))
    await database.execute("ANALYZE read_model.search_entries, read_model.customers")
    await database.close()


def columns(account: AccountId) -> Iterator[list[object]]:
    rows: list[tuple[object, ...]] = []
    for n in range(1, CUSTOMERS + 1):
        key = StreamKey(account, False, CustomerId(f"cus_{n}"))
        name = "Common Name" if n % 100 == 0 else f"Rare {n}"
        metadata = {"plan": "gold" if n % 10 < 3 else "basic"}
        encoded = msgspec.json.encode(metadata).decode()
        entry = entry_of(key, n, f"user{n}@example.com", name, None, encoded)
        found = entry.searchable
        what = (found.email, found.name, found.phone, entry.metadata, entry.terms)
        rows.append((account, False, n, key.id, *what))
    return (list(column) for column in zip(*rows, strict=True))


def search(text: str, account: AccountId = ACCOUNT) -> Search:
    return Search(account=account, livemode=False, query=parse(text))


async def rows_read(session: Session, asked: Statement) -> tuple[int, int]:
    """Run a statement; return how many rows it gives and how many entries it looked at."""
    [before] = await session.fetch(READ_SO_FAR)
    rows = await session.fetch(asked.sql, *asked.arguments)
    [after] = await session.fetch(READ_SO_FAR)
    return len(rows), after[0] - before[0]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def plan_of(session: Session, asked: Statement) -> list[dict[str, Any]]:
    [row] = await session.fetch(f"EXPLAIN (FORMAT JSON) {asked.sql}", *asked.arguments)
    return list(nodes(json.loads(row[0])[0]["Plan"]))


def indices(plan: list[dict[str, Any]]) -> set[str]:
    return {node["Index Name"] for node in plan if "Index Name" in node}


def test_a_statement_has_nothing_of_what_the_caller_wrote() -> None:
    canary = "canary"
    clauses = [
        f"email:'{canary}'",
        f"name~'{canary}'",
        f"metadata['{canary}']:null",
        f"-metadata['{canary}']~'{canary}'",
        "created:987654321",
        "-created:987654321",
    ]
    for join in (" AND ", " OR "):
        asked = Search(account=AccountId(canary), livemode=True, query=parse(join.join(clauses)))
        place = Place(987654321, canary)
        for composed in (
            search_sql.walk(asked, place, 987654321),
            search_sql.probe(asked, place, 987654321),
            search_sql.collect(asked, place, 987654321),
            search_sql.count(asked),
        ):
            assert canary not in composed.sql
            assert "987654321" not in composed.sql
            assert "{" not in composed.sql


async def test_every_kind_of_clause_is_prepared_in_every_form(searching: Database) -> None:
    prepared: set[str] = set()
    pairs = itertools.product(KINDS, KINDS, (False, True), ("AND", "OR"))
    async with searching.session() as session:
        for first, second, negated, join in pairs:
            query = Query(join, (first(negated), second(False)))  # pyright: ignore[reportArgumentType]
            asked = Search(account=ACCOUNT, livemode=False, query=query)
            composed = [
                search_sql.walk(asked, TOP, PAGE),
                search_sql.probe(asked, MIDDLE, PAGE),
                search_sql.collect(asked, MIDDLE, PAGE),
                search_sql.count(asked),
            ]
            for one in composed:
                if one.sql not in prepared:
                    prepared.add(one.sql)
                    assert await session.fetch(one.sql, *one.arguments) in ([], [(0,)])
    assert len(prepared) > 1_000


@pytest.mark.parametrize(
    ("text", "leads"),
    [
        ('email:"a"', True),
        ('-email:"a"', False),
        ('email~"abc"', True),
        ("email:null", True),
        ("-email:null", True),
        ('metadata["k"]:null', False),
        ('-metadata["k"]:null', True),
        ("created>5", False),
        ('-email:"a" AND name:"b"', True),
        ('-email:"a" OR name:"b"', False),
        ('created>5 OR name:"b"', True),
        ('-created:5 OR name:"b"', False),
        ('metadata["k"]:null OR name:"b"', False),
    ],
)
def test_terms_lead_where_they_lead_to_all_who_fit(text: str, leads: bool) -> None:
    assert leads_by_terms(parse(text)) == leads


async def test_a_full_page_of_many_who_fit_is_taken_from_the_newest(
    database_url: str, searching: Database
) -> None:
    await fill(database_url)
    for text in ('metadata["plan"]:"gold"', '-name:"common name"', "phone:null", "created>0"):
        for place in (TOP, MIDDLE):
            async with searching.session() as session:
                asked = search_sql.probe(search(text), place, PAGE + 1)
                found, read = await rows_read(session, asked)
                assert (found, read <= 5 * PAGE) == (PAGE + 1, True), (text, read)
                plan = await plan_of(session, asked)
            assert "Sort" not in {node["Node Type"] for node in plan}, text
            assert indices(plan) == {"search_entries_pkey", "customers_pkey"}, text


async def test_a_probe_ends_in_time(database_url: str, searching: Database) -> None:
    await fill(database_url)
    async with searching.session() as session:
        asked = search_sql.probe(search('email:"user5@example.com"'), TOP, PAGE + 1)
        found, read = await rows_read(session, asked)
    assert (found, read) == (0, search_sql.PROBED_CUSTOMERS_MAX)


async def test_few_who_fit_are_collected_by_their_terms(
    database_url: str, searching: Database
) -> None:
    await fill(database_url)
    for text, fit in (
        ('email:"user5@example.com"', 1),
        ('email~"user555@"', 1),
        ('name:"common name"', 100),
        ('name~"rare 77" AND metadata["plan"]:"gold"', 32),
        ('email:"user5@example.com" OR email:"user6@example.com"', 2),
        ('email:"user5@example.com" OR created<4', 4),
        ('email:"nobody@example.com"', 0),
        ('-metadata["absent"]:null', 0),
    ):
        async with searching.session() as session:
            asked = search_sql.collect(search(text), TOP, CUSTOMERS)
            found, read = await rows_read(session, asked)
            plan = await plan_of(session, asked)
        assert found == fit, text
        assert read <= fit + LOOKED_PAST, (text, read)
        assert "search_entries_terms" in indices(plan), text
        assert "Seq Scan" not in {node["Node Type"] for node in plan}, text


async def test_a_range_of_time_is_read_and_nothing_beside_it(
    database_url: str, searching: Database
) -> None:
    await fill(database_url)
    for text, fit in (
        ("created<100", 99),
        (f"created>{CUSTOMERS - 50}", 50),
        ("created:77", 1),
        ("created>=40 created<60 -created>50", 11),
        ('created<100 -email:"user5@example.com"', 98),
        ("created>50 created<50", 0),
    ):
        for form in (search_sql.walk, search_sql.probe):
            async with searching.session() as session:
                found, read = await rows_read(session, form(search(text), TOP, CUSTOMERS))
            assert found == fit, text
            assert read <= fit + 2, (text, read)


async def test_what_one_account_searches_reads_nothing_of_another(
    database_url: str, searching: Database
) -> None:
    await fill(database_url)
    for account in (ACCOUNT, OTHER):
        async with searching.session() as session:
            asked = search_sql.collect(search('name:"common name"', account), TOP, CUSTOMERS)
            found, read = await rows_read(session, asked)
        assert (found, read <= 100 + LOOKED_PAST) == (100, True)


async def test_a_count_goes_no_further_than_its_limit(
    database_url: str, searching: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database_url)
    searches = CustomerSearches(searching)
    gold = search('metadata["plan"]:"gold"')
    page = await searches.find(gold, after=TOP, limit=PAGE, counted=True)
    assert page.total_count == CUSTOMERS * 3 // 10
    monkeypatch.setattr(search_sql, "COUNTED_CUSTOMERS_MAX", 100)
    page = await searches.find(gold, after=TOP, limit=PAGE, counted=True)
    assert page.total_count == 100
