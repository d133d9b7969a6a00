"""A migrated database for each test, copied from a template that each worker makes once."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from tests.support.keyrings import KEYRING

from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore
from chaching.schema.migrations import migrate

ADMIN_LIMIT_S = 60.0
SESSIONS_MAX = 4


@pytest.fixture(scope="session")
def database_template(database_admin_url: str) -> Generator[str]:
    """The name of a database that is migrated and that nobody is connected to."""
    name = f"template_{secrets.token_hex(6)}"
    asyncio.run(administer(database_admin_url, f"CREATE DATABASE {name}"))
    asyncio.run(migrate(url_of(database_admin_url, name)))
    yield name
    asyncio.run(administer(database_admin_url, f"DROP DATABASE {name}"))


@pytest.fixture
async def database_url(database_admin_url: str, database_template: str) -> AsyncGenerator[str]:
    """The URL of a fresh migrated database, as its owner; dropped afterwards."""
    async with fresh_database(database_admin_url, database_template) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    """An open pool of sessions on this test's database."""
    database = Database(database_url, name="tests", sessions_max=SESSIONS_MAX)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def store(database: Database) -> EventStore:
    """The log in this test's database."""
    return EventStore(database, KEYRING)


@asynccontextmanager
async def fresh_database(admin_url: str, template: str) -> AsyncGenerator[str]:
    """Yield the URL of a copy of a template, as its owner; it is dropped after the block."""
    name = f"test_{secrets.token_hex(6)}"
    await administer(admin_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield url_of(admin_url, name)
    finally:
        await administer(admin_url, f"DROP DATABASE {name} WITH (FORCE)")


def url_of(admin_url: str, name: str) -> str:
    """Answer the URL of another database on the same server, for the same user."""
    return urlsplit(admin_url)._replace(path=f"/{name}").geturl()


async def administer(admin_url: str, sql: str) -> None:
    """Run one statement that must not stand in a transaction."""
    database = Database(admin_url, name="tests", sessions_max=1, statement_timeout_s=ADMIN_LIMIT_S)
    await database.open()
    try:
        await database.execute(sql)
    finally:
        await database.close()
