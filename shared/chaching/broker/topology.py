"""The exchanges and queues, declared in this one place by everyone who connects.

::

    relay ──▶ chaching.events ──┬── customer.# ──▶ chaching.projector ──▶ projector
              topic, durable    │                  quorum, one active consumer, bounded
                                │                        │ refused, or delivered too often
                                │                        ▼
                                │                  chaching.dead ──▶ chaching.projector.dead
                                │                  fanout, durable   quorum, bounded
                                └── # ───────────▶ chaching.history
                                                   stream, bounded bytes, for new subscribers
    relay ──▶ chaching.history ── after a purge ─────▲
              fanout, durable

Routing key: type, mode, account, as in ``customer.created.test.acct_1``; subscribers bind queues
of their own to ``chaching.events``. A full projector queue refuses what is published, so nothing
that was confirmed is dropped; the relay then waits. All arguments are known to RabbitMQ 3.10 and
4.x. ``chaching`` is the prefix of all names.

A purge deletes all three queues with their messages; then they are declared anew, and the stream is
filled again from the log by an exchange of its own, so that nobody else gets a message twice.

When two connections declare at the same moment for the first time, RabbitMQ 3.10 sometimes closes
one of them (541); its loop comes again and finds everything there.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from aiormq.abc import AbstractChannel
from aiormq.connection import Connection
from aiormq.exceptions import (
    ChannelLockedResource,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)

from chaching.broker.connection import ANSWER_TIMEOUT_S, connected
from chaching.broker.errors import BrokerUnavailable, QueueMissing, translated

PREFIX: Final = "chaching"
PROJECTOR_MESSAGES_MAX: Final = 500_000
PROJECTOR_DELIVERIES_MAX: Final = 50
DEAD_MESSAGES_MAX: Final = 10_000
HISTORY_BYTES_MAX: Final = 10_000_000_000
HISTORY_SEGMENT_BYTES: Final = 100_000_000

# what the broker says of a queue that is nowhere, not of one whose node is away
_NOWHERE: Final = "no queue"


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """The names of everything, under one prefix."""

    events: str
    dead: str
    projector: str
    projector_dead: str
    history: str


def names_under(prefix: str = PREFIX) -> Names:
    return Names(
        events=f"{prefix}.events",
        dead=f"{prefix}.dead",
        projector=f"{prefix}.projector",
        projector_dead=f"{prefix}.projector.dead",
        history=f"{prefix}.history",
    )


async def declare(connection: Connection, names: Names) -> None:
    """Declare whatever is missing; what is there already stays as it is.

    Raises:
        BrokerUnavailable: no answer in time, or something of a name is there with other arguments.
    """
    try:
        with translated():
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                channel = await connection.channel(publisher_confirms=False)
                await _declare_dead(channel, names)
                await _declare_live(channel, names)
                await channel.close()
    except BrokerUnavailable as error:
        if isinstance(error.__cause__, ChannelPreconditionFailed):
            raise BrokerUnavailable(f"the broker has another topology: {error}") from error
        raise


async def expect(connection: Connection, queue: str) -> None:
    """Look whether a queue is there, whosever it is; declare nothing.

    Raises:
        QueueMissing: there is no such queue.
        BrokerUnavailable: no answer in time, or the queue is out of reach for now.
    """
    try:
        with translated():
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                channel = await connection.channel(publisher_confirms=False)
                await channel.queue_declare(queue, passive=True)
                await channel.close()
    except BrokerUnavailable as error:
        match error.__cause__:
            case ChannelNotFoundEntity() as cause if _NOWHERE in str(cause):
                raise QueueMissing(queue) from error
            case ChannelLockedResource():
                return  # it is there, and another connection's own
            case _:
                raise


async def delete(amqp_url: str, prefix: str) -> None:
    """Delete everything under a prefix, with all messages.

    Raises:
        BrokerUnavailable: no answer in time.
    """
    names = names_under(prefix)
    async with connected(amqp_url, name="delete") as connection:
        with translated():
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                channel = await connection.channel(publisher_confirms=False)
                await _delete_queues(channel, names)
                for exchange in (names.events, names.dead, names.history):
                    await channel.exchange_delete(exchange)


async def purge(amqp_url: str, prefix: str) -> int:
    """Delete every message that is kept under a prefix, and the files that they stand in.

    The queues are gone with them; whoever connects next declares them anew. Returns how many dead
    letters were lost with it.

    Raises:
        BrokerUnavailable: no answer in time.
    """
    names = names_under(prefix)
    async with connected(amqp_url, name="purge") as connection:
        with translated():
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                channel = await connection.channel(publisher_confirms=False)
                dead_letters = await _delete_queues(channel, names)
                await channel.close()
    return dead_letters


async def _delete_queues(channel: AbstractChannel, names: Names) -> int:
    """Return how many messages were in the last one, which nothing brings back."""
    for queue in (names.projector, names.history):
        await channel.queue_delete(queue)
    deleted = await channel.queue_delete(names.projector_dead)
    return deleted.message_count or 0


async def _declare_dead(channel: AbstractChannel, names: Names) -> None:
    await channel.exchange_declare(names.dead, exchange_type="fanout", durable=True)
    await channel.queue_declare(
        names.projector_dead,
        durable=True,
        arguments={"x-queue-type": "quorum", "x-max-length": DEAD_MESSAGES_MAX},
    )
    await channel.queue_bind(names.projector_dead, names.dead)


async def _declare_live(channel: AbstractChannel, names: Names) -> None:
    await channel.exchange_declare(names.events, exchange_type="topic", durable=True)
    await channel.queue_declare(
        names.projector,
        durable=True,
        arguments={
            "x-queue-type": "quorum",
            "x-single-active-consumer": True,
            "x-delivery-limit": PROJECTOR_DELIVERIES_MAX,
            "x-max-length": PROJECTOR_MESSAGES_MAX,
            "x-overflow": "reject-publish",
            "x-dead-letter-exchange": names.dead,
            "x-dead-letter-strategy": "at-least-once",
        },
    )
    await channel.queue_bind(names.projector, names.events, routing_key="customer.#")
    await channel.queue_declare(
        names.history,
        durable=True,
        arguments={
            "x-queue-type": "stream",
            "x-max-length-bytes": HISTORY_BYTES_MAX,
            "x-stream-max-segment-size-bytes": HISTORY_SEGMENT_BYTES,
        },
    )
    await channel.queue_bind(names.history, names.events, routing_key="#")
    await channel.exchange_declare(names.history, exchange_type="fanout", durable=True)
    await channel.queue_bind(names.history, names.history)
