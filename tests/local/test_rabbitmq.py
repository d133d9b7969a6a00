import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from pamqp.common import Arguments

from chaching.local.errors import LocalError
from chaching.local.processes import start_of
from chaching.local.rabbitmq import PrivateRabbitMQ, greets

LIMIT_S = 20
QUORUM: Arguments = {"x-queue-type": "quorum"}


@asynccontextmanager
async def channel_of(url: str) -> AsyncGenerator[AbstractChannel]:
    async with await aio_pika.connect(url, timeout=LIMIT_S) as connection:
        yield await connection.channel()


async def declare_and_settle(node: PrivateRabbitMQ) -> None:
    """Declare the queue; a node killed within a second of that may lose the queue itself."""
    async with channel_of(node.url) as channel:
        await channel.declare_queue("kept", durable=True, arguments=QUORUM, timeout=LIMIT_S)
    await node.stop()
    await node.start()


async def publish(url: str) -> None:
    async with channel_of(url) as channel:
        fact = aio_pika.Message(b"fact", delivery_mode=2)
        await channel.default_exchange.publish(fact, "kept", timeout=LIMIT_S)


async def consume(url: str) -> bytes:
    async with channel_of(url) as channel:
        queue = await channel.declare_queue("kept", passive=True, timeout=LIMIT_S)
        async with queue.iterator(timeout=LIMIT_S) as messages:
            message = await anext(messages)
            await message.reject(requeue=True)
            return message.body


async def test_a_confirmed_message_survives_a_kill_and_not_a_wipe(tmp_path: Path) -> None:
    node = PrivateRabbitMQ(tmp_path / "node")
    try:
        await node.start()
        url = node.url
        await declare_and_settle(node)
        await publish(url)
        with pytest.raises(LocalError, match="wiped"):
            await node.wipe()
        marks = node.marks()
        await node.kill()
        assert [start_of(mark.pid) for mark in marks] == [None, None]
        assert not await greets(node.port)

        await node.start()
        assert node.url == url
        assert await consume(url) == b"fact"

        await node.kill()
        await node.wipe()
        await node.start()
        assert node.url == url
        async with channel_of(url) as channel:
            with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
                await channel.declare_queue("kept", passive=True, timeout=LIMIT_S)
    finally:
        await node.stop()
        node.remove()
    assert not (tmp_path / "node").exists()


async def test_a_node_leaves_the_machines_own_settings_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RABBITMQ_NODE_PORT", "5672")
    monkeypatch.setenv("ERL_EPMD_PORT", "4369")
    node = PrivateRabbitMQ(tmp_path / "node")
    try:
        await node.start()
        assert node.port != int(os.environ["RABBITMQ_NODE_PORT"])
        assert await greets(node.port)
    finally:
        await node.stop()
