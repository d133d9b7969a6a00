from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
import structlog
from tests.support.poison import FAST
from tests.support.subscribers import Copy, own_database

from chaching.broker.connection import connected
from chaching.subscriber import Subscription


@pytest.fixture
async def queue(amqp_url: str, prefix: str) -> AsyncGenerator[str]:
    """A name for a subscriber's queue; what is declared of it is deleted afterwards."""
    name = f"{prefix}.crm"
    yield name
    async with connected(amqp_url, name="tests") as connection:
        channel = await connection.channel(publisher_confirms=False)
        for each in (name, f"{name}.parked", f"{name}.position"):
            await channel.queue_delete(each)


@pytest.fixture
def subscription(amqp_url: str, prefix: str, queue: str) -> Subscription:
    """A subscriber that is quick to give an event up."""
    return Subscription(amqp_url, queue, prefix=prefix, tries=FAST)


@pytest.fixture
async def copy(database_admin_url: str) -> AsyncGenerator[Copy]:
    """A database of the subscriber's own."""
    async with own_database(database_admin_url) as copy:
        yield copy


@pytest.fixture
def guest_logs() -> None:
    """Logs as in a process that did not choose a form, whatever ran before in this one."""
    structlog.reset_defaults()
