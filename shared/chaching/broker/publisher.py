"""Publishes messages in order and tells up to where the broker has them.

Theory of operation. One connection, one channel with confirms, every message persistent and
mandatory. At most ``WINDOW_MAX_MESSAGES`` are under way unconfirmed. The broker confirms out of
order and many at once; ``Confirmations`` keeps the highest position below which nothing is open,
and only that one is told. Anything else than Ack ends the publisher for good: a nack (a full
queue), a returned message (no queue bound), a lost connection, no confirm in time. A message that
is returned is acknowledged as well, after the return, so nothing is believed from then on.

The relay publishes to the exchange of all events. ``feeding`` gives a publisher that hands the same
messages to one queue alone, through the default exchange, and touches nothing else.

A new publisher begins with one message under way and opens its window by one with every confirm.
So, while one of several queues refuses, each new attempt gives the others one message twice, not a
whole window.

aiormq's own publishing keeps three futures and a task for each message; this channel writes many
messages at once and counts the confirms.
"""

# aiormq's types are partial; they end in this package.
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from typing import Final, TypeAlias

from aiormq.abc import ChannelFrame, ConfirmationFrameType
from aiormq.channel import Channel
from aiormq.connection import Connection
from aiormq.exceptions import ChannelAccessRefused
from pamqp import commands as spec
from pamqp.body import ContentBody
from pamqp.frame import marshal
from pamqp.header import ContentHeader

from chaching.broker import messages, topology
from chaching.broker.connection import ANSWER_TIMEOUT_S, connected
from chaching.broker.errors import AccessRefused, NotPublished, QueueRefuses, translated
from chaching.broker.framing import content_header
from chaching.broker.messages import EventMessage, Wire
from chaching.envelope import START, LogId, Position

WINDOW_MAX_MESSAGES: Final = 1_000
WRITE_MAX_MESSAGES: Final = 50
CONFIRM_TIMEOUT_S: Final = 10.0
NO_CONFIRM: Final = f"no confirm within {CONFIRM_TIMEOUT_S:.0f} s"
CHANNEL_NUMBER: Final = 2
DEFAULT_EXCHANGE: Final = ""
ROUTES_REMEMBERED_MAX: Final = 1_024

Prove: TypeAlias = Callable[[], Awaitable[None]]


class Confirmations:
    """Which messages are confirmed. Their tags count from 1 in the order of publishing. Pure."""

    def __init__(self) -> None:
        self.position: Position = START
        self.confirmed = 0
        self._published = 0
        self._open: deque[Position] = deque()
        self._ahead: set[int] = set()

    @property
    def in_flight(self) -> int:
        return len(self._open)

    def published(self, position: Position) -> None:
        self._published += 1
        self._open.append(position)

    def acknowledged(self, tag: int, *, multiple: bool) -> None:
        """Take a confirm of one tag, or of all up to it."""
        if multiple:
            self._settle(min(tag, self._published))
        elif tag > self.confirmed:
            self._ahead.add(tag)
        while self.confirmed + 1 in self._ahead:
            self._settle(self.confirmed + 1)

    def _settle(self, up_to: int) -> None:
        while self.confirmed < up_to:
            self.confirmed += 1
            self._ahead.discard(self.confirmed)
            self.position = self._open.popleft()


