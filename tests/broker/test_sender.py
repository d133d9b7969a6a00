from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from tests.support.subscribers import without_queue

from chaching.broker import subscriber_queues
from chaching.broker.browsing import browsing
from chaching.broker.connection import connected
from chaching.broker.errors import BrokerUnavailable, NoSuchQueue, QueueRefuses
from chaching.broker.sender import sending
from chaching.broker.subscriber_queues import queues_of
from chaching.broker.topology import names_under

HEADERS = {"position": 40_000, "account": "acct_1"}


@pytest.fixture
async def parked(
    amqp_url: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[str]:
    """A parked queue that takes two messages."""
    monkeypatch.setattr(subscriber_queues, "PARKED_MESSAGES_MAX", 2)
    queues = queues_of(f"{prefix}.crm")
    async with connected(amqp_url, name="tests") as connection:
        await subscriber_queues.declare(connection, queues, names_under(prefix).events)
    yield queues.parked
    for queue in (queues.own, queues.parked):
        await without_queue(amqp_url, queue)


async def test_a_message_that_was_sent_is_in_the_queue_whole(amqp_url: str, parked: str) -> None:
    async with sending(amqp_url, name="tests") as sender:
        await sender.send(parked, "evt_1", HEADERS, b'{"a": 1}')
    async with browsing(amqp_url) as look:
        [delivery] = await look.all(parked)
    kept = {name: delivery.headers[name] for name in HEADERS}
    assert (kept, delivery.body) == (HEADERS, b'{"a": 1}')


async def test_looking_leaves_messages_in_their_order_and_taking_out_takes_one(
    amqp_url: str, parked: str
) -> None:
    async with sending(amqp_url, name="tests") as sender:
        for number in (1, 2):
            await sender.send(parked, f"evt_{number}", HEADERS, f"{number}".encode())
    for _ in range(2):
        async with browsing(amqp_url) as look:
            first, second = await look.all(parked)
            assert (first.body, second.body) == (b"1", b"2")
            assert await look.all(parked) == []
    async with browsing(amqp_url) as look:
        first, second = await look.all(parked)
        await look.take_out(first)
    async with browsing(amqp_url) as look:
        assert [delivery.body for delivery in await look.all(parked)] == [b"2"]
        assert await look.messages_in(parked) == 0


async def test_a_full_queue_refuses_and_says_so(amqp_url: str, parked: str) -> None:
    async with sending(amqp_url, name="tests") as sender:

        async def send_many() -> None:
            for number in range(20):
                await sender.send(parked, f"evt_{number}", HEADERS, b"{}")

        with pytest.raises(QueueRefuses):
            await send_many()


async def test_a_queue_that_is_not_there_is_told(amqp_url: str, parked: str) -> None:
    async with sending(amqp_url, name="tests") as sender:
        with pytest.raises(NoSuchQueue):
            await sender.send(f"{parked}.nobody", "evt_1", HEADERS, b"{}")
        await sender.send(parked, "evt_1", HEADERS, b"{}")
    async with browsing(amqp_url) as look:
        with pytest.raises(NoSuchQueue):
            await look.messages_in(f"{parked}.nobody")


async def test_a_queue_with_other_arguments_is_told(
    amqp_url: str, prefix: str, parked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber_queues, "PARKED_MESSAGES_MAX", 3)
    queues = queues_of(parked.removesuffix(".parked"))
    async with connected(amqp_url, name="tests") as connection:
        with pytest.raises(BrokerUnavailable, match="other arguments"):
            await subscriber_queues.declare(connection, queues, names_under(prefix).events)
