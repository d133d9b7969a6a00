"""The comparison finds what searches and repairs must not hold, and lets them lag behind."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator
from typing import Final

import pytest
from tests.support.comparing import compared, damage, damaged, the_difference
from tests.support.customers import (
    ACCOUNT,
    append_customers,
    created,
    deleted,
    erased,
    key_of,
    updated,
)
from tests.support.customers import append as appended
from tests.support.searchable import Projector, projecting

from chaching.comparison import folding, strays
from chaching.domain.values import Details
from chaching.envelope import Position, StreamKey
from chaching.eventstore.database import Database, Row
from chaching.eventstore.statements import statement
from chaching.eventstore.store import EventStore
from chaching_projector.projections.customers import writer
from chaching_projector.projections.customers.steps import Poison

CUSTOMERS: Final = 30
CUSTOMER: Final = "cus_000007"
DELETED: Final = "cus_000010"
ENTRIES: Final = "read_model.search_entries"
READ_ROWS: Final = statement("chaching.comparison", "read_rows")
CHANGED_ENTRIES: Final = {
    "email = 'x'": ("email",),
    "email = upper(email)": ("email",),
    "name = NULL": ("name",),
    "phone = '+1'": ("phone",),
    'metadata = \'{"count": "9"}\'': ("metadata.count",),
    'metadata = metadata || \'{"more": "1"}\'': ("metadata.more",),
    "metadata = '[]'": ("metadata",),
    "terms = terms[2:]": ("terms",),
    "terms = terms || 1::bigint": ("terms",),
    "terms = '{}'": ("terms",),
    "name = 'x', terms = '{}'": ("name", "terms"),
}
COPIED: Final = """
    INSERT INTO read_model.search_entries
    SELECT {account}, {livemode}, {created}, {id}, email, name, phone, metadata, terms
    FROM read_model.search_entries WHERE id = 'cus_000007'
"""
OF_NOBODY: Final = (
    {"account": "'acct_9'"},
    {"livemode": "true"},
    {"created": "created + 1"},
    {"id": "'cus_nobody'"},
)
RENAMED: Final = "UPDATE read_model.search_entries SET name = $2 WHERE id = $1"
REMOVED: Final = "DELETE FROM read_model.search_entries WHERE id = $1"
PARKED: Final = "INSERT INTO read_model.parked_streams VALUES ($1, false, $2, $3, $4, 'a test')"
RENEWED: Final = """
    INSERT INTO read_model.search_renewals (account, livemode, id) VALUES ($1, false, $2)
