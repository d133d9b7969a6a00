"""A parked event whose message was deleted from the parked queue by hand."""

from __future__ import annotations

import msgspec
import pytest
from tests.support.brokers import LOG_ID, OTHER_LOG_ID
from tests.support.poison import (
    OTHERS,
    POISON,
    SAME_CUSTOMER,
    TOLD,
    Fragile,
    all_told,
    give_back,
    left_parked,
    messages_waiting,
    parked_in,
    positions_of,
    running_with,
)
from tests.support.subscribers import Copy, active, publish_to, purge
from tests.support.told import expected_copy

from chaching.broker.messages import SOURCE_PREFIX
from chaching.broker.sender import sending
from chaching.envelope import Position
from chaching.subscriber import Subscription
from chaching.subscriber.events import GivenUp
from chaching.subscriber.parked import ParkedRefused, parked_queue


async def give_up(amqp_url: str, prefix: str, queue: str, position: int) -> None:
    async with parked_queue(amqp_url, queue, prefix=prefix) as parked:
        await parked.give_up(Position(position))


async def lose_the_poison(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    """Park the poison and what follows for its customer, and delete the poison's message."""
    last = SAME_CUSTOMER[-1].position
    async with running_with(Fragile(POISON.position), subscription, copy):
        await all_told(amqp_url, prefix, copy, TOLD[: POISON.position])
        await left_parked(subscription, 1)
        await purge(amqp_url, f"{queue}.parked")
        await all_told(amqp_url, prefix, copy, TOLD[POISON.position : last])
        await left_parked(subscription, len(SAME_CUSTOMER))


async def test_what_is_given_up_keeps_its_customer_parked_no_more(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    await lose_the_poison(amqp_url, prefix, queue, copy, subscription)
    async with running_with(Fragile(), subscription, copy):
        await give_up(amqp_url, prefix, queue, POISON.position)
        await left_parked(subscription, len(SAME_CUSTOMER) - 1)
        await give_back(amqp_url, queue, "replay")
        await left_parked(subscription, 0)
        await all_told(amqp_url, prefix, copy, TOLD[SAME_CUSTOMER[-1].position :])
    handled = [message for message in TOLD if message.position != POISON.position]
    assert await copy.applied() == positions_of(handled)
    assert await copy.customers() == expected_copy(handled)
    assert await messages_waiting(amqp_url, f"{queue}.parked") == 0


async def test_what_waits_behind_a_lost_message_comes_back_until_that_is_given_up(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    await lose_the_poison(amqp_url, prefix, queue, copy, subscription)
    async with running_with(Fragile(), subscription, copy):
        await give_back(amqp_url, queue, "replay")
        await all_told(amqp_url, prefix, copy, TOLD[SAME_CUSTOMER[-1].position :])
    parked = await parked_in(amqp_url, queue)
    assert [event.position for event in parked] == positions_of(SAME_CUSTOMER[1:])
    assert {event.known.parked_reason for event in parked} == {f"behind {POISON.position}"}
    assert await copy.applied() == positions_of(OTHERS)


async def test_a_lost_message_that_is_replayed_into_the_parked_queue_costs_nothing(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    await lose_the_poison(amqp_url, prefix, queue, copy, subscription)
    await publish_to(amqp_url, f"{queue}.parked", [POISON], LOG_ID)
    async with running_with(Fragile(), subscription, copy):
        await give_back(amqp_url, queue, "replay")
        await left_parked(subscription, 0)
        await all_told(amqp_url, prefix, copy, TOLD[SAME_CUSTOMER[-1].position :])
    assert await copy.applied() == positions_of(TOLD)
    assert await copy.customers() == expected_copy(TOLD)


async def test_giving_up_what_is_not_parked_or_was_handled_changes_nothing(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    handler = Fragile(POISON.position)
    async with running_with(handler, subscription, copy):
        await all_told(amqp_url, prefix, copy, TOLD[: POISON.position])
        handler.breaks_at.clear()
        await give_back(amqp_url, queue, "replay")
        # behind what was put back, so that it finds it handled
        await give_up(amqp_url, prefix, queue, POISON.position)
        await give_up(amqp_url, prefix, queue, POISON.position + 1)
        await all_told(amqp_url, prefix, copy, TOLD[POISON.position :])
        await left_parked(subscription, 0)
    assert await copy.applied() == positions_of(TOLD)
    assert await messages_waiting(amqp_url, queue) == 0


async def test_a_message_that_is_there_is_not_given_up_as_lost(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    async with running_with(Fragile(POISON.position), subscription, copy):
        await all_told(amqp_url, prefix, copy)
    with pytest.raises(ParkedRefused, match="discard that"):
        await give_up(amqp_url, prefix, queue, POISON.position)
    parked = await parked_in(amqp_url, queue)
    assert [event.position for event in parked] == positions_of(SAME_CUSTOMER)
    assert await messages_waiting(amqp_url, queue) == 0


async def test_an_order_of_another_log_gives_nothing_up(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    await lose_the_poison(amqp_url, prefix, queue, copy, subscription)
    order = GivenUp(source=f"{SOURCE_PREFIX}{OTHER_LOG_ID}", position=POISON.position)
    async with sending(amqp_url, name="tests") as sender:
        await sender.send(queue, "give_up", msgspec.to_builtins(order), b"")
    async with running_with(Fragile(), subscription, copy):
        await all_told(amqp_url, prefix, copy, TOLD[SAME_CUSTOMER[-1].position :])
        await left_parked(subscription, len(SAME_CUSTOMER))
    assert await copy.applied() == positions_of(OTHERS)


async def test_without_anything_that_names_the_log_nothing_is_given_up(
    amqp_url: str, prefix: str, queue: str, copy: Copy, subscription: Subscription
) -> None:
    async with running_with(Fragile(), subscription, copy):
        await active(subscription)
    with pytest.raises(ParkedRefused, match="does not say which log"):
        await give_up(amqp_url, prefix, queue, 7)
