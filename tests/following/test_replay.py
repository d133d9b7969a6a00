"""A part of the log goes to one queue: all of it, in order, and nothing to anybody else."""

# Faults are planted inside.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import msgspec
import pytest
from aio_pika.abc import AbstractIncomingMessage
from tests.support.brokers import UNREACHABLE, messages_in
from tests.support.customers import (
    append,
    append_customers,
    checkpoint,
    created,
    key_of,
    pending,
    whole_log,
)
from tests.support.newcomers import channel_of, declared, position_of, read
from tests.support.running import running
from tests.support.waiting import eventually
from tests.support.withholding import Wire, wire_to

from chaching.broker.connection import connected
from chaching.broker.errors import BrokerUnavailable, QueueMissing
from chaching.broker.publisher import Publisher
from chaching.broker.topology import names_under
from chaching.domain.customer import CustomerDeleted
from chaching.domain.ids import AccountId, CustomerId
from chaching.envelope import Position
from chaching.eventstore.database import Database
from chaching.eventstore.selection import EVERYTHING, Selection
from chaching.eventstore.store import EventStore
from chaching.following.replay import Order, Replay, Stopped
from chaching_api.relay import LEASE_NAME, Relay

SMALL = {"x-queue-type": "quorum", "x-max-length": 10, "x-overflow": "reject-publish"}


def order(
    queue: str,
    last: int,
    first: int = 1,
    selection: Selection = EVERYTHING,
    give_up_after_s: float = 60.0,
) -> Order:
    return Order(
        queue=queue,
        selection=selection,
        first=Position(first),
        last=Position(last),
        give_up_after_s=give_up_after_s,
    )


def positions_of(messages: Sequence[AbstractIncomingMessage]) -> list[int]:
    return [position_of(message) for message in messages]


def told_by(message: AbstractIncomingMessage) -> tuple[object, ...]:
    """Return everything that a message says but how it came."""
    return (
        *(message.message_id, message.headers, message.body),
        *(message.content_type, message.delivery_mode),
    )


async def is_waiting(replay: Replay, reason: str) -> None:
    async def waits() -> bool:
        return replay.waiting_for == reason

    await eventually(waits, f"the replay says that {reason}")


async def has_confirmed(replay: Replay, least: int) -> None:
    async def has() -> bool:
        return replay.published >= least

    await eventually(has, f"{least} events are confirmed")


async def test_a_range_of_the_log_comes_in_order(
    database: Database, store: EventStore, amqp_url: str, bare_prefix: str
) -> None:
    head = await append_customers(store, customers=300, updates=3)
    async with declared(amqp_url, bare_prefix):
        replay = Replay(database, amqp_url, order(bare_prefix, first=11, last=head - 5))
        await replay.run()
        assert (replay.position, replay.published) == (head - 5, head - 15)
        messages = await read(amqp_url, bare_prefix, head - 15)
        assert positions_of(messages) == list(range(11, head - 4))


async def test_a_replayed_message_says_what_the_relayed_one_said(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    head = await append_customers(store, customers=10, updates=2)
    queue = f"{prefix}.replayed"
    async with (
        declared(amqp_url, queue),
        running(Relay(database_url, amqp_url, prefix=prefix).run()),
    ):
        await Replay(database, amqp_url, order(queue, head)).run()
        replayed = await read(amqp_url, queue, head)
        relayed = await read(
            amqp_url, names_under(prefix).history, head, **{"x-stream-offset": "first"}
        )
    for one, other in zip(replayed, relayed, strict=True):
        other.headers.pop("x-stream-offset")
        assert told_by(one) == told_by(other)
    assert {message.routing_key for message in replayed} == {queue}


async def test_nobody_else_notices(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    head = await append_customers(store, customers=10, updates=0)
    names, queue = names_under(prefix), f"{prefix}.replayed"
    rows = "SELECT * FROM event_store.checkpoints ORDER BY name"
    before = [tuple(row) for row in await database.fetch(rows)]
    async with declared(amqp_url, queue), connected(amqp_url, name="tests") as connection:
        await Replay(database, amqp_url, order(queue, head)).run()
        assert len(await read(amqp_url, queue, head)) == head
        for other in (names.history, names.projector, names.projector_dead):
            assert await messages_in(connection, other) == 0
    assert [tuple(row) for row in await database.fetch(rows)] == before
    assert await checkpoint(database, LEASE_NAME) == 0


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        (Selection(types=("CustomerUpdated",)), [3, 5]),
        (Selection(types=("CustomerCreated", "CustomerDeleted")), [1, 2, 4, 6]),
        (Selection(customer=CustomerId("cus_1")), [1, 3, 6]),
        (Selection(customer=CustomerId("cus_1"), types=("CustomerUpdated",)), [3]),
        (Selection(account=AccountId("acct_1"), livemode=False), [1, 2, 3, 4, 5, 6]),
        (Selection(account=AccountId("acct_2")), []),
        (Selection(livemode=True), []),
    ],
    ids=str,
)
async def test_only_what_is_selected_comes(
    database: Database,
    store: EventStore,
    amqp_url: str,
    bare_prefix: str,
    selection: Selection,
    wanted: list[int],
) -> None:
    await six_events(store)
    async with declared(amqp_url, bare_prefix):
        replay = Replay(database, amqp_url, order(bare_prefix, 6, selection=selection))
        await replay.run()
        assert (replay.position, replay.published) == (6, len(wanted))
        assert positions_of(await read(amqp_url, bare_prefix, len(wanted))) == wanted
