"""A subscriber of another team as tests run it: its own database, and a copy of all customers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import msgspec
import pytest
from aiormq.abc import AbstractChannel
from pamqp.commands import Basic
from tests.databases import fresh_database
from tests.support.running import running
from tests.support.waiting import LIMIT_S, eventually

from chaching.broker import messages, topology
from chaching.broker.connection import connected
from chaching.broker.messages import EventMessage, Wire
from chaching.broker.publisher import publishing
from chaching.domain.customer_object import DeletedCustomerObject
from chaching.domain.ids import AccountId, CustomerId
from chaching.envelope import START, LogId, Position, StreamKey
from chaching.eventstore.database import Database
from chaching.subscriber import (
    Connection,
    CustomerDeleted,
    CustomerErased,
    CustomerEvent,
    Event,
    Inbox,
    Stopped,
    Subscription,
)

EMPTY: Final = "template0"
SILENCE_MAX_S: Final = 0.5
AT_ONCE_MESSAGES: Final = 500

TABLES: Final = """
    CREATE TABLE copied (
        account text, livemode boolean, id text, body text, position bigint,
        PRIMARY KEY (account, livemode, id)
    );
    CREATE TABLE applied (position bigint NOT NULL, id text NOT NULL, turn bigserial);
"""


async def keep_copy(event: Event, connection: Connection) -> None:
    """Handle an event: keep the customer as it stands, and write down that this was done.

    The table ``applied`` has no unique key, so what is applied twice stands there twice.
    """
    assert isinstance(event, CustomerEvent)
    body = event.customer_json
    if isinstance(event, CustomerDeleted | CustomerErased):
        body = msgspec.json.encode(DeletedCustomerObject(id=event.customer_id))
    await connection.execute(
        "INSERT INTO copied VALUES ($1, $2, $3, $4, $5) ON CONFLICT (account, livemode, id) "
        "DO UPDATE SET body = EXCLUDED.body, position = EXCLUDED.position",
        *(event.account, event.mode == "live", event.customer_id, body.decode(), event.position),
    )
    await connection.execute(
        "INSERT INTO applied (position, id) VALUES ($1, $2)", event.position, event.customer_id
    )


class Copy:
    """The subscriber's database, and what stands in it."""

    def __init__(self, url: str, database: Database) -> None:
        self.url = url
        self.name = urlsplit(url).path.removeprefix("/")
        self.database = database

    async def customers(self) -> dict[StreamKey, bytes]:
        rows = await self.database.fetch("SELECT * FROM copied")
        return {
            StreamKey(AccountId(row["account"]), row["livemode"], CustomerId(row["id"])): row[
                "body"
            ].encode()
            for row in rows
        }

    async def applied(self) -> list[int]:
        """Return the positions of what was applied, as often as it was, sorted."""
        return sorted(await self.applied_in_turn())

    async def applied_in_turn(self) -> list[int]:
        """Return the positions of what was applied, as often as it was, the first one first."""
        rows = await self.database.fetch("SELECT position FROM applied ORDER BY turn")
        return [row["position"] for row in rows]

    async def position(self) -> Position:
        rows = await self.database.fetch(
            "SELECT position FROM chaching_inbox.subscribers"
            if await self.has_inbox()
            else "SELECT 0 AS position"
        )
        return Position(rows[0]["position"]) if rows else START

    async def reaches(self, position: int, *, limit_s: float = LIMIT_S) -> None:
        async def is_there() -> bool:
            return await self.position() >= position

        await eventually(is_there, f"the subscriber has come to {position}", limit_s=limit_s)

    async def start_over(self) -> None:
        """Forget everything, as the guide says to do before another log is followed."""
        await self.database.execute("DELETE FROM chaching_inbox.subscribers")
        await self.database.execute("TRUNCATE copied, applied")

    async def has_inbox(self) -> bool:
        [row] = await self.database.fetch(
            "SELECT to_regclass('chaching_inbox.subscribers') IS NOT NULL AS is_there"
        )
        return row["is_there"]


