"""A subscriber whose handler breaks at an event, and what its operator does."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from tests.support.brokers import LOG_ID, messages_in
from tests.support.running import running
from tests.support.subscribers import SILENCE_MAX_S, Copy, keep_copy, publish
from tests.support.told import told_log
from tests.support.waiting import eventually

from chaching.broker.connection import connected
from chaching.broker.messages import EventMessage
from chaching.broker.sender import sending
from chaching.subscriber import Connection, Event, Inbox, Subscription, Tries
from chaching.subscriber.events import Order, Received
from chaching.subscriber.parked import parked_queue
from chaching.subscriber.parking import kept_headers

TOLD: Final = told_log(120)
FAST: Final = Tries(tries_max=3, pause_first_s=0.001, pause_max_s=0.001)
POISON: Final = next(m for m in TOLD[20:] if sum(o.key == m.key for o in TOLD[m.position :]) >= 2)
SAME_CUSTOMER: Final = [m for m in TOLD[POISON.position - 1 :] if m.key == POISON.key]
OTHERS: Final = [m for m in TOLD if m not in SAME_CUSTOMER]


class BrokenError(Exception):
    """What the handler of these tests raises."""


class Fragile:
    """Keeps a copy, and breaks at some positions until it is mended."""

    def __init__(self, *positions: int, error: type[Exception] = BrokenError) -> None:
        self.breaks_at = set(positions)
        self.tried: Counter[int] = Counter()
        self.error = error

    async def __call__(self, event: Event, connection: Connection) -> None:
        self.tried[event.position] += 1
        if event.position in self.breaks_at:
            raise self.error(f"{event.customer_id} cannot be kept")
        await keep_copy(event, connection)


@asynccontextmanager
async def running_with(
    handler: Fragile, subscription: Subscription, copy: Copy
) -> AsyncGenerator[None]:
    inbox = Inbox(copy.url, silence_max_s=SILENCE_MAX_S)
    async with running(subscription.run(handler, inbox=inbox)):
        yield


def positions_of(told: Sequence[EventMessage]) -> list[int]:
    return [message.position for message in told]


async def parked_in(amqp_url: str, queue: str) -> list[Received]:
    async with parked_queue(amqp_url, queue) as parked:
        return parked.events


async def give_back(amqp_url: str, queue: str, order: Order, *positions: int) -> None:
    async with parked_queue(amqp_url, queue) as parked:
        chosen = [e for e in parked.events if not positions or e.position in positions]
        await parked.give_back(chosen, order)


async def order(amqp_url: str, queue: str, message: Received) -> None:
    """Send an event to its subscriber to be handled, and leave it parked."""
    async with sending(amqp_url, name="tests") as sender:
        headers = kept_headers(message) | {"parked_order": "replay"}
        await sender.send(queue, message.known.id, headers, message.body)


async def messages_waiting(amqp_url: str, queue: str) -> int:
    async with connected(amqp_url, name="tests") as connection:
        return await messages_in(connection, queue)


async def left_parked(subscription: Subscription, events: int) -> None:
    async def so_many() -> bool:
        await asyncio.sleep(0)
        return subscription.status.parked_events == events

    await eventually(so_many, f"{events} events are parked")


async def all_told(
    amqp_url: str, prefix: str, copy: Copy, told: Sequence[EventMessage] = TOLD
) -> None:
    await publish(amqp_url, prefix, told, LOG_ID)
    await copy.reaches(told[-1].position)
