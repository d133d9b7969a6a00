"""The stream of history, read by any AMQP client."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from aio_pika.abc import AbstractIncomingMessage
from tests.broker.test_broker import publish, some_messages
from tests.support.brokers import LOG_ID
from tests.support.newcomers import channel_of, position_of, read
from tests.support.waiting import LIMIT_S

from chaching.broker.messages import decode
from chaching.broker.topology import names_under


async def test_the_stream_is_read_from_its_beginning_as_often_as_one_likes(
    amqp_url: str, prefix: str
) -> None:
    sent = some_messages(300)
    await publish(amqp_url, prefix, sent)
    history = names_under(prefix).history
    for _ in range(2):
        messages = await read(amqp_url, history, 300, **{"x-stream-offset": "first"})
        assert [decode(m.headers, m.body, LOG_ID) for m in messages] == sent
        assert [message.message_id for message in messages] == [s.event_id for s in sent]


async def test_the_stream_is_read_on_from_the_offset_that_every_delivery_carries(
    amqp_url: str, prefix: str
) -> None:
    await publish(amqp_url, prefix, some_messages(300))
    history = names_under(prefix).history
    offset = {"x-stream-offset": "first"}
    first = await read(amqp_url, history, 100, **offset)
    assert [message.headers["x-stream-offset"] for message in first] == list(range(100))
    rest = await read(amqp_url, history, 200, **{"x-stream-offset": 100})
    assert [position_of(message) for message in rest] == list(range(101, 301))


async def test_the_stream_is_read_from_an_instant(amqp_url: str, prefix: str) -> None:
    await publish(amqp_url, prefix, some_messages(20))
    history = names_under(prefix).history
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    [oldest] = await read(amqp_url, history, 1, **{"x-stream-offset": an_hour_ago})
    assert position_of(oldest) == 1
    coming: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    async with channel_of(amqp_url) as channel, asyncio.timeout(LIMIT_S):
        stream = await channel.get_queue(history)
        in_an_hour = datetime.now(UTC) + timedelta(hours=1)
        await stream.consume(coming.put, arguments={"x-stream-offset": in_an_hour})
        await publish(amqp_url, prefix, some_messages(1, first=21))
        assert position_of(await coming.get()) == 21


async def test_what_the_relay_repeats_is_in_the_stream_twice_with_equal_ids(
    amqp_url: str, prefix: str
) -> None:
    sent = some_messages(5)
    for _ in range(2):
        await publish(amqp_url, prefix, sent)
    messages = await read(amqp_url, names_under(prefix).history, 10, **{"x-stream-offset": "first"})
    told = [(message.message_id, position_of(message), message.body) for message in messages]
    assert told[:5] == told[5:]
    assert [position for _, position, _ in told[:5]] == [1, 2, 3, 4, 5]