@asynccontextmanager
async def own_database(admin_url: str) -> AsyncGenerator[Copy]:
    """Yield an empty database of a subscriber's own, with the tables of its copy."""
    async with fresh_database(admin_url, EMPTY) as url:
        database = Database(url, name="tests", sessions_max=2)
        await database.open()
        try:
            await database.execute(TABLES)
            yield Copy(url, database)
        finally:
            await database.close()


@asynccontextmanager
async def subscribing(subscription: Subscription, copy: Copy) -> AsyncGenerator[asyncio.Task[None]]:
    """Run a subscriber that keeps a copy beside the block."""
    inbox = Inbox(copy.url, silence_max_s=SILENCE_MAX_S)
    async with running(subscription.run(keep_copy, inbox=inbox)) as task:
        yield task


async def stopped_by(subscription: Subscription, copy: Copy) -> Stopped:
    """Run a subscriber that keeps a copy until it stops by itself, and return why."""
    inbox = Inbox(copy.url, silence_max_s=SILENCE_MAX_S)
    with pytest.raises(Stopped) as caught:
        async with asyncio.timeout(LIMIT_S):
            await subscription.run(keep_copy, inbox=inbox)
    return caught.value


async def active(subscription: Subscription) -> None:
    """Return when a subscriber has its queue and works."""

    async def is_active() -> bool:
        await asyncio.sleep(0)
        return subscription.status.is_active

    await eventually(is_active, "the subscriber works")


async def publish(amqp_url: str, prefix: str, told: Sequence[EventMessage], log_id: LogId) -> None:
    """Publish to everyone, as the relay does, and wait until everything is confirmed."""
    async with publishing(amqp_url, prefix=prefix) as publisher:
        await publisher.publish(log_id, told)
        confirmed = START
        while confirmed < told[-1].position:
            confirmed = await publisher.confirmed_beyond(confirmed)


async def publish_to(
    amqp_url: str, queue: str, told: Sequence[EventMessage], log_id: LogId
) -> None:
    """Put messages into one queue, in the order given, and wait until it has them."""
    async with connected(amqp_url, name="tests") as connection:
        channel = await connection.channel(publisher_confirms=True)
        for first in range(0, len(told), AT_ONCE_MESSAGES):
            wires = [messages.encode(m, log_id) for m in told[first : first + AT_ONCE_MESSAGES]]
            await asyncio.gather(*(_publish(channel, queue, wire) for wire in wires))


async def _publish(channel: AbstractChannel, queue: str, wire: Wire) -> None:
    properties = Basic.Properties(
        delivery_mode=messages.PERSISTENT, headers=dict(wire.headers), message_id=wire.message_id
    )
    await channel.basic_publish(wire.body, routing_key=queue, properties=properties)


async def publish_raw(amqp_url: str, prefix: str, body: bytes) -> None:
    """Publish what is no event to everyone."""
    async with connected(amqp_url, name="tests") as connection:
        channel = await connection.channel(publisher_confirms=True)
        events = topology.names_under(prefix).events
        await channel.basic_publish(body, exchange=events, routing_key="customer.created.test.a")


async def without_queue(amqp_url: str, queue: str) -> None:
    """Delete a queue with all that is in it."""
    async with connected(amqp_url, name="tests") as connection:
        channel = await connection.channel(publisher_confirms=False)
        await channel.queue_delete(queue)


async def purge(amqp_url: str, queue: str) -> None:
    """Delete what waits in a queue, as a person does by hand."""
    async with connected(amqp_url, name="tests") as connection:
        channel = await connection.channel(publisher_confirms=False)
        await channel.queue_purge(queue)


async def unbind(amqp_url: str, queue: str, exchange: str) -> None:
    """Take a queue's binding to all events away."""
    async with connected(amqp_url, name="tests") as connection:
        channel = await connection.channel(publisher_confirms=False)
        await channel.queue_unbind(queue, exchange, routing_key="#")
