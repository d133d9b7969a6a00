"""The comparison of the read model as tests ask for it, and damage for it to find."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from tests.support.keyrings import KEYRING

from chaching.comparison.folding import Difference
from chaching.comparison.ranges import Progress, compare_all
from chaching.eventstore.database import Database

LET_CHANGE: Final = "ALTER TABLE event_store.events DISABLE TRIGGER events_refuse_change"


async def compared(database_url: str, *, with_values: bool = False) -> Progress:
    return await compare_all(database_url, KEYRING, workers=1, with_values=with_values)


async def the_difference(database_url: str, *, with_values: bool = False) -> Difference:
    progress = await compared(database_url, with_values=with_values)
    assert progress.difference_count == 1, progress
    return progress.differences[0]


@asynccontextmanager
async def damaged(
    database: Database, table: str, change: str, where: str, *arguments: object
) -> AsyncGenerator[None]:
    """Change one row of a table, and put all of it back after the block."""
    await database.execute(LET_CHANGE)
    await database.execute(f"CREATE TABLE kept AS SELECT * FROM {table}")  # noqa: S608 - fixed words
    sql = f"UPDATE {table} SET {change} WHERE {where}"  # noqa: S608 - fixed words
    await damage(database, sql, *arguments)
    yield
    await database.execute(f"DELETE FROM {table}")  # noqa: S608 - likewise
    await database.execute(f"INSERT INTO {table} SELECT * FROM kept")  # noqa: S608 - likewise
    await database.execute("DROP TABLE kept")


async def damage(database: Database, sql: str, *arguments: object) -> None:
    assert await database.execute(sql, *arguments) == 1
