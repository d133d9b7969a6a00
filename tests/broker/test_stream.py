"""The stream of history, read by any AMQP client."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import count

import msgspec
import pytest
from aio_pika.abc import AbstractIncomingMessage
from tests.broker.test_broker import publish, some_messages
from tests.support.brokers import LOG_ID
from tests.support.newcomers import channel_of, position_of, read
from tests.support.running import running
from tests.support.waiting import LIMIT_S

from chaching.broker import history as history_module
from chaching.broker.connection import connected
from chaching.broker.history import History
from chaching.broker.messages import decode
from chaching.broker.publisher import publishing
from chaching.broker.topology import names_under
from chaching.envelope import Position


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


async def test_the_end_of_a_stream_is_found_while_more_and_more_is_published(
    amqp_url: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # so that no pause of the publisher passes for the end
    monkeypatch.setattr(history_module, "NEWEST_LINGER_S", LIMIT_S)
    sent = some_messages(10)
    await publish(amqp_url, prefix, sent)

    async def go_on_publishing() -> None:
        async with publishing(amqp_url, prefix=prefix) as publisher:
            for position in count(len(sent) + 1):
                next_one = msgspec.structs.replace(sent[0], position=Position(position))
                await publisher.publish(LOG_ID, [next_one])
                await publisher.confirmed_beyond(Position(position - 1))

    async with running(go_on_publishing()), connected(amqp_url, name="tests") as connection:
        async with asyncio.timeout(LIMIT_S / 3):
            newest = await History(connection, names_under(prefix).history).newest()
    assert newest is not None
    assert newest.offset >= len(sent) - 1
