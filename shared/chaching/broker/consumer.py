"""Takes messages from the projector's queue in batches; what was handled is acknowledged at once.

Theory of operation. One connection of its own, at most ``PREFETCH_MESSAGES`` unacknowledged.
A batch is what has arrived when the first message is there, after a short wait for company.
Acknowledging a batch acknowledges everything up to its last message, so batches must be
acknowledged in order, each after its effect is committed. A message is never put back: what is not
acknowledged when the connection ends is delivered again, in order. What is no message of ours, or
one of another log, is refused and goes to the dead queue. The heartbeat makes the broker drop a
paused consumer within ``2 * HEARTBEAT_S`` and give the queue to the next one.
"""

# aiormq's types are partial; they end in this package.
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final

import msgspec
from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel
from aiormq.connection import Connection
from pamqp import commands as spec
from pamqp.header import ContentHeader

from chaching.broker import messages, topology
from chaching.broker.connection import ANSWER_TIMEOUT_S, connected
from chaching.broker.errors import BrokerUnavailable, translated
from chaching.broker.messages import EventMessage, OtherLog
from chaching.envelope import LogId, Undecodable

PREFETCH_MESSAGES: Final = 2_000
BATCH_MAX_MESSAGES: Final = 500
LINGER_S: Final = 0.003
CHANNEL_NUMBER: Final = 2


class Batch(msgspec.Struct):
    """Messages in order of arrival, the tag of the last one, and why others were refused."""

    messages: list[EventMessage] = []
    last_tag: int = 0
    refused: list[str] = []


class Consumer:
    """The consuming side of one connection; see the module for what it promises."""

    def __init__(self, connection: Connection, queue: str, log_id: LogId) -> None:
        self._queue = queue
        self._log_id = log_id
        self._arrived: deque[DeliveredMessage] = deque()
        self._news = asyncio.Event()
        self._lost: str | None = None
        self._channel = _DeliveringChannel(connection, self)

    async def open(self) -> None:
        with translated():
            await self._channel.start(self._queue)
        self._channel.closing.add_done_callback(lambda _: self.ended("the channel was closed"))

    async def batch(self) -> Batch:
        """Wait for messages and return them, at most ``BATCH_MAX_MESSAGES``.

        Raises:
            BrokerUnavailable: the connection is lost.
        """
        while not self._arrived:
            await self._wait(None)
        if len(self._arrived) < BATCH_MAX_MESSAGES:
            await asyncio.sleep(LINGER_S)
        return await self._taken()

    async def acknowledge(self, batch: Batch) -> None:
        """Acknowledge a batch and everything before it.

        Raises:
            BrokerUnavailable: the connection is lost; the messages will come again.
        """
        if not batch.messages:
            return
        with translated():
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._channel.basic_ack(batch.last_tag, multiple=True, wait=False)

    def arrived(self, message: DeliveredMessage) -> None:
        self._arrived.append(message)
        self._news.set()

    def ended(self, reason: str) -> None:
        self._lost = self._lost or reason
        self._news.set()

    async def _wait(self, limit_s: float | None) -> None:
        if self._lost is not None:
            raise BrokerUnavailable(self._lost)
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._news.wait()

    async def _taken(self) -> Batch:
        batch = Batch()
        for _ in range(min(len(self._arrived), BATCH_MAX_MESSAGES)):
            delivered = self._arrived.popleft()
            tag = delivered.delivery_tag or 0
            try:
                message = _decoded(delivered, self._log_id)
            except (OtherLog, Undecodable) as error:
                batch.refused.append(str(error))
                await self._refuse(tag)
            else:
                batch.messages.append(message)
                batch.last_tag = tag
        return batch

    async def _refuse(self, tag: int) -> None:
        with translated():
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._channel.basic_reject(tag, requeue=False, wait=False)


@asynccontextmanager
async def consuming(
    amqp_url: str, log_id: LogId, *, prefix: str = topology.PREFIX
) -> AsyncGenerator[Consumer]:
    """Connect, declare the topology, and yield a consumer of the projector's queue for one log.

    Raises:
        BrokerUnavailable: no connection to be had, or no answer in time.
    """
    names = topology.names_under(prefix)
    async with connected(amqp_url, name="projector") as connection:
        await topology.declare(connection, names)
        consumer = Consumer(connection, names.projector, log_id)
        await consumer.open()
        yield consumer


class _DeliveringChannel(Channel):
    """A channel that hands every delivery to its consumer, without a task for each."""

    def __init__(self, connection: Connection, consumer: Consumer) -> None:
        super().__init__(connection, CHANNEL_NUMBER, publisher_confirms=False)
        self._consumer = consumer
        self.on_consumer_cancel_callbacks.add(lambda _: consumer.ended("the queue was deleted"))

    async def start(self, queue: str) -> None:
        self.connection.channels[self.number] = self
        await self.open(timeout=ANSWER_TIMEOUT_S)
        await self.basic_qos(prefetch_count=PREFETCH_MESSAGES, timeout=ANSWER_TIMEOUT_S)
        await self.basic_consume(queue, _unused, timeout=ANSWER_TIMEOUT_S)

    async def _on_deliver_frame(self, frame: spec.Basic.Deliver) -> None:
        header = await self._get_frame()
        assert isinstance(header, ContentHeader)  # noqa: S101 - the protocol's order
        self._consumer.arrived(await self._read_content(frame, header))


def _decoded(delivered: DeliveredMessage, log_id: LogId) -> EventMessage:
    return messages.decode(delivered.header.properties.headers or {}, delivered.body, log_id)


async def _unused(_message: DeliveredMessage) -> None:
    return
