from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict
from tests.support.brokers import LOG_ID, OTHER_LOG_ID
from tests.support.subscribers import publish, without_queue
from tests.support.told import told_log
from tests.support.waiting import LIMIT_S, eventually
from tests.support.withholding import wire_to

from chaching.broker.errors import NoSuchQueue
from chaching.broker.sender import Sender, sending
from chaching.broker.subscriber_queues import queues_of
from chaching.envelope import Position
from chaching.subscriber import Event, LogChanged, Subscription, token_queue
from chaching.subscriber.bookmark import BEGINNING, Bookmark

TOLD: Final = told_log(700)


async def positions(events: AsyncGenerator[Event], up_to: int) -> list[int]:
    """Return the positions of what comes next, up to one beyond which nothing is asked for."""
    found: list[int] = []
    async with asyncio.timeout(LIMIT_S):
        async for event in events:
            found.append(event.position)
            if event.position == up_to:
                break
    return found


async def test_iterating_begins_with_all_history_and_goes_live(
    amqp_url: str, prefix: str, queue: str
) -> None:
    await publish(amqp_url, prefix, TOLD[:500], LOG_ID)
    async with aclosing(aiter(Subscription(amqp_url, queue, prefix=prefix))) as events:
        assert await positions(events, 500) == list(range(1, 501))
        await publish(amqp_url, prefix, TOLD[500:], LOG_ID)
        assert await positions(events, 700) == list(range(501, 701))


async def test_an_event_counts_as_handled_when_the_next_one_is_asked_for(
    amqp_url: str, prefix: str, queue: str
) -> None:
    await publish(amqp_url, prefix, TOLD[:100], LOG_ID)
    async with aclosing(aiter(Subscription(amqp_url, queue, prefix=prefix))) as events:
        assert await positions(events, 30) == list(range(1, 31))
    async with aclosing(aiter(Subscription(amqp_url, queue, prefix=prefix))) as events:
        assert await positions(events, 100) == list(range(30, 101))


async def test_nothing_comes_twice_or_is_missed_when_connections_are_lost(
    amqp_url: str, prefix: str, queue: str
) -> None:
    await publish(amqp_url, prefix, TOLD[:650], LOG_ID)
    async with wire_to(amqp_url) as (wire, url):
        subscription = Subscription(url, queue, prefix=prefix)
        async with aclosing(aiter(subscription)) as events:
            assert await positions(events, 600) == list(range(1, 601))
            wire.cut()
            await publish(amqp_url, prefix, TOLD[650:], LOG_ID)
            wire.mend()
            assert await positions(events, 700) == list(range(601, 701))
            assert subscription.status.position == 699


@pytest.mark.parametrize("text", [b"", b"not JSON", b'{"position": "many"}'])
async def test_what_somebody_else_put_where_the_position_stands_is_passed_over(
    amqp_url: str, prefix: str, queue: str, text: bytes
) -> None:
    await publish(amqp_url, prefix, TOLD[:100], LOG_ID)
    async with aclosing(aiter(Subscription(amqp_url, queue, prefix=prefix))) as events:
        assert await positions(events, 30) == list(range(1, 31))
        async with sending(amqp_url, name="tests") as sender:
            await sender.send(f"{queue}.position", "note", {}, text)
        assert await positions(events, 60) == list(range(31, 61))
    async with aclosing(aiter(Subscription(amqp_url, queue, prefix=prefix))) as events:
        async with sending(amqp_url, name="tests") as sender:
            await sender.send(f"{queue}.position", "note", {}, text)
        assert await positions(events, 100) == list(range(60, 101))


async def test_the_position_outlives_the_queue(amqp_url: str, prefix: str, queue: str) -> None:
    await publish(amqp_url, prefix, TOLD[:50], LOG_ID)
    async with aclosing(aiter(Subscription(amqp_url, queue, prefix=prefix))) as events:
        assert await positions(events, 50) == list(range(1, 51))
    await without_queue(amqp_url, queue)
    await publish(amqp_url, prefix, TOLD[50:80], LOG_ID)
    async with aclosing(aiter(Subscription(amqp_url, queue, prefix=prefix))) as events:
        assert await positions(events, 80) == list(range(50, 81))


async def test_a_second_process_stands_by_and_says_so_and_takes_over(
    amqp_url: str, prefix: str, queue: str
) -> None:
    logged: list[EventDict]

    async def stood_by() -> bool:
        return "subscriber_stood_by" in {line["event"] for line in logged}

    await publish(amqp_url, prefix, TOLD[:60], LOG_ID)
    with capture_logs() as logged:
        async with aclosing(aiter(Subscription(amqp_url, queue, prefix=prefix))) as events:
            assert await positions(events, 20) == list(range(1, 21))
            assert not await stood_by()
            second = aiter(Subscription(amqp_url, queue, prefix=prefix))
            waiting = asyncio.create_task(positions(second, 60))
            await eventually(stood_by, "the second one says that it waits")
            assert await positions(events, 40) == list(range(21, 41))
            assert not waiting.done()
    assert await waiting == list(range(40, 61))
    await second.aclose()


async def test_a_token_at_the_beginning_does_not_take_a_subscriber_back(
    amqp_url: str, prefix: str, queue: str
) -> None:
    await publish(amqp_url, prefix, TOLD[:50], LOG_ID)
    async with aclosing(aiter(Subscription(amqp_url, queue, prefix=prefix))) as events:
        assert await positions(events, 50) == list(range(1, 51))
    queues = queues_of(queue)
    async with sending(amqp_url, name="tests") as sender:
        await sender.send(queues.position, "position", {}, token_queue.encoded(BEGINNING))
        async with token_queue.holding(amqp_url, queues) as token:
            assert token.bookmark.position == 49
        with pytest.raises(NoSuchQueue):
            await sender.send(f"{queue}.nothing", "position", {}, b"")


async def test_any_number_of_processes_that_asked_do_not_keep_the_token_from_moving(
    amqp_url: str, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_queue, "RETURN_TIMEOUT_S", 2.0)
    queues = queues_of(queue)
    moved = Bookmark(log_id=LOG_ID, position=Position(7))
    further = Bookmark(log_id=LOG_ID, position=Position(8))

    async def ask(sender: Sender) -> None:
        for _ in range(2 * token_queue.PREFETCH_MESSAGES):
            await sender.send(queues.position, "position", {}, token_queue.encoded(BEGINNING))

    async with sending(amqp_url, name="tests") as sender:
        async with token_queue.holding(amqp_url, queues) as token:
            await token.move(moved)
            await ask(sender)
            await token.move(further)
            await ask(sender)
        async with token_queue.holding(amqp_url, queues) as token:
            assert token.bookmark == further


async def test_iterating_ends_at_another_log(amqp_url: str, prefix: str, queue: str) -> None:
    await publish(amqp_url, prefix, TOLD[:10], LOG_ID)
    async with aclosing(aiter(Subscription(amqp_url, queue, prefix=prefix))) as events:
        assert await positions(events, 10) == list(range(1, 11))
    await publish(amqp_url, prefix, TOLD[10:20], OTHER_LOG_ID)
    async with aclosing(aiter(Subscription(amqp_url, queue, prefix=prefix))) as events:
        with pytest.raises(LogChanged):
            await positions(events, 20)
