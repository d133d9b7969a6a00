"""A short run of ``make campaign``."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

import pytest
from tests.campaigns.kills import Campaign, Places
from tests.support.brokers import own_prefix
from tests.support.subscribers import own_database, without_queue

from chaching.broker import topology
from chaching.broker.connection import connected
from chaching.broker.subscriber_queues import queues_of

KILLS: Final = 5
EVENTS: Final = 1_500


@pytest.fixture
async def places(
    amqp_url: str, database_admin_url: str, database_url: str, tmp_path: Path
) -> AsyncGenerator[Places]:
    """A service's database, and a subscriber's, with queues of their own."""
    async with own_prefix(amqp_url) as prefix, own_database(database_admin_url) as copy:
        async with connected(amqp_url, name="tests") as connection:
            await topology.declare(connection, topology.names_under(prefix))
        queues = queues_of(f"{prefix}.crm")
        yield Places(
            database_url=database_url,
            amqp_url=amqp_url,
            prefix=prefix,
            queue=queues.own,
            copy=copy,
            log=tmp_path / "subscriber.log",
        )
        for queue in (queues.own, queues.parked):
            await without_queue(amqp_url, queue)


async def test_a_subscriber_that_is_killed_at_random_ends_with_the_read_model_and_nothing_twice(
    places: Places,
) -> None:
    figures = await Campaign(places, seed=11).run(kills=KILLS, events=EVENTS)
    assert (figures.kills, figures.events) == (KILLS, EVENTS)
    assert figures.customers > EVENTS / 10
