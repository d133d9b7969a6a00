"""``expand[]``: what is attached to a customer, in the place of an id or beside the others."""

from __future__ import annotations

from http import HTTPMethod
from typing import Any

import pytest
from tests.support.gateways import CUSTOMERS, Client

from chaching_api.expanding import INNER_LIST_MAX_ITEMS

ALL = (
    "id=cus_1&source=src_1&payment_method=pm_1&invoice_settings[default_payment_method]=pm_1"
    "&test_clock=clock_1&tax[ip_address]=10.0.0.1"
    "&tax_id_data[0][type]=eu_vat&tax_id_data[0][value]=DE123456789"
    "&tax_id_data[1][type]=gb_vat&tax_id_data[1][value]=GB123456789"
    "&cash_balance[settings][reconciliation_mode]=manual"
)
NO_LIST: dict[str, Any] = {"object": "list", "data": [], "has_more": False, "total_count": 0}
SOURCE: dict[str, Any] = {"id": "src_1", "object": "source", "customer": "cus_1", "metadata": {}}

PAYMENT_METHOD: dict[str, Any] = {
    "id": "pm_1",
    "object": "payment_method",
    "customer": "cus_1",
    "livemode": False,
    "metadata": {},
}
ADDED: dict[str, Any] = {
    "cash_balance": {
        "object": "cash_balance",
        "available": None,
        "customer": "cus_1",
        "livemode": False,
        "settings": {"reconciliation_mode": "manual", "using_merchant_default": False},
    },
    "default_source": SOURCE,
    "sources": {
        **NO_LIST,
        "data": [SOURCE],
        "total_count": 1,
        "url": "/v1/customers/cus_1/sources",
    },
    "subscriptions": {**NO_LIST, "url": "/v1/customers/cus_1/subscriptions"},
    "tax": {
        "automatic_tax": "not_collecting",
        "ip_address": "10.0.0.1",
        "location": None,
        "provider": "stripe",
    },
    "test_clock": {
        "id": "clock_1",
        "object": "test_helpers.test_clock",
        "livemode": False,
    },
}


async def expanded(client: Client, *paths: str) -> dict[str, Any]:
    query = "&".join(f"expand[]={path}" for path in paths)
    answer = await client.send(HTTPMethod.GET, f"{CUSTOMERS}/cus_1?{query}")
    assert answer.status == 200, answer
    return answer.json


@pytest.fixture
async def plain(client: Client) -> dict[str, Any]:
    """The customer with everything attached, as it is without any expansion."""
    created = await client.create(ALL)
    assert created.status == 200, created
    return created.json


async def test_without_expand_only_ids_are_shown(client: Client, plain: dict[str, Any]) -> None:
    assert plain["default_source"] == "src_1"
    assert plain["invoice_settings"]["default_payment_method"] == "pm_1"
    assert plain["test_clock"] == "clock_1"
    assert {"sources", "subscriptions", "tax", "tax_ids", "cash_balance"}.isdisjoint(plain)
    assert (await client.retrieve("cus_1")).json == plain


async def test_every_property_that_can_be_expanded_shows_what_is_attached(
    client: Client, plain: dict[str, Any]
) -> None:
    found = await expanded(
        client,
        "default_source",
        "invoice_settings.default_payment_method",
        "test_clock",
        "sources",
        "subscriptions",
        "tax",
        "tax_ids",
        "cash_balance",
        "discount",
    )
    assert list(found) == ["id", "object", *sorted(set(found) - {"id", "object"})]
    settings = plain["invoice_settings"] | {"default_payment_method": PAYMENT_METHOD}
    unchecked = {"tax_ids": found["tax_ids"], "invoice_settings": settings}
    assert found == plain | ADDED | unchecked
    first, second = found["tax_ids"]["data"]
    assert first["id"].startswith("txi_")
    assert first | {"id": "", "created": 0} == {
        "id": "",
        "object": "tax_id",
        "country": "DE",
        "created": 0,
        "customer": "cus_1",
        "livemode": False,
        "owner": {"customer": "cus_1", "type": "customer"},
        "type": "eu_vat",
        "value": "DE123456789",
        "verification": None,
    }
    assert (second["type"], second["country"]) == ("gb_vat", "GB")


