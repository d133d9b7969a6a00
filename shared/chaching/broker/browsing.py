"""Looks at all messages of a queue, and takes those out that were dealt with.

What is looked at is held back from others until the block ends; then everything that was not taken
out is in the queue again.
"""

# aiormq's types are partial; they end in this package.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from aiormq.abc import AbstractChannel
from pamqp import commands as spec

from chaching.broker.connection import ANSWER_TIMEOUT_S, connected
from chaching.broker.deliveries import NO_HEADERS, Delivery
from chaching.broker.errors import translated

MESSAGES_MAX: Final = 20_000


class Browsing:
    """A look at queues on one connection."""

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel

    async def messages_in(self, queue: str) -> int:
        """Return how many messages wait in a queue.

        Raises:
            NoSuchQueue: there is none of this name.
            BrokerUnavailable: no answer in time.
        """
        with translated():
            declared = await self._channel.queue_declare(
                queue, passive=True, timeout=ANSWER_TIMEOUT_S
            )
        return declared.message_count or 0

    async def all(self, queue: str) -> list[Delivery]:
        """Return all messages of a queue, at most ``MESSAGES_MAX``; raises as ``messages_in``."""
        found: list[Delivery] = []
        with translated():
            while len(found) < MESSAGES_MAX:
                got = await self._channel.basic_get(queue, timeout=ANSWER_TIMEOUT_S)
                if not isinstance(got.delivery, spec.Basic.GetOk):
                    break
                headers = got.header.properties.headers or NO_HEADERS
                found.append(Delivery(got.delivery.delivery_tag or 0, headers, got.body))
        return found

    async def take_out(self, delivery: Delivery) -> None:
        """Take a message out of its queue for good; raises BrokerUnavailable."""
        with translated():
            await self._channel.basic_ack(delivery.tag, wait=True)


@asynccontextmanager
async def browsing(amqp_url: str) -> AsyncGenerator[Browsing]:
    """Connect and yield a look at queues; raises BrokerUnavailable."""
    async with connected(amqp_url, name="browser") as connection:
        with translated():
            channel = await connection.channel(publisher_confirms=False, timeout=ANSWER_TIMEOUT_S)
        yield Browsing(channel)
