"""Which events a subscriber may ask for, and what is refused as it is asked."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest
from tests.support.brokers import LOG_ID
from tests.support.told import told_log

from chaching.broker import messages
from chaching.subscriber import Subscription
from chaching.subscriber.events import EVENT_TYPES, Received, received
from chaching.subscriber.wanted import wanted_of

LATER: Final = "customer.archived"


def message_of_type(name: str) -> Received:
    [told] = told_log(1)
    wire = messages.encode(msgspec.structs.replace(told, type=name), LOG_ID)
    return received(wire.headers, wire.body)


def taken_by(*types: str) -> set[str]:
    wanted = wanted_of(None, None, types)
    return {name for name in (*EVENT_TYPES, LATER) if wanted.has(message_of_type(name))}


def test_a_type_takes_itself_alone() -> None:
    assert taken_by("customer.created") == {"customer.created"}
    both = ("customer.deleted", "customer.erased")
    assert taken_by(*both) == set(both)


@pytest.mark.parametrize("pattern", ["*", "customer.*", "c*.*"])
def test_a_star_takes_what_comes_later_too(pattern: str) -> None:
    assert taken_by(pattern) == {*EVENT_TYPES, LATER}


def test_a_star_stands_for_any_part_of_a_type() -> None:
    assert taken_by("*.created", "customer.d*") == {"customer.created", "customer.deleted"}


@pytest.mark.parametrize(
    "wrong", ["customer.update", "customer_created", "CUSTOMER.CREATED", "invoice.*", "", ".*d"]
)
def test_a_type_that_is_none_is_refused_with_those_that_there_are(wrong: str) -> None:
    with pytest.raises(ValueError, match=", ".join(sorted(EVENT_TYPES))) as said:
        Subscription("amqp://localhost/", "crm", types={"customer.created", wrong})
    assert repr(wrong) in str(said.value)


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"modes": {"prod"}}, "'prod' is no mode: live, test"),
        ({"accounts": {"acct 1"}}, "'acct 1' is no account"),
        ({"accounts": []}, "accounts is empty"),
        ({"types": set[str]()}, "types is empty"),
    ],
)
def test_what_no_event_can_be_is_refused(filters: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Subscription("amqp://localhost/", "crm", **filters)


def test_one_text_in_the_place_of_several_is_refused() -> None:
    with pytest.raises(TypeError, match=r"a text by itself .* accounts=\{'acct_1'\}"):
        Subscription("amqp://localhost/", "crm", accounts="acct_1")
