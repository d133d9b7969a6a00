"""A gateway on this test's database, and the local key that opens it."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from tests.support.gateways import KEY, Client, Gateway, gateway_on, store_key


@pytest.fixture
async def gateway(database_url: str) -> AsyncGenerator[Gateway]:
    """A gateway in this process, whose database knows the seed's key."""
    await store_key(database_url, KEY)
    async with gateway_on(database_url) as gateway:
        yield gateway


@pytest.fixture
def client(gateway: Gateway) -> Client:
    """A client of that gateway, with the seed's key."""
    return gateway.client
