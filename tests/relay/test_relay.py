# Faults are planted inside.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import msgspec
import pytest
from tests.support.brokers import (
    UNREACHABLE,
    Subscriber,
    assert_every_event_in_order,
    subscribed,
)
from tests.support.customers import (
    append,
    append_customers,
    checkpoint,
    created,
    key_of,
    pending,
)
from tests.support.keyrings import KEYRING
from tests.support.running import running
from tests.support.waiting import eventually

from chaching.broker import topology
from chaching.broker.consumer import consuming
from chaching.broker.publisher import publishing
from chaching.domain.customer import CustomerDeleted
from chaching.envelope import LogId, Position, RecordedEvent
from chaching.eventstore.database import Database
from chaching.eventstore.doorbell import CHANNEL
from chaching.eventstore.errors import Fenced
from chaching.eventstore.lease import Lease
from chaching.eventstore.statements import statement
from chaching.eventstore.store import EventStore
from chaching_api import relay as relay_module
from chaching_api.purging import PURGE_AFTER_S, Purges
from chaching_api.relay import LEASE_NAME, Leadership, Relay

SILENCE_S = 1.0


async def published(database: Database, head: Position) -> None:
    """Wait until the relay's checkpoint stands at the head."""

    async def is_there() -> bool:
        return await checkpoint(database, LEASE_NAME) >= head

    await eventually(is_there, f"the relay published up to {head}")


async def received(subscriber: Subscriber, head: Position) -> None:
    await eventually(lambda: subscriber.has_all_up_to(head), f"everything up to {head} came")


