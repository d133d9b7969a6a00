from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from tests.domain.strategies import histories
from tests.support.brokers import LOG_ID
from tests.support.told import told_log

from chaching.broker import messages
from chaching.broker.messages import EventMessage
from chaching.domain.customer import Event as StoredEvent
from chaching.domain.customer import evolve
from chaching.domain.customer_object import CustomerObject, customer_object
from chaching.envelope import Undecodable
from chaching.public_event import CUSTOMER_DELETED, PUBLIC_TYPES
from chaching.subscriber.events import (
    EVENT_TYPES,
    Customer,
    CustomerErased,
    CustomerEvent,
    CustomerUpdated,
    Event,
    NoEvent,
    event_of,
    received,
)

TOLD = told_log(80)


def read(message: EventMessage, **headers: object) -> Event:
    """Return a message as a subscriber sees its event."""
    wire = messages.encode(message, LOG_ID)
    return event_of(received(wire.headers | headers, wire.body))


def read_body(message: EventMessage, body: Mapping[str, Any]) -> Event:
    wire = messages.encode(message, LOG_ID)
    return event_of(received(wire.headers, msgspec.json.encode(body)))


def body_of(message: EventMessage) -> dict[str, Any]:
    return msgspec.json.decode(messages.encode(message, LOG_ID).body)


@pytest.mark.parametrize(
    "message",
    {message.type: message for message in TOLD}.values(),
    ids=lambda message: message.type,
)
def test_an_event_says_what_its_message_says(message: EventMessage) -> None:
    event = read(message)
    assert isinstance(event, CustomerEvent)
    assert type(event) is EVENT_TYPES[message.type]
    assert (event.id, event.type, event.time) == (message.event_id, message.type, message.time)
    assert (event.position, event.previous_position, event.version) == (
        message.position,
        message.previous_position,
        message.version,
    )
    assert (event.account, event.mode, event.customer_id) == ("acct_1", "test", message.key.id)
    assert event.customer_json == bytes(message.object)
    assert event.customer.id == message.key.id
    assert event.attached == msgspec.json.decode(message.attached)
    if isinstance(event, CustomerUpdated):
        assert message.previous_attributes is not None
        assert event.previous_attributes == msgspec.json.decode(message.previous_attributes)


def test_every_type_that_is_published_is_known() -> None:
    assert set(EVENT_TYPES) == set(PUBLIC_TYPES.values())
    assert {message.type for message in TOLD} == set(EVENT_TYPES) - {"customer.erased"}


def test_an_erasure_tells_to_forget() -> None:
    erased = msgspec.structs.replace(TOLD[0], type="customer.erased")
    event = read(erased)
    assert isinstance(event, CustomerErased)
    assert event.customer_json == bytes(erased.object)


def test_a_customer_has_every_attribute_that_the_api_shows() -> None:
    shown = set(CustomerObject.__struct_fields__) - {"object"}
    assert set(Customer.__struct_fields__) == shown


@given(histories)
def test_every_customer_is_read_as_it_is_shown(events: list[StoredEvent]) -> None:
    customer = None
    for event in events:
        customer = evolve(customer, event)
        shown = msgspec.json.encode(customer_object(customer))
        read_back = msgspec.json.decode(
            msgspec.json.encode(msgspec.json.decode(shown, type=Customer))
        )
        expected = msgspec.json.decode(shown)
        assert expected.pop("object") == "customer"
        assert read_back == {"updated": None} | expected


def test_an_event_of_a_later_type_comes_with_its_body_unread() -> None:
    later = msgspec.structs.replace(TOLD[0], type="customer.archived")
    wire = messages.encode(later, LOG_ID)
    event = event_of(received(wire.headers, b'{"erased": true}'))
    assert type(event) is Event
    assert (event.type, event.body) == ("customer.archived", b'{"erased": true}')


def test_attributes_and_values_of_later_versions_are_no_reason_to_fail() -> None:
    body = body_of(TOLD[0])
    body["object"] |= {"tax_exempt": "partly", "currency": "eur", "loyalty": {"points": 3}}
    body["caused_by"] = "evt_1"
    event = read_body(TOLD[0], body)
    assert isinstance(event, CustomerEvent)
    assert (event.customer.tax_exempt, event.customer.currency) == ("partly", "eur")
    assert b'"points":3' in event.customer_json


@pytest.mark.parametrize("body", [{}, {"object": None}, {"object": {"id": 7}}, []])
def test_a_known_event_whose_body_cannot_be_read_is_undecodable(body: Any) -> None:
    with pytest.raises(Undecodable, match="broken"):
        read_body(TOLD[0], body)


def test_an_event_of_a_later_schema_is_undecodable() -> None:
    with pytest.raises(Undecodable, match="schema version 2"):
        read(TOLD[0], schema_version=2)


@pytest.mark.parametrize(
    "headers",
    [
        {"position": 0},
        {"position": "7"},
        {"cloudEvents:source": "somebody"},
        {"cloudEvents:time": "yesterday"},
        {"mode": "dry"},
    ],
)
def test_a_message_that_does_not_name_its_event_is_none(headers: dict[str, object]) -> None:
    with pytest.raises(NoEvent):
        read(TOLD[0], **headers)


def test_a_message_without_headers_is_no_event() -> None:
    with pytest.raises(NoEvent):
        received({}, b"hello")


def test_a_deleted_customer_is_told_as_it_was() -> None:
    deleted = next(message for message in TOLD if message.type == CUSTOMER_DELETED)
    event = read(deleted)
    assert isinstance(event, CustomerEvent)
    assert event.customer.name == "Jenny Rosen"
