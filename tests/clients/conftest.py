"""One service for all the official clients of a session."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from tests.clients.service import OfficialService, official_service_on
from tests.databases import fresh_database


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def official_service(
    database_admin_url: str, database_template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[OfficialService]:
    """The whole service on a database of its own."""
    folder = tmp_path_factory.mktemp("official")
    async with (
        fresh_database(database_admin_url, database_template) as url,
        official_service_on(url, folder) as service,
    ):
        yield service
