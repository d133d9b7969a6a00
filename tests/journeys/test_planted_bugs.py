"""The check of promise 1 can fail: a gateway that answers before the commit is caught by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from tests.support.acknowledged import Written, assert_nothing_acknowledged_is_missing
from tests.support.gateways import KEY, serving, store_key
from tests.support.keyrings import KEYRING

from chaching.envelope import PendingEvent, Position, Version
from chaching.eventstore.database import KEYED_LOOKUPS, Database
from chaching.eventstore.errors import OutcomeUnknown
from chaching.eventstore.store import Appended, EventStore
from chaching.local.postgres import PrivatePostgres
from chaching.schema.migrations import migrate

DEADLINE_S = 1.0


class HastyStore(EventStore):
    """Answers before the event is on disk."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, KEYRING, append_deadline_s=DEADLINE_S)
        self.underway: list[asyncio.Task[Appended]] = []

    async def append(self, pending: PendingEvent) -> Appended:
        self.underway.append(asyncio.create_task(super().append(pending)))
        return Appended(Position(0), Version(pending.expected_version + 1))


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncGenerator[PrivatePostgres]:
    server = PrivatePostgres(tmp_path / "postgresql")
    await server.start()
    await migrate(server.admin_url)
    await store_key(server.admin_url, KEY)
    yield server
    await server.stop()
    server.remove()


@pytest.fixture
async def database(postgres: PrivatePostgres) -> AsyncGenerator[Database]:
    database = Database(postgres.admin_url, name="gateway", sessions_max=8, settings=KEYED_LOOKUPS)
    await database.open()
    yield database
    await database.close()


async def test_an_answer_before_the_commit_is_caught(
    postgres: PrivatePostgres, database: Database
) -> None:
    store = HastyStore(database)
    async with serving(database, store) as client:
        assert (await client.retrieve("cus_warm")).status == 404
        postgres.pause()
        assert (await client.create("id=cus_1")).status == 200
        await postgres.kill()
        ends = await asyncio.gather(*store.underway, return_exceptions=True)
        assert [type(end) for end in ends] == [OutcomeUnknown]
        await postgres.start()
        with pytest.raises(AssertionError, match="cus_1 was acknowledged and is missing"):
            await assert_nothing_acknowledged_is_missing(client, {"cus_1": Written()})


async def test_an_honest_gateway_acknowledges_nothing_that_is_not_on_disk(
    postgres: PrivatePostgres, database: Database
) -> None:
    store = EventStore(database, KEYRING, append_deadline_s=DEADLINE_S)
    async with serving(database, store) as client:
        assert (await client.retrieve("cus_warm")).status == 404
        postgres.pause()
        refused = await client.create("id=cus_1")
        assert refused.status == 503
        assert refused.headers["Retry-After"]
        await postgres.kill()
        await postgres.start()
        assert (await client.create("id=cus_2")).status == 200
        await assert_nothing_acknowledged_is_missing(client, {"cus_2": Written()})
