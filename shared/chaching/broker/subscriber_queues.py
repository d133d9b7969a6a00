"""The queues of one subscriber, declared by itself beside what the service declares.

::

    chaching.events ── # ──▶ crm ──▶ subscriber        quorum, one active consumer, bounded
                                        │ cannot be applied, and what follows for that customer
                                        ▼
                                     crm.parked        quorum, bounded, refuses more when full
                                     crm.position      quorum, one message: where a subscriber
                                                       without a database stands

Positions are dense over the whole log, so the queue is bound to all events, whatever the subscriber
wants of them. It must not refuse, since that would hold up the relay and so everyone; when it is
full it drops its oldest messages. These show as a gap and are read from the stream. Nothing is put
back by a subscriber, and every end of a connection counts as a delivery of all that it held, so the
limits on deliveries are out of reach: they are set because RabbitMQ 4 would take 20.

All arguments are known to RabbitMQ 3.10 and 4.x.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

import msgspec
from aiormq.abc import AbstractChannel
from aiormq.connection import Connection
from aiormq.exceptions import ChannelPreconditionFailed

from chaching.broker.connection import ANSWER_TIMEOUT_S
from chaching.broker.errors import BrokerUnavailable, translated

QUEUE_MESSAGES_MAX: Final = 100_000
QUEUE_BYTES_MAX: Final = 1_000_000_000
PARKED_MESSAGES_MAX: Final = 10_000
PARKED_BYTES_MAX: Final = 1_000_000_000
POSITION_MESSAGES_MAX: Final = 100
DELIVERIES_MAX: Final = 1_000_000
ALL_EVENTS: Final = "#"

_NAME: Final = re.compile(r"(?!amq\.|chaching\.)[A-Za-z0-9._-]{1,200}")
_TAKEN_ENDINGS: Final = (".parked", ".position")


class QueueNames(msgspec.Struct, frozen=True, kw_only=True):
    """The names of a subscriber's queues."""

    own: str
    parked: str
    position: str


def queues_of(queue: str) -> QueueNames:
    """Return the names of all queues of the subscriber that calls its own one ``queue``.

    Raises:
        ValueError: the name is not usable.
    """
    if not _NAME.fullmatch(queue) or queue.endswith(_TAKEN_ENDINGS):
        raise ValueError(
            f"{queue!r} cannot name a subscriber's queue: 1 to 200 of A-Z, a-z, 0-9, '.', '_' and "
            "'-', not beginning with 'amq.' or 'chaching.', not ending in '.parked' or '.position'"
        )
    return QueueNames(own=queue, parked=f"{queue}.parked", position=f"{queue}.position")


async def declare(connection: Connection, names: QueueNames, exchange: str) -> None:
    """Declare the own and the parked queue, and bind the own one to all events.

    Raises:
        NoSuchQueue: the service has not declared its exchange yet.
        BrokerUnavailable: no answer in time, or a queue is there with other arguments.
    """
    try:
        with translated():
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                channel = await connection.channel(publisher_confirms=False)
                await _declare_parked(channel, names)
                await _declare_own(channel, names)
                await channel.queue_bind(names.own, exchange, routing_key=ALL_EVENTS)
                await channel.close()
    except BrokerUnavailable as error:
        if isinstance(error.__cause__, ChannelPreconditionFailed):
            raise BrokerUnavailable(f"a queue has other arguments: {error}") from error
        raise


async def declare_parked(connection: Connection, names: QueueNames) -> None:
    """Declare the parked queue alone.

    Raises:
        BrokerUnavailable: no answer in time, or the queue is there with other arguments.
    """
    with translated():
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            channel = await connection.channel(publisher_confirms=False)
            await _declare_parked(channel, names)
            await channel.close()


async def declare_position(connection: Connection, names: QueueNames) -> None:
    """Declare the queue in which the position of a subscriber without a database stands.

    Raises:
        BrokerUnavailable: no answer in time, or the queue is there with other arguments.
    """
    with translated():
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            channel = await connection.channel(publisher_confirms=False)
            await channel.queue_declare(
                names.position,
                durable=True,
                arguments={
                    "x-queue-type": "quorum",
                    "x-single-active-consumer": True,
                    "x-delivery-limit": DELIVERIES_MAX,
                    "x-max-length": POSITION_MESSAGES_MAX,
                    "x-overflow": "reject-publish",
                },
            )
            await channel.close()


async def _declare_parked(channel: AbstractChannel, names: QueueNames) -> None:
    await channel.queue_declare(
        names.parked,
        durable=True,
        arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERIES_MAX,
            "x-max-length": PARKED_MESSAGES_MAX,
            "x-max-length-bytes": PARKED_BYTES_MAX,
            "x-overflow": "reject-publish",
        },
    )


async def _declare_own(channel: AbstractChannel, names: QueueNames) -> None:
    await channel.queue_declare(
        names.own,
        durable=True,
        arguments={
            "x-queue-type": "quorum",
            "x-single-active-consumer": True,
            "x-delivery-limit": DELIVERIES_MAX,
            "x-max-length": QUEUE_MESSAGES_MAX,
            "x-max-length-bytes": QUEUE_BYTES_MAX,
            "x-overflow": "drop-head",
        },
    )
