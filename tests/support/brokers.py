"""The broker as tests use it: names of their own, and a subscriber that writes down what comes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import pytest
from aiormq.abc import DeliveredMessage
from aiormq.connection import Connection
from tests.support.waiting import LIMIT_S

from chaching.broker import messages, topology
from chaching.broker.connection import connected
from chaching.broker.messages import EventMessage
from chaching.envelope import LogId, Position, StreamKey

LOG_ID = LogId("6f1c1b1e-0000-4000-8000-000000000001")
OTHER_LOG_ID = LogId("6f1c1b1e-0000-4000-8000-000000000002")
STREAM_PREFETCH = 100
UNREACHABLE = "amqp://nobody:nothing@127.0.0.1:1/"
HISTORY_PREFETCH_MESSAGES: Final = 1_000


def stranger_at(amqp_url: str) -> str:
    """Return the URL with a user that the broker does not know."""
    there = urlsplit(amqp_url)
    return there._replace(netloc=f"stranger:secret@{there.netloc.rpartition('@')[2]}").geturl()


def virtual_host_at(amqp_url: str, name: str) -> str:
    """Return the URL with another virtual host."""
    return urlsplit(amqp_url)._replace(path=f"/{name}").geturl()


@asynccontextmanager
async def own_prefix(amqp_url: str) -> AsyncGenerator[str]:
    """Yield a prefix that no other test uses; delete everything under it afterwards."""
    prefix = f"test.{secrets.token_hex(6)}"
    try:
        yield prefix
    finally:
        await topology.delete(amqp_url, prefix)


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


class Subscriber:
    """Another service: a queue of its own, bound to all events, and what came, in order."""

    def __init__(self) -> None:
        self.sources: set[str] = set()
        self.received: list[EventMessage] = []

    @property
    def positions(self) -> list[Position]:
        return [message.position for message in self.received]

    async def take(self, delivered: DeliveredMessage) -> None:
        headers = delivered.header.properties.headers or {}
        source = str(headers["cloudEvents:source"])
        self.sources.add(source)
        log_id = LogId(source.removeprefix(messages.SOURCE_PREFIX))
        self.received.append(messages.decode(headers, delivered.body, log_id))

    async def has_all_up_to(self, head: Position) -> bool:
        await asyncio.sleep(0)
        return set(range(1, head + 1)) <= set(self.positions)


@asynccontextmanager
async def subscribed(amqp_url: str, prefix: str) -> AsyncGenerator[Subscriber]:
    """Subscribe to everything that is published under a prefix from now on."""
    names = topology.names_under(prefix)
    subscriber = Subscriber()
    async with connected(amqp_url, name="subscriber") as connection:
        await topology.declare(connection, names)
        channel = await connection.channel(publisher_confirms=False)
        queue = (await channel.queue_declare(exclusive=True)).queue
        assert queue is not None
        await channel.queue_bind(queue, names.events, routing_key="#")
        await channel.basic_consume(queue, subscriber.take, no_ack=True)
        yield subscriber


async def history_up_to(amqp_url: str, prefix: str, head: Position) -> list[tuple[Position, str]]:
    """Read the stream from its beginning until a position came: positions and bodies, in order."""
    found: list[tuple[Position, str]] = []
    arrived = asyncio.Event()

    async with connected(amqp_url, name="history") as connection:
        channel = await connection.channel(publisher_confirms=False)

        async def take(delivered: DeliveredMessage) -> None:
            position = (delivered.header.properties.headers or {})["position"]
            assert isinstance(position, int)
            found.append((Position(position), delivered.body.decode()))
            await channel.basic_ack(delivered.delivery_tag or 0)
            if position == head:
                arrived.set()

        await channel.basic_qos(prefetch_count=STREAM_PREFETCH)
        queue = topology.names_under(prefix).history
        await channel.basic_consume(queue, take, arguments={"x-stream-offset": "first"})
        async with asyncio.timeout(LIMIT_S):
            await arrived.wait()
    return found


async def messages_in(connection: Connection, queue: str) -> int:
    """Return how many messages wait in a queue."""
    channel = await connection.channel(publisher_confirms=False)
    declared = await channel.queue_declare(queue, passive=True)
    await channel.close()
    return declared.message_count or 0


def assert_every_event_in_order(received: Sequence[EventMessage], head: Position) -> None:
    """Promise 4, as a check: nothing is missing, and what came first came in order.

    Repetitions are allowed; a customer's events must follow one another.
    """
    newest: Position = Position(0)
    of_customer: dict[StreamKey, Position] = {}
    for message in received:
        if message.position <= newest:
            continue
        assert message.position == newest + 1, f"{newest} was followed by {message.position}"
        newest = message.position
        before = of_customer.get(message.key, 0)
        assert message.previous_position == before, f"{message.position} does not follow {before}"
        of_customer[message.key] = message.position
    assert newest == head, f"the last event that came is {newest}, the log's is {head}"


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """A message as a client of AMQP sees it."""

    routing_key: str
    content_type: str | None
    delivery_mode: int | None
    message_id: str | None
    headers: dict[str, Any]
    body: bytes


class Mailbox:
    """What has come into a queue, in order."""

    def __init__(self) -> None:
        self.messages: list[Arrived] = []

    async def take(self, delivered: DeliveredMessage) -> None:
        properties = delivered.header.properties
        self.messages.append(
            Arrived(
                routing_key=delivered.routing_key or "",
                content_type=properties.content_type,
                delivery_mode=properties.delivery_mode,
                message_id=properties.message_id,
                headers=dict(properties.headers or {}),
                body=delivered.body,
            )
        )

    async def has(self, count: int) -> bool:
        return len(self.messages) >= count


@asynccontextmanager
async def bound(amqp_url: str, prefix: str, *routing_keys: str) -> AsyncGenerator[Mailbox]:
    """Take whatever comes, from now on, to a queue with these bindings."""
    async with connected(amqp_url, name="mailbox") as connection:
        channel = await connection.channel(publisher_confirms=False)
        queue = (await channel.queue_declare(exclusive=True)).queue
        assert queue is not None
        for routing_key in routing_keys:
            exchange = topology.names_under(prefix).events
            await channel.queue_bind(queue, exchange, routing_key=routing_key)
        mailbox = Mailbox()
        await channel.basic_consume(queue, mailbox.take, no_ack=True)
        yield mailbox


@asynccontextmanager
async def history(amqp_url: str, prefix: str) -> AsyncGenerator[Mailbox]:
    """Read the stream from its beginning."""
    async with connected(amqp_url, name="history") as connection:
        channel = await connection.channel(publisher_confirms=False)
        await channel.basic_qos(prefetch_count=HISTORY_PREFETCH_MESSAGES)
        mailbox = Mailbox()
        await channel.basic_consume(
            topology.names_under(prefix).history,
            mailbox.take,
            arguments={"x-stream-offset": "first"},
        )
        yield mailbox
