"""Sends single messages to queues by name, each confirmed before the next.

For what is rare and must not be lost: messages that are parked or put back. The relay's publisher
is for many. A connection of its own, since one that publishes stands still while the broker is out
of memory or disk.
"""

# aiormq's types are partial; they end in this package.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from aiormq.abc import AbstractChannel
from pamqp import commands as spec

from chaching.broker.connection import ANSWER_TIMEOUT_S, connected
from chaching.broker.errors import translated
from chaching.broker.framing import properties
from chaching.broker.messages import Wire

CONFIRM_TIMEOUT_S: Final = 10.0
# by which a queue is reached that bears the routing key as its name
DEFAULT_EXCHANGE: Final = ""


class Sender:
    """The sending side of one connection."""

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel

    async def send(
        self, queue: str, message_id: str, headers: Mapping[str, str | int], body: bytes
    ) -> None:
        """Return when the queue has the message on disk.

        Raises:
            QueueRefuses: the queue refuses it.
            NoSuchQueue: there is no such queue.
            BrokerUnavailable: no confirm in time; the message may be there or not.
        """
        wire = Wire(routing_key=queue, message_id=message_id, headers=dict(headers), body=body)
        with translated():
            await self._channel.basic_publish(
                wire.body,
                exchange=DEFAULT_EXCHANGE,
                routing_key=wire.routing_key,
                properties=_Properties(wire),
                mandatory=True,
                timeout=CONFIRM_TIMEOUT_S,
            )


class _Properties(spec.Basic.Properties):
    """The properties of a message, written as the relay writes them."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(message_id=wire.message_id)
        self._marshalled = properties(wire)

    def marshal(self) -> bytes:
        return self._marshalled


@asynccontextmanager
async def sending(amqp_url: str, *, name: str) -> AsyncGenerator[Sender]:
    """Connect and yield a sender; raises BrokerUnavailable when no connection is to be had."""
    async with connected(amqp_url, name=name) as connection:
        with translated():
            channel = await connection.channel(
                publisher_confirms=True, on_return_raises=True, timeout=ANSWER_TIMEOUT_S
            )
        yield Sender(channel)
