"""A parked queue that takes no more."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.brokers import LOG_ID
from tests.support.poison import (
    OTHERS,
    POISON,
    TOLD,
    Fragile,
    give_back,
    left_parked,
    positions_of,
    running_with,
)
from tests.support.subscribers import SILENCE_MAX_S, Copy, publish, purge
from tests.support.told import expected_copy
from tests.support.waiting import LIMIT_S, eventually

from chaching.broker import subscriber_queues
from chaching.subscriber import Inbox, ParkedQueueFull, Subscription, parking


async def test_a_full_parked_queue_stops_the_subscriber_and_loses_nothing(
    amqp_url: str,
    prefix: str,
    queue: str,
    copy: Copy,
    subscription: Subscription,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscriber_queues, "PARKED_MESSAGES_MAX", 2)
    await publish(amqp_url, prefix, TOLD, LOG_ID)
    handler = Fragile(*range(10, 100))
    with pytest.raises(ParkedQueueFull, match="cannot be parked"):
        async with asyncio.timeout(LIMIT_S):
            await subscription.run(handler, inbox=Inbox(copy.url, silence_max_s=SILENCE_MAX_S))
    handler.breaks_at.clear()
    async with running_with(handler, subscription, copy):
        await give_back(amqp_url, queue, "replay")
        await left_parked(subscription, 0)
        await copy.reaches(120)
    assert await copy.applied() == positions_of(TOLD)
    assert await copy.customers() == expected_copy(TOLD)


async def test_a_refusal_for_another_reason_is_waited_for_and_then_told_as_what_it_is(
    amqp_url: str,
    prefix: str,
    copy: Copy,
    subscription: Subscription,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscriber_queues, "PARKED_BYTES_MAX", 1)
    monkeypatch.setattr(parking, "REFUSALS_MAX", 3)
    await publish(amqp_url, prefix, TOLD, LOG_ID)
    handler = Fragile(*range(10, 100))
    with pytest.raises(ParkedQueueFull, match=r"holds only \d messages and refused .* 3 times"):
        async with asyncio.timeout(LIMIT_S):
            await subscription.run(handler, inbox=Inbox(copy.url, silence_max_s=SILENCE_MAX_S))


@pytest.mark.usefixtures("guest_logs")
async def test_a_refusal_that_passes_parks_the_event_after_all(
    amqp_url: str,
    prefix: str,
    queue: str,
    copy: Copy,
    subscription: Subscription,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(subscriber_queues, "PARKED_BYTES_MAX", 1)
    handler = Fragile(POISON.position)
    async with running_with(handler, subscription, copy):
        await publish(amqp_url, prefix, TOLD, LOG_ID)

        async def is_refused() -> bool:
            await asyncio.sleep(0)
            return "refuses a message and holds only" in caplog.text

        await eventually(is_refused, "the parked queue refuses a message")

        async def goes_on() -> bool:
            await purge(amqp_url, f"{queue}.parked")
            return await copy.position() == TOLD[-1].position

        await eventually(goes_on, "the subscriber goes on once there is room")
    assert await copy.applied() == positions_of(OTHERS)
