# Faults are planted inside.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import msgspec
import pytest
from structlog.testing import capture_logs
from tests.support.brokers import LOG_ID, messages_in
from tests.support.running import running
from tests.support.subscribers import (
    SILENCE_MAX_S,
    Copy,
    active,
    keep_copy,
    publish,
    publish_to,
    subscribing,
    unbind,
    without_queue,
)
from tests.support.told import expected_copy, told_log
from tests.support.waiting import eventually
from tests.support.withholding import wire_to

from chaching.broker import history, subscriber_queues, topology
from chaching.broker.connection import connected
from chaching.broker.messages import EventMessage
from chaching.domain.ids import AccountId
from chaching.envelope import Position, StreamKey
from chaching.subscriber import Connection, Event, Inbox, Missing, Subscription
from chaching.subscriber import feed as feed_module
from chaching.subscriber import past as past_module

TOLD: Final = told_log(1_500)


async def assert_complete(copy: Copy, told: Sequence[EventMessage]) -> None:
    """Everything was applied once, in order, and the copy is what it must be."""
    assert await copy.applied_in_turn() == [message.position for message in told]
    assert await copy.customers() == expected_copy(told)


def shuffled(told: Sequence[EventMessage], window: int, seed: int) -> list[EventMessage]:
    """Return the messages so that none is further than a window from its place."""
    chance = random.Random(seed)  # noqa: S311 - the same order every time
    places = [(place + chance.uniform(0, window), place) for place in range(len(told))]
    return [told[place] for _, place in sorted(places)]


async def test_a_new_subscriber_reads_all_history_then_goes_live_without_gap_or_repetition(
    amqp_url: str, prefix: str, queue: str, copy: Copy
) -> None:
    told = TOLD[:1_500]
    await publish(amqp_url, prefix, told[:1_000], LOG_ID)
    async with subscribing(Subscription(amqp_url, queue, prefix=prefix), copy):
        await copy.reaches(400)
        await publish(amqp_url, prefix, told[1_000:], LOG_ID)
        await copy.reaches(1_500)
    await assert_complete(copy, told)


async def test_messages_that_come_three_times_and_shuffled_are_applied_once_and_in_order(
    amqp_url: str, prefix: str, queue: str, copy: Copy
) -> None:
    subscription = Subscription(amqp_url, queue, prefix=prefix)
    told = TOLD[:700]
    thrice = [message for message in told for _ in range(3)]
    async with subscribing(subscription, copy):
        await active(subscription)
        await publish_to(amqp_url, queue, shuffled(thrice, window=100, seed=7), LOG_ID)
        await copy.reaches(len(told))
        await eventually(lambda: is_empty(amqp_url, queue), "the queue is empty")
    await assert_complete(copy, told)


async def is_empty(amqp_url: str, queue: str) -> bool:
    async with connected(amqp_url, name="tests") as connection:
        return await messages_in(connection, queue) == 0


async def test_a_subscriber_goes_on_where_it_stopped(
    amqp_url: str, prefix: str, queue: str, copy: Copy
) -> None:
    for end in (200, 201, 500):
        before = await copy.position()
        async with subscribing(Subscription(amqp_url, queue, prefix=prefix), copy):
            await publish(amqp_url, prefix, TOLD[before:end], LOG_ID)
            await copy.reaches(end)
    await assert_complete(copy, TOLD[:500])


async def test_what_was_published_while_the_queue_did_not_exist_is_read_from_the_stream(
    amqp_url: str, prefix: str, queue: str, copy: Copy
) -> None:
    async with subscribing(Subscription(amqp_url, queue, prefix=prefix), copy):
        await publish(amqp_url, prefix, TOLD[:100], LOG_ID)
        await copy.reaches(100)
    await without_queue(amqp_url, queue)
    await publish(amqp_url, prefix, TOLD[100:300], LOG_ID)
    async with subscribing(Subscription(amqp_url, queue, prefix=prefix), copy):
        await copy.reaches(300)
    await assert_complete(copy, TOLD[:300])