async def test_the_whole_log_is_published_in_order(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    head = await append_customers(store, customers=60, updates=4)
    async with (
        subscribed(amqp_url, prefix) as subscriber,
        running(Relay(database_url, amqp_url, KEYRING, prefix=prefix).run()),
    ):
        await published(database, head)
        await received(subscriber, head)
    assert_every_event_in_order(subscriber.received, head)
    assert subscriber.positions == list(range(1, head + 1))
    assert subscriber.sources == {f"urn:uuid:{await store.log_id()}"}


async def test_what_comes_later_is_published_at_the_doorbell(
    database: Database,
    store: EventStore,
    database_url: str,
    amqp_url: str,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "POLL_S", 600.0)
    await append(store, created("cus_1"))
    async with running(Relay(database_url, amqp_url, KEYRING, prefix=prefix).run()):
        await published(database, Position(1))
        await append(store, created("cus_2"))

        async def rings_until_published() -> bool:
            await database.execute(statement("chaching.eventstore", "ring_doorbell"), CHANNEL)
            return await checkpoint(database, LEASE_NAME) == 2

        await eventually(rings_until_published, "a ring wakes the relay")


async def test_a_missed_ring_costs_a_poll(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    async with running(Relay(database_url, amqp_url, KEYRING, prefix=prefix).run()):
        for number in range(1, 3):
            await append(store, created(f"cus_{number}"))
            await published(database, Position(number))


async def test_a_relay_that_starts_again_goes_on_where_it_was(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    async with subscribed(amqp_url, prefix) as subscriber:
        head = Position(0)
        for start in range(3):
            head = await append_customers(store, customers=20, updates=2, first=20 * start)
            async with running(Relay(database_url, amqp_url, KEYRING, prefix=prefix).run()):
                await published(database, head)
        await received(subscriber, head)
    assert_every_event_in_order(subscriber.received, head)
    assert len(subscriber.received) == head


async def test_a_relay_that_was_cut_off_at_any_instant_loses_nothing(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    head = await append_customers(store, customers=100, updates=3)
    async with subscribed(amqp_url, prefix) as subscriber:
        for seen in (1, head // 3, 2 * head // 3):
            relay = Relay(database_url, amqp_url, KEYRING, prefix=prefix)
            async with running(relay.run()):
                await received(subscriber, Position(seen))
        async with running(Relay(database_url, amqp_url, KEYRING, prefix=prefix).run()):
            await published(database, head)
        await received(subscriber, head)
    assert_every_event_in_order(subscriber.received, head)


async def test_another_relay_takes_over_from_one_that_vanished(
    database: Database,
    store: EventStore,
    database_url: str,
    amqp_url: str,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with AsyncExitStack() as second:
        await append(store, created("cus_1"))
        with monkeypatch.context() as patch:
            patch.setattr(Lease, "release", _vanish)
            first = Relay(database_url, amqp_url, KEYRING, prefix=prefix, silence_max_s=SILENCE_S)
            async with running(first.run()):
                await published(database, Position(1))
                standby = Relay(
                    database_url, amqp_url, KEYRING, prefix=prefix, silence_max_s=SILENCE_S
                )
                await second.enter_async_context(running(standby.run()))
        await append(store, created("cus_2"))
        await published(database, Position(2))


async def test_a_replaced_relay_cannot_move_the_checkpoint(
    database: Database, store: EventStore, amqp_url: str, prefix: str
) -> None:
    await append(store, created("cus_1"))
    paused = Lease(database, LEASE_NAME, "paused", silence_max_s=0.0)
    held = await paused.acquire()
    assert held is not None
    assert await Lease(database, LEASE_NAME, "next", silence_max_s=0.0).acquire() is not None
    purges = Purges(database, store, amqp_url, prefix, PURGE_AFTER_S)
    async with publishing(amqp_url, prefix=prefix) as publisher:
        with pytest.raises(ExceptionGroup) as raised:
            await Leadership(database, store, paused, held, publisher, purges).run()
    assert raised.group_contains(Fenced)
    assert await checkpoint(database, LEASE_NAME) == 0


async def test_a_paused_relay_asks_before_it_publishes(
    database: Database, store: EventStore, amqp_url: str, prefix: str
) -> None:
    await append(store, created("cus_1"))
    paused = Lease(database, LEASE_NAME, "paused", silence_max_s=0.0)
    held = await paused.acquire()
    assert held is not None
    purges = Purges(database, store, amqp_url, prefix, PURGE_AFTER_S)
    async with (
        subscribed(amqp_url, prefix) as subscriber,
        publishing(amqp_url, prefix=prefix) as publisher,
    ):
        leadership = Leadership(database, store, paused, held, publisher, purges)
        leadership._proved_at -= 60
        assert await Lease(database, LEASE_NAME, "next", silence_max_s=0.0).acquire() is not None
        with pytest.raises(ExceptionGroup) as raised:
            await leadership.run()
        assert raised.group_contains(Fenced)
        assert subscriber.received == []


async def test_a_full_queue_stops_the_relay_until_there_is_room(
    database: Database,
    store: EventStore,
    database_url: str,
    amqp_url: str,
    bare_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topology, "PROJECTOR_MESSAGES_MAX", 10)
    head = await append_customers(store, customers=100, updates=0)
    async with (
        subscribed(amqp_url, bare_prefix) as subscriber,
        running(Relay(database_url, amqp_url, KEYRING, prefix=bare_prefix).run()),
    ):
        await eventually(lambda: epoch_is(database, 3), "the broker refused, and again")
        assert 1 <= await checkpoint(database, LEASE_NAME) < head
        async with running(drain(amqp_url, bare_prefix, await store.log_id())):
            await published(database, head)
        await received(subscriber, head)
    assert_every_event_in_order(subscriber.received, head)


async def test_a_broker_that_is_away_leaves_the_lease_to_others(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    await append(store, created("cus_1"))
    async with (
        running(Relay(database_url, UNREACHABLE, KEYRING, prefix=prefix).run()),
        running(Relay(database_url, amqp_url, KEYRING, prefix=prefix).run()),
    ):
        await published(database, Position(1))


async def test_an_event_that_cannot_be_decoded_is_never_skipped(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    await append(store, created("cus_1"))
    loaded = await store.load(key_of("cus_1"))
    strange = pending(
        CustomerDeleted(deleted_at=1), loaded.state, loaded.version, data_key=loaded.data_key
    )
    await store.append(msgspec.structs.replace(strange, schema_version=99))
    await append(store, created("cus_2"))
    async with (
        subscribed(amqp_url, prefix) as subscriber,
        running(Relay(database_url, amqp_url, KEYRING, prefix=prefix).run()),
    ):
        await published(database, Position(1))

        await eventually(lambda: epoch_is(database, 3), "the relay stopped and was started again")
        assert set(subscriber.positions) == {1}
    assert await checkpoint(database, LEASE_NAME) == 1


async def test_the_relay_needs_no_more_than_its_role(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    head = await append_customers(store, customers=5, updates=1)
    relay = Relay(f"{database_url}?role=chaching_relay", amqp_url, KEYRING, prefix=prefix)
    async with running(relay.run()):
        await published(database, head)


class SkippingStore(EventStore):
    """A planted bug: position 3 is never seen."""

    async def read_all(
        self, after: Position, limit: int = 100, *, up_to: Position | None = None
    ) -> list[RecordedEvent]:
        events = await super().read_all(after, limit, up_to=up_to)
        return [event for event in events if event.position != 3]


async def test_a_relay_that_skips_a_position_is_caught(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    head = await append_customers(store, customers=5, updates=1)
    relay = Relay(database_url, amqp_url, KEYRING, prefix=prefix)
    relay._store = SkippingStore(relay._database, KEYRING)
    async with subscribed(amqp_url, prefix) as subscriber, running(relay.run()):
        await published(database, head)
        await eventually(lambda: _has(subscriber, head), "the last message came")
    with pytest.raises(AssertionError, match="2 was followed by 4"):
        assert_every_event_in_order(subscriber.received, head)


async def _has(subscriber: Subscriber, position: Position) -> bool:
    await asyncio.sleep(0)
    return position in subscriber.positions


async def epoch_is(database: Database, least: int) -> bool:
    """Say whether the lease has changed hands that often."""
    [row] = await database.fetch("SELECT epoch FROM event_store.checkpoints WHERE name = 'relay'")
    return row["epoch"] >= least


async def drain(amqp_url: str, prefix: str, log_id: LogId) -> None:
    async with consuming(amqp_url, log_id, prefix=prefix) as consumer:
        while True:
            await consumer.acknowledge(await consumer.batch())


async def _vanish(_lease: Lease, _held: object) -> None:
    return
