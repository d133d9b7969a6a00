"""Retrieves that wait in one gateway, beyond what HTTP connections can show cheaply."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.support.keyrings import KEYRING

from chaching.domain.ids import AccountId, CustomerId
from chaching.envelope import StreamKey
from chaching.eventstore.database import ACQUIRE_TIMEOUT_S, STATEMENT_TIMEOUT_S, Database
from chaching.eventstore.errors import Unavailable
from chaching.eventstore.grouping import BATCH_MAX_ITEMS
from chaching.local.postgres import PrivatePostgres
from chaching.schema.migrations import migrate
from chaching_api.reads.retrieve import Retrieve

RETRIEVES = 8 * BATCH_MAX_ITEMS
LATE_S = 3.0


async def test_retrieves_that_wait_behind_an_outage_are_told_with_those_before(
    tmp_path: Path,
) -> None:
    server = PrivatePostgres(tmp_path / "postgresql")
    await server.start()
    database = Database(server.admin_url, name="gateway", sessions_max=2)
    await database.open()
    try:
        await migrate(server.admin_url)
        retrieve = Retrieve(database, KEYRING)
        keys = [StreamKey(AccountId("a"), False, CustomerId(f"cus_{n}")) for n in range(RETRIEVES)]
        assert await retrieve.retrieve(keys[0]) is None
        server.pause()
        started_s = time.monotonic()
        answers = await asyncio.gather(
            *(retrieve.retrieve(key) for key in keys), return_exceptions=True
        )
        assert {type(answer) for answer in answers} == {Unavailable}
        assert time.monotonic() - started_s < ACQUIRE_TIMEOUT_S + STATEMENT_TIMEOUT_S + LATE_S
    finally:
        server.resume()
        await database.close()
        await server.stop()
        server.remove()
