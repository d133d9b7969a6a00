"""What goes in over HTTP comes out of the broker as the AsyncAPI document says."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
import pytest
from cloudevents.core.bindings.amqp import AMQPMessage, from_amqp_event
from cloudevents.core.exceptions import CloudEventValidationError
from tests.support.asyncapi import DOCUMENT, message_misfits
from tests.support.brokers import Arrived, bound, history, own_prefix
from tests.support.gateways import ACCOUNT, CUSTOMERS, KEY, Client, Gateway, gateway_on, store_key
from tests.support.keyrings import KEYRING
from tests.support.running import running
from tests.support.waiting import eventually

from chaching.broker import topology
from chaching.broker.connection import connected
from chaching.public_event import PUBLIC_TYPES
from chaching_api.boundary import JSON
from chaching_api.relay import Relay

TRACE: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LINES: Final = {
    "line1": "1 St",
    "line2": "b",
    "city": "Z\N{LATIN SMALL LETTER U WITH DIAERESIS}rich",
    "state": "ZH",
    "postal_code": "8000",
    "country": "CH",
}
FULL: Final[Mapping[str, Any]] = {
    "name": "Jane \N{PARTY POPPER}",
    "email": "jane@example.com",
    "phone": "+41",
    "description": "d",
    "balance": -(2**63),
    "address": LINES,
    "shipping": {"name": "J", "address": LINES, "phone": "+42"},
    "metadata": {f"key {number}": "v" * 500 for number in range(50)},
    "preferred_locales": ["en", "fr-CA"],
    "tax_exempt": "reverse",
    "tax": {"ip_address": "10.0.0.1", "validate_location": "deferred"},
    "tax_id_data": [{"type": "eu_vat", "value": "DE123456789"}],
    "payment_method": "pm_1",
    "source": "src_1",
    "test_clock": "clock_1",
    "next_invoice_sequence": 2**63 - 1,
    "invoice_prefix": "FULL",
    "cash_balance": {"settings": {"reconciliation_mode": "manual"}},
    "invoice_settings": {
        "custom_fields": [{"name": f"PO {number}", "value": "1"} for number in range(4)],
        "default_payment_method": "pm_1",
        "footer": "f",
        "rendering_options": {"amount_tax_display": "exclude_tax", "template": "t"},
    },
}
OTHER: Final[Mapping[str, Any]] = {
    "name": "June",
    "email": "",
    "balance": 1,
    "address": {"line1": "2 St"},
    "shipping": {"name": "J", "address": {"city": "Bern"}},
    "metadata": {"key 0": "", "key 1": "w", "new": "n"},
    "preferred_locales": [],
    "tax_exempt": "none",
    "invoice_settings": {"custom_fields": "", "rendering_options": {"template": "u"}},
}
UNSET: Final[Mapping[str, Any]] = {
    "address": None,
    "shipping": None,
    "metadata": None,
    "phone": None,
    "invoice_settings": {"rendering_options": None, "footer": None},
}
ONLY_ATTACHED: Final[Mapping[str, Any]] = {"payment_method": "pm_2"}


@pytest.fixture
async def prefix(amqp_url: str) -> AsyncGenerator[str]:
    async with own_prefix(amqp_url) as prefix:
        async with connected(amqp_url, name="tests") as connection:
            await topology.declare(connection, topology.names_under(prefix))
        yield prefix


@pytest.fixture
async def gateway(database_url: str) -> AsyncGenerator[Gateway]:
    await store_key(database_url, KEY, rights=("*",))
    async with gateway_on(database_url) as gateway:
        yield gateway


async def send(client: Client, path: str, body: Mapping[str, Any], trace: str = "") -> str:
    headers = {"traceparent": trace} if trace else {}
    answer = await client.send("POST", path, json.dumps(body), content_type=JSON, headers=headers)
    assert answer.status == 200, answer
    customer_id: str = answer.json["id"]
    return customer_id


async def lives(client: Client) -> int:
    """Lead customers with nothing and with everything through all that can happen to them.

    Returns how many events that makes.
    """
    bare = await send(client, CUSTOMERS, {})
    full = await send(client, CUSTOMERS, FULL, TRACE)
    kept = await send(client, CUSTOMERS, {**FULL, "invoice_prefix": "KEPT"})
    for customer_id, prefix in ((bare, "BARE"), (full, "FULL")):
        everything = {**FULL, "invoice_prefix": prefix}
        for change in (OTHER, UNSET, everything, ONLY_ATTACHED):
            await send(client, f"{CUSTOMERS}/{customer_id}", change, TRACE)
        assert (await client.delete(customer_id)).status == 200
    await send(client, f"{CUSTOMERS}/{kept}", OTHER)
    gone = await send(client, CUSTOMERS, {**FULL, "invoice_prefix": "GONE"})
    await send(client, f"{CUSTOMERS}/{gone}", OTHER)
    await send(client, f"{CUSTOMERS}/{gone}/erase", {"reason": "request"}, TRACE)
    return 3 + 2 * 5 + 1 + 3


def body_of(arrived: Arrived) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(arrived.body)
    return found


async def test_every_message_is_as_the_document_says(
    gateway: Gateway, database_url: str, amqp_url: str, prefix: str
) -> None:
    async with bound(amqp_url, prefix, "#") as mailbox:
        count = await lives(gateway.client)
        async with running(Relay(database_url, amqp_url, KEYRING, prefix=prefix).run()):
            await eventually(lambda: mailbox.has(count), "every message came to the queue")
        async with history(amqp_url, prefix) as stream:
            await eventually(lambda: stream.has(count), "every message came from the stream")
    for source in (mailbox.messages, stream.messages):
        assert [arrived.headers["position"] for arrived in source] == list(range(1, count + 1))
        assert {a.headers["cloudEvents:type"] for a in source} == set(PUBLIC_TYPES.values())
        for arrived in source:
            assert message_misfits(arrived.headers, body_of(arrived)) == []
            assert_properties_are_as_told(arrived)
            assert_is_a_cloud_event(arrived)
    assert {a.headers.get("traceparent") for a in mailbox.messages} == {TRACE, None}
    assert all("x-stream-offset" in arrived.headers for arrived in stream.messages)
    await assert_a_copy_is_right(gateway.client, mailbox.messages)


def assert_properties_are_as_told(arrived: Arrived) -> None:
    headers = arrived.headers
    address: str = DOCUMENT["channels"]["events"]["address"]
    parts = {"type": headers["cloudEvents:type"], **headers}
    assert arrived.routing_key == address.format_map(parts)
    assert arrived.content_type == DOCUMENT["defaultContentType"]
    assert arrived.delivery_mode == 2
    assert arrived.message_id == headers["cloudEvents:id"]


def assert_is_a_cloud_event(arrived: Arrived) -> None:
    """Read a message with the official library, whose binding is that of AMQP 1.0.

    RabbitMQ shows the headers of AMQP 0-9-1 to clients of 1.0 as application properties and the
    property content_type as content-type; here they are handed over in those places.
    """
    event = from_amqp_event(
        AMQPMessage(
            properties={"content-type": arrived.content_type},
            application_properties=arrived.headers,
            application_data=arrived.body,
        )
    )
    assert event.get_specversion() == "1.0"
    assert event.get_id() == arrived.message_id
    assert event.get_source().startswith("urn:uuid:")
    assert event.get_type() in PUBLIC_TYPES.values()
    assert event.get_subject() == body_of(arrived)["object"]["id"]
    assert event.get_datacontenttype() == "application/json"
    time = event.get_time()
    assert isinstance(time, datetime)
    assert time.utcoffset() is not None
    assert event.get_data() == body_of(arrived)


async def assert_a_copy_is_right(client: Client, messages: list[Arrived]) -> None:
    """A subscriber that keeps the newest object has what a retrieve answers, byte for byte."""
    copies = {arrived.headers["cloudEvents:subject"]: arrived for arrived in messages}
    for customer_id, arrived in copies.items():
        answer = await client.retrieve(customer_id)
        if arrived.headers["cloudEvents:type"] in ("customer.deleted", "customer.erased"):
            assert answer.json["deleted"] is True
        else:
            parts = msgspec.json.decode(arrived.body, type=dict[str, msgspec.Raw])
            assert bytes(parts["object"]) == answer.body


def test_what_is_no_cloud_event_is_found_out() -> None:
    arrived = Arrived(
        routing_key="customer.created.test.acct_1",
        content_type="application/json",
        delivery_mode=2,
        message_id="evt_1",
        headers={"cloudEvents:specversion": "1.0", "cloudEvents:id": "evt_1"},
        body=b"{}",
    )
    with pytest.raises(CloudEventValidationError, match="source"):
        assert_is_a_cloud_event(arrived)


async def test_a_queue_gets_what_its_bindings_ask_for(
    gateway: Gateway, database_url: str, amqp_url: str, prefix: str
) -> None:
    client = gateway.client
    async with (
        bound(amqp_url, prefix, f"customer.*.test.{ACCOUNT}") as ours,
        bound(amqp_url, prefix, "customer.deleted.#") as deletions,
        bound(amqp_url, prefix, "customer.*.live.*") as live,
    ):
        customer_id = await send(client, CUSTOMERS, {})
        await client.delete(customer_id)
        async with running(Relay(database_url, amqp_url, KEYRING, prefix=prefix).run()):
            await eventually(lambda: ours.has(2), "both messages came")
            await eventually(lambda: deletions.has(1), "the deletion came")
    assert [a.headers["cloudEvents:type"] for a in ours.messages] == [
        "customer.created",
        "customer.deleted",
    ]
    assert [a.headers["previous_position"] for a in deletions.messages] == [1]
    assert live.messages == []
