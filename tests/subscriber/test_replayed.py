"""What a subscriber misses and the stream has no more comes from the log, by a replay."""

from __future__ import annotations

import asyncio

from tests.support.customers import append_customers, whole_log
from tests.support.keyrings import KEYRING
from tests.support.subscribers import Copy, publish, subscribing
from tests.support.told import expected_copy
from tests.support.waiting import eventually

from chaching.broker.messages import message_of
from chaching.envelope import START, Position
from chaching.eventstore.database import Database
from chaching.eventstore.selection import EVERYTHING
from chaching.eventstore.store import EventStore
from chaching.following.replay import Order, Replay
from chaching.subscriber import Missing, Subscription


async def test_a_replay_into_the_subscribers_queue_brings_what_it_misses(
    amqp_url: str, prefix: str, queue: str, copy: Copy, database: Database, store: EventStore
) -> None:
    head = await append_customers(store, customers=20, updates=2)
    log_id = await store.log_id()
    told = [message_of(recorded) for recorded in await whole_log(store)]
    await publish(amqp_url, prefix, told[40:], log_id)
    subscription = Subscription(amqp_url, queue, prefix=prefix)

    async def is_told() -> bool:
        await asyncio.sleep(0)
        return subscription.status.missing == Missing(Position(START + 1), Position(40))

    async with subscribing(subscription, copy):
        await eventually(is_told, "the missing positions are named")
        missing = Order(queue=queue, selection=EVERYTHING, first=Position(1), last=Position(40))
        await Replay(database, KEYRING, amqp_url, missing).run()
        await copy.reaches(head)
    assert await copy.applied_in_turn() == list(range(1, head + 1))
    assert await copy.customers() == expected_copy(told)
