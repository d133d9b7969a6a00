from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator

import pytest
from tests.databases import administer, url_of

from chaching.eventstore.database import Database
from chaching.eventstore.errors import Unavailable, ValueRefused
from chaching.schema import migrations
from chaching.schema.migrations import Migration, SchemaError, is_current, migrate

RUNNERS = 5


@pytest.fixture
async def empty_url(database_admin_url: str) -> AsyncGenerator[str]:
    """The URL of a database in which nothing is yet."""
    name = f"empty_{secrets.token_hex(6)}"
    await administer(database_admin_url, f"CREATE DATABASE {name}")
    yield url_of(database_admin_url, name)
    await administer(database_admin_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def empty(empty_url: str) -> AsyncGenerator[Database]:
    database = Database(empty_url, name="tests", sessions_max=2)
    await database.open()
    yield database
    await database.close()


def bringing(monkeypatch: pytest.MonkeyPatch, *more: Migration) -> None:
    """Let the code bring further migrations."""
    all_of_them = (*migrations.migrations(), *more)
    monkeypatch.setattr(migrations, "migrations", lambda: all_of_them)


async def applied(database: Database) -> list[int]:
    rows = await database.fetch("SELECT number FROM schema_history.migrations ORDER BY number")
    return [row[0] for row in rows]


def test_migrations_are_numbered_without_a_gap() -> None:
    found = migrations.migrations()
    assert [migration.number for migration in found] == list(range(1, len(found) + 1))
    assert len({migration.name for migration in found}) == len(found)


async def test_an_empty_database_becomes_current(empty_url: str, empty: Database) -> None:
    assert not await is_current(empty)
    await migrate(empty_url)
    assert await is_current(empty)
    assert await applied(empty) == [migration.number for migration in migrations.migrations()]


async def test_migrating_again_changes_nothing(database_url: str, database: Database) -> None:
    history = "SELECT m::text FROM schema_history.migrations AS m ORDER BY number"
    before = [row[0] for row in await database.fetch(history)]
    await migrate(database_url)
    await migrate(database_url)
    assert [row[0] for row in await database.fetch(history)] == before


async def test_any_number_of_runners_may_start_at_once(empty_url: str, empty: Database) -> None:
    await asyncio.gather(*(migrate(empty_url) for _ in range(RUNNERS)))
    assert await applied(empty) == [migration.number for migration in migrations.migrations()]


async def test_a_missing_migration_is_applied_to_a_database_in_use(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = len(migrations.migrations()) + 1
    bringing(monkeypatch, Migration(number, f"{number:04}_more", "CREATE TABLE more (a int)"))
    assert not await is_current(database)
    await migrate(database_url)
    assert await is_current(database)
    assert await database.fetch("SELECT a FROM more") == []


async def test_an_edited_migration_is_refused(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = migrations.migrations()
    edited = Migration(first.number, first.name, f"{first.sql}\n-- edited")
    monkeypatch.setattr(migrations, "migrations", lambda: (edited, *others))
    with pytest.raises(SchemaError, match=f"{first.name} was edited after it was applied"):
        await migrate(database_url)


async def test_a_database_that_is_newer_than_the_code_is_refused_and_still_serves(
    database_url: str, database: Database
) -> None:
    await database.execute(
        "INSERT INTO schema_history.migrations (number, name, sha256) VALUES (9999, 'later', '')"
    )
    with pytest.raises(SchemaError, match=r"migrations that this version lacks: \[9999\]"):
        await migrate(database_url)
    assert await is_current(database)


async def test_a_migration_that_fails_leaves_nothing_of_itself_behind(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = len(migrations.migrations()) + 1
    broken = Migration(number, "broken", "CREATE TABLE half_done (a int); SELECT 1 / 0")
    with monkeypatch.context() as patched:
        bringing(patched, broken)
        with pytest.raises(ValueRefused):
            await migrate(database_url)
    assert number not in await applied(database)
    [row] = await database.fetch("SELECT to_regclass('half_done')::text")
    assert row[0] is None
    async with asyncio.timeout(10):
        await migrate(database_url)  # the lock is free


async def test_a_database_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await migrate("postgresql://nobody@127.0.0.1:1/none")
