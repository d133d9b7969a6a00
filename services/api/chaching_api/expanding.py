"""A customer with what ``expand[]`` asks for put in the place of ids, or added beside them.

``expansions`` says which paths there are; here they become objects. Of a payment source, a payment
method or a test clock this service knows the id and whose it is, and shows just that: the rest
belongs to the services that own them.

A customer can stand in each of its own objects, so what an answer may hold is bounded twice: paths
in length, where they are read, and the lists inside an object, which show their first
``INNER_LIST_MAX_ITEMS`` and say that there are more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from chaching.domain.customer import Customer
from chaching.domain.customer_object import customer_object, render
from chaching.domain.values import TaxId

T = TypeVar("T")
JsonObject: TypeAlias = dict[str, Any]
Wanted: TypeAlias = Mapping[str, Any]

INNER_LIST_MAX_ITEMS: Final = 10
SOURCE_OBJECTS: Final = {"ba_": "bank_account", "card_": "card", "src_": "source"}
# an EU scheme that is no country's, and prefixes that are none of ISO 3166
NO_COUNTRY: Final = frozenset({"EU"})

_encode = msgspec.json.Encoder().encode


def render_expanded(customer: Customer, expand: Sequence[str]) -> bytes:
    """Return the JSON of a customer with the properties at some dotted paths expanded.

    The paths must have been read by ``expansions``. A deleted customer has nothing to expand.
    """
    if customer.deleted:
        return render(customer)
    wanted: dict[str, Any] = {}
    for path in expand:
        node = wanted
        for step in path.split("."):
            node = node.setdefault(step, {})
    return _encode(_customer(customer, wanted))


def _customer(customer: Customer, wanted: Wanted) -> JsonObject:
    shown: JsonObject = msgspec.to_builtins(customer_object(customer))
    for name, inner in wanted.items():
        shown[name] = _EXPANDED[name](customer, inner)
    head = {"id": shown.pop("id"), "object": shown.pop("object")}
    return head | dict(sorted(shown.items()))


def _reference(customer: Customer, wanted: Wanted) -> str | JsonObject:
    """Return what stands where an object names its customer."""
    return _customer(customer, wanted["customer"]) if "customer" in wanted else customer.id


def _source(customer: Customer, source: str, wanted: Wanted) -> JsonObject:
    kind = next(kind for prefix, kind in SOURCE_OBJECTS.items() if source.startswith(prefix))
    return {
        "id": source,
        "object": kind,
        "customer": _reference(customer, wanted),
        "metadata": {},
    }


def _default_source(customer: Customer, wanted: Wanted) -> JsonObject | None:
    source = customer.commercial.default_source
    return None if source is None else _source(customer, source, wanted)


def _payment_method(customer: Customer, payment_method: str, wanted: Wanted) -> JsonObject:
    if not payment_method.startswith("pm_"):
        return _source(customer, payment_method, wanted)
    return {
        "id": payment_method,
        "object": "payment_method",
        "customer": _reference(customer, wanted),
        "livemode": customer.livemode,
        "metadata": {},
    }


def _invoice_settings(customer: Customer, wanted: Wanted) -> JsonObject:
    settings: JsonObject = msgspec.to_builtins(customer_object(customer).invoice_settings)
    default = customer.commercial.invoice_settings.default_payment_method
    if default is not None and "default_payment_method" in wanted:
        inner = wanted["default_payment_method"]
        settings["default_payment_method"] = _payment_method(customer, default, inner)
    return settings


def _list(
    customer: Customer, name: str, items: Sequence[T], shown: Callable[[T], JsonObject]
) -> JsonObject:
    return {
        "object": "list",
        "data": [shown(item) for item in items[:INNER_LIST_MAX_ITEMS]],
        "has_more": len(items) > INNER_LIST_MAX_ITEMS,
        "total_count": len(items),
        "url": f"/v1/customers/{customer.id}/{name}",
    }


def _sources(customer: Customer, wanted: Wanted) -> JsonObject:
    inner = wanted.get("data", {})
    sources = customer.commercial.sources
    return _list(customer, "sources", sources, lambda source: _source(customer, source, inner))


def _subscriptions(customer: Customer, _wanted: Wanted) -> JsonObject:
    return _list(customer, "subscriptions", (), lambda _: {})


def _tax_ids(customer: Customer, wanted: Wanted) -> JsonObject:
    inner = wanted.get("data", {})
    tax_ids = customer.personal.tax_ids
    return _list(customer, "tax_ids", tax_ids, lambda tax_id: _tax_id(customer, tax_id, inner))


def _tax_id(customer: Customer, tax_id: TaxId, wanted: Wanted) -> JsonObject:
    country = tax_id.type.partition("_")[0].upper()
    if country in NO_COUNTRY:
        country = tax_id.value[:2].upper() if tax_id.type == "eu_vat" else None
    return {
        "id": tax_id.id,
        "object": "tax_id",
        "country": "GR" if country == "EL" else country,
        "created": tax_id.created,
        "customer": _reference(customer, wanted),
        "livemode": customer.livemode,
        "owner": {"customer": customer.id, "type": "customer"},
        "type": tax_id.type,
        "value": tax_id.value,
        "verification": None,
    }


def _tax(customer: Customer, _wanted: Wanted) -> JsonObject:
    return {
        "automatic_tax": "not_collecting",
        "ip_address": customer.personal.ip_address,
        "location": None,
        "provider": "stripe",
    }


def _cash_balance(customer: Customer, _wanted: Wanted) -> JsonObject:
    mode = customer.commercial.reconciliation_mode
    is_default = mode is None or mode == "merchant_default"
    return {
        "object": "cash_balance",
        "available": None,
        "customer": customer.id,
        "livemode": customer.livemode,
        "settings": {
            "reconciliation_mode": "automatic" if is_default else mode,
            "using_merchant_default": is_default,
        },
    }


def _discount(_customer: Customer, _wanted: Wanted) -> None:
    return None


def _test_clock(customer: Customer, _wanted: Wanted) -> JsonObject | None:
    clock = customer.commercial.test_clock
    if clock is None:
        return None
    return {"id": clock, "object": "test_helpers.test_clock", "livemode": customer.livemode}


_EXPANDED: Final[Mapping[str, Callable[[Customer, Wanted], JsonObject | None]]] = {
    "cash_balance": _cash_balance,
    "default_source": _default_source,
    "discount": _discount,
    "invoice_settings": _invoice_settings,
    "sources": _sources,
    "subscriptions": _subscriptions,
    "tax": _tax,
    "tax_ids": _tax_ids,
    "test_clock": _test_clock,
}