async def test_a_queue_that_is_deleted_under_a_subscriber_costs_it_nothing(
    amqp_url: str, prefix: str, queue: str, copy: Copy
) -> None:
    async with subscribing(Subscription(amqp_url, queue, prefix=prefix), copy):
        await publish(amqp_url, prefix, TOLD[:100], LOG_ID)
        await copy.reaches(50)
        await without_queue(amqp_url, queue)
        await publish(amqp_url, prefix, TOLD[100:200], LOG_ID)
        await copy.reaches(200)
    await assert_complete(copy, TOLD[:200])


async def test_what_a_full_queue_dropped_is_read_from_the_stream(
    amqp_url: str, prefix: str, queue: str, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber_queues, "QUEUE_MESSAGES_MAX", 20)
    async with subscribing(Subscription(amqp_url, queue, prefix=prefix), copy):
        await publish(amqp_url, prefix, TOLD[:10], LOG_ID)
        await copy.reaches(10)
    await publish(amqp_url, prefix, TOLD[10:400], LOG_ID)
    async with subscribing(Subscription(amqp_url, queue, prefix=prefix), copy):
        await copy.reaches(400)
    await assert_complete(copy, TOLD[:400])


async def test_a_binding_that_somebody_took_away_is_noticed(
    amqp_url: str, prefix: str, queue: str, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "QUIET_MAX_S", 0.5)
    async with subscribing(Subscription(amqp_url, queue, prefix=prefix), copy):
        await publish(amqp_url, prefix, TOLD[:10], LOG_ID)
        await copy.reaches(10)
        await unbind(amqp_url, queue, topology.names_under(prefix).events)
        await publish(amqp_url, prefix, TOLD[10:20], LOG_ID)
        await copy.reaches(20)
    await assert_complete(copy, TOLD[:20])


async def test_history_that_nobody_has_is_told_and_waited_for(
    amqp_url: str, prefix: str, queue: str, copy: Copy
) -> None:
    await publish(amqp_url, prefix, TOLD[40:60], LOG_ID)
    subscription = Subscription(amqp_url, queue, prefix=prefix)

    async def is_told() -> bool:
        return subscription.status.missing == Missing(Position(1), Position(40))

    with capture_logs() as logged:
        async with subscribing(subscription, copy):
            await eventually(is_told, "the missing positions are named")
            await publish_to(amqp_url, queue, TOLD[:39], LOG_ID)
            await copy.reaches(39)
            assert "history_found" not in {line["event"] for line in logged}
            await publish_to(amqp_url, queue, TOLD[39:60], LOG_ID)
            await copy.reaches(60)
            assert subscription.status.missing is None
    await assert_complete(copy, TOLD[:60])
    [found] = [line for line in logged if line["event"] == "history_found"]
    assert (found["first"], found["last"], found["log_level"]) == (1, 40, "info")


async def test_missing_history_can_come_behind_more_than_may_wait(
    amqp_url: str, prefix: str, queue: str, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "WINDOW_MAX_EVENTS", 20)
    monkeypatch.setattr(feed_module, "PREFETCH_MESSAGES", 25)
    subscription = Subscription(amqp_url, queue, prefix=prefix)
    async with subscribing(subscription, copy):
        await active(subscription)
        await publish_to(amqp_url, queue, TOLD[10:150], LOG_ID)
        await publish_to(amqp_url, queue, TOLD[:150], LOG_ID)
        await copy.reaches(150)
    await assert_complete(copy, TOLD[:150])


@pytest.mark.parametrize(
    "comes",
    [
        pytest.param([*TOLD[100:200], *TOLD[:200]], id="much that is missing"),
        pytest.param([*TOLD[2:40] * 2, *TOLD[:40]], id="repetitions of what waits"),
    ],
)
async def test_what_waits_never_keeps_what_it_waits_for_in_the_queue(
    amqp_url: str,
    prefix: str,
    queue: str,
    copy: Copy,
    monkeypatch: pytest.MonkeyPatch,
    comes: Sequence[EventMessage],
) -> None:
    monkeypatch.setattr(feed_module, "WINDOW_MAX_EVENTS", 50)
    monkeypatch.setattr(feed_module, "PREFETCH_MESSAGES", 60)
    subscription = Subscription(amqp_url, queue, prefix=prefix)
    end = max(message.position for message in comes)
    async with subscribing(subscription, copy):
        await active(subscription)
        await publish_to(amqp_url, queue, comes, LOG_ID)
        await copy.reaches(end)
        await eventually(lambda: is_empty(amqp_url, queue), "the queue is empty")
    await assert_complete(copy, TOLD[:end])


