from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

import pytest

from chaching.eventstore.database import KEYED_LOOKUPS, Database

FILL_LIMIT_S: Final = 60.0


@pytest.fixture
async def keyed(database_url: str) -> AsyncGenerator[Database]:
    """A database as the gateway opens it, with one session, which may be filled by statements."""
    database = Database(
        database_url,
        name="tests",
        sessions_max=1,
        settings=KEYED_LOOKUPS,
        statement_timeout_s=FILL_LIMIT_S,
    )
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def plain(database_url: str) -> AsyncGenerator[Database]:
    """A database as those open it who read the log in order."""
    database = Database(
        database_url, name="tests", sessions_max=1, statement_timeout_s=FILL_LIMIT_S
    )
    await database.open()
    yield database
    await database.close()
