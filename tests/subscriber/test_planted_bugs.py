"""The checks of the subscriber library can fail: each bug that it could have is caught by one.

A crash is an error in the right place: the subscriber's loop ends there and is started again from
what is stored. ``make campaign`` plants the same bugs into processes that are killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import pytest
from tests.campaigns import planted
from tests.campaigns.planted import PLANTS
from tests.support.brokers import LOG_ID
from tests.support.running import running
from tests.support.subscribers import (
    SILENCE_MAX_S,
    Copy,
    active,
    keep_copy,
    publish,
    publish_to,
    subscribing,
    without_queue,
)
from tests.support.told import expected_copy, told_log

from chaching.broker.messages import EventMessage
from chaching.subscriber import Connection, Event, Inbox, Subscription

TOLD: Final = told_log(60)
PATIENCE_S: Final = 1.5


@pytest.fixture
def subscription(amqp_url: str, prefix: str, queue: str) -> Subscription:
    return Subscription(amqp_url, queue, prefix=prefix)


def plant(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, method, bug in PLANTS[name]:
        monkeypatch.setattr(owner, method, bug)


async def assert_complete(copy: Copy, told: Sequence[EventMessage]) -> None:
    """The check under test: everything was applied once, in order, and the copy is whole."""
    await copy.reaches(told[-1].position, limit_s=PATIENCE_S)
    assert await copy.applied_in_turn() == [message.position for message in told]
    assert await copy.customers() == expected_copy(told)


@pytest.mark.parametrize("name", ["position_first", "position_last"])
async def test_a_position_outside_of_the_works_transaction_is_caught(
    amqp_url: str,
    prefix: str,
    copy: Copy,
    subscription: Subscription,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    crashes = 0

    async def crash_once() -> None:
        nonlocal crashes
        crashes += 1
        await asyncio.sleep(0)
        if crashes == 1:
            raise RuntimeError("a crash between two transactions")

    plant(name, monkeypatch)
    monkeypatch.setattr(planted, "between", crash_once)
    async with subscribing(subscription, copy):
        await publish(amqp_url, prefix, TOLD, LOG_ID)
        with pytest.raises(AssertionError):
            await assert_complete(copy, TOLD)
    assert crashes >= 1


async def test_messages_taken_as_they_come_are_caught(
    amqp_url: str,
    queue: str,
    copy: Copy,
    subscription: Subscription,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant("no_dedupe", monkeypatch)
    async with subscribing(subscription, copy):
        await active(subscription)
        await publish_to(amqp_url, queue, [*TOLD[:30], *TOLD], LOG_ID)
        with pytest.raises(AssertionError):
            await assert_complete(copy, TOLD)


async def test_a_gap_that_is_not_filled_is_caught(
    amqp_url: str,
    prefix: str,
    queue: str,
    copy: Copy,
    subscription: Subscription,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant("no_backfill", monkeypatch)
    async with subscribing(subscription, copy):
        await active(subscription)
        await publish(amqp_url, prefix, TOLD[:20], LOG_ID)
        await copy.reaches(20)
    await without_queue(amqp_url, queue)
    await publish(amqp_url, prefix, TOLD[20:], LOG_ID)
    async with subscribing(subscription, copy):
        with pytest.raises(AssertionError, match="has come to 60"):
            await assert_complete(copy, TOLD)


@pytest.mark.parametrize("name", ["acknowledged_first", "without_history"])
async def test_an_acknowledgement_before_the_commit_is_caught_where_no_stream_makes_up_for_it(
    amqp_url: str,
    prefix: str,
    copy: Copy,
    subscription: Subscription,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    crashed = False

    async def crash_once(event: Event, connection: Connection) -> None:
        nonlocal crashed
        if event.position == 30 and not crashed:
            crashed = True
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.Event().wait()
        await keep_copy(event, connection)

    plant(name, monkeypatch)
    inbox = Inbox(copy.url, silence_max_s=SILENCE_MAX_S)
    async with running(subscription.run(crash_once, inbox=inbox)):
        await active(subscription)
        await publish(amqp_url, prefix, TOLD, LOG_ID)
        if name == "without_history":
            await assert_complete(copy, TOLD)
        else:
            with pytest.raises(AssertionError, match="has come to 60"):
                await assert_complete(copy, TOLD)
    assert crashed