async def test_a_time_beyond_the_end_of_the_stream_is_no_reason_to_miss_anything(
    amqp_url: str, prefix: str, queue: str, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "SILENCE_MAX_S", 0.3)
    await publish(amqp_url, prefix, TOLD[:30], LOG_ID)
    async with subscribing(Subscription(amqp_url, queue, prefix=prefix), copy):
        await copy.reaches(30)
    await without_queue(amqp_url, queue)
    await copy.database.execute(
        "UPDATE chaching_inbox.subscribers SET event_time = now() + interval '1 day'"
    )
    await publish(amqp_url, prefix, TOLD[30:60], LOG_ID)
    async with subscribing(Subscription(amqp_url, queue, prefix=prefix), copy):
        await copy.reaches(60)
    await assert_complete(copy, TOLD[:60])


async def test_a_time_that_is_too_late_is_no_reason_to_miss_anything(
    amqp_url: str, prefix: str, queue: str, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past_module, "CLOCKS_APART_MAX_S", 0.0)
    await publish(amqp_url, prefix, TOLD[:30], LOG_ID)
    async with subscribing(Subscription(amqp_url, queue, prefix=prefix), copy):
        await copy.reaches(30)
    await without_queue(amqp_url, queue)
    await publish(amqp_url, prefix, TOLD[30:60], LOG_ID)
    too_late = datetime.now(UTC) + timedelta(seconds=1.5)
    await copy.database.execute("UPDATE chaching_inbox.subscribers SET event_time = $1", too_late)

    async def is_late() -> bool:
        await asyncio.sleep(0)
        return datetime.now(UTC) > too_late + timedelta(seconds=0.5)

    await eventually(is_late, "the next chunk of the stream is a later one")
    await publish(amqp_url, prefix, TOLD[60:90], LOG_ID)
    async with subscribing(Subscription(amqp_url, queue, prefix=prefix), copy):
        await copy.reaches(90)
    await assert_complete(copy, TOLD[:90])


async def stands_at(subscription: Subscription, position: int) -> bool:
    await asyncio.sleep(0)
    return subscription.status.position == position


async def test_what_is_not_wanted_is_passed_over_and_the_position_moves(
    amqp_url: str, prefix: str, queue: str, copy: Copy
) -> None:
    subscription = Subscription(
        amqp_url, queue, prefix=prefix, types={"customer.created", "customer.deleted"}
    )
    async with subscribing(subscription, copy):
        await publish(amqp_url, prefix, TOLD[:300], LOG_ID)
        await copy.reaches(300)
        assert subscription.status.lag_events == 0
    wanted = [m for m in TOLD[:300] if m.type != "customer.updated"]
    await assert_complete(copy, wanted)


@pytest.mark.parametrize(
    "filters", [{"accounts": {"acct_2"}}, {"modes": {"live"}}, {"types": {"*.deleted"}}], ids=str
)
async def test_a_subscriber_can_want_accounts_modes_and_types(
    amqp_url: str, prefix: str, queue: str, copy: Copy, filters: dict[str, Any]
) -> None:
    elsewhere = [
        msgspec.structs.replace(m, key=StreamKey(AccountId("acct_2"), True, m.key.id))
        for m in TOLD[50:80]
    ]
    subscription = Subscription(amqp_url, queue, prefix=prefix, **filters)
    async with subscribing(subscription, copy):
        told = [*TOLD[:50], *elsewhere, *TOLD[80:100]]
        await publish(amqp_url, prefix, told, LOG_ID)
        await copy.reaches(100)
    deletions = [message for message in told if message.type == "customer.deleted"]
    await assert_complete(copy, deletions if "types" in filters else elsewhere)


async def test_an_event_of_a_later_type_reaches_the_handler_as_a_plain_one(
    amqp_url: str, prefix: str, queue: str, copy: Copy
) -> None:
    seen: list[Event] = []

    async def see(event: Event, _connection: Connection) -> None:
        await asyncio.sleep(0)
        seen.append(event)

    later = msgspec.structs.replace(TOLD[1], type="customer.archived")
    inbox = Inbox(copy.url, silence_max_s=SILENCE_MAX_S)
    async with running(Subscription(amqp_url, queue, prefix=prefix).run(see, inbox=inbox)):
        await publish(amqp_url, prefix, [TOLD[0], later, *TOLD[2:5]], LOG_ID)
        await copy.reaches(5)
    assert [event.position for event in seen] == [1, 2, 3, 4, 5]
    assert (type(seen[1]), seen[1].type) == (Event, "customer.archived")


