from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from tests.domain.strategies import histories
from tests.support.brokers import LOG_ID, OTHER_LOG_ID
from tests.support.customers import ACCOUNT, created, deleted, pending, updated

from chaching.broker import messages
from chaching.broker.messages import EventMessage, OtherLog, message_of
from chaching.domain.customer import (
    Command,
    Customer,
    CustomerUpdated,
    EraseCustomer,
    Event,
    decide,
    evolve,
    fold,
)
from chaching.domain.customer_object import customer_object, render
from chaching.domain.ids import CustomerId
from chaching.domain.values import (
    Address,
    AddressChange,
    Details,
    InvoiceSettingsChange,
    RenderingOptionsChange,
    ShippingChange,
    TaxChange,
)
from chaching.envelope import Position, RecordedEvent, Undecodable, Version

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
INSTANT = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)


def recorded(
    event: Event, state: Customer | None, version: int, traceparent: str | None = None
) -> RecordedEvent:
    stored = pending(event, state, Version(version - 1), traceparent)
    return RecordedEvent(
        position=Position(version * 10),
        key=stored.key,
        version=Version(version),
        previous_position=Position((version - 1) * 10),
        event_id=stored.event_id,
        type=stored.type,
        schema_version=stored.schema_version,
        payload=stored.payload,
        state=stored.state,
        metadata=stored.metadata,
        recorded_at=INSTANT,
    )


def after(*commands: Command) -> tuple[EventMessage, Customer]:
    """The message of the last command's event, and the customer then."""
    state: Customer | None = None
    recording: RecordedEvent | None = None
    for version, command in enumerate(commands, 1):
        event = decide(command, state)
        assert event is not None
        recording = recorded(event, state, version, TRACE)
        state = evolve(state, event)
    assert recording is not None
    assert state is not None
    return message_of(recording), state


def previous_of(*commands: Command) -> Any:
    message, _ = after(*commands)
    assert message.previous_attributes is not None
    return msgspec.json.decode(message.previous_attributes)


def test_a_created_customer_is_carried_as_a_retrieve_answers_it() -> None:
    message, customer = after(created("cus_1"))
    assert message.type == "customer.created"
    assert bytes(message.object) == render(customer)
    assert message.previous_attributes is None


def test_a_deleted_customer_is_carried_as_it_was() -> None:
    message, customer = after(created("cus_1"), deleted("cus_1"))
    assert message.type == "customer.deleted"
    assert bytes(message.object) == msgspec.json.encode(customer_object(customer))
    assert b"Jenny Rosen" in bytes(message.object)


def test_an_erased_customer_is_carried_without_any_personal_value() -> None:
    erasure = EraseCustomer(id=CustomerId("cus_1"), at=1)
    message, customer = after(created("cus_1"), erasure)
    assert message.type == "customer.erased"
    assert bytes(message.object) == msgspec.json.encode(customer_object(customer))
    shown = msgspec.json.decode(message.object)
    assert (shown["name"], shown["email"], shown["metadata"]) == (None, None, {})
    assert message.previous_attributes is None


def test_previous_attributes_name_only_the_changed_leaves() -> None:
    first = created("cus_1", Details(name="Jenny", address=AddressChange(city="Berlin")))
    change = Details(name="Jen", address=AddressChange(line1="Street 1"))
    assert previous_of(first, updated("cus_1", change)) == {
        "address": {"line1": None},
        "name": "Jenny",
    }


def test_a_metadata_key_that_is_new_shows_null() -> None:
    first = created("cus_1", Details(metadata={"kept": "1", "gone": "2"}))
    change = Details(metadata={"new": "3", "gone": None})
    assert previous_of(first, updated("cus_1", change)) == {"metadata": {"new": None, "gone": "2"}}


def test_an_address_that_was_unset_shows_all_its_keys() -> None:
    first = created("cus_1", Details(address=AddressChange(city="Berlin")))
    previous = previous_of(first, updated("cus_1", Details(address=None)))
    assert previous["address"] == {
        "city": "Berlin",
        "country": None,
        "line1": None,
        "line2": None,
        "postal_code": None,
        "state": None,
    }


def test_what_shows_only_when_expanded_is_no_previous_attribute() -> None:
    change = Details(payment_method="pm_1", tax=TaxChange(ip_address="10.0.0.1"))
    message, _ = after(created("cus_1"), updated("cus_1", change))
    assert bytes(message.previous_attributes or b"") == b"{}"
    assert msgspec.json.decode(message.attached) == {
        "cash_balance": {"reconciliation_mode": None},
        "payment_methods": ["pm_1"],
        "sources": [],
        "tax": {"ip_address": "10.0.0.1", "validate_location": None},
        "tax_ids": [],
    }


def test_parts_that_went_as_a_whole_show_all_their_keys() -> None:
    options = RenderingOptionsChange(template="t")
    first = created(
        "cus_1",
        Details(
            invoice_settings=InvoiceSettingsChange(rendering_options=options),
            shipping=ShippingChange(name="Jenny", address=AddressChange(city="Berlin")),
        ),
    )
    change = Details(invoice_settings=InvoiceSettingsChange(rendering_options=None), shipping=None)
    previous = previous_of(first, updated("cus_1", change))
    shown = previous["invoice_settings"]["rendering_options"]
    assert shown == {"amount_tax_display": None, "template": "t"}
    assert previous["shipping"]["phone"] is None
    assert previous["shipping"]["address"]["line1"] is None


def test_an_address_without_a_set_field_went_too() -> None:
    first = created("cus_1", Details(address=AddressChange()))
    previous = previous_of(first, updated("cus_1", Details(address=None)))
    assert previous == {"address": dict.fromkeys(Address.__struct_fields__)}


