from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from tests.support.brokers import LOG_ID
from tests.support.poison import (
    FAST,
    OTHERS,
    POISON,
    SAME_CUSTOMER,
    TOLD,
    BrokenError,
    Fragile,
    all_told,
    give_back,
    left_parked,
    messages_waiting,
    order,
    parked_in,
    positions_of,
    running_with,
)
from tests.support.running import running
from tests.support.subscribers import (
    SILENCE_MAX_S,
    Copy,
    keep_copy,
    publish,
    publish_to,
    without_queue,
)
from tests.support.told import expected_copy, unreadable
from tests.support.waiting import LIMIT_S, eventually
from tests.support.withholding import wire_to

from chaching.broker import messages
from chaching.subscriber import (
    Connection,
    Event,
    Handler,
    HandlerNotAsync,
    Inbox,
    Subscription,
    TryLater,
)
from chaching.subscriber.parked import ParkedRefused
from chaching.subscriber.parking import because_of


def test_the_poison_has_later_events_of_its_customer_and_others_between() -> None:
    assert len(SAME_CUSTOMER) >= 3
    assert SAME_CUSTOMER[-1].position - POISON.position > len(SAME_CUSTOMER)


async def test_a_poison_is_parked_with_what_follows_for_its_customer_and_all_others_go_on(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    handler = Fragile(POISON.position)
    async with running_with(handler, subscription, copy):
        await all_told(amqp_url, prefix, copy)
        await left_parked(subscription, len(SAME_CUSTOMER))
    assert await copy.applied() == positions_of(OTHERS)
    assert await copy.customers() == expected_copy(OTHERS)
    parked = await parked_in(amqp_url, queue)
    assert [message.position for message in parked] == positions_of(SAME_CUSTOMER)
    assert handler.tried[POISON.position] in {FAST.tries_max, FAST.tries_max + 1}


async def test_a_parked_message_is_whole_and_says_why_when_and_after_how_many_tries(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    async with running_with(Fragile(POISON.position), subscription, copy):
        await all_told(amqp_url, prefix, copy)
    first, second, *_ = await parked_in(amqp_url, queue)
    wire = messages.encode(POISON, LOG_ID)
    assert first.body == wire.body
    assert {name: first.headers[name] for name in wire.headers} == wire.headers
    known = first.known
    assert (known.parked_reason, known.parked_tries) == ("BrokenError", 3)
    assert known.parked_detail is not None
    assert known.parked_detail.startswith("Traceback")
    assert known.parked_detail.count("Traceback") == 1  # of this try alone
    assert known.parked_detail.endswith(f"BrokenError: {POISON.key.id} cannot be kept")
    assert known.parked_at is not None
    assert datetime.now(UTC) - known.parked_at < timedelta(seconds=LIMIT_S)
    assert second.known.parked_reason == f"behind {POISON.position}"


@pytest.mark.usefixtures("guest_logs")
async def test_logs_name_positions_and_errors_and_nothing_that_the_error_says(
    amqp_url: str,
    prefix: str,
    copy: Copy,
    subscription: Subscription,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running_with(Fragile(POISON.position), subscription, copy):
        await all_told(amqp_url, prefix, copy)
    assert f"event_parked queue={subscription.queue} position={POISON.position}" in caplog.text
    assert "reason=BrokenError where=poison.py:" in caplog.text
    assert "reason=BrokenError tries=3" in caplog.text
    assert "cannot be kept" not in caplog.text


async def test_what_is_parked_stays_so_across_a_restart(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    second = SAME_CUSTOMER[1].position
    async with running_with(Fragile(POISON.position), subscription, copy):
        await all_told(amqp_url, prefix, copy, TOLD[: second - 1])
    async with running_with(Fragile(), subscription, copy):
        await all_told(amqp_url, prefix, copy, TOLD[second - 1 :])
    assert await copy.applied() == positions_of(OTHERS)
    parked = await parked_in(amqp_url, queue)
    assert [message.position for message in parked] == positions_of(SAME_CUSTOMER)


async def test_what_is_put_back_after_repair_is_applied_in_order_although_others_went_on(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    handler = Fragile(POISON.position)
    async with running_with(handler, subscription, copy):
        await all_told(amqp_url, prefix, copy, TOLD[:100])
        handler.breaks_at.clear()
        await give_back(amqp_url, queue, "replay")
        await left_parked(subscription, 0)
        await all_told(amqp_url, prefix, copy, TOLD[100:])
    assert await parked_in(amqp_url, queue) == []
    assert await copy.applied() == positions_of(TOLD)
    assert await copy.customers() == expected_copy(TOLD)


async def test_what_fails_again_is_parked_again_and_so_is_what_follows_it(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    handler = Fragile(POISON.position)
    async with running_with(handler, subscription, copy):
        await all_told(amqp_url, prefix, copy)
        before = handler.tried[POISON.position]
        await give_back(amqp_url, queue, "replay")

        async def are_back() -> bool:
            return len(await parked_in(amqp_url, queue)) == len(SAME_CUSTOMER)

        await eventually(are_back, "all are parked again")
        assert handler.tried[POISON.position] == before + FAST.tries_max
        handler.breaks_at.clear()
        await give_back(amqp_url, queue, "replay")
        await left_parked(subscription, 0)
    assert await copy.applied() == positions_of(TOLD)
    assert await copy.customers() == expected_copy(TOLD)


async def test_what_is_put_back_before_its_turn_waits_behind_what_is_parked(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    handler = Fragile(POISON.position)
    async with running_with(handler, subscription, copy):
        await all_told(amqp_url, prefix, copy)
        handler.breaks_at.clear()
        last = (await parked_in(amqp_url, queue))[-1]
        with pytest.raises(ParkedRefused, match=f"waits behind {POISON.position}"):
            await give_back(amqp_url, queue, "replay", last.position)
        await order(amqp_url, queue, last)

        async def is_parked_twice() -> bool:
            return await messages_waiting(amqp_url, f"{queue}.parked") == len(SAME_CUSTOMER) + 1

        await eventually(is_parked_twice, "it is parked again")
        assert await copy.applied() == positions_of(OTHERS)
        await give_back(amqp_url, queue, "replay")
        await left_parked(subscription, 0)
    assert await parked_in(amqp_url, queue) == []
    assert await copy.applied() == positions_of(TOLD)
    assert await copy.customers() == expected_copy(TOLD)


async def test_what_is_discarded_is_gone_and_what_follows_can_be_put_back(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    handler = Fragile(POISON.position)
    async with running_with(handler, subscription, copy):
        await all_told(amqp_url, prefix, copy)
        tried = handler.tried[POISON.position]
        await give_back(amqp_url, queue, "discard", POISON.position)
        await left_parked(subscription, len(SAME_CUSTOMER) - 1)
        await give_back(amqp_url, queue, "replay")
        await left_parked(subscription, 0)
        assert handler.tried[POISON.position] == tried
    assert await copy.applied() == positions_of([m for m in TOLD if m is not POISON])
    assert await copy.customers() == expected_copy(TOLD)


async def test_an_order_that_comes_twice_is_done_once(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    handler = Fragile(POISON.position)
    async with running_with(handler, subscription, copy):
        await all_told(amqp_url, prefix, copy)
        handler.breaks_at.clear()
        [first, *_] = await parked_in(amqp_url, queue)
        for _ in range(3):
            await order(amqp_url, queue, first)
        await give_back(amqp_url, queue, "replay")
        await left_parked(subscription, 0)
    assert await copy.applied() == positions_of(TOLD)


async def test_messages_that_come_again_do_not_bring_a_parked_event_back(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    handler = Fragile(POISON.position)
    async with running_with(handler, subscription, copy):
        await all_told(amqp_url, prefix, copy, TOLD[:100])
        handler.breaks_at.clear()
        await publish_to(amqp_url, queue, TOLD[:100], LOG_ID)
        await all_told(amqp_url, prefix, copy, TOLD[100:])
    assert await copy.applied() == positions_of(OTHERS)


async def test_an_event_that_cannot_be_read_is_parked_at_once(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    async with running_with(Fragile(), subscription, copy):
        await publish(amqp_url, prefix, TOLD[:10], LOG_ID)
        await publish(amqp_url, prefix, [unreadable(TOLD[10])], LOG_ID)
        await all_told(amqp_url, prefix, copy, TOLD[11:20])
    [first, *_] = await parked_in(amqp_url, queue)
    assert (first.position, first.known.parked_reason) == (11, "Undecodable")
    assert first.known.parked_tries == 1


async def test_an_event_that_ended_the_process_at_every_try_is_parked_untried(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    handler = Fragile()
    async with running_with(handler, subscription, copy):
        await all_told(amqp_url, prefix, copy, TOLD[: POISON.position - 1])
    await copy.database.execute(
        "UPDATE chaching_inbox.subscribers SET holder = 'killed', trying = $1, tries = $2",
        POISON.position,
        FAST.tries_max,
    )
    await publish(amqp_url, prefix, TOLD[POISON.position - 1 :], LOG_ID)
    async with running_with(handler, subscription, copy):
        await copy.reaches(120)
    [first, *_] = await parked_in(amqp_url, queue)
    assert first.known.parked_reason == "UnfinishedTries"
    assert handler.tried[POISON.position] == 0
    assert await copy.applied() == positions_of(OTHERS)


async def test_a_process_that_is_killed_again_and_again_while_a_server_is_away_parks_nothing(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    handler = Fragile(POISON.position, error=TryLater)
    await publish(amqp_url, prefix, TOLD, LOG_ID)
    for _ in range(2 * FAST.tries_max):
        handler.tried.clear()

        async def waits() -> bool:
            if handler.tried[POISON.position] == 0 or not await copy.has_inbox():
                return False
            [row] = await copy.database.fetch("SELECT tries FROM chaching_inbox.subscribers")
            return row["tries"] == 0

        async with running_with(handler, subscription, copy):
            await eventually(waits, "the event was tried, and its server is waited for")
        await copy.database.execute("UPDATE chaching_inbox.subscribers SET holder = 'killed'")
    handler.breaks_at.clear()
    async with running_with(handler, subscription, copy):
        await copy.reaches(120)
    assert await copy.applied() == positions_of(TOLD)
    assert await parked_in(amqp_url, queue) == []


async def test_a_server_that_is_away_parks_nothing(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    handler = Fragile(POISON.position, error=TryLater)
    async with running_with(handler, subscription, copy):
        await publish(amqp_url, prefix, TOLD, LOG_ID)

        async def is_tried_often() -> bool:
            await asyncio.sleep(0)
            return handler.tried[POISON.position] > FAST.tries_max

        await eventually(is_tried_often, "it is tried more often than a poison")
        handler.breaks_at.clear()
        await copy.reaches(120)
    assert await copy.applied() == positions_of(TOLD)
    assert await parked_in(amqp_url, queue) == []


async def test_a_server_that_is_away_is_waited_for_with_what_was_put_back_too(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    handler = Fragile(POISON.position)
    async with running_with(handler, subscription, copy):
        await all_told(amqp_url, prefix, copy)
        handler.error = TryLater
        before = handler.tried[POISON.position]
        await give_back(amqp_url, queue, "replay", POISON.position)

        async def is_tried_often() -> bool:
            await asyncio.sleep(0)
            return handler.tried[POISON.position] > before + FAST.tries_max

        await eventually(is_tried_often, "it is tried more often than a poison")
        handler.breaks_at.clear()
        await left_parked(subscription, len(SAME_CUSTOMER) - 1)
        await give_back(amqp_url, queue, "replay")
        await left_parked(subscription, 0)
    assert await copy.applied() == positions_of(TOLD)
    assert await copy.customers() == expected_copy(TOLD)


async def test_a_parked_queue_that_is_deleted_under_a_subscriber_is_made_anew(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    handler = Fragile(POISON.position)
    async with running_with(handler, subscription, copy):
        await all_told(amqp_url, prefix, copy, TOLD[: POISON.position])
        await without_queue(amqp_url, f"{queue}.parked")
        await all_told(amqp_url, prefix, copy, TOLD[POISON.position :])
    found = [event.position for event in await parked_in(amqp_url, queue)]
    assert found == positions_of(SAME_CUSTOMER[1:])


def test_an_error_with_half_a_character_can_be_written_into_a_message() -> None:
    why = because_of(BrokenError("half of a \ud83d"), tries=1)
    assert why.detail.encode().endswith(b"half of a \\ud83d")


async def test_a_database_that_is_away_parks_nothing(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    async with wire_to(copy.url) as (wire, url):
        inbox = Inbox(url, silence_max_s=SILENCE_MAX_S)
        async with running(subscription.run(keep_copy, inbox=inbox)):
            await all_told(amqp_url, prefix, copy, TOLD[:60])
            wire.cut()
            await publish(amqp_url, prefix, TOLD[60:], LOG_ID)
            wire.mend()
            await copy.reaches(120)
    assert await copy.applied() == positions_of(TOLD)
    assert await parked_in(amqp_url, queue) == []


async def test_a_handler_that_is_not_async_stops_the_subscriber(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    def handle(_event: Event, _connection: Connection) -> None:
        return

    await publish(amqp_url, prefix, TOLD[:5], LOG_ID)
    inbox = Inbox(copy.url, silence_max_s=SILENCE_MAX_S)
    with pytest.raises(HandlerNotAsync):
        async with asyncio.timeout(LIMIT_S):
            await subscription.run(cast("Handler", handle), inbox=inbox)
    assert (await copy.position(), await parked_in(amqp_url, queue)) == (0, [])


async def test_a_queue_that_is_not_there_or_nobodys_is_told(amqp_url: str, queue: str) -> None:
    with pytest.raises(ParkedRefused, match="there is no queue"):
        await parked_in(amqp_url, queue)
    with pytest.raises(ParkedRefused, match="cannot name"):
        await parked_in(amqp_url, f"{queue}.parked")
