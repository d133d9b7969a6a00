"""A new subscriber reads all history and goes live without gap or repeat, with a plain client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from tests.support.customers import append_customers, checkpoint, whole_log
from tests.support.keyrings import KEYRING
from tests.support.newcomers import Newcomer, channel_of, declared, newcomer, position_of, read
from tests.support.running import running
from tests.support.waiting import eventually

from chaching.broker.consumer import consuming
from chaching.broker.topology import names_under
from chaching.envelope import START, Position
from chaching.eventstore.database import Database
from chaching.eventstore.selection import EVERYTHING
from chaching.eventstore.store import EventStore
from chaching.following.replay import Order, Replay
from chaching_api.relay import LEASE_NAME, Relay

EARLIER = 40
MEANWHILE = 150
LOST = 70
FROM_THE_FIRST = {"x-stream-offset": "first"}


@asynccontextmanager
async def events_flow(
    store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> AsyncGenerator[asyncio.Task[Position]]:
    """Run a relay, and append events as long as a newcomer catches up."""
    async with running(Relay(database_url, amqp_url, KEYRING, prefix=prefix).run()):
        flowing = asyncio.create_task(
            append_customers(store, customers=MEANWHILE, updates=2, first=EARLIER)
        )
        try:
            yield flowing
        finally:
            flowing.cancel()
            await asyncio.wait({flowing})


async def relayed(
    database: Database,
    store: EventStore,
    database_url: str,
    amqp_url: str,
    prefix: str,
    *,
    after: Position = START,
) -> Position:
    """Publish the whole log after a position, also what was published before."""
    head = await store.head()
    await database.execute(
        "UPDATE event_store.checkpoints SET position = $2 WHERE name = $1", LEASE_NAME, after
    )

    async with running(Relay(database_url, amqp_url, KEYRING, prefix=prefix).run()):
        await published(database, head)
    return head


async def published(database: Database, head: Position) -> None:
    async def is_done() -> bool:
        return await checkpoint(database, LEASE_NAME) >= head

    await eventually(is_done, f"everything up to {head} is published")


async def replayed(database: Database, store: EventStore, amqp_url: str, queue: str) -> Position:
    """Replay the log as far as it goes now into a queue."""
    head = await store.head()
    order = Order(queue=queue, selection=EVERYTHING, first=Position(1), last=head)
    await Replay(database, KEYRING, amqp_url, order).run()
    return head


async def assert_handled_once_in_order(store: EventStore, subscriber: Newcomer) -> None:
    log = await whole_log(store)
    assert subscriber.positions == [event.position for event in log]
    assert [message.message_id for message in subscriber.handled] == [e.event_id for e in log]


async def test_a_newcomer_reads_the_stream_and_goes_live(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    names = names_under(prefix)
    await append_customers(store, customers=EARLIER, updates=2)
    await relayed(database, store, database_url, amqp_url, prefix)
    early = await relayed(database, store, database_url, amqp_url, prefix)
    async with (
        events_flow(store, database_url, amqp_url, prefix) as flow,
        newcomer(amqp_url, names.events, f"{prefix}.billing") as subscriber,
    ):
        await subscriber.catch_up(names.history, **FROM_THE_FIRST)
        assert len(subscriber.handled) >= early
        async with running(subscriber.go_live()):
            await subscriber.has_handled(await flow)
        await assert_handled_once_in_order(store, subscriber)


async def test_a_newcomer_reads_a_replay_and_goes_live(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    names, history = names_under(prefix), f"{prefix}.billing.history"
    early = await append_customers(store, customers=EARLIER, updates=2)
    async with (
        events_flow(store, database_url, amqp_url, prefix) as flow,
        newcomer(amqp_url, names.events, f"{prefix}.billing") as subscriber,
        declared(amqp_url, history),
    ):
        assert await replayed(database, store, amqp_url, history) >= early
        await subscriber.catch_up(history)
        async with running(subscriber.go_live()):
            await subscriber.has_handled(await flow)
        await assert_handled_once_in_order(store, subscriber)


async def test_a_newcomer_that_binds_its_queue_too_late_is_told_of_the_gap(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    names, history = names_under(prefix), f"{prefix}.billing.history"
    await append_customers(store, customers=5, updates=0)
    async with declared(amqp_url, history):
        await replayed(database, store, amqp_url, history)
        await append_customers(store, customers=5, updates=0, first=5)
        await relayed(database, store, database_url, amqp_url, prefix)
        async with newcomer(amqp_url, names.events, f"{prefix}.billing") as subscriber:
            head = await append_customers(store, customers=5, updates=0, first=10)
            await subscriber.catch_up(history)
            async with running(Relay(database_url, amqp_url, KEYRING, prefix=prefix).run()):
                with pytest.raises(subscriber.gap, match="came after"):
                    await subscriber.go_live()
    assert len(subscriber.handled) < head


async def test_a_stream_that_lost_its_oldest_events_is_noticed_and_a_replay_helps(
    database: Database, store: EventStore, database_url: str, amqp_url: str, bare_prefix: str
) -> None:
    # as retention leaves it; of a stream that is being cut a consumer may never get anything
    names, history = names_under(bare_prefix), f"{bare_prefix}.billing.history"
    await append_customers(store, customers=EARLIER, updates=2)
    await relayed(database, store, database_url, amqp_url, bare_prefix, after=Position(LOST))
    head = await store.head()
    [oldest] = await read(amqp_url, names.history, 1, **FROM_THE_FIRST)
    assert position_of(oldest) == LOST + 1
    async with newcomer(amqp_url, names.events, f"{bare_prefix}.other") as unlucky:
        with pytest.raises(unlucky.gap, match="came after 0"):
            await unlucky.catch_up(names.history, **FROM_THE_FIRST)
    async with (
        newcomer(amqp_url, names.events, f"{bare_prefix}.billing") as subscriber,
        declared(amqp_url, history),
    ):
        assert await replayed(database, store, amqp_url, history) == head
        await subscriber.catch_up(history)
        await assert_handled_once_in_order(store, subscriber)


async def test_a_stream_that_was_deleted_is_declared_and_filled_again(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    names = names_under(prefix)
    await append_customers(store, customers=EARLIER, updates=1)
    before = await relayed(database, store, database_url, amqp_url, prefix)
    async with channel_of(amqp_url) as channel:
        await channel.queue_delete(names.history)
    async with consuming(amqp_url, await store.log_id(), prefix=prefix):
        pass
    await append_customers(store, customers=5, updates=0, first=1_000)
    filled_up_to = await replayed(database, store, amqp_url, names.history)
    assert filled_up_to > before
    async with events_flow(store, database_url, amqp_url, prefix) as flow:
        head = await flow
        async with newcomer(amqp_url, names.events, f"{prefix}.billing") as subscriber:
            await published(database, head)
            await subscriber.catch_up(names.history, **FROM_THE_FIRST)
            await assert_handled_once_in_order(store, subscriber)
