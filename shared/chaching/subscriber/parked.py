"""What an operator does with parked events: look at them, put them back, discard them.

Putting back means to send an event to the subscriber's own queue with the order to handle it out of
turn, and then to take it out of the parked queue. Discarding goes the same way, with the order to
note only that it is gone: the subscriber alone knows what is parked (see its inbox), so nothing
changes behind its back. A crash in between leaves an event in both queues; the subscriber does what
it is told once, and passes over what comes again.

Events are put back in the order of their positions, whatever their order in the parked queue.

A message that was deleted from the parked queue by hand leaves its event noted as parked, and its
customer's later events behind it. Giving it up sends the order without the event, by the same way:
so it arrives behind whatever was put back before, and means nothing where that was handled. It
names the log, so that it means nothing in another one either.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import msgspec

from chaching.broker import topology
from chaching.broker.browsing import Browsing, browsing
from chaching.broker.connection import connected
from chaching.broker.deliveries import Delivery
from chaching.broker.errors import NoSuchQueue
from chaching.broker.history import History
from chaching.broker.messages import SOURCE_PREFIX
from chaching.broker.sender import sending
from chaching.broker.subscriber_queues import QUEUE_MESSAGES_MAX, QueueNames, queues_of
from chaching.envelope import START, LogId, Position
from chaching.subscriber.events import GIVE_UP, GivenUp, NoEvent, Order, Received, received
from chaching.subscriber.parking import kept_headers
from chaching.subscriber.past import newest_event


class ParkedRefused(Exception):  # noqa: N818 - says what happened to the wish
    """What was asked of a parked queue cannot be done; the message is one line for a person."""


class ParkedQueue:
    """The parked queue of one subscriber, looked at once: one event a position, in order."""

    def __init__(self, amqp_url: str, names: QueueNames, stream: str, look: Browsing) -> None:
        self._amqp_url = amqp_url
        self._names = names
        self._stream = stream
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
        await self._expect_room(len(chosen))
        async with sending(self._amqp_url, name="parked") as sender:
            for message in sorted(chosen, key=lambda m: m.position):
                headers = kept_headers(message) | {"parked_order": order}
                await sender.send(own, message.known.id, headers, message.body)
                for delivery in self._copies[message.position]:
                    await self._look.take_out(delivery)

    async def give_up(self, position: Position) -> None:
        """Tell the subscriber to pass over the event at a position, whose message is lost.

        Raises:
            ParkedRefused: the message is there, the subscriber's queue has no room or is not there,
                or nothing on this broker says which log is meant.
            BrokerUnavailable: no answer in time; it may have gone, and can be sent again.
        """
        if position in self._events:
            raise ParkedRefused(f"the event at {position} is in {self._names.parked}: discard that")
        await self._expect_room(1)
        order = GivenUp(source=f"{SOURCE_PREFIX}{await self._log_id()}", position=position)
        async with sending(self._amqp_url, name="parked") as sender:
            headers = msgspec.to_builtins(order)
            await sender.send(self._names.own, f"{GIVE_UP}-{position}", headers, b"")

    async def _expect_room(self, events: int) -> None:
        """Refuse what the subscriber's queue would drop: it loses its oldest when it is full."""
        own = self._names.own
        try:
            waiting = await self._look.messages_in(own)
        except NoSuchQueue as error:
            raise ParkedRefused(f"there is no queue {own}") from error
        if waiting + events > QUEUE_MESSAGES_MAX:
            raise ParkedRefused(f"{waiting} messages wait in {own}: let its subscriber catch up")

    async def _log_id(self) -> LogId:
        """Return the log that the stream tells of, else that of what is parked."""
        async with connected(self._amqp_url, name="parked") as connection:
            told = newest_event(await History(connection, self._stream).newest())
        if told is None and self._events:
            told = self.events[-1]
        if told is None:
            raise ParkedRefused(f"{self._stream} is empty, so it does not say which log is meant")
        return told.log_id

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
async def parked_queue(
    amqp_url: str, queue: str, *, prefix: str = topology.PREFIX
) -> AsyncGenerator[ParkedQueue]:
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
        parked = ParkedQueue(amqp_url, names, topology.names_under(prefix).history, look)
        await parked.open()
        yield parked
