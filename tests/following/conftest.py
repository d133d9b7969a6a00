from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from tests.support.brokers import own_prefix

from chaching.broker import topology
from chaching.broker.connection import connected


@pytest.fixture
async def bare_prefix(amqp_url: str) -> AsyncGenerator[str]:
    """A prefix of names on the broker that no other test uses."""
    async with own_prefix(amqp_url) as prefix:
        yield prefix


@pytest.fixture
async def prefix(amqp_url: str, bare_prefix: str) -> str:
    """Such a prefix under which everything is declared.

    RabbitMQ 3.10 may close a connection (541) that publishes while another declares the queues.
    """
    async with connected(amqp_url, name="tests") as connection:
        await topology.declare(connection, topology.names_under(bare_prefix))
    return bare_prefix