async def test_a_customer_with_nothing_attached_expands_to_nothing(client: Client) -> None:
    await client.create("id=cus_1")
    found = await expanded(
        client,
        "default_source",
        "invoice_settings.default_payment_method",
        "test_clock",
        "sources",
        "tax_ids",
        "cash_balance",
    )
    assert found["default_source"] is None
    assert found["invoice_settings"]["default_payment_method"] is None
    assert found["test_clock"] is None
    assert found["sources"] == {**NO_LIST, "url": "/v1/customers/cus_1/sources"}
    assert found["tax_ids"] == {**NO_LIST, "url": "/v1/customers/cus_1/tax_ids"}
    assert found["cash_balance"]["settings"] == {
        "reconciliation_mode": "automatic",
        "using_merchant_default": True,
    }


async def test_what_is_expanded_can_be_expanded_in_turn(
    client: Client, plain: dict[str, Any]
) -> None:
    found = await expanded(client, "default_source.customer", "tax_ids.data.customer.sources")
    assert found["default_source"]["customer"] == plain
    [first, second] = found["tax_ids"]["data"]
    assert first["customer"] == second["customer"]
    assert first["customer"] == plain | {
        "sources": {
            **NO_LIST,
            "data": [SOURCE],
            "total_count": 1,
            "url": "/v1/customers/cus_1/sources",
        }
    }


async def test_a_list_inside_shows_its_first_items_and_says_that_there_are_more(
    client: Client,
) -> None:
    count = INNER_LIST_MAX_ITEMS + 1
    numbers = "".join(
        f"&tax_id_data[{n}][type]=gb_vat&tax_id_data[{n}][value]=GB{100_000_000 + n}"
        for n in range(count)
    )
    await client.create(f"id=cus_1{numbers}")
    found = (await expanded(client, "tax_ids.data.customer.tax_ids"))["tax_ids"]
    inner = found["data"][0]["customer"]["tax_ids"]
    for shown in (found, inner):
        assert (shown["has_more"], shown["total_count"]) == (True, count)
        assert [tax_id["value"] for tax_id in shown["data"]] == [
            f"GB{100_000_000 + n}" for n in range(INNER_LIST_MAX_ITEMS)
        ]


async def test_a_token_that_became_a_card_is_shown_as_one(client: Client) -> None:
    created = await client.create("id=cus_1&source=tok_visa&expand[]=default_source")
    card = created.json["default_source"]
    assert card["id"].startswith("card_")
    assert card == {"id": card["id"], "object": "card", "customer": "cus_1", "metadata": {}}
    updated = await client.update("cus_1", "source=ba_1&expand[]=sources&expand[]=default_source")
    assert updated.json["default_source"]["object"] == "bank_account"
    assert [source["id"] for source in updated.json["sources"]["data"]] == ["ba_1"]
    assert (await client.update("cus_1", "name=J")).json["default_source"] == "ba_1"


async def test_an_update_that_changes_nothing_expands_too(
    client: Client, plain: dict[str, Any]
) -> None:
    same = await client.update("cus_1", "test_clock=clock_1&expand[]=test_clock")
    assert same.json["test_clock"]["id"] == "clock_1"
    assert same.json | {"test_clock": "clock_1"} == plain


async def test_a_deleted_customer_has_nothing_to_expand(client: Client) -> None:
    await client.create(ALL)
    stub = await client.delete("cus_1")
    assert await expanded(client, "sources", "default_source") == stub.json


async def test_a_customer_that_never_existed_is_missing_with_expand_too(client: Client) -> None:
    answer = await client.retrieve("cus_1?expand[]=sources")
    assert (answer.status, answer.error["code"]) == (404, "resource_missing")
