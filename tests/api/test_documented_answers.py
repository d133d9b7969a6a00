"""What the gateway answers is what the document says of it."""

from __future__ import annotations

import json
from typing import Final

import pytest
from tests.support.gateways import Answer, Client, store_key
from tests.support.openapi import misfits, operation, undocumented

from chaching_api.bodies import BODY_BYTES_MAX
from chaching_api.boundary import JSON
from chaching_api.documentation.operations import OPERATIONS, Operation
from chaching_api.expansions import expandable

CUSTOMERS: Final = "/v1/customers"
SEARCH: Final = "/v1/customers/search"
CUSTOMER: Final = "/v1/customers/{customer}"
EVENTS: Final = "/v1/events"
EVENT: Final = "/v1/events/{event}"
ID: Final = "cus_1"
EVENT_ID: Final = "evt_1"
FULL: Final = """{
    "id": "cus_full", "name": "Jane", "email": "x@y.z", "phone": "+1", "balance": -5,
    "address": {"line1": "a"}, "shipping": {"name": "J", "address": {"city": "b"}},
    "metadata": {"a": "b"}, "preferred_locales": ["en"], "tax_exempt": "reverse",
    "payment_method": "pm_1", "source": "tok_visa", "test_clock": "clock_1",
    "invoice_settings": {
        "custom_fields": [{"name": "PO", "value": "1"}],
        "default_payment_method": "pm_1",
        "footer": "f",
        "rendering_options": {"amount_tax_display": "exclude_tax", "template": "t"}
    }
}"""


async def send(client: Client, method: str, path: str, body: str | None = None) -> Answer:
    return await client.send(
        method, path.format(customer=ID, event=EVENT_ID), body, content_type=JSON
    )


@pytest.mark.parametrize("body", ["{}", FULL])
async def test_a_customer_is_as_documented_all_its_life(client: Client, body: str) -> None:
    made = await client.send("POST", CUSTOMERS, body, content_type=JSON)
    assert (made.status, undocumented("POST", CUSTOMERS, made)) == (200, [])
    path = f"{CUSTOMERS}/{made.json['id']}"
    for method, sent in (("GET", None), ("POST", "name=June"), ("GET", None), ("DELETE", None)):
        answer = await client.send(method, path, sent)
        assert (answer.status, undocumented(method, CUSTOMER, answer)) == (200, [])
    gone = await client.send("GET", path)
    assert (gone.status, undocumented("GET", CUSTOMER, gone)) == (200, [])


async def test_every_event_of_a_customer_is_as_documented(client: Client) -> None:
    await client.send("POST", CUSTOMERS, FULL, content_type=JSON)
    await client.update("cus_full", "name=June&metadata[a]=&address[city]=c&payment_method=pm_2")
    await client.delete("cus_full")
    page = await client.send("GET", EVENTS)
    assert (page.status, undocumented("GET", EVENTS, page)) == (200, [])
    assert len(page.json["data"]) == 3
    for event in page.json["data"]:
        answer = await client.send("GET", f"{EVENTS}/{event['id']}")
        assert (answer.status, undocumented("GET", EVENT, answer)) == (200, [])


@pytest.mark.parametrize("source", ["tok_visa", "src_1", "ba_1"])
async def test_all_that_can_be_expanded_is_as_documented(client: Client, source: str) -> None:
    full = json.loads(FULL) | {"source": source}
    full["tax_id_data"] = [
        {"type": "eu_vat", "value": "DE123456789"},
        {"type": "eu_oss_vat", "value": "EU123456789"},
    ]
    await client.send("POST", CUSTOMERS, json.dumps(full), content_type=JSON)
    paths = list(expandable("customer"))
    assert {"tax_ids.data.customer", "invoice_settings.default_payment_method"} <= set(paths)
    for path in paths:
        answer = await client.send("GET", f"{CUSTOMERS}/cus_full?expand[]={path}")
        assert (answer.status, undocumented("GET", CUSTOMER, answer)) == (200, []), path


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (CUSTOMERS, ""),
        (CUSTOMERS, "?limit=1&expand[]=data.tax_ids&created[gte]=5"),
        (EVENTS, "?limit=1&type=customer.*&created[gte]=5&delivery_success=true"),
        (SEARCH, "?query=name:'Jane'"),
        (SEARCH, "?query=name:'Jane'&limit=1&expand[]=total_count&expand[]=data.sources"),
    ],
)
async def test_a_page_is_as_documented(client: Client, path: str, query: str) -> None:
    for name in ("Jane", "Jane"):
        await client.create(f"name={name}")
    answer = await client.send("GET", path + query)
    assert (answer.status, undocumented("GET", path, answer)) == (200, [])


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (CUSTOMERS, "?limit=a"),
        (CUSTOMERS, "?starting_after=cus_none"),
        (EVENTS, "?ending_before=evt_none"),
        (EVENTS, "?type=a&types[]=b"),
        (SEARCH, ""),
        (SEARCH, "?query=foo"),
        (SEARCH, "?query=name:'a'&page=nope"),
    ],
)
async def test_a_refused_page_is_as_documented(client: Client, path: str, query: str) -> None:
    answer = await client.send("GET", path + query)
    assert (answer.status, undocumented("GET", path, answer)) == (400, [])


