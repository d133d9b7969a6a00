from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from tests.domain.strategies import ID, histories

from chaching.domain.customer import Commercial, Customer, Event, Personal, fold
from chaching.domain.customer_object import VISIBLE_ATTRIBUTES, render
from chaching.domain.values import (
    Address,
    CustomField,
    InvoiceSettings,
    RenderingOptions,
    Shipping,
)

SEED_EXAMPLE = """{
  "id": "cus_NffrFeUfNV2Hib", "object": "customer", "address": null, "balance": 0,
  "created": 1680893993, "currency": null, "default_source": null, "delinquent": false,
  "description": null, "discount": null, "email": "jennyrosen@example.com",
  "invoice_prefix": "0759376C",
  "invoice_settings": {"custom_fields": null, "default_payment_method": null, "footer": null,
    "rendering_options": null},
  "livemode": false, "metadata": {}, "name": "Jenny Rosen", "next_invoice_sequence": 1,
  "phone": null, "preferred_locales": [], "shipping": null, "tax_exempt": "none",
  "test_clock": null
}"""


def rendered(customer: Customer) -> dict[str, Any]:
    return json.loads(render(customer))


def customer(
    commercial: Commercial | None = None,
    personal: Personal | None = None,
    *,
    updated: int | None = None,
    deleted: bool = False,
) -> Customer:
    return Customer(
        id=ID,
        livemode=False,
        created=1,
        updated=updated,
        deleted=deleted,
        commercial=commercial or Commercial(invoice_prefix="AAA"),
        personal=personal or Personal(),
    )


def in_order(keys: list[str]) -> bool:
    return keys[:2] == ["id", "object"] and keys[2:] == sorted(keys[2:])


def test_a_new_customer_is_the_example_of_the_seed_byte_for_byte() -> None:
    example = json.loads(SEED_EXAMPLE)
    jenny = Customer(
        id=example["id"],
        livemode=False,
        created=1680893993,
        commercial=Commercial(invoice_prefix="0759376C"),
        personal=Personal(email="jennyrosen@example.com", name="Jenny Rosen"),
    )
    assert render(jenny) == json.dumps(example, separators=(",", ":")).encode()


def test_a_new_customer_has_22_keys_and_no_updated() -> None:
    keys = list(rendered(customer()))
    assert len(keys) == 22
    assert "updated" not in keys


def test_an_updated_customer_says_when() -> None:
    assert rendered(customer(updated=7))["updated"] == 7


def test_a_deleted_customer_is_three_keys() -> None:
    assert render(customer(deleted=True)) == b'{"id":"cus_1","object":"customer","deleted":true}'


@given(histories)
def test_keys_stand_in_the_order_of_the_contract(events: list[Event]) -> None:
    state = fold(events)
    assert state is not None
    keys = list(rendered(state))
    assert keys == ["id", "object", "deleted"] if state.deleted else in_order(keys)


def test_an_address_has_its_six_keys() -> None:
    personal = Personal(address=Address(city="Bonn"))
    assert list(rendered(customer(personal=personal))["address"].items()) == [
        ("city", "Bonn"),
        ("country", None),
        ("line1", None),
        ("line2", None),
        ("postal_code", None),
        ("state", None),
    ]


def test_a_shipping_has_its_three_keys_and_a_whole_address() -> None:
    personal = Personal(shipping=Shipping(address=Address(), name="Jane"))
    shipping = rendered(customer(personal=personal))["shipping"]
    assert list(shipping) == ["address", "name", "phone"]
    assert len(shipping["address"]) == 6
    assert shipping["phone"] is None


def test_invoice_settings_show_what_was_set() -> None:
    settings = InvoiceSettings(
        custom_fields=(CustomField(name="PO", value="1"),),
        footer="Thanks",
        rendering_options=RenderingOptions(template="t"),
    )
    commercial = Commercial(invoice_prefix="AAA", invoice_settings=settings)
    assert rendered(customer(commercial))["invoice_settings"] == {
        "custom_fields": [{"name": "PO", "value": "1"}],
        "default_payment_method": None,
        "footer": "Thanks",
        "rendering_options": {"amount_tax_display": None, "template": "t"},
    }


def test_what_is_attached_shows_only_when_expanded() -> None:
    hidden = {"payment_methods", "reconciliation_mode", "sources", "tax_ids", "validate_location"}
    assert not hidden & VISIBLE_ATTRIBUTES
    assert not hidden & rendered(customer()).keys()
