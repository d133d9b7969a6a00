"""The document of the events is valid, complete, and true to what writes the messages."""

from __future__ import annotations

import copy
import re
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from tests.api.test_openapi_document import NOT_ECMA
from tests.broker.test_messages import TRACE, recorded
from tests.domain.strategies import histories
from tests.support.asyncapi import DOCUMENT, MESSAGES, faults_of, message_misfits, misfits
from tests.support.brokers import LOG_ID
from tests.support.customers import created
from tests.support.openapi import nodes

from chaching.broker.messages import (
    MESSAGE_TYPES,
    SCHEMA_VERSION,
    MessageHeaders,
    encode,
    message_of,
)
from chaching.broker.topology import names_under
from chaching.domain.customer import Event, decide, fold
from chaching.domain.customer_object import CustomerObject
from chaching_api.documentation.events import schemas
from chaching_api.documentation.events.document import encoded_document
from chaching_api.documentation.events.examples import examples

SCHEMAS: Final = DOCUMENT["components"]["schemas"]
CHANNELS: Final = DOCUMENT["channels"]
PREVIOUS: Final = {"$ref": "#/components/schemas/PreviousAttributes"}


def test_the_document_is_valid() -> None:
    assert faults_of(DOCUMENT) == []


def test_a_document_that_is_not_valid_is_found_out() -> None:
    broken = msgspec.json.decode(encoded_document())
    broken["operations"]["publishEvents"]["action"] = "publish"
    assert faults_of(broken)


def test_every_reference_leads_somewhere_and_stands_alone() -> None:
    references = [node for _, node in nodes(DOCUMENT) if "$ref" in node]
    assert references
    for node in references:
        assert list(node) == ["$ref"]
        found: Any = DOCUMENT
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step]


def test_every_component_is_used() -> None:
    text = encoded_document().decode()
    for kind, members in DOCUMENT["components"].items():
        for name in members:
            assert f'"#/components/{kind}/{name}"' in text, name


def test_the_document_tells_every_type_of_message_and_no_other() -> None:
    types = list(MESSAGE_TYPES.values())
    assert list(MESSAGES) == types
    assert [told["name"] for told in MESSAGES.values()] == types
    assert list(examples()) == types
    assert CHANNELS["events"]["parameters"]["type"]["enum"] == types
    for channel in CHANNELS.values():
        assert list(channel["messages"]) == types
    for operation in DOCUMENT["operations"].values():
        assert [m["$ref"].rpartition("/")[2] for m in operation["messages"]] == types


def test_the_document_tells_every_header_that_is_written_and_no_other() -> None:
    told = SCHEMAS["Headers"]
    wire = encode(message_of(recorded(*first_event(), TRACE)), LOG_ID)
    assert wire.headers.keys() == told["properties"].keys()
    untraced = encode(message_of(recorded(*first_event())), LOG_ID)
    assert untraced.headers.keys() == set(told["required"])
    assert set(MessageHeaders.__struct_encode_fields__) == told["properties"].keys()


def first_event() -> tuple[Event, None, int]:
    event = decide(created("cus_1"), None)
    assert event is not None
    return event, None, 1


def test_what_is_sent_is_what_the_service_declares() -> None:
    events, history = CHANNELS["events"]["bindings"]["amqp"], CHANNELS["history"]
    assert events["exchange"]["name"] == names_under().events
    assert events["exchange"]["type"] == "topic"
    assert history["address"] == names_under().history
    assert {o["action"] for o in DOCUMENT["operations"].values()} == {"send"}


def test_every_key_is_described() -> None:
    silent = [
        f"{path}/{name}"
        for path, node in nodes(SCHEMAS)
        if isinstance(node.get("properties"), dict) and "type" in node
        for name, schema in node["properties"].items()
        if not schema.get("description")
    ]
    assert silent == []
    assert [name for name, schema in SCHEMAS.items() if not schema["description"]] == []


def test_every_pattern_reads_the_same_in_ecmascript() -> None:
    patterns = [n["pattern"] for _, n in nodes(SCHEMAS) if isinstance(n.get("pattern"), str)]
    assert patterns
    for pattern in patterns:
        assert re.compile(pattern)
        assert not NOT_ECMA.search(pattern), pattern


def test_the_customer_is_never_expanded() -> None:
    customer = SCHEMAS["Customer"]["properties"]
    assert customer.keys() == set(CustomerObject.__struct_encode_fields__)
    assert customer["default_source"]["type"] == ["string", "null"]


