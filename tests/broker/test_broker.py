# Faults are planted inside.
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from pamqp.commands import Basic
from tests.broker.test_messages import INSTANT
from tests.support.brokers import (
    LOG_ID,
    OTHER_LOG_ID,
    UNREACHABLE,
    messages_in,
    stranger_at,
    virtual_host_at,
)
from tests.support.customers import created, pending
from tests.support.waiting import eventually
from tests.support.withholding import wire_to

from chaching.broker import publisher as publisher_module
from chaching.broker import topology
from chaching.broker.connection import connected
from chaching.broker.consumer import Consumer, consuming
from chaching.broker.errors import BrokerUnavailable, EntryRefused, NotPublished
from chaching.broker.messages import EventMessage, message_of
from chaching.broker.publisher import publishing
from chaching.broker.topology import names_under
from chaching.domain.customer import decide
from chaching.envelope import START, LogId, Position, RecordedEvent, Version


def some_messages(count: int, first: int = 1) -> list[EventMessage]:
    return [created_message(position) for position in range(first, first + count)]


def created_message(position: int) -> EventMessage:
    event = decide(created(f"cus_{position}"), None)
    assert event is not None
    stored = pending(event, None)
    return message_of(
        RecordedEvent(
            position=Position(position),
            key=stored.key,
            version=Version(1),
            previous_position=START,
            event_id=stored.event_id,
            type=stored.type,
            schema_version=stored.schema_version,
            payload=stored.payload,
            state=stored.state,
            metadata=stored.metadata,
            recorded_at=INSTANT,
        )
    )


async def publish(
    amqp_url: str, prefix: str, batch: Sequence[EventMessage], log_id: LogId = LOG_ID
) -> None:
    """Publish and wait until everything is confirmed."""
    async with publishing(amqp_url, prefix=prefix) as publisher:
        await publisher.publish(log_id, batch)
        confirmed = START
        while confirmed < batch[-1].position:
            confirmed = await publisher.confirmed_beyond(confirmed)


async def receive(consumer: Consumer, count: int) -> list[int]:
    """Return the positions of that many messages, acknowledging none."""
    positions: list[int] = []
    while len(positions) < count:
        positions += [message.position for message in (await consumer.batch()).messages]
    return positions


async def test_the_topology_can_be_declared_twice(amqp_url: str, prefix: str) -> None:
    async with connected(amqp_url, name="tests") as connection:
        await topology.declare(connection, names_under(prefix))
        await topology.declare(connection, names_under(prefix))


