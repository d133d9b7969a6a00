"""Brings all events of one log after a bookmark, in order, each once.

Theory of operation. Events come by two ways: the subscriber's own queue, which holds what was
published since it was declared, and the stream, which holds what was published since it was
declared (or as far as retention reaches). Both go through one window, which puts them into the
order of positions and passes over what was there before. The own queue is declared and bound
before the stream is looked at, so between them nothing can be missed.

The feed looks into the stream whenever what comes does not go on: ``START_WAIT_S`` after it was
opened (a new subscriber, a queue that was deleted or dropped its oldest messages),
``REORDER_WAIT_S`` after a gap showed (time for messages that overtook one another), and after
``QUIET_MAX_S`` without anything new (a binding that somebody took away leaves no gap to see). While
it reads, what arrives waits in the queue. A pass ends where the own queue goes on, else with the
message that was the stream's newest when the pass began.

What even the stream lacks is told as ``history_missing`` with the command that brings it, and
looked for again every ``MISSING_EVERY_S``; ``history_found`` says that it came. Meanwhile what lies
ahead is held as far as the window reaches and given up beyond, so that what is missing can arrive
through the own queue behind it.

A message is acknowledged when all up to its position is done, or when it was given up, or when it
repeats one that is held. So what waits leaves room for what it waits for. One of
another log is passed over when the stream's newest message is of the log that is followed; else the
log has changed, and the feed ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from chaching.broker import subscriber_queues, topology
from chaching.broker.connection import connected
from chaching.broker.deliveries import Deliveries, Delivery
from chaching.broker.history import History
from chaching.broker.subscriber_queues import QueueNames
from chaching.envelope import LogId, Position
from chaching.runtime.logs import logger
from chaching.subscriber.arrivals import Arrival, Arrivals
from chaching.subscriber.bookmark import Bookmark
from chaching.subscriber.errors import LogChanged
from chaching.subscriber.events import GivenUp, NoEvent, Received, received_or_given_up
from chaching.subscriber.past import Pass, message_of, newest_event
from chaching.subscriber.window import Window

BATCH_MAX_EVENTS: Final = 200
WINDOW_MAX_EVENTS: Final = 1_000
# more than the window holds, so that something always arrives
PREFETCH_MESSAGES: Final = 1_500
CHANNEL_NUMBER: Final = 2
START_WAIT_S: Final = 0.2
REORDER_WAIT_S: Final = 1.0
QUIET_MAX_S: Final = 60.0
MISSING_EVERY_S: Final = 10.0


class Ordered(msgspec.Struct, frozen=True):
    """An event that was parked and that an operator decided about, and its delivery."""

    message: Received | GivenUp
    arrival: Arrival


class Batch(msgspec.Struct, frozen=True):
    """What comes next: events that follow one another, or one that was parked."""

    events: list[Received] = []
    ordered: Ordered | None = None


class Missing(msgspec.Struct, frozen=True):
    """Positions that neither the queue nor the stream has."""

    first: Position
    last: Position


class _Held(msgspec.Struct, frozen=True):
    message: Received
    arrival: Arrival | None


class _Looking(msgspec.Struct, frozen=True):
    """A pass through the stream: where the window stood then, and what the stream's end says."""

    through: Pass
    start: Position
    end: Position


