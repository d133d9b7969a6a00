from __future__ import annotations

import pytest

from chaching_api.bodies import decode_form
from chaching_api.errors import Malformed
from chaching_api.event_parameters import (
    EVENT_LIST,
    EventListInput,
    read_event_list,
    read_event_retrieve,
)
from chaching_api.parameter_tables import Seconds


def listing(query: str) -> EventListInput:
    return read_event_list(decode_form(query.encode()))


def refusal(query: str) -> Malformed:
    with pytest.raises(Malformed) as raised:
        listing(query)
    return raised.value


def test_nothing_said_lists_ten_of_all() -> None:
    assert listing("") == EventListInput()
    assert (listing("").limit, listing("").types) == (10, ("*",))


def test_every_parameter_is_read() -> None:
    query = "limit=3&starting_after=evt_1&created[gte]=5&created[lt]=9&delivery_success=true"
    assert listing(f"{query}&type=customer.*") == EventListInput(
        limit=3,
        starting_after="evt_1",
        created=Seconds(5, 8),
        delivery_success=True,
        types=("customer.*",),
    )
    assert listing("ending_before=evt_2").ending_before == "evt_2"
    assert listing("delivery_success=false").delivery_success is False
    assert set(EVENT_LIST) == {
        *("created", "delivery_success", "ending_before", "expand", "limit", "starting_after"),
        *("type", "types"),
    }


@pytest.mark.parametrize("spelled", ["types[]=a&types[]=b", "types[0]=a&types[1]=b"])
def test_types_are_a_list(spelled: str) -> None:
    assert listing(spelled).types == ("a", "b")


def test_there_can_be_twenty_types_and_no_more() -> None:
    assert len(listing("&".join(["types[]=a"] * 20)).types) == 20
    assert refusal("&".join(["types[]=a"] * 21)).message == (
        "Invalid array: types can have up to 20 entries, but you've set 21."
    )


@pytest.mark.parametrize(
    ("said", "meant"), [("0", 1), ("101", 100), ("-7", 1), ("9" * 20, 100), ("-" + "9" * 9_999, 1)]
)
def test_a_limit_is_clamped(said: str, meant: int) -> None:
    assert listing(f"limit={said}").limit == meant


@pytest.mark.parametrize(
    ("query", "message", "param"),
    [
        (
            "starting_after=a&ending_before=b",
            "You may only specify one of these parameters: starting_after, ending_before.",
            "ending_before",
        ),
        (
            "type=a&types[]=b",
            "You may only specify one of these parameters: type, types.",
            "types",
        ),
        ("delivery_success=1", "Invalid delivery_success: must be one of true or false", None),
        ("limit=abc", "Invalid integer: abc", "limit"),
        ("types=a", "Invalid array: types must be a list", "types"),
        ("expand[]=data.object", "This property cannot be expanded (data.object).", "expand[0]"),
        ("object=cus_1&limit=x", "Received unknown parameter: object", "object"),
    ],
)
def test_a_broken_query_is_refused_by_name(query: str, message: str, param: str | None) -> None:
    refused = refusal(query)
    assert refused.message == message
    assert param is None or refused.param == param


@pytest.mark.parametrize("name", ["type", "types[]", "starting_after", "created", "limit"])
def test_an_empty_value_is_refused(name: str) -> None:
    assert refusal(f"{name}=").reason == "parameter_invalid_empty"


def test_of_an_event_nothing_can_be_expanded() -> None:
    read_event_retrieve({})
    with pytest.raises(Malformed, match=r"cannot be expanded \(data\.object\)"):
        read_event_retrieve(decode_form(b"expand[]=data.object"))
    with pytest.raises(Malformed, match="unknown parameter: limit"):
        read_event_retrieve(decode_form(b"limit=1"))