async def test_another_topology_of_the_same_names_is_told(
    amqp_url: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(amqp_url, name="tests") as connection:
        await topology.declare(connection, names_under(prefix))
        monkeypatch.setattr(topology, "PROJECTOR_DELIVERIES_MAX", 7)
        with pytest.raises(BrokerUnavailable, match="another topology"):
            await topology.declare(connection, names_under(prefix))


async def test_a_broker_that_is_away_is_unavailable() -> None:
    with pytest.raises(BrokerUnavailable):
        async with publishing(UNREACHABLE):
            pass


async def test_messages_arrive_in_order_and_whole(amqp_url: str, prefix: str) -> None:
    sent = some_messages(700)
    await publish(amqp_url, prefix, sent)
    async with consuming(amqp_url, LOG_ID, prefix=prefix) as consumer:
        received: list[EventMessage] = []
        while len(received) < len(sent):
            batch = await consumer.batch()
            received += batch.messages
            await consumer.acknowledge(batch)
    assert received == sent


async def test_a_large_message_travels_in_parts(amqp_url: str, prefix: str) -> None:
    message = created_message(1)
    raw = bytes(message.object)
    large = raw.replace(b"Jenny Rosen", b"J" * 400_000)
    grown = msgspec.structs.replace(message, object=msgspec.Raw(large))
    await publish(amqp_url, prefix, [grown])
    async with consuming(amqp_url, LOG_ID, prefix=prefix) as consumer:
        assert (await consumer.batch()).messages == [grown]


async def test_what_was_not_acknowledged_comes_again_in_order(amqp_url: str, prefix: str) -> None:
    await publish(amqp_url, prefix, some_messages(30))
    async with consuming(amqp_url, LOG_ID, prefix=prefix) as consumer:
        assert await receive(consumer, 30) == list(range(1, 31))
    async with consuming(amqp_url, LOG_ID, prefix=prefix) as consumer:
        assert await receive(consumer, 30) == list(range(1, 31))


async def test_what_was_acknowledged_does_not_come_again(amqp_url: str, prefix: str) -> None:
    await publish(amqp_url, prefix, some_messages(30))
    async with consuming(amqp_url, LOG_ID, prefix=prefix) as consumer:
        batch = await consumer.batch()
        while len(batch.messages) < 30:
            batch.messages.extend((more := await consumer.batch()).messages)
            batch.last_tag = more.last_tag
        await consumer.acknowledge(batch)
        await publish(amqp_url, prefix, some_messages(1, first=31))
        assert await receive(consumer, 1) == [31]


async def test_only_one_consumer_is_active(amqp_url: str, prefix: str) -> None:
    async with (
        consuming(amqp_url, LOG_ID, prefix=prefix) as first,
        consuming(amqp_url, LOG_ID, prefix=prefix) as second,
    ):
        await publish(amqp_url, prefix, some_messages(20))
        assert await receive(first, 20) == list(range(1, 21))
        assert not len(second._deliveries)


async def test_the_next_consumer_takes_over(amqp_url: str, prefix: str) -> None:
    await publish(amqp_url, prefix, some_messages(5))
    async with consuming(amqp_url, LOG_ID, prefix=prefix) as first:
        await receive(first, 5)
        async with consuming(amqp_url, LOG_ID, prefix=prefix) as second:
            await first._deliveries._channel.connection.close()
            assert await receive(second, 5) == [1, 2, 3, 4, 5]


async def test_a_message_without_a_queue_is_not_published(amqp_url: str, prefix: str) -> None:
    names = names_under(prefix)
    async with publishing(amqp_url, prefix=prefix) as publisher:
        async with connected(amqp_url, name="tests") as connection:
            channel = await connection.channel()
            await channel.queue_delete(names.projector)
            await channel.queue_delete(names.history)
        await publisher.publish(LOG_ID, some_messages(1))
        with pytest.raises(NotPublished, match="NO_ROUTE"):
            await publisher.confirmed_beyond(START)


async def test_a_full_queue_ends_the_publisher_after_what_it_took(
    amqp_url: str, bare_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topology, "PROJECTOR_MESSAGES_MAX", 5)
    async with publishing(amqp_url, prefix=bare_prefix) as publisher:
        with pytest.raises(NotPublished, match="Nack"):
            await publisher.publish(LOG_ID, some_messages(100))
        confirmed = await publisher.confirmed_beyond(START)
        with pytest.raises(NotPublished, match="Nack"):
            await publisher.confirmed_beyond(confirmed)
    assert 1 <= confirmed < 100
    async with consuming(amqp_url, LOG_ID, prefix=bare_prefix) as consumer:
        received = await receive(consumer, confirmed)
    assert received[:confirmed] == list(range(1, confirmed + 1))


async def test_a_lost_connection_ends_the_publisher(amqp_url: str, prefix: str) -> None:
    async with publishing(amqp_url, prefix=prefix) as publisher:
        await publisher._channel.connection.close()
        with pytest.raises(NotPublished):
            await publisher.confirmed_beyond(START)


async def test_a_broker_that_falls_silent_ends_a_publisher_that_waits_for_room(
    amqp_url: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "CONFIRM_TIMEOUT_S", 0.2)
    async with wire_to(amqp_url) as (wire, url), publishing(url, prefix=prefix) as publisher:
        wire.withhold_after(b"cloudEvents:id")
        with pytest.raises(NotPublished, match="no confirm"):
            await publisher.publish(LOG_ID, some_messages(10))


async def test_a_lost_connection_ends_the_consumer(amqp_url: str, prefix: str) -> None:
    async with consuming(amqp_url, LOG_ID, prefix=prefix) as consumer:
        await consumer._deliveries._channel.connection.close()
        with pytest.raises(BrokerUnavailable):
            await consumer.batch()


async def test_a_deleted_queue_ends_the_consumer(amqp_url: str, prefix: str) -> None:
    async with consuming(amqp_url, LOG_ID, prefix=prefix) as consumer:
        await topology.delete(amqp_url, prefix)
        with pytest.raises(BrokerUnavailable):
            await consumer.batch()


async def test_a_message_of_somebody_else_goes_to_the_dead_queue(
    amqp_url: str, prefix: str
) -> None:
    names = names_under(prefix)
    async with (
        consuming(amqp_url, LOG_ID, prefix=prefix) as consumer,
        connected(amqp_url, name="tests") as connection,
    ):
        channel = await connection.channel()
        confirmed = await channel.basic_publish(
            b"hello", exchange=names.events, routing_key="customer.created.test.acct_1"
        )
        assert isinstance(confirmed, Basic.Ack)
        batch = await consumer.batch()
        assert (batch.messages, len(batch.refused)) == ([], 1)
        await consumer.acknowledge(batch)

        async def is_dead() -> bool:
            return await messages_in(connection, names.projector_dead) == 1

        await eventually(is_dead, "the message is in the dead queue")


async def test_a_message_of_another_log_goes_to_the_dead_queue(amqp_url: str, prefix: str) -> None:
    await publish(amqp_url, prefix, some_messages(3), OTHER_LOG_ID)
    await publish(amqp_url, prefix, ours := some_messages(1))
    refused: list[str] = []
    async with (
        consuming(amqp_url, LOG_ID, prefix=prefix) as consumer,
        connected(amqp_url, name="tests") as connection,
    ):
        received: list[EventMessage] = []
        while not received:
            batch = await consumer.batch()
            received += batch.messages
            refused += batch.refused
            await consumer.acknowledge(batch)
        assert received == ours
        assert refused == [f"a message of another log: urn:uuid:{OTHER_LOG_ID}"] * 3

        async def are_dead() -> bool:
            return await messages_in(connection, names_under(prefix).projector_dead) == 3

        await eventually(are_dead, "the messages are in the dead queue")


async def test_history_is_kept_for_those_who_come_later(amqp_url: str, prefix: str) -> None:
    await publish(amqp_url, prefix, some_messages(40))
    names = names_under(prefix)
    async with connected(amqp_url, name="tests") as connection:

        async def is_kept() -> bool:
            return await messages_in(connection, names.history) == 40

        await eventually(is_kept, "the stream holds all messages")


async def test_a_broker_that_lets_a_user_not_in_says_so_without_secrets(amqp_url: str) -> None:
    for url in (stranger_at(amqp_url), virtual_host_at(amqp_url, "nowhere")):
        with pytest.raises(EntryRefused) as told:
            async with connected(url, name="tests"):
                pass
        assert str(told.value) == (
            "the broker lets nobody in with this user, password and virtual host"
        )


async def test_whoever_must_prove_it_writes_nothing_without_a_proof(
    amqp_url: str, prefix: str
) -> None:
    proofs = 0

    async def prove() -> None:
        nonlocal proofs
        proofs += 1
        if proofs == 3:
            raise LookupError

    async with publishing(amqp_url, prefix=prefix) as publisher:
        # the window opens by one with every confirm, so these are several writes
        with pytest.raises(LookupError):
            await publisher.publish(LOG_ID, some_messages(100), prove=prove)
        confirmed = await publisher.confirmed_beyond(Position(1))
        assert 2 <= confirmed < 10