"""


@pytest.fixture
async def projector(database_url: str, store: EventStore) -> AsyncGenerator[Projector]:
    async with projecting(database_url, store) as projector:
        yield projector


@pytest.fixture
async def filled(store: EventStore, projector: Projector) -> EventStore:
    """A log of some customers, with rows and entries for all of it."""
    await append_customers(store, customers=CUSTOMERS, updates=3)
    await projector.project()
    return store


async def kinds(database_url: str) -> list[str]:
    return [one.kind for one in (await compared(database_url)).differences]


# --- Damage -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("filled")
async def test_an_entry_that_was_changed_is_named_by_what_was_changed(
    database_url: str, database: Database
) -> None:
    assert await kinds(database_url) == []
    for change, attributes in CHANGED_ENTRIES.items():
        async with damaged(database, ENTRIES, change, "id = $1", CUSTOMER):
            difference = await the_difference(database_url)
            assert (difference.kind, difference.customer) == ("entry_differs", CUSTOMER)
            assert difference.attributes == attributes, change
    assert await kinds(database_url) == []


@pytest.mark.usefixtures("filled")
async def test_an_entry_that_is_gone_is_found(database_url: str, database: Database) -> None:
    await damage(database, REMOVED, CUSTOMER)
    difference = await the_difference(database_url)
    assert (difference.kind, difference.customer) == ("entry_missing", CUSTOMER)
    assert difference.version == 4


@pytest.mark.usefixtures("filled")
async def test_an_entry_that_a_deleted_customer_left_is_found(
    database_url: str, database: Database
) -> None:
    await damage(database, COPIED.format(**written(id=f"'{DELETED}'")))
    difference = await the_difference(database_url)
    assert (difference.kind, difference.customer) == ("entry_left", DELETED)


async def test_an_entry_that_an_erased_customer_left_is_found(
    database_url: str, database: Database, filled: EventStore, projector: Projector
) -> None:
    await appended(filled, erased("cus_000008"))
    await projector.project()
    assert await kinds(database_url) == []
    await damage(database, COPIED.format(**written(id="'cus_000008'")))
    difference = await the_difference(database_url)
    assert (difference.kind, difference.customer) == ("entry_left", "cus_000008")


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("where", OF_NOBODY, ids="".join)
async def test_an_entry_of_nobody_is_found(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch, where: dict[str, str]
) -> None:
    monkeypatch.setattr(strays, "WALKED_MAX_ROWS", 7)
    await damage(database, COPIED.format(**written(**where)))
    difference = await the_difference(database_url)
    assert difference.kind == "entry_of_nobody"
    assert difference.customer == where.get("id", CUSTOMER).strip("'")
    assert difference.mode == ("live" if "livemode" in where else "test")


def written(**where: str) -> dict[str, str]:
    return {name: name for name in ("account", "livemode", "created", "id")} | where


@pytest.mark.usefixtures("filled")
async def test_values_of_an_entry_are_told_only_when_they_are_asked_for(
    database_url: str, database: Database
) -> None:
    await damage(database, RENAMED, CUSTOMER, "x")
    assert (await the_difference(database_url)).values == ()
    [told] = (await the_difference(database_url, with_values=True)).values
    assert (told.expected, told.found) == ("jenny rosen", "x")


# --- Parked streams and renewals ----------------------------------------------------------------


async def test_a_stream_that_is_parked_without_reason_is_found(
    database_url: str, database: Database, filled: EventStore
) -> None:
    events = await filled.read_stream(key_of(CUSTOMER))
    for version, position, detail in (
        (9, 9, "the log has no such event"),
        (4, events[0].position, "the event stands at another position"),
        (4, events[3].position, "the row stands at version 4"),
    ):
        await damage(database, PARKED, ACCOUNT, CUSTOMER, version, position)
        difference = await the_difference(database_url)
        assert (difference.kind, difference.customer) == ("parked_wrongly", CUSTOMER)
        assert (difference.version, difference.detail) == (version, detail)
        await damage(database, "DELETE FROM read_model.parked_streams")
    await damage(database, PARKED, ACCOUNT, "cus_nobody", 1, 1)
    assert (await the_difference(database_url)).kind == "parked_wrongly"


async def test_a_customer_that_is_parked_keeps_the_entry_of_its_row(
    database_url: str, database: Database, filled: EventStore, projector: Projector
) -> None:
    await appended(filled, updated(CUSTOMER, Details(name="Jane")))
    newest = (await filled.read_stream(key_of(CUSTOMER)))[-1]
    await damage(database, PARKED, ACCOUNT, CUSTOMER, newest.version, newest.position)
    await projector.customers.open()
    await projector.project()
    assert await kinds(database_url) == ["row_parked"]
    await projector.customers.retry_parked()
    assert await kinds(database_url) == []
    await projector.project()
    assert await kinds(database_url) == []


@pytest.mark.usefixtures("filled")
async def test_an_entry_that_waits_for_its_renewal_may_be_behind(
    database_url: str, database: Database, projector: Projector
) -> None:
    await damage(database, RENAMED, CUSTOMER, "x")
    await damage(database, RENEWED, ACCOUNT, CUSTOMER)
    assert await kinds(database_url) == []
    await projector.project()
    assert await kinds(database_url) == []


@pytest.mark.usefixtures("filled")
async def test_a_renewal_of_nobody_is_found(database_url: str, database: Database) -> None:
    await damage(database, RENEWED, ACCOUNT, "cus_nobody")
    difference = await the_difference(database_url)
    assert (difference.kind, difference.customer) == ("renewal_of_nobody", "cus_nobody")


# --- Others go on writing -----------------------------------------------------------------------


@pytest.mark.usefixtures("filled")
async def test_entries_that_are_behind_make_no_difference(
    database_url: str, store: EventStore, projector: Projector
) -> None:
    await appended(store, created("cus_new"))
    await appended(store, updated(CUSTOMER, Details(name="Jane")))
    await appended(store, updated(CUSTOMER, Details(name="Joan", phone="1")))
    await appended(store, deleted("cus_000001"))
    await appended(store, erased("cus_000002"))
    await projector.project_rows()
    assert await kinds(database_url) == []
    await projector.project()
    assert await kinds(database_url) == []


async def test_an_entry_of_a_version_that_searches_have_passed_is_wrong(
    database_url: str, database: Database, filled: EventStore, projector: Projector
) -> None:
    await appended(filled, updated(CUSTOMER, Details(name="Jane")))
    await projector.project_rows()
    await database.execute(
        "UPDATE event_store.checkpoints SET position = $1 WHERE name = 'projection.search'",
        await filled.head(),
    )
    difference = await the_difference(database_url)
    assert (difference.kind, difference.attributes) == ("entry_differs", ("name", "terms"))


@pytest.mark.usefixtures("filled")
async def test_an_entry_that_no_version_since_had_is_wrong_though_searches_are_behind(
    database_url: str, database: Database, store: EventStore, projector: Projector
) -> None:
    await appended(store, updated(CUSTOMER, Details(name="Jane")))
    await projector.project_rows()
    await damage(database, RENAMED, CUSTOMER, "joan")
    assert (await the_difference(database_url)).attributes == ("name", "terms")
    await damage(database, REMOVED, CUSTOMER)
    assert (await the_difference(database_url)).kind == "entry_missing"


async def test_searches_that_go_on_meanwhile_make_no_difference(
    database_url: str,
    store: EventStore,
    projector: Projector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await append_customers(store, customers=CUSTOMERS, updates=3)
    await projector.project_rows()
    monkeypatch.setattr(folding, "ROWS_MAX_CUSTOMERS", 3)
    fetch, names = Database.fetch, itertools.count(1)

    async def moving(self: Database, sql: str, *arguments: object) -> list[Row]:
        if sql == READ_ROWS:
            number = next(names)
            await appended(
                store, updated(f"cus_{number % 9 + 1:06}", Details(name=f"Jane {number}"))
            )
            await (projector.project if number % 2 else projector.project_rows)()
        return await fetch(self, sql, *arguments)

    monkeypatch.setattr(Database, "fetch", moving)
    assert (await compared(database_url)).differences == []
    assert next(names) > 9


async def test_a_stream_that_the_projector_itself_parked_is_parked_rightly(
    database_url: str, database: Database, filled: EventStore, projector: Projector
) -> None:
    await appended(filled, updated(CUSTOMER, Details(name="Jane")))
    newest = (await filled.read_stream(key_of(CUSTOMER)))[-1]
    key: StreamKey = key_of(CUSTOMER)
    poison = Poison(
        key=key, version=newest.version, position=Position(newest.position), reason="a test"
    )
    await projector.customers.apply([poison])
    assert [one.key for one in await writer.parked_streams(database)] == [key]
    assert await kinds(database_url) == ["row_parked"]
