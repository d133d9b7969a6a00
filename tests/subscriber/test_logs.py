"""Two logs have the same positions; a subscriber follows one of them."""

from __future__ import annotations

import pytest
from tests.support.brokers import LOG_ID, OTHER_LOG_ID
from tests.support.subscribers import (
    Copy,
    active,
    publish,
    publish_raw,
    publish_to,
    stopped_by,
    subscribing,
    without_queue,
)
from tests.support.told import expected_copy, told_log

from chaching.subscriber import LogChanged, Subscription

TOLD = told_log(60)
OTHER = told_log(60, seed=2)


async def test_another_log_is_told_and_nothing_of_it_is_applied(
    amqp_url: str, prefix: str, queue: str, copy: Copy
) -> None:
    subscription = Subscription(amqp_url, queue, prefix=prefix)
    async with subscribing(subscription, copy):
        await publish(amqp_url, prefix, TOLD[:30], LOG_ID)
        await copy.reaches(30)
    await publish(amqp_url, prefix, OTHER[25:40], OTHER_LOG_ID)
    stopped = await stopped_by(subscription, copy)
    assert isinstance(stopped, LogChanged)
    assert f"follows the log {LOG_ID} and stands at 30" in str(stopped)
    assert f"the log {OTHER_LOG_ID}" in str(stopped)
    assert await copy.applied() == list(range(1, 31))
    assert await copy.customers() == expected_copy(TOLD[:30])


async def test_another_log_at_the_end_of_the_stream_is_told_at_the_start(
    amqp_url: str, prefix: str, queue: str, copy: Copy
) -> None:
    subscription = Subscription(amqp_url, queue, prefix=prefix)
    async with subscribing(subscription, copy):
        await publish(amqp_url, prefix, TOLD[:30], LOG_ID)
        await copy.reaches(30)
    await without_queue(amqp_url, queue)
    await publish(amqp_url, prefix, OTHER[:40], OTHER_LOG_ID)
    assert isinstance(await stopped_by(subscription, copy), LogChanged)
    assert await copy.applied() == list(range(1, 31))


async def test_old_messages_of_another_log_are_passed_over(
    amqp_url: str, prefix: str, queue: str, copy: Copy
) -> None:
    subscription = Subscription(amqp_url, queue, prefix=prefix)
    await publish(amqp_url, prefix, OTHER[:20], OTHER_LOG_ID)
    await publish(amqp_url, prefix, TOLD[:30], LOG_ID)
    async with subscribing(subscription, copy):
        await active(subscription)
        await publish_to(amqp_url, queue, OTHER[20:50], OTHER_LOG_ID)
        await publish(amqp_url, prefix, TOLD[30:60], LOG_ID)
        await copy.reaches(60)
    assert await copy.applied() == list(range(1, 61))
    assert await copy.customers() == expected_copy(TOLD)


async def test_whoever_starts_over_follows_the_new_log(
    amqp_url: str, prefix: str, queue: str, copy: Copy
) -> None:
    subscription = Subscription(amqp_url, queue, prefix=prefix)
    async with subscribing(subscription, copy):
        await publish(amqp_url, prefix, TOLD[:30], LOG_ID)
        await copy.reaches(30)
    await publish(amqp_url, prefix, OTHER[:50], OTHER_LOG_ID)
    assert isinstance(await stopped_by(subscription, copy), LogChanged)
    await copy.start_over()
    async with subscribing(subscription, copy):
        await copy.reaches(50)
    assert await copy.applied() == list(range(1, 51))
    assert await copy.customers() == expected_copy(OTHER[:50])


@pytest.mark.usefixtures("guest_logs")
async def test_a_message_that_is_no_event_is_refused_and_the_next_one_applied(
    amqp_url: str, prefix: str, queue: str, copy: Copy, caplog: pytest.LogCaptureFixture
) -> None:
    subscription = Subscription(amqp_url, queue, prefix=prefix)
    async with subscribing(subscription, copy):
        await active(subscription)
        await publish_raw(amqp_url, prefix, b"hello")
        await publish(amqp_url, prefix, TOLD[:5], LOG_ID)
        await publish_raw(amqp_url, prefix, b"hello")
        await copy.reaches(5)
    assert "message_refused" in caplog.text
    assert await copy.applied() == [1, 2, 3, 4, 5]