async def test_lost_connections_cost_nothing(
    amqp_url: str, prefix: str, queue: str, copy: Copy
) -> None:
    async with (
        wire_to(amqp_url) as (wire, url),
        subscribing(Subscription(url, queue, prefix=prefix), copy),
    ):
        for first in range(0, 400, 100):
            await publish(amqp_url, prefix, TOLD[first : first + 100], LOG_ID)
            await copy.reaches(first + 50)
            wire.cut()
            wire.mend()
        await copy.reaches(400)
    await assert_complete(copy, TOLD[:400])


async def test_a_second_process_stands_by_and_takes_over(
    amqp_url: str, prefix: str, queue: str, copy: Copy
) -> None:
    first = Subscription(amqp_url, queue, prefix=prefix)
    second = Subscription(amqp_url, queue, prefix=prefix)
    async with subscribing(first, copy):
        await active(first)
        async with subscribing(second, copy) as task:
            await publish(amqp_url, prefix, TOLD[:200], LOG_ID)
            await copy.reaches(200)
            assert (first.status.is_active, second.status.is_active) == (True, False)
            task.cancel()
    async with subscribing(second, copy):
        await publish(amqp_url, prefix, TOLD[200:300], LOG_ID)
        await copy.reaches(300)
        assert (first.status.is_active, second.status.is_active) == (False, True)
    await assert_complete(copy, TOLD[:300])


async def test_two_processes_never_apply_an_event_twice(
    amqp_url: str, prefix: str, queue: str, copy: Copy
) -> None:
    impatient = Inbox(copy.url, silence_max_s=0.01)
    other = Inbox(copy.url, silence_max_s=0.01)
    async with (
        running(Subscription(amqp_url, queue, prefix=prefix).run(keep_copy, inbox=impatient)),
        running(Subscription(amqp_url, queue, prefix=prefix).run(keep_copy, inbox=other)),
    ):
        await publish(amqp_url, prefix, TOLD[:200], LOG_ID)
        await copy.reaches(200)
    await assert_complete(copy, TOLD[:200])


async def test_two_subscriptions_can_share_an_inbox_and_one_ends_before_the_other(
    amqp_url: str, prefix: str, queue: str, copy: Copy
) -> None:
    inbox = Inbox(copy.url, silence_max_s=SILENCE_MAX_S)
    all_of_it = Subscription(amqp_url, queue, prefix=prefix)
    nothing = Subscription(amqp_url, f"{prefix}.mailer", prefix=prefix, accounts={"acct_none"})
    async with running(all_of_it.run(keep_copy, inbox=inbox)):
        async with running(nothing.run(keep_copy, inbox=inbox)):
            await publish(amqp_url, prefix, TOLD[:100], LOG_ID)
            await eventually(partial(stands_at, nothing, 100), "the other one has come to 100")
        await publish(amqp_url, prefix, TOLD[100:200], LOG_ID)
        await eventually(partial(stands_at, all_of_it, 200), "the first one has come to 200")
    await without_queue(amqp_url, f"{prefix}.mailer")
    await without_queue(amqp_url, f"{prefix}.mailer.parked")
    await assert_complete(copy, TOLD[:200])


@pytest.mark.parametrize(
    "name", ["", "amq.crm", "chaching.projector", "a b", "crm.parked", "a" * 201]
)
def test_a_name_that_cannot_be_a_subscribers_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a subscriber's queue"):
        Subscription("amqp://localhost/", name)


async def test_a_subscriber_waits_for_a_service_that_has_not_begun(
    amqp_url: str, prefix: str, queue: str, copy: Copy
) -> None:
    await topology.delete(amqp_url, prefix)
    async with subscribing(Subscription(amqp_url, queue, prefix=prefix), copy):
        await eventually(copy.has_inbox, "the subscriber has begun")
        await publish(amqp_url, prefix, TOLD[:10], LOG_ID)
        await copy.reaches(10)
    await assert_complete(copy, TOLD[:10])