class Publisher:
    """The publishing side of one connection; see the module for what it promises."""

    def __init__(self, connection: Connection, exchange: str, routing_key: str | None) -> None:
        """Publish to an exchange, under each message's own routing key unless one is given."""
        self._exchange = exchange
        self._routing_key = routing_key
        self._confirmations = Confirmations()
        self._failure: NotPublished | None = None
        self._progress = asyncio.Event()
        self._room = asyncio.Event()
        self._channel = _ConfirmingChannel(connection, self)

    async def open(self) -> None:
        with translated():
            await self._channel.start()
        self._channel.closing.add_done_callback(self._closed)

    @property
    def position(self) -> Position:
        """The highest position below which everything is confirmed; START for none yet."""
        return self._confirmations.position

    @property
    def confirmed(self) -> int:
        """How many messages are confirmed, all of them in order."""
        return self._confirmations.confirmed

    async def publish(
        self, log_id: LogId, batch: Sequence[EventMessage], *, prove: Prove | None = None
    ) -> None:
        """Write messages of a log in the order given, waiting while too many are under way.

        ``prove`` is asked before each write and raises when nothing may be written any more.

        Raises:
            NotPublished: this publisher has ended.
        """
        start = 0
        while start < len(batch):
            room = await self._wait_for_room()
            end = start + min(room, WRITE_MAX_MESSAGES)
            if prove is not None:
                await prove()
            await self._write(log_id, batch[start:end])
            start = end

    async def confirmed_beyond(self, position: Position) -> Position:
        """Wait until everything up to a later position is confirmed; return the highest such.

        Raises:
            NotPublished: this publisher has ended, and nothing later is confirmed.
        """
        while self._confirmations.position <= position:
            self._check()
            self._progress.clear()
            waited = self._confirmations.in_flight > 0
            with suppress(TimeoutError):
                async with asyncio.timeout(CONFIRM_TIMEOUT_S if waited else None):
                    await self._progress.wait()
            if waited and not self._progress.is_set():
                self.failed(NO_CONFIRM)
        return self._confirmations.position

    def answered(self, frame: ConfirmationFrameType) -> None:
        """Take the broker's answer to one or more messages."""
        if self._failure is not None or frame.delivery_tag is None:
            return
        if not isinstance(frame, spec.Basic.Ack):
            self.failed(f"the broker answered {frame.name}", QueueRefuses)
            return
        self._confirmations.acknowledged(frame.delivery_tag, multiple=bool(frame.multiple))
        self._wake()

    def failed(self, reason: str, kind: type[NotPublished] = NotPublished) -> None:
        """Believe nothing from now on."""
        if self._failure is None:
            self._failure = kind(reason)
        self._wake()

    async def _wait_for_room(self) -> int:
        while True:
            self._check()
            known = self._confirmations
            window = min(WINDOW_MAX_MESSAGES, 1 + known.confirmed)
            if window > known.in_flight:
                return window - known.in_flight
            self._room.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                    await self._room.wait()
            if not self._room.is_set():
                self.failed(NO_CONFIRM)

    async def _write(self, log_id: LogId, batch: Sequence[EventMessage]) -> None:
        wires = [messages.encode(message, log_id) for message in batch]
        payload = b"".join(
            self._channel.marshalled(self._exchange, self._routing_key or wire.routing_key, wire)
            for wire in wires
        )
        for message in batch:
            self._confirmations.published(message.position)
        self._progress.set()
        with translated():
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._channel.write(payload)

    def _closed(self, closing: asyncio.Future[object]) -> None:
        cause = None if closing.cancelled() else closing.exception()
        if isinstance(cause, ChannelAccessRefused):
            self.failed(f"the broker refuses: {cause}", AccessRefused)
        self.failed("the channel was closed")

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _wake(self) -> None:
        self._progress.set()
        self._room.set()


@asynccontextmanager
async def publishing(
    amqp_url: str, *, prefix: str = topology.PREFIX, exchange: str | None = None
) -> AsyncGenerator[Publisher]:
    """Connect, declare the topology, and yield a publisher to everyone or to one exchange.

    Raises:
        BrokerUnavailable: no connection to be had, or no answer in time.
    """
    names = topology.names_under(prefix)
    async with connected(amqp_url, name="relay") as connection:
        await topology.declare(connection, names)
        publisher = Publisher(connection, exchange or names.events, None)
        await publisher.open()
        yield publisher


@asynccontextmanager
async def feeding(amqp_url: str, queue: str) -> AsyncGenerator[Publisher]:
    """Connect, and yield a publisher to one queue that somebody else declared.

    Raises:
        QueueMissing: there is no such queue.
        BrokerUnavailable: no connection to be had, or no answer in time.
    """
    async with connected(amqp_url, name="replay") as connection:
        await topology.expect(connection, queue)
        publisher = Publisher(connection, DEFAULT_EXCHANGE, queue)
        await publisher.open()
        yield publisher


class _ConfirmingChannel(Channel):
    """A channel that hands every confirm to its publisher."""

    def __init__(self, connection: Connection, publisher: Publisher) -> None:
        super().__init__(connection, CHANNEL_NUMBER, publisher_confirms=True)
        self._publisher = publisher

    async def start(self) -> None:
        self.connection.channels[self.number] = self
        await self.open(timeout=ANSWER_TIMEOUT_S)

    def marshalled(self, exchange: str, routing_key: str, wire: Wire) -> bytes:
        method = _publish_method(exchange, routing_key, self.number)
        parts = [method, content_header(wire, self.number)]
        for start in range(0, len(wire.body), self.max_content_size):
            part = ContentBody(wire.body[start : start + self.max_content_size])
            parts.append(marshal(part, self.number))
        return b"".join(parts)

    async def write(self, payload: bytes) -> None:
        await self.write_queue.put(
            ChannelFrame(payload=payload, should_close=False, drain_future=None)
        )

    async def _on_confirm_frame(self, frame: ConfirmationFrameType) -> None:
        self._publisher.answered(frame)

    async def _on_return_frame(self, frame: spec.Basic.Return) -> None:
        self._publisher.failed(f"a message came back: {frame.reply_text}, {frame.routing_key}")
        header = await self._get_frame()
        assert isinstance(header, ContentHeader)  # noqa: S101 - the protocol's order
        await self._read_content(frame, header)


@lru_cache(maxsize=ROUTES_REMEMBERED_MAX)
def _publish_method(exchange: str, routing_key: str, channel_number: int) -> bytes:
    method = spec.Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=True)
    return marshal(method, channel_number)
