"""What an operator does with parked events: look at them, put them back, discard them.

Putting back means to send an event to the subscriber's own queue with the order to handle it out of
turn, and then to take it out of the parked queue. Discarding goes the same way, with the order to
note only that it is gone: the subscriber alone knows what is parked (see its inbox), so nothing
changes behind its back. A crash in between leaves an event in both queues; the subscriber does what
it is told once, and passes over what comes again.

Events are put back in the order of their positions, whatever their order in the parked queue.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from chaching.broker.browsing import Browsing, browsing
from chaching.broker.deliveries import Delivery
from chaching.broker.errors import NoSuchQueue
from chaching.broker.sender import sending
from chaching.broker.subscriber_queues import QUEUE_MESSAGES_MAX, QueueNames, queues_of
from chaching.envelope import START, Position
from chaching.subscriber.events import NoEvent, Order, Received, received
from chaching.subscriber.parking import kept_headers


class ParkedRefused(Exception):  # noqa: N818 - says what happened to the wish
    """What was asked of a parked queue cannot be done; the message is one line for a person."""


class ParkedQueue:
    """The parked queue of one subscriber, looked at once: one event a position, in order."""

    def __init__(self, amqp_url: str, names: QueueNames, look: Browsing) -> None:
        self._amqp_url = amqp_url
        self._names = names
        self._look = look
        self._copies: dict[Position, list[Delivery]] = {}
        self._events: dict[Position, Received] = {}

    @property
    def events(self) -> list[Received]:
        return [self._events[position] for position in sorted(self._events)]

    async def open(self) -> None:
        """Look at what is there.

        Raises:
            ParkedRefused: there is no such queue.
            BrokerUnavailable: no answer in time.
        """
        try:
            deliveries = await self._look.all(self._names.parked)
        except NoSuchQueue as error:
            raise ParkedRefused(f"there is no queue {self._names.parked}") from error
        for delivery in deliveries:
            try:
                message = received(delivery.headers, delivery.body)
            except NoEvent:
                continue
            self._copies.setdefault(message.position, []).append(delivery)
            known = self._events.setdefault(message.position, message)
            if message.known.parked_tries > known.known.parked_tries:
                self._events[message.position] = message

    async def give_back(self, chosen: Sequence[Received], order: Order) -> None:
        """Send events to the subscriber with an order, and take them out of the parked queue.

        Raises:
            ParkedRefused: the subscriber's queue has no room or is not there, or an event is to be
                handled before one of the same customer that stays parked.
            BrokerUnavailable: no answer in time; some may have gone, and can be sent again.
        """
        if order == "replay":
            self._check_order(chosen)
        own = self._names.own
        try:
            waiting = await self._look.messages_in(own)
        except NoSuchQueue as error:
            raise ParkedRefused(f"there is no queue {own}") from error
        if waiting + len(chosen) > QUEUE_MESSAGES_MAX:
            raise ParkedRefused(f"{waiting} messages wait in {own}: let its subscriber catch up")
        async with sending(self._amqp_url, name="parked") as sender:
            for message in sorted(chosen, key=lambda m: m.position):
                headers = kept_headers(message) | {"parked_order": order}
                await sender.send(own, message.known.id, headers, message.body)
                for delivery in self._copies[message.position]:
                    await self._look.take_out(delivery)

    def _check_order(self, chosen: Sequence[Received]) -> None:
        last = {m.key: m.position for m in sorted(chosen, key=lambda m: m.position)}
        positions = {message.position for message in chosen}
        for event in self.events:
            is_before = event.position < last.get(event.key, START)
            if is_before and event.position not in positions:
                raise ParkedRefused(
                    f"{last[event.key]} waits behind {event.position} of the same customer: "
                    "replay or discard that first, or replay the customer"
                )


@asynccontextmanager
async def parked_queue(amqp_url: str, queue: str) -> AsyncGenerator[ParkedQueue]:
    """Connect and yield what is parked for the subscriber that owns ``queue``.

    Raises:
        ParkedRefused: there is no such queue, or it cannot be a subscriber's.
        BrokerUnavailable: no connection to be had, or no answer in time.
    """
    try:
        names = queues_of(queue)
    except ValueError as error:
        raise ParkedRefused(str(error)) from error
    async with browsing(amqp_url) as look:
        parked = ParkedQueue(amqp_url, names, look)
        await parked.open()
        yield parked
