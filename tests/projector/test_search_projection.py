"""The entries that searches are answered from, made by the projector's own code."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator

import pytest
from tests.databases import administer, url_of
from tests.support.customers import (
    append,
    append_customers,
    checkpoint,
    created,
    deleted,
    key_of,
    updated,
)
from tests.support.keyrings import KEYRING
from tests.support.running import running
from tests.support.searchable import (
    ENTRIES,
    Projector,
    assert_entries_are_of_the_rows,
    entries_position,
    projecting,
    projector_in,
)
from tests.support.waiting import eventually

from chaching.domain.values import Details
from chaching.envelope import Position
from chaching.eventstore.database import Database
from chaching.eventstore.errors import Fenced, OutOfTime
from chaching.eventstore.store import EventStore
from chaching.schema import migrations
from chaching.schema.migrations import migrate
from chaching_projector import runner
from chaching_projector.projections.customers.writer import SESSION_SETTINGS
from chaching_projector.projections.search import projection as search
from chaching_projector.projections.search.entries import entry_of

NUL = "a\0b"
SEARCH_MIGRATION = 7


class PlantedError(Exception):
    """Something that goes wrong at a chosen place."""


@pytest.fixture
async def own_database(database_url: str) -> AsyncGenerator[Database]:
    """The database as the projector opens it."""
    database = Database(database_url, name="projector", sessions_max=4, settings=SESSION_SETTINGS)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def projector(own_database: Database, store: EventStore) -> Projector:
    return await projector_in(own_database, store)


async def searchable(database: Database) -> list[str]:
    rows = await database.fetch("SELECT id FROM read_model.search_entries ORDER BY id")
    return [row["id"] for row in rows]


@pytest.mark.parametrize("step", [1, 7, 1_000])
async def test_entries_are_made_of_the_rows(
    database: Database,
    store: EventStore,
    projector: Projector,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    monkeypatch.setattr(search, "STEP_EVENTS_MAX", step)
    head = await append_customers(store, customers=30, updates=3)
    await projector.project()
    assert await assert_entries_are_of_the_rows(database) == 27
    assert await entries_position(database) == projector.entries.position == head


async def test_entries_and_rows_may_move_in_any_order(
    database: Database, store: EventStore, projector: Projector
) -> None:
    await append_customers(store, customers=10, updates=1)
    await projector.project_rows()
    await append(store, updated("cus_000003", Details(name="ÅSA", email="asa@example.com")))
    await append(store, deleted("cus_000004"))
    await projector.entries.catch_up()
    assert await assert_entries_are_of_the_rows(database) == 9
    await projector.project()
    assert await assert_entries_are_of_the_rows(database) == 8


async def test_many_terms_are_written_in_portions(
    database: Database,
    store: EventStore,
    projector: Projector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search, "PORTION_CHARACTERS_MIN", 1_000)
    await append_customers(store, customers=30, updates=1)
    await projector.project()
    assert await assert_entries_are_of_the_rows(database) == 27


async def test_a_step_with_too_much_to_make_terms_of_is_taken_in_halves(
    database: Database,
    store: EventStore,
    projector: Projector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search, "STEP_CHARACTERS_MAX", 300)
    head = await append_customers(store, customers=30, updates=1)
    await append(store, updated("cus_000001", Details(name="n" * 250, description="d" * 400)))
    steps: list[Position] = []
    taken = projector.entries._step  # pyright: ignore[reportPrivateUsage] - watched on purpose

    async def step(end: Position) -> None:
        await taken(end)
        steps.append(end)

    monkeypatch.setattr(projector.entries, "_step", step)
    await projector.project()
    assert await assert_entries_are_of_the_rows(database) == 27
    assert steps[-1] == head + 1
    assert len(steps) > 5


async def test_a_step_that_takes_the_database_too_long_is_taken_in_halves(
    database: Database,
    store: EventStore,
    projector: Projector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    head = await append_customers(store, customers=30, updates=1)
    taken = projector.entries._step  # pyright: ignore[reportPrivateUsage] - watched on purpose
    refused: list[Position] = []

    async def step(end: Position) -> None:
        if end > projector.entries.position + 10:
            refused.append(end)
            raise OutOfTime("a statement took too long")
        await taken(end)

    monkeypatch.setattr(projector.entries, "_step", step)
    await projector.project()
    assert refused
    assert projector.entries.position == head
    assert await assert_entries_are_of_the_rows(database) == 27


async def test_a_change_that_searches_do_not_see_rewrites_no_entry(
    database: Database, store: EventStore, projector: Projector
) -> None:
    asked = "SELECT ctid::text, xmin::text FROM read_model.search_entries"
    await append(store, created("cus_1"))
    await projector.project()
    before = [tuple(row) for row in await database.fetch(asked)]
    await append(store, updated("cus_1", Details(balance=5)))
    await projector.project()
    assert [tuple(row) for row in await database.fetch(asked)] == before
    await append(store, updated("cus_1", Details(metadata={"k": "v"})))
    await projector.project()
    assert [tuple(row) for row in await database.fetch(asked)] != before
    assert await assert_entries_are_of_the_rows(database) == 1


async def test_a_customer_who_was_created_and_deleted_at_once_has_no_entry(
    database: Database, store: EventStore, projector: Projector
) -> None:
    await append(store, created("cus_1"))
    await append(store, deleted("cus_1"))
    await projector.project()
    assert await searchable(database) == []


async def test_a_step_that_fails_leaves_entries_and_checkpoint_as_they_were(
    database: Database,
    store: EventStore,
    projector: Projector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await append_customers(store, customers=10, updates=0)
    await projector.project_rows()

    async def fail(_session: object, _rows: object) -> None:
        raise PlantedError

    with monkeypatch.context() as patched:
        patched.setattr(search, "_delete", fail)
        with pytest.raises(PlantedError):
            await projector.entries.catch_up()
    assert await searchable(database) == []
    assert await entries_position(database) == 0
    await projector.entries.catch_up()
    assert await assert_entries_are_of_the_rows(database) == 9


async def test_a_replaced_holder_never_writes(
    database: Database, own_database: Database, store: EventStore, projector: Projector
) -> None:
    await append(store, created("cus_1"))
    await projector.project_rows()
    await projector_in(own_database, store)
    with pytest.raises(Fenced):
        await projector.entries.catch_up()
    assert await searchable(database) == []


@pytest.mark.parametrize("gone", [False, True])
async def test_a_customer_who_was_parked_is_found_again(
    database: Database, store: EventStore, projector: Projector, gone: bool
) -> None:
    await append(store, created("cus_bad"))
    await projector.project()
    await append(store, updated("cus_bad", Details(name=NUL)))
    await projector.project()
    await append(store, updated("cus_bad", Details(name="Jenny")))
    if gone:
        await append(store, deleted("cus_bad"))
    await projector.project()
    await projector.customers.retry_parked()
    await projector.entries.catch_up()
    assert await assert_entries_are_of_the_rows(database) == (0 if gone else 1)
    rows = await database.fetch("SELECT 1 FROM read_model.search_renewals")
    assert rows == []


async def test_customers_from_before_there_were_entries_get_them(
    database_admin_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older database with customers in it is migrated and then followed as ever."""
    name = f"older_{secrets.token_hex(6)}"
    await administer(database_admin_url, f"CREATE DATABASE {name}")
    url = url_of(database_admin_url, name)
    older = tuple(m for m in migrations.migrations() if m.number != SEARCH_MIGRATION)
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "migrations", lambda: older)
        await migrate(url)
    database = Database(url, name="tests", sessions_max=4)
    await database.open()
    try:
        store = EventStore(database, KEYRING)
        head = await append_customers(store, customers=20, updates=1)
        await project_as_before(database, store)
        await migrate(url)
        assert await entries_position(database) == 0
        async with projecting(url, store) as projector:
            assert projector.customers.position == head
            await projector.entries.catch_up()
        assert await assert_entries_are_of_the_rows(database) == 18
    finally:
        await database.close()
        await administer(database_admin_url, f"DROP DATABASE {name} WITH (FORCE)")


