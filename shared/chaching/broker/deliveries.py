"""What one queue delivers, in order of arrival, until it is acknowledged.

Theory of operation. A channel of its own with at most ``prefetch_messages`` unacknowledged. Every
delivery is kept as it comes, without a task for each, until its user takes it. Acknowledging a tag
acknowledges everything before it. What is not acknowledged when the connection ends is delivered
again, in order. A lost connection, a closed channel and a deleted queue end the deliveries: what
has arrived by then can still be taken, and cannot be acknowledged any more.
"""

# aiormq's types are partial; they end in this package.
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Final, TypeAlias

import msgspec
from aiormq.channel import Channel
from aiormq.connection import Connection
from pamqp import commands as spec
from pamqp.header import ContentHeader

from chaching.broker.connection import ANSWER_TIMEOUT_S
from chaching.broker.errors import BrokerUnavailable, translated

Arguments: TypeAlias = Mapping[str, str | int | bool | datetime]

NO_ARGUMENTS: Final[Arguments] = {}
NO_HEADERS: Final[Mapping[str, object]] = {}


class Delivery(msgspec.Struct, frozen=True):
    """One message as it was delivered; ``tag`` counts the deliveries of its channel from 1."""

    tag: int
    headers: Mapping[str, object]
    body: bytes


class Deliveries:
    """The deliveries of one queue on one channel; see the module for what it promises."""

    def __init__(
        self,
        connection: Connection,
        queue: str,
        *,
        channel_number: int,
        prefetch_messages: int,
        arguments: Arguments = NO_ARGUMENTS,
    ) -> None:
        self._queue = queue
        self._prefetch_messages = prefetch_messages
        self._arguments = arguments
        self._arrived: deque[Delivery] = deque()
        self._news = asyncio.Event()
        self._lost: str | None = None
        self._channel = _DeliveringChannel(connection, channel_number, self)

    def __len__(self) -> int:
        return len(self._arrived)

    async def open(self) -> None:
        """Begin to consume.

        Raises:
            BrokerUnavailable: no answer in time, or there is no such queue.
        """
        with translated():
            await self._channel.start(self._queue, self._prefetch_messages, self._arguments)
        self._channel.closing.add_done_callback(lambda _: self.ended("the channel was closed"))

    async def wait(self, limit_s: float | None = None) -> bool:
        """Wait until something is there to be taken; say whether there is, after ``limit_s``.

        Raises:
            BrokerUnavailable: nothing is there and the deliveries have ended.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while not self._arrived:
                    if self._lost is not None:
                        raise BrokerUnavailable(self._lost)
                    self._news.clear()
                    await self._news.wait()
        return bool(self._arrived)

    def first(self) -> Delivery | None:
        """Return what would be taken next, if something is there."""
        return self._arrived[0] if self._arrived else None

    def take(self, messages_max: int) -> list[Delivery]:
        """Return what has arrived, in order."""
        return [self._arrived.popleft() for _ in range(min(len(self._arrived), messages_max))]

    async def acknowledge(self, tag: int, *, alone: bool = False) -> None:
        """Acknowledge a delivery and everything before it, or it alone.

        Raises:
            BrokerUnavailable: the connection is lost; the messages will come again.
        """
        with translated():
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._channel.basic_ack(tag, multiple=not alone, wait=False)

    async def refuse(self, tag: int) -> None:
        """Send a delivery away, to the queue's dead-letter exchange if it has one.

        Raises:
            BrokerUnavailable: the connection is lost; the message will come again.
        """
        with translated():
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._channel.basic_reject(tag, requeue=False, wait=False)

    async def close(self) -> None:
        """End the deliveries while the connection goes on.

        Raises:
            BrokerUnavailable: no answer in time.
        """
        # in a task of its own: closing drowns a cancellation that comes with the broker's answer
        closing = asyncio.create_task(self._channel.close())
        done, _ = await asyncio.wait({closing}, timeout=ANSWER_TIMEOUT_S)
        if not done:
            raise BrokerUnavailable("the channel does not close")
        with translated():
            closing.result()

    def arrived(self, delivery: Delivery) -> None:
        self._arrived.append(delivery)
        self._news.set()

    def ended(self, reason: str) -> None:
        self._lost = self._lost or reason
        self._news.set()


class _DeliveringChannel(Channel):
    """A channel that hands every delivery over, without a task for each."""

    def __init__(self, connection: Connection, number: int, deliveries: Deliveries) -> None:
        super().__init__(connection, number, publisher_confirms=False)
        self._deliveries = deliveries
        self.on_consumer_cancel_callbacks.add(lambda _: deliveries.ended("the queue was deleted"))

    async def start(self, queue: str, prefetch_messages: int, arguments: Arguments) -> None:
        self.connection.channels[self.number] = self
        await self.open(timeout=ANSWER_TIMEOUT_S)
        await self.basic_qos(prefetch_count=prefetch_messages, timeout=ANSWER_TIMEOUT_S)
        await self.basic_consume(
            queue, _unused, arguments=dict(arguments), timeout=ANSWER_TIMEOUT_S
        )

    async def _on_deliver_frame(self, frame: spec.Basic.Deliver) -> None:
        header = await self._get_frame()
        assert isinstance(header, ContentHeader)  # noqa: S101 - the protocol's order
        read = await self._read_content(frame, header)
        headers = header.properties.headers or NO_HEADERS
        self._deliveries.arrived(Delivery(frame.delivery_tag or 0, headers, read.body))


async def _unused(_message: object) -> None:
    return
