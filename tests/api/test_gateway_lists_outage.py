"""Lists that wait in one gateway while PostgreSQL is silent."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.support.keyrings import KEYRING

from chaching.domain.ids import AccountId
from chaching.eventstore.database import ACQUIRE_TIMEOUT_S, STATEMENT_TIMEOUT_S, Database
from chaching.eventstore.errors import Unavailable
from chaching.eventstore.grouping import Overloaded
from chaching.local.postgres import PrivatePostgres
from chaching.schema.migrations import migrate
from chaching_api.parameters import ListInput
from chaching_api.reads.lists import LISTS_WAITING_MAX, TAILS_BATCH_MAX_LISTS, Lists
from chaching_api.reads.walk import walk_of

LISTS = LISTS_WAITING_MAX + TAILS_BATCH_MAX_LISTS
LATE_S = 3.0


async def test_lists_that_wait_behind_an_outage_are_told_with_those_before_and_the_rest_at_once(
    tmp_path: Path,
) -> None:
    server = PrivatePostgres(tmp_path / "postgresql")
    await server.start()
    database = Database(server.admin_url, name="gateway", sessions_max=4)
    await database.open()
    try:
        await migrate(server.admin_url)
        lists = Lists(database, KEYRING)
        walk = walk_of(ListInput(), None)
        accounts = [(AccountId(f"acct_{n}"), False) for n in range(LISTS)]
        assert (await lists.page(accounts[0], walk)).customers == ()
        server.pause()
        started_s = time.monotonic()
        answers = await asyncio.gather(
            *(lists.page(whose, walk) for whose in accounts), return_exceptions=True
        )
        told = [type(answer) for answer in answers]
        assert told.count(Unavailable) == LISTS_WAITING_MAX
        assert told.count(Overloaded) == LISTS - LISTS_WAITING_MAX
        assert time.monotonic() - started_s < ACQUIRE_TIMEOUT_S + STATEMENT_TIMEOUT_S + LATE_S
    finally:
        server.resume()
        await database.close()
        await server.stop()
        server.remove()