async def project_as_before(database: Database, store: EventStore) -> None:
    """Bring the rows to the head of the log where there is no checkpoint of entries yet."""
    await database.execute("INSERT INTO event_store.checkpoints (name) VALUES ($1)", ENTRIES)
    await (await projector_in(database, store)).project_rows()
    await database.execute("DELETE FROM event_store.checkpoints WHERE name = $1", ENTRIES)


async def test_the_projector_makes_entries_by_itself(
    database: Database, store: EventStore, database_url: str
) -> None:
    head = await append_customers(store, customers=20, updates=1)

    async def arrived() -> bool:
        return await entries_position(database) >= head

    async with running(
        runner.Projector(f"{database_url}?role=chaching_projector", keyring=KEYRING).run()
    ):
        await eventually(arrived, "the entries are there")
        head = Position((await append(store, created("cus_later"))).position)
        await eventually(arrived, "the later entry is there")
    assert await assert_entries_are_of_the_rows(database) == 19


async def test_a_bug_in_making_entries_holds_up_no_rows(
    database: Database,
    store: EventStore,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(_session: object, _entries: object) -> None:
        raise PlantedError

    monkeypatch.setattr(search, "_write", fail)
    head = await append_customers(store, customers=5, updates=1)

    async def arrived() -> bool:
        return await checkpoint(database, "projection.customers") >= head

    async with running(runner.Projector(database_url, keyring=KEYRING).run()):
        await eventually(arrived, "the rows are there")
    assert await searchable(database) == []
    assert await entries_position(database) == 0


def test_an_entry_holds_folded_texts_and_keys_as_they_are() -> None:
    entry = entry_of(key_of("cus_1"), 5, "A@B.C", "STRAßE", None, '{"Plan":"GOLD"}')
    assert (entry.searchable.email, entry.searchable.name) == ("a@b.c", "strasse")
    assert entry.searchable.phone is None
    assert entry.metadata == '{"Plan":"gold"}'
    assert entry.created == 5
