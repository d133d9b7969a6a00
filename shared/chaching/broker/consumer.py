"""Takes messages from the projector's queue in batches; what was handled is acknowledged at once.

Theory of operation. One connection of its own, at most ``PREFETCH_MESSAGES`` unacknowledged.
A batch is what has arrived when the first message is there, after a short wait for company.
Acknowledging a batch acknowledges everything up to its last message, so batches must be
acknowledged in order, each after its effect is committed. A message is never put back: what is not
acknowledged when the connection ends is delivered again, in order. What is no message of ours, or
one of another log, is refused and goes to the dead queue. The heartbeat makes the broker drop a
paused consumer within ``2 * HEARTBEAT_S`` and give the queue to the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from chaching.broker import messages, topology
from chaching.broker.connection import connected
from chaching.broker.deliveries import Deliveries
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

    def __init__(self, deliveries: Deliveries, log_id: LogId) -> None:
        self._deliveries = deliveries
        self._log_id = log_id

    async def batch(self) -> Batch:
        """Wait for messages and return them, at most ``BATCH_MAX_MESSAGES``.

        Raises:
            BrokerUnavailable: the connection is lost.
        """
        await self._deliveries.wait()
        if len(self._deliveries) < BATCH_MAX_MESSAGES:
            await asyncio.sleep(LINGER_S)
        return await self._taken()

    async def acknowledge(self, batch: Batch) -> None:
        """Acknowledge a batch and everything before it.

        Raises:
            BrokerUnavailable: the connection is lost; the messages will come again.
        """
        if batch.messages:
            await self._deliveries.acknowledge(batch.last_tag)

    async def _taken(self) -> Batch:
        batch = Batch()
        for delivery in self._deliveries.take(BATCH_MAX_MESSAGES):
            try:
                message = messages.decode(delivery.headers, delivery.body, self._log_id)
            except (OtherLog, Undecodable) as error:
                batch.refused.append(str(error))
                await self._deliveries.refuse(delivery.tag)
            else:
                batch.messages.append(message)
                batch.last_tag = delivery.tag
        return batch


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
        deliveries = Deliveries(
            connection,
            names.projector,
            channel_number=CHANNEL_NUMBER,
            prefetch_messages=PREFETCH_MESSAGES,
        )
        await deliveries.open()
        yield Consumer(deliveries, log_id)
