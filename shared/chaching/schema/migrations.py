"""Applies the numbered migrations, forward only, each in its own transaction.

Runners take turns under an advisory lock, so any number may start at once. A migration that was
applied and has been edited since is refused: history is not rewritten, a new number is added.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

from chaching.eventstore.database import Database, Session

MIGRATION_LOCK: Final = 0x63686163  # "chac"
MIGRATION_TIMEOUT_S: Final = 600.0

_HISTORY: Final = """
    CREATE SCHEMA IF NOT EXISTS schema_history;
    CREATE TABLE IF NOT EXISTS schema_history.migrations (
        number integer NOT NULL,
        name text NOT NULL,
        sha256 text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT migrations_pkey PRIMARY KEY (number)
    )
"""


class SchemaError(Exception):
    """The database's schema and the code's migrations do not fit together."""


class Migration(msgspec.Struct, frozen=True):
    """One numbered file."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


@cache
def migrations() -> tuple[Migration, ...]:
    """Return the migrations that the code brings, in order."""
    found = sorted(
        (file.name, file.read_text())
        for file in (files("chaching.schema") / "sql").iterdir()
        if file.name.endswith(".sql")
    )
    return tuple(
        Migration(int(name.split("_", 1)[0]), name.removesuffix(".sql"), sql) for name, sql in found
    )


async def migrate(database_url: str) -> None:
    """Bring the database at ``database_url`` (an owner's URL) to the newest schema.

    Raises:
        SchemaError: an applied migration was edited, or the database is newer than the code.
        Unavailable: the database cannot be reached.
    """
    database = Database(
        database_url, name="migrate", sessions_max=1, statement_timeout_s=MIGRATION_TIMEOUT_S
    )
    await database.open()
    try:
        async with database.session() as session:
            await session.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
            await session.execute(_HISTORY)
            await _apply_missing(session)
            await session.execute("SELECT pg_advisory_unlock($1)", MIGRATION_LOCK)
    finally:
        await database.close()


async def is_current(database: Database) -> bool:
    """Tell whether the newest migration of the code is applied; raises Unavailable."""
    [row] = await database.fetch("SELECT to_regclass('schema_history.migrations')::text")
    if row[0] is None:
        return False
    [row] = await database.fetch("SELECT max(number) FROM schema_history.migrations")
    newest: int | None = row[0]
    return newest is not None and newest >= migrations()[-1].number


async def _apply_missing(session: Session) -> None:
    applied = await _applied(session)
    for migration in migrations():
        if migration.number in applied:
            _check_unedited(migration, applied[migration.number])
        else:
            await _apply(session, migration)


async def _applied(session: Session) -> dict[int, str]:
    rows = await session.fetch("SELECT number, sha256 FROM schema_history.migrations")
    applied: dict[int, str] = {row["number"]: row["sha256"] for row in rows}
    known = {migration.number for migration in migrations()}
    if unknown := sorted(applied.keys() - known):
        raise SchemaError(f"the database has migrations that this version lacks: {unknown}")
    return applied


async def _apply(session: Session, migration: Migration) -> None:
    await session.execute("BEGIN")
    await session.execute(migration.sql)
    await session.execute(
        "INSERT INTO schema_history.migrations (number, name, sha256) VALUES ($1, $2, $3)",
        migration.number,
        migration.name,
        migration.sha256,
    )
    await session.execute("COMMIT")


def _check_unedited(migration: Migration, sha256: str) -> None:
    if migration.sha256 != sha256:
        raise SchemaError(f"migration {migration.name} was edited after it was applied")