def undone(shown: dict[str, Any], previous: dict[str, Any]) -> dict[str, Any]:
    """Put the old values back as a subscriber would."""
    result = dict(shown)
    for name, old in previous.items():
        new = result.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            result[name] = undone(cast("dict[str, Any]", new), cast("dict[str, Any]", old))
        else:
            result[name] = old
    return result


def without_unset_metadata(shown: dict[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in shown["metadata"].items() if value is not None}
    return {**shown, "metadata": metadata, "updated": None}


@given(histories)
def test_previous_attributes_lead_back_to_the_customer_before(events: list[Event]) -> None:
    for count, event in enumerate(events):
        if not isinstance(event, CustomerUpdated):
            continue
        state = fold(events[:count])
        assert state is not None
        message = message_of(recorded(event, state, count + 1))
        assert message.previous_attributes is not None
        previous = msgspec.json.decode(message.previous_attributes)
        assert "updated" not in previous
        back = undone(msgspec.json.decode(message.object), previous)
        before = msgspec.json.decode(render(state))
        assert without_unset_metadata(back) == without_unset_metadata(before)


@given(histories)
def test_previous_attributes_name_nothing_that_stayed_as_it_was(events: list[Event]) -> None:
    for count, event in enumerate(events):
        if isinstance(event, CustomerUpdated):
            message = message_of(recorded(event, fold(events[:count]), count + 1))
            previous = msgspec.json.decode(message.previous_attributes or b"{}")
            assert unchanged(msgspec.json.decode(message.object), previous) == []


def unchanged(shown: Any, previous: dict[str, Any]) -> list[str]:
    """Return the leaves whose old value is the new one, or that say nothing."""
    found: list[str] = []
    for name, old in previous.items():
        new = shown.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            inner = unchanged(new, cast("dict[str, Any]", old))
            found += [f"{name}.{leaf}" for leaf in inner] if old else [name]
        elif old == new:
            found.append(name)
    return found


def test_a_message_comes_out_of_the_broker_as_it_went_in() -> None:
    message, _ = after(created("cus_1"), updated("cus_1", Details(name="Jen")))
    wire = messages.encode(message, LOG_ID)
    back = messages.decode(wire.headers, wire.body, LOG_ID)
    assert back == message


def test_a_message_reads_as_a_cloud_event() -> None:
    message, _ = after(created("cus_1"))
    wire = messages.encode(message, LOG_ID)
    assert wire.routing_key == f"customer.created.test.{ACCOUNT}"
    assert wire.message_id == message.event_id
    assert wire.headers == {
        "cloudEvents:specversion": "1.0",
        "cloudEvents:id": message.event_id,
        "cloudEvents:source": f"urn:uuid:{LOG_ID}",
        "cloudEvents:type": "customer.created",
        "cloudEvents:time": "2026-01-02T03:04:05.000678Z",
        "cloudEvents:subject": "cus_1",
        "position": 10,
        "previous_position": 0,
        "version": 1,
        "schema_version": 1,
        "account": ACCOUNT,
        "mode": "test",
        "traceparent": TRACE,
    }


def test_a_message_of_another_log_is_told_apart() -> None:
    message, _ = after(created("cus_1"))
    wire = messages.encode(message, OTHER_LOG_ID)
    with pytest.raises(OtherLog, match=OTHER_LOG_ID):
        messages.decode(wire.headers, wire.body, LOG_ID)


@pytest.mark.parametrize("source", ["/chaching/customers", "Jenny", f"urn:uuid:{LOG_ID}\n"])
def test_a_source_that_names_no_log_is_undecodable(source: str) -> None:
    message, _ = after(created("cus_1"))
    wire = messages.encode(message, LOG_ID)
    with pytest.raises(Undecodable) as raised:
        messages.decode({**wire.headers, "cloudEvents:source": source}, wire.body, LOG_ID)
    assert source not in str(raised.value)


def test_a_message_of_a_later_schema_is_undecodable() -> None:
    message, _ = after(created("cus_1"))
    wire = messages.encode(message, LOG_ID)
    with pytest.raises(Undecodable, match="schema version 2"):
        messages.decode({**wire.headers, "schema_version": 2}, wire.body, LOG_ID)


def test_what_the_broker_adds_to_the_headers_does_not_matter() -> None:
    message, _ = after(created("cus_1"))
    wire = messages.encode(message, LOG_ID)
    headers = {**wire.headers, "x-delivery-count": 1, "x-stream-offset": 7}
    assert messages.decode(headers, wire.body, LOG_ID) == message


def test_the_body_holds_the_object_bytes_unchanged() -> None:
    message, customer = after(created("cus_1"))
    assert messages.encode(message, LOG_ID).body.startswith(
        b'{"object":' + render(customer) + b',"'
    )


@pytest.mark.parametrize(
    "broken",
    [
        {"type": "CustomerForgotten"},
        {"schema_version": 99},
        {"payload": "{"},
        {"metadata": "[]"},
    ],
)
def test_an_event_of_an_unknown_kind_is_undecodable(broken: dict[str, Any]) -> None:
    event = decide(created("cus_1"), None)
    assert event is not None
    with pytest.raises(Undecodable):
        message_of(msgspec.structs.replace(recorded(event, None, 1), **broken))


@pytest.mark.parametrize(("headers", "body"), [({}, b"{}"), ({"position": 1}, b"hello")])
def test_what_is_no_message_of_ours_is_undecodable(headers: dict[str, Any], body: bytes) -> None:
    with pytest.raises(Undecodable):
        messages.decode(headers, body, LOG_ID)