class Feed:
    """The events of one log after a bookmark; see the module for what it promises.

    Use it from one task at a time.
    """

    def __init__(self, queue: str, live: Deliveries, history: History, bookmark: Bookmark) -> None:
        self._queue = queue
        self._live = live
        self._history = history
        self._log_id = bookmark.log_id
        self._time = bookmark.time
        self._done = bookmark.position
        self._window: Window[_Held] = Window(bookmark.position, items_max=WINDOW_MAX_EVENTS)
        self._ready: deque[Received] = deque()
        self._arrivals = Arrivals()
        self._ordered: deque[Ordered] = deque()
        self._looking: _Looking | None = None
        self._passed_over: set[LogId] = set()
        self._look_at = _now() + START_WAIT_S
        self.newest: Position = bookmark.position
        self.missing: Missing | None = None
        self._not_found: Missing | None = None

    async def batch(self, limit_s: float | None = None) -> Batch:
        """Wait for what comes next, at most ``BATCH_MAX_EVENTS``; nothing after ``limit_s``.

        Raises:
            LogChanged: what comes is of another log.
            BrokerUnavailable: the connection is lost.
        """
        until = None if limit_s is None else _now() + limit_s
        while until is None or _now() < until:
            if self._looking is None:
                await self._sort()
            if self._ordered:
                return Batch(ordered=self._ordered.popleft())
            if self._ready:
                return Batch(events=self._next_events())
            await self._acknowledge()
            await self._bring_more(until)
        return Batch()

    def _next_events(self) -> list[Received]:
        count = min(len(self._ready), BATCH_MAX_EVENTS)
        events = [self._ready.popleft() for _ in range(count)]
        self._time = events[-1].known.time
        self.missing = None
        self._tell_found()
        self._look_at = _now() + QUIET_MAX_S
        return events

    async def done(self, position: Position) -> None:
        """Acknowledge what can be, now that all up to a position is done.

        Raises:
            BrokerUnavailable: the connection is lost; messages will come again.
        """
        self._done = position
        await self._acknowledge()

    async def ordered_done(self, ordered: Ordered) -> None:
        """Acknowledge what can be, now that this is done; raises BrokerUnavailable."""
        ordered.arrival.is_done = True
        await self._acknowledge()

    async def _acknowledge(self) -> None:
        settled = self._arrivals.settled(self._done)
        if settled.up_to is not None:
            await self._live.acknowledge(settled.up_to)
        for tag in settled.alone:
            await self._live.acknowledge(tag, alone=True)

    async def _sort(self) -> None:
        """Put what has arrived in the own queue where it belongs."""
        for delivery in self._live.take(PREFETCH_MESSAGES):
            arrival = Arrival(delivery.tag)
            self._arrivals.add(arrival)
            message = await self._ours(delivery)
            if message is None:
                arrival.is_done = True
            elif isinstance(message, GivenUp) or message.known.order is not None:
                self._ordered.append(Ordered(message, arrival))
            else:
                arrival.position = message.position
                self._offer(_Held(message, arrival))
        if self._window.gap_end is not None and self.missing is None:
            self._look_at = min(self._look_at, _now() + REORDER_WAIT_S)

    def _offer(self, held: _Held) -> None:
        self.newest = max(self.newest, held.message.position)
        given_up = self._window.offer(held.message.position, held)
        if given_up is not None and given_up.arrival is not None:
            given_up.arrival.is_done = True
        self._ready.extend(taken.message for taken in self._window.take())

    async def _ours(self, delivery: Delivery) -> Received | GivenUp | None:
        """Return the message of an event of the log that is followed, or an order, or None.

        Raises:
            LogChanged: it is of another log, and nothing says that this one is an old one.
        """
        try:
            message = received_or_given_up(delivery.headers, delivery.body)
        except NoEvent as error:
            logger().error("message_refused", queue=self._queue, reason=str(error))
            return None
        if message.log_id in self._passed_over:
            return None
        return message if await self._is_followed(message.log_id) else None

    async def _is_followed(self, log_id: LogId) -> bool:
        if log_id == self._log_id:
            return True
        newest = newest_event(await self._history.newest())
        if self._log_id is None:
            self._log_id = log_id if newest is None else newest.log_id
        if log_id == self._log_id:
            return True
        if newest is None or newest.log_id != self._log_id:
            raise self._changed(log_id)
        self._passed_over.add(log_id)
        logger().error("other_log_passed_over", queue=self._queue, log=log_id, ours=self._log_id)
        return False

    def _changed(self, log_id: LogId) -> LogChanged:
        return LogChanged(
            f"{self._queue} follows the log {self._log_id} and stands at {self._done}; what comes "
            f"now is of the log {log_id}, whose positions name other events. To follow that one, "
            "start over: see docs/subscribing.md"
        )

    async def _bring_more(self, until: float | None) -> None:
        if self._looking is not None:
            await self._look_on(self._looking)
        elif (wait_s := min(self._look_at, until or self._look_at) - _now()) > 0:
            await self._live.wait(wait_s)
        else:
            await self._look_back()

    async def _look_back(self) -> None:
        """Begin a pass through the stream, if it can have anything new."""
        newest = await self._history.newest()
        event = newest_event(newest)
        position = end = self._window.position
        if event is not None:
            end = event.position
            self.newest = max(self.newest, end)
            self._log_id = self._log_id or event.log_id
            if event.log_id != self._log_id:
                raise self._changed(event.log_id)
        has_more = event is None or end > position or self._window.gap_end is not None
        if newest is None or self._log_id is None or not has_more:
            self._looked(position, position)
            return
        through = Pass(self._history, newest, self._log_id, position, self._time)
        self._looking = _Looking(through, position, end)
        logger().info("history_opened", queue=self._queue, position=position, lag=self.lag)

    async def _look_on(self, looking: _Looking) -> None:
        messages = None if self._queue_goes_on() else await looking.through.messages()
        if messages is not None:
            for message in messages:
                self._offer(_Held(message, None))
            return
        await looking.through.close()
        self._looking = None
        logger().info("history_read", queue=self._queue, position=self._window.position)
        self._looked(looking.start, looking.end)

    def _queue_goes_on(self) -> bool:
        """Say whether the own queue has what comes next, or what was there before."""
        first = self._live.first()
        message = None if first is None else message_of(first)
        return (
            message is not None
            and message.log_id == self._log_id
            and message.known.order is None
            and message.position <= self._window.next
        )

    def _looked(self, start: Position, end: Position) -> None:
        """Decide when to look into the stream again, after a look at what it has up to ``end``."""
        position = self._window.position
        last = self._window.gap_end or max(end, position)
        if self._queue_goes_on() or last <= position:
            self._look_at = _now() + QUIET_MAX_S
        elif position > start:
            self._look_at = _now()
        else:
            self._look_at = _now() + MISSING_EVERY_S
            self._tell_missing(Missing(self._window.next, last))

    def _tell_missing(self, missing: Missing) -> None:
        if missing == self.missing:
            return
        self.missing = self._not_found = missing
        logger().error(
            "history_missing",
            queue=self._queue,
            first=missing.first,
            last=missing.last,
            remedy=f"chaching replay --queue {self._queue} --from {missing.first}",
        )

    def _tell_found(self) -> None:
        """Say once that all of what was missing came."""
        told = self._not_found
        if told is not None and self._window.position >= told.last:
            self._not_found = None
            logger().info("history_found", queue=self._queue, first=told.first, last=told.last)

    @property
    def lag(self) -> int:
        """How many events are known to come."""
        return max(0, self.newest - self._window.position)


@asynccontextmanager
async def feeding(
    amqp_url: str, queues: QueueNames, bookmark: Bookmark, *, prefix: str = topology.PREFIX
) -> AsyncGenerator[Feed]:
    """Connect, declare the subscriber's queues, and yield what comes after a bookmark.

    Raises:
        NoSuchQueue: the service has not declared its exchange yet.
        BrokerUnavailable: no connection to be had, or no answer in time.
    """
    names = topology.names_under(prefix)
    async with connected(amqp_url, name=f"subscriber%20{queues.own}") as connection:
        await subscriber_queues.declare(connection, queues, names.events)
        live = Deliveries(
            connection,
            queues.own,
            channel_number=CHANNEL_NUMBER,
            prefetch_messages=PREFETCH_MESSAGES,
        )
        await live.open()
        yield Feed(queues.own, live, History(connection, names.history), bookmark)


def _now() -> float:
    return asyncio.get_running_loop().time()