async def test_a_repeated_answer_is_as_documented(client: Client) -> None:
    key = {"Idempotency-Key": "once"}
    for name in ("Jane", "Jane", "June"):
        answer = await client.send("POST", CUSTOMERS, f"name={name}", headers=key)
        assert undocumented("POST", CUSTOMERS, answer) == []
        assert "Idempotency-Key" in answer.headers
    assert (answer.status, answer.error["type"]) == (400, "idempotency_error")


async def test_an_answer_of_another_shape_is_found_out(client: Client) -> None:
    made = await client.create("name=Jane")
    schema = operation("POST", CUSTOMERS)["responses"]["200"]["content"][JSON]["schema"]
    assert misfits(made.json, schema) == []
    assert misfits({**made.json, "surprise": 1}, schema)
    assert misfits({k: v for k, v in made.json.items() if k != "phone"}, schema)
    assert misfits({**made.json, "balance": 2**63}, schema)
    assert misfits({**made.json, "address": {"city": None}}, schema)
    stripped = Answer(made.status, {"Content-Type": JSON}, made.body)
    assert "no header Request-Id" in undocumented("POST", CUSTOMERS, stripped)
    assert undocumented("POST", CUSTOMERS, Answer(418, made.headers, made.body))


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", CUSTOMERS, '{"wat": 1}', 400),
        ("POST", CUSTOMERS, '{"address": {"line1": []}}', 400),
        ("GET", f"{CUSTOMER}?expand[]=foo", None, 400),
        ("GET", CUSTOMER, None, 404),
        ("POST", CUSTOMER, '{"name": "a"}', 404),
        ("DELETE", CUSTOMER, None, 404),
        ("GET", EVENT, None, 404),
        ("GET", f"{EVENT}?expand[]=data", None, 400),
    ],
)
async def test_a_refusal_is_as_documented(
    client: Client, method: str, path: str, body: str | None, status: int
) -> None:
    answer = await send(client, method, path, body)
    documented = undocumented(method, path.partition("?")[0], answer)
    assert (answer.status, documented) == (status, [])


async def test_a_body_that_is_too_large_is_refused_as_documented(client: Client) -> None:
    head = f"POST {CUSTOMERS} HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY_BYTES_MAX + 1}\r\n\r\n"
    answer = await client.raw(head.encode())
    assert (answer.status, undocumented("POST", CUSTOMERS, answer)) == (413, [])


@pytest.mark.parametrize("named", OPERATIONS, ids=lambda named: named.name)
async def test_who_needs_a_key_and_which_right_is_as_documented(
    client: Client, database_url: str, named: Operation
) -> None:
    assert bool(operation(named.method, named.path)["security"]) == (named.right is not None)
    if named.right is None:
        return
    nobody = await send(client.having(None), named.method, named.path)
    assert (nobody.status, undocumented(named.method, named.path, nobody)) == (401, [])
    others = {other.right for other in OPERATIONS if other.right} - {named.right}
    weaker = [right for right in others if not named.right.endswith(":read")]
    key = await store_key(database_url, "rk_test_weaker", rights=weaker)
    lacking = await send(client.having(key), named.method, named.path)
    assert (lacking.status, undocumented(named.method, named.path, lacking)) == (403, [])
    assert f"'{named.right}'" in lacking.error["message"]
    assert f"`{named.right}`" in operation(named.method, named.path)["description"]


@pytest.mark.parametrize("named", OPERATIONS, ids=lambda named: named.name)
async def test_a_version_that_is_none_is_refused_as_documented(
    client: Client, named: Operation
) -> None:
    answer = await client.send(
        named.method,
        named.path.format(customer=ID, event=EVENT_ID, file="x"),
        headers={"Stripe-Version": "x"},
    )
    assert (answer.status, undocumented(named.method, named.path, answer)) == (400, [])


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_probe_answers_as_documented(client: Client, path: str) -> None:
    answer = await client.send("GET", path)
    assert (answer.status, undocumented("GET", path, answer)) == (200, [])
