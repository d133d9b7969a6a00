"""A gateway on this test's database, and the local key that opens it."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from tests.support.gateways import KEY, Client, Gateway, gateway_on, store_key
from tests.support.searchable import Customers, Projector, projecting

from chaching.eventstore.store import EventStore


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


@pytest.fixture
async def projector(database_url: str, store: EventStore) -> AsyncGenerator[Projector]:
    """The projector's own code, which goes on when a test says so."""
    async with projecting(database_url, store) as projector:
        yield projector


@pytest.fixture
def customers(store: EventStore) -> Customers:
    """The customers of the account and mode of the seed's key."""
    return Customers(store)