def test_a_struct_that_has_no_name_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    unnamed = {name: struct for name, struct in schemas.SENT.items() if name != "TaxId"}
    monkeypatch.setattr(schemas, "SENT", unnamed)
    with pytest.raises(TypeError, match="TaxId"):
        schemas.message_schemas()


# --- Messages fit ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MESSAGES)
def test_the_example_of_a_message_fits(name: str) -> None:
    [example] = MESSAGES[name]["examples"]
    assert message_misfits(example["headers"], example["payload"]) == []


@settings(deadline=None)
@given(histories)
def test_the_messages_of_any_history_fit(events: list[Event]) -> None:
    for count, event in enumerate(events):
        state = fold(events[:count]) if count else None
        wire = encode(message_of(recorded(event, state, count + 1)), LOG_ID)
        assert message_misfits(wire.headers, msgspec.json.decode(wire.body)) == []


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("cloudEvents:specversion", "0.3"),
        ("cloudEvents:id", ""),
        ("cloudEvents:source", "/customers"),
        ("cloudEvents:type", "customer.forgotten"),
        ("cloudEvents:time", "yesterday"),
        ("cloudEvents:subject", "a b"),
        ("cloudEvents:datacontenttype", "application/json"),
        ("position", 0),
        ("previous_position", -1),
        ("version", "1"),
        ("schema_version", None),
        ("account", "a.b"),
        ("mode", "both"),
        ("traceparent", "00"),
        ("unheard", "of"),
    ],
)
def test_a_header_that_is_not_as_told_is_found_out(header: str, value: object) -> None:
    [example] = MESSAGES["customer.created"]["examples"]
    headers = {**example["headers"], header: value}
    assert message_misfits(headers, example["payload"])


@pytest.mark.parametrize("header", SCHEMAS["Headers"]["required"])
def test_a_header_that_is_missing_is_found_out(header: str) -> None:
    [example] = MESSAGES["customer.created"]["examples"]
    headers = {name: value for name, value in example["headers"].items() if name != header}
    assert message_misfits(headers, example["payload"])


def test_what_the_broker_adds_to_the_headers_fits() -> None:
    [example] = MESSAGES["customer.created"]["examples"]
    headers = {**example["headers"], "x-stream-offset": 7, "x-death": [{"count": 1}]}
    assert message_misfits(headers, example["payload"]) == []


@pytest.mark.parametrize("name", MESSAGES)
def test_a_body_that_is_not_as_told_is_found_out(name: str) -> None:
    [example] = MESSAGES[name]["examples"]
    for broken in broken_bodies(example["payload"]):
        assert message_misfits(example["headers"], broken), broken


def broken_bodies(payload: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a body without each of its keys, with one more, and with a wrong one inside."""
    bodies = [{k: v for k, v in payload.items() if k != key} for key in payload]
    for part in payload:
        more = copy.deepcopy(payload)
        more[part]["unheard"] = "of"
        bodies.append(more)
    return [*bodies, {**payload, "unheard": "of"}, {**payload, "object": None}]


@pytest.mark.parametrize(
    "previous",
    [
        {},
        {"name": None},
        {"address": None},
        {"address": {"line1": None}},
        {"metadata": {"new": None, "old": "1"}},
        {"shipping": {"address": {"city": "Berlin"}}},
        {"invoice_settings": {"rendering_options": {"template": "t"}}},
        {"invoice_settings": {"custom_fields": [{"name": "a", "value": "b"}]}},
    ],
)
def test_the_old_values_of_changed_leaves_fit(previous: object) -> None:
    assert misfits(previous, PREVIOUS) == []


@pytest.mark.parametrize(
    "previous",
    [
        {"id": "cus_1"},
        {"updated": 1},
        {"created": 1},
        {"balance": None},
        {"address": {}},
        {"address": {"street": "a"}},
        {"metadata": {}},
        {"metadata": {"a": 1}},
        {"shipping": {"address": None}},
        {"invoice_settings": None},
        {"payment_methods": []},
    ],
)
def test_what_no_update_can_have_changed_does_not_fit(previous: object) -> None:
    assert misfits(previous, PREVIOUS)


def test_the_schema_version_of_the_examples_is_the_present_one() -> None:
    for example in examples().values():
        assert example.headers["schema_version"] == SCHEMA_VERSION
