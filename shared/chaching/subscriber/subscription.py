"""A subscription: the events of one subscriber, as an iterator or in the hands of a handler.

Theory of operation. Both ways take the right to move the subscriber's position, open a feed where
it stands, and go on until a connection is lost; then they begin again where they stand, after a
pause that grows. ``run`` keeps the position in an inbox, in the transaction of the handler's work:
exactly once in effect. Iterating keeps it in the token: an event counts as handled when the next
one is asked for, and what was handled in the last ``FLUSH_EVERY_S`` may come again after a crash,
never otherwise.

``Stopped`` and its kinds end both: somebody must decide something. Cancelling ends both as well; a
step that is under way is undone by the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Final

import msgspec

from chaching.broker import topology
from chaching.broker.errors import BrokerUnavailable
from chaching.broker.subscriber_queues import queues_of
from chaching.domain.ids import Mode
from chaching.envelope import START, Position, Undecodable
from chaching.eventstore.errors import Fenced, Unavailable
from chaching.runtime.lifecycle import BackOff, leaves, pass_on_cancellation, supervised
from chaching.runtime.logs import logger
from chaching.subscriber import token_queue
from chaching.subscriber.bookmark import Bookmark, bookmark_of
from chaching.subscriber.errors import Stopped
from chaching.subscriber.events import Event, Received, event_of, plain_event
from chaching.subscriber.feed import Batch, Feed, Missing, feeding
from chaching.subscriber.handling import USUAL_TRIES, Handler, Handling, Tries, expect_handler
from chaching.subscriber.inbox import Held, Inbox, OpenInbox
from chaching.subscriber.parking import Parking
from chaching.subscriber.token_queue import Token
from chaching.subscriber.urls import broker_url
from chaching.subscriber.wanted import wanted_of

FLUSH_EVERY_S: Final = 0.5
# fewer than may be unacknowledged, so that events go on coming
FLUSH_MAX_EVENTS: Final = 500


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How a subscription stands.

    ``position``: all up to it is done. ``lag_events``: how many more are known to be there.
    ``parked_events`` is known while ``run`` runs. ``missing``: what neither the queue nor the
    stream has. ``is_active`` is False while another process has the subscription, or none.
    """

    position: Position
    lag_events: int = 0
    parked_events: int = 0
    missing: Missing | None = None
    is_active: bool = False


