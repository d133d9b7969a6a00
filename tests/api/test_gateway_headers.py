from __future__ import annotations

import re
from http import HTTPMethod

import pytest
from tests.support.gateways import ACCOUNT, CUSTOMERS, FORM, KEY, Client, Gateway

from chaching.domain.ids import AccountId, CustomerId
from chaching.envelope import NO_VERSION, START, StreamKey, decode_metadata

SEED_ID = "cus_123456789"


def stream(customer_id: str) -> StreamKey:
    return StreamKey(AccountId(ACCOUNT), False, CustomerId(customer_id))


async def customer(client: Client) -> str:
    created = await client.create()
    assert created.status == 200, created
    customer_id: str = created.json["id"]
    return customer_id


async def test_every_answer_has_the_headers_of_the_contract(client: Client) -> None:
    answers = [
        await client.create("name=J"),
        await client.create("wat=1"),
        await client.retrieve("cus_nobody"),
        await client.having(None).retrieve("cus_nobody"),
        await client.send(HTTPMethod.GET, "/healthz"),
    ]
    for answer in answers:
        assert re.fullmatch("req_[0-9A-Za-z]{14}", answer.headers["Request-Id"])
        assert answer.headers["Cache-Control"] == "no-cache, no-store"
        assert answer.headers["Stripe-Version"] == "2025-04-30.preview"
        assert answer.headers["Content-Type"] == "application/json"
        assert "aiohttp" not in answer.headers.get("Server", "").lower()
    assert len({answer.headers["Request-Id"] for answer in answers}) == len(answers)


@pytest.mark.parametrize(
    "version", ["2025-04-30.preview", "2026-08-26.dahlia", "2024-06-20", "2025-04-30.basil"]
)
async def test_a_version_that_parses_is_echoed(client: Client, version: str) -> None:
    headers = {"Stripe-Version": version, "Idempotency-Key": "a key"}
    answer = await client.send(HTTPMethod.POST, CUSTOMERS, "", headers=headers)
    assert answer.status == 200
    assert answer.headers["Stripe-Version"] == version
    assert answer.headers["Idempotency-Key"] == "a key"


@pytest.mark.parametrize(
    "version",
    [
        *("wat", "2025-13-01", "2025-04-30.", "2025-04-30.Basil\t", f"2025-04-30.{'a' * 54}"),
        "202\N{ARABIC-INDIC DIGIT FIVE}-04-30",
    ],
)
async def test_a_version_that_does_not_parse_is_refused(gateway: Gateway, version: str) -> None:
    headers = {"Stripe-Version": version}
    refused = await gateway.client.send(HTTPMethod.POST, CUSTOMERS, "", headers=headers)
    assert refused.status == 400
    assert refused.error["message"].startswith("Invalid Stripe API version: ")
    assert await gateway.store.head() == START


async def test_an_event_remembers_who_asked_in_which_request(gateway: Gateway) -> None:
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = await gateway.client.send(
        HTTPMethod.POST,
        CUSTOMERS,
        f"id={SEED_ID}",
        headers={"traceparent": traceparent, "Idempotency-Key": "once"},
    )
    [event] = await gateway.store.read_stream(stream(SEED_ID), NO_VERSION)
    metadata = decode_metadata(event)
    assert metadata.request_id == answer.headers["Request-Id"]
    assert metadata.traceparent == traceparent
    assert metadata.idempotency_key == "once"
    assert metadata.client_address == "127.0.0.1"
    assert metadata.actor == "the secret key of a test"
    assert metadata.key_id is not None
    assert metadata.key_id.startswith("key_")
    assert KEY not in event.metadata


async def test_a_bad_traceparent_is_left_out(gateway: Gateway) -> None:
    headers = {"traceparent": "jane.doe@example.com"}
    await gateway.client.send(HTTPMethod.POST, CUSTOMERS, f"id={SEED_ID}", headers=headers)
    [event] = await gateway.store.read_stream(stream(SEED_ID))
    assert decode_metadata(event).traceparent is None


@pytest.mark.parametrize("key", ["k" * 256, "", "\N{ZERO WIDTH SPACE}"])
async def test_an_idempotency_key_of_another_form_is_refused(gateway: Gateway, key: str) -> None:
    headers = {"Idempotency-Key": key}
    refused = await gateway.client.send(HTTPMethod.POST, CUSTOMERS, "", headers=headers)
    assert refused.status == 400
    assert refused.error["message"].startswith("Invalid Idempotency-Key")
    assert "Idempotency-Key" not in refused.headers
    assert await gateway.store.head() == START


async def test_two_idempotency_keys_on_one_request_are_refused(
    client: Client, gateway: Gateway
) -> None:
    head = f"POST {CUSTOMERS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
    keys = "Idempotency-Key: k1\r\nIdempotency-Key: k2\r\nContent-Length: 0\r\n\r\n"
    refused = await client.raw((head + keys).encode())
    assert (refused.status, refused.error["message"]) == (
        400,
        "Received Idempotency-Key more than once.",
    )
    assert await gateway.store.head() == START


async def test_a_retrieve_and_a_delete_may_carry_a_content_type_and_no_body(client: Client) -> None:
    customer_id = await customer(client)
    for method in (HTTPMethod.GET, HTTPMethod.DELETE):
        answer = await client.send(
            method, f"{CUSTOMERS}/{customer_id}", headers={"Content-Type": FORM}
        )
        assert answer.status == 200


async def test_a_retrieve_takes_expand_in_its_query_and_nothing_else(client: Client) -> None:
    customer_id = await customer(client)
    expanded = await client.retrieve(f"{customer_id}?expand[]=default_source")
    assert expanded.status == 200
    refused = await client.retrieve(f"{customer_id}?limit=3")
    assert refused.error["message"] == "Received unknown parameter: limit"
    deleting = await client.delete(f"{customer_id}?wat=3")
    assert deleting.error["message"] == "Received unknown parameter: wat"
    assert (await client.retrieve(customer_id)).json["object"] == "customer"


async def test_query_parameters_of_a_post_count_like_those_of_its_body(client: Client) -> None:
    created = await client.create("name=Jane", f"{CUSTOMERS}?email=j@x.io")
    assert (created.json["name"], created.json["email"]) == ("Jane", "j@x.io")
    refused = await client.create("name=Jane", f"{CUSTOMERS}?name=June")
    assert refused.error["param"] == "name"
