"""Another team's subscriber, as docs/replaying.md tells them to write it, and what it handled."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from tests.support.keyrings import KEYRING
from tests.support.waiting import LIMIT_S, eventually

from chaching.broker.topology import names_under
from chaching.envelope import Position
from chaching.eventstore.database import Database
from chaching.eventstore.selection import EVERYTHING
from chaching.eventstore.store import EventStore
from chaching.following.replay import Order, Replay

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "replaying.md"
PREFETCH_MESSAGES: Final = 200


def documented() -> Any:
    """Return the code of the document as a module."""
    module = ModuleType("documented")
    [code, *_] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    exec(compile(code, str(DOCUMENT), "exec"), vars(module))  # noqa: S102 - the document's own code
    return module


class Newcomer:
    """The documented subscriber on a queue of its own."""

    def __init__(self, channel: AbstractChannel, own: AbstractQueue, code: Any) -> None:
        self.channel = channel
        self.handled: list[AbstractIncomingMessage] = []
        self.gap: type[Exception] = code.Gap
        self._own = own
        self._subscriber = code.Subscriber(self._handle)

    @property
    def positions(self) -> list[int]:
        return [position_of(message) for message in self.handled]

    async def catch_up(self, queue: str, **arguments: object) -> None:
        await self._subscriber.catch_up(await self.channel.get_queue(queue), **arguments)

    async def go_live(self) -> None:
        await self._subscriber.go_live(self._own)

    async def has_handled(self, count: int) -> None:
        """Return when so many events were handled."""

        async def are_there() -> bool:
            return len(self.handled) >= count

        await eventually(are_there, f"the newcomer has handled {count} events")

    async def _handle(self, message: AbstractIncomingMessage) -> None:
        self.handled.append(message)


@asynccontextmanager
async def newcomer(amqp_url: str, exchange: str, queue: str) -> AsyncGenerator[Newcomer]:
    """Yield a newcomer that has declared and bound its queue; the queue is deleted afterwards."""
    code = documented()
    async with channel_of(amqp_url) as channel:
        own = await code.own_queue(channel, queue, exchange)
        try:
            yield Newcomer(channel, own, code)
        finally:
            async with channel_of(amqp_url) as other:
                await other.queue_delete(queue)


@asynccontextmanager
async def channel_of(amqp_url: str) -> AsyncGenerator[AbstractChannel]:
    """Yield a channel of a plain client, on a connection of its own."""
    connection = await aio_pika.connect(amqp_url, timeout=LIMIT_S)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH_MESSAGES)
        yield channel


@asynccontextmanager
async def declared(
    amqp_url: str, queue: str, arguments: dict[str, Any] | None = None
) -> AsyncGenerator[AbstractQueue]:
    """Declare a queue of a subscriber; delete it afterwards."""
    try:
        async with channel_of(amqp_url) as channel:
            yield await channel.declare_queue(
                queue, durable=True, arguments=arguments or {"x-queue-type": "quorum"}
            )
    finally:
        async with channel_of(amqp_url) as other:
            await other.queue_delete(queue)


async def read(
    amqp_url: str, queue: str, count: int, **arguments: Any
) -> list[AbstractIncomingMessage]:
    """Consume and acknowledge so many messages of a queue or a stream.

    The broker may drop the last acknowledgements with the connection: they may come again.
    """
    coming: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    messages: list[AbstractIncomingMessage] = []
    async with channel_of(amqp_url) as channel, asyncio.timeout(LIMIT_S):
        source = await channel.get_queue(queue)
        await source.consume(coming.put, arguments=arguments)
        while len(messages) < count:
            messages.append(await coming.get())
            await messages[-1].ack()
    return messages


async def assert_history_can_be_filled_again(database: Database, amqp_url: str) -> None:
    """Replay the log into the stream, and find every event there."""
    history, head = names_under().history, await EventStore(database, KEYRING).head()
    order = Order(queue=history, selection=EVERYTHING, first=Position(1), last=head)
    await Replay(database, KEYRING, amqp_url, order).run()
    missing = set(range(1, head + 1))
    coming: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    async with channel_of(amqp_url) as channel, asyncio.timeout(LIMIT_S):
        stream = await channel.get_queue(history)
        await stream.consume(coming.put, arguments={"x-stream-offset": "first"})
        while missing:
            message = await coming.get()
            await message.ack()
            missing.discard(position_of(message))


def position_of(message: AbstractIncomingMessage) -> int:
    position = message.headers["position"]
    assert isinstance(position, int)
    return position