class Subscription:
    """All events of the service, through a queue that is this subscriber's own.

    ``queue`` names it, and the subscriber; all processes of one subscriber use the same name, and
    one of them works while the others stand by. A new name begins with the first event there ever
    was. ``accounts``, ``modes`` and ``types`` say which events are wanted; None means all. In types
    ``*`` stands for any text, as in ``customer.*``.

    Raises:
        ValueError: the name cannot name a queue, the URL cannot be a broker's, or no event can ever
            be what is wanted.
        TypeError: one text stands where several are meant.
    """

    def __init__(
        self,
        amqp_url: str,
        queue: str,
        *,
        accounts: Collection[str] | None = None,
        modes: Collection[Mode] | None = None,
        types: Collection[str] | None = None,
        tries: Tries = USUAL_TRIES,
        prefix: str = topology.PREFIX,
    ) -> None:
        self._amqp_url = broker_url(amqp_url)
        self._queues = queues_of(queue)
        self._wanted = wanted_of(accounts, modes, types)
        self._tries = tries
        self._prefix = prefix
        self._last: Bookmark | None = None
        self._feed: Feed | None = None
        self._held: Held | None = None

    @property
    def queue(self) -> str:
        return self._queues.own

    @property
    def status(self) -> Status:
        """How the subscription stands now."""
        feed, held, last = self._feed, self._held, self._last
        position = START if last is None else last.position
        return Status(
            position=position,
            lag_events=0 if feed is None else max(0, feed.newest - position),
            parked_events=0 if held is None else len(held.parked),
            missing=None if feed is None else feed.missing,
            is_active=feed is not None,
        )

    async def run(self, handler: Handler, *, inbox: Inbox) -> None:
        """Give every event to ``handler`` and keep the position in ``inbox``, until cancelled.

        The handler works on the connection that it is given, inside a transaction that also moves
        the position. What it raises is tried again and then parked, see ``handling``.

        Raises:
            Stopped: somebody must decide something; see its kinds.
            TypeError: the handler does not take an event and a connection.
        """
        expect_handler(handler)
        async with inbox.opened() as opened:
            try:
                await supervised(
                    "subscriber",
                    partial(self._hold, handler, opened),
                    expected=(Unavailable, Fenced),
                    fatal=(Stopped,),
                )
            except ExceptionGroup as group:
                raise next(e for e in leaves(group) if isinstance(e, Stopped)) from group

    async def __aiter__(self) -> AsyncGenerator[Event]:
        """Yield every event; it counts as handled when the next one is asked for.

        Raises:
            Stopped: somebody must decide something; see its kinds.
        """
        backoff = BackOff()
        while True:
            try:
                async with token_queue.holding(self._amqp_url, self._queues) as token:
                    backoff.reset()
                    async with aclosing(self._events(token)) as events:
                        async for event in events:
                            yield event
            except BrokerUnavailable as error:
                self._tell_lost(error)
            await backoff.pause()

    async def _hold(self, handler: Handler, inbox: OpenInbox) -> None:
        await inbox.create()
        async with inbox.holding(self._queues.own) as held:
            parking = Parking(self._amqp_url, self._queues)
            handling = Handling(handler, held, parking, self._wanted, self._tries)
            self._held, self._last = held, held.bookmark
            try:
                await self._follow(held, handling)
            finally:
                if self._held is held:
                    self._held = None
                await parking.close()

    async def _follow(self, held: Held, handling: Handling) -> None:
        backoff = BackOff()
        while True:
            try:
                async with self._feeding(held.bookmark) as feed:
                    backoff.reset()
                    while True:
                        await self._handle(await feed.batch(), feed, held, handling)
            except BrokerUnavailable as error:
                pass_on_cancellation(error)
                self._tell_lost(error)
            await backoff.pause()

    async def _handle(self, batch: Batch, feed: Feed, held: Held, handling: Handling) -> None:
        if batch.ordered is not None:
            await handling.handle_ordered(batch.ordered.message)
            await feed.ordered_done(batch.ordered)
            return
        await handling.handle(batch.events)
        self._last = held.bookmark
        await feed.done(held.bookmark.position)

    async def _events(self, token: Token) -> AsyncGenerator[Event]:
        """Yield the events after the token, or after what this process handled since it moved."""
        start = token.bookmark
        if self._last is not None and self._last.log_id == start.log_id:
            start = max(start, self._last, key=lambda bookmark: bookmark.position)
        self._last = start
        async with self._feeding(start) as feed:
            notes = _Notes(token, feed)
            try:
                while True:
                    batch = await feed.batch(FLUSH_EVERY_S)
                    for message in batch.events:
                        if self._wanted.has(message):
                            yield _readable(message, self._queues.own)
                        self._last = bookmark_of(message)
                        await notes.handled(self._last)
                    if batch.ordered is not None:
                        await feed.ordered_done(batch.ordered)
                    await notes.idle()
            finally:
                with suppress(BrokerUnavailable):
                    await notes.flush()

    @asynccontextmanager
    async def _feeding(self, bookmark: Bookmark) -> AsyncGenerator[Feed]:
        async with feeding(self._amqp_url, self._queues, bookmark, prefix=self._prefix) as feed:
            self._feed = feed
            logger().info("subscriber_started", queue=self._queues.own, position=bookmark.position)
            try:
                yield feed
            finally:
                if self._feed is feed:  # another run of this subscription may have gone on
                    self._feed = None

    def _tell_lost(self, error: BrokerUnavailable) -> None:
        logger().warning("queue_lost", queue=self._queues.own, reason=str(error))


class _Notes:
    """Notes in the token what was handled, now and then."""

    def __init__(self, token: Token, feed: Feed) -> None:
        self._token = token
        self._feed = feed
        self._handled = token.bookmark
        self._flushed_at = _now()

    async def handled(self, bookmark: Bookmark) -> None:
        self._handled = bookmark
        events = bookmark.position - self._token.bookmark.position
        if events >= FLUSH_MAX_EVENTS or _now() - self._flushed_at >= FLUSH_EVERY_S:
            await self.flush()

    async def idle(self) -> None:
        if _now() - self._flushed_at >= FLUSH_EVERY_S:
            await self.flush()
        await self._token.renew()

    async def flush(self) -> None:
        """Note what was handled and acknowledge it; raises BrokerUnavailable."""
        self._flushed_at = _now()
        if self._handled != self._token.bookmark:
            await self._token.move(self._handled)
            await self._feed.done(self._handled.position)


def _readable(message: Received, queue: str) -> Event:
    """Return an event; one that this version cannot read as one of an unknown type."""
    try:
        return event_of(message)
    except Undecodable as error:
        logger().error(
            "event_unreadable", queue=queue, position=message.position, reason=str(error)
        )
        return plain_event(message)


def _now() -> float:
    return asyncio.get_running_loop().time()
