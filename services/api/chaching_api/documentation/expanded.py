"""JSON Schema of what stands in an answer only when ``expand[]`` names it.

``expanding`` makes these objects; a test holds what it makes against what is told here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chaching_api.documentation.schemas import COMPONENTS, Schema
from chaching_api.parameter_types import INT64_MAX

_TEXT: Final[Schema] = {"type": "string"}
_FLAG: Final[Schema] = {"type": "boolean"}
_UNIX_S: Final[Schema] = {"type": "integer", "format": "int64", "minimum": 0, "maximum": INT64_MAX}


def component(name: str) -> Schema:
    return {"$ref": COMPONENTS + name}


def either(*options: Schema) -> Schema:
    return {"anyOf": list(options)}


def closed(words: str, properties: Mapping[str, tuple[Schema, str]], *optional: str) -> Schema:
    """Return an object with these keys, each a schema and what it is, and no others."""
    return {
        "type": "object",
        "description": words,
        "properties": {key: {"description": is_, **s} for key, (s, is_) in properties.items()},
        "required": [key for key in properties if key not in optional],
        "additionalProperties": False,
    }


def _kind(name: str) -> tuple[Schema, str]:
    return {"const": name}, f"The kind of the object: always `{name}`."


def _inner_list(words: str, items: Schema) -> Schema:
    return closed(
        words,
        {
            "object": _kind("list"),
            "data": ({"type": "array", "items": items}, "The first of them."),
            "has_more": (_FLAG, "Whether there are more."),
            "total_count": ({"type": "integer", "minimum": 0}, "How many there are."),
            "url": (_TEXT, "The address of the whole list."),
        },
    )


_NULL: Final[Schema] = {"type": "null"}
_OWNER: Final = (
    either({"type": "string"}, component("Customer")),
    "The id of the customer, the customer itself when expanded.",
)
_LIVEMODE: Final = (_FLAG, "True in live mode, false in test mode.")
_METADATA: Final = ({"type": "object", "maxProperties": 0}, "Key-value pairs; none are known here.")
_RECONCILED: Final = closed(
    "The settings of the cash balance.",
    {
        "reconciliation_mode": (
            {"type": "string", "enum": ["automatic", "manual"]},
            "How funds that come in are matched with invoices.",
        ),
        "using_merchant_default": (_FLAG, "Whether that is the account's default."),
    },
)

EXPANDED: Final[Mapping[str, Schema]] = {
    "PaymentSource": closed(
        "A payment source, as far as this service knows it.",
        {
            "id": (_TEXT, "The source's id."),
            "object": (
                {"type": "string", "enum": ["bank_account", "card", "source"]},
                "The kind of the source.",
            ),
            "customer": _OWNER,
            "metadata": _METADATA,
        },
    ),
    "PaymentMethod": closed(
        "A payment method, as far as this service knows it.",
        {
            "id": (_TEXT, "The payment method's id."),
            "object": _kind("payment_method"),
            "customer": _OWNER,
            "livemode": _LIVEMODE,
            "metadata": _METADATA,
        },
    ),
    "TestClock": closed(
        "A test clock, as far as this service knows it.",
        {
            "id": (_TEXT, "The clock's id."),
            "object": _kind("test_helpers.test_clock"),
            "livemode": _LIVEMODE,
        },
    ),
    "TaxId": closed(
        "A tax number of a customer.",
        {
            "id": (_TEXT, "The tax number's id."),
            "object": _kind("tax_id"),
            "country": (
                {"type": ["string", "null"]},
                "The country whose number this is, as two letters, where that is known.",
            ),
            "created": (_UNIX_S, "When it was added, in unix seconds."),
            "customer": _OWNER,
            "livemode": _LIVEMODE,
            "owner": (
                closed(
                    "Whose number this is.",
                    {
                        "customer": (_TEXT, "The customer's id."),
                        "type": ({"const": "customer"}, "Always `customer`."),
                    },
                ),
                "Whose number this is.",
            ),
            "type": (_TEXT, "Which kind of tax number this is."),
            "value": (_TEXT, "The number itself."),
            "verification": (_NULL, "The result of a check with the authority; none is made."),
        },
    ),
    "Tax": closed(
        "What is known of a customer for taxes.",
        {
            "automatic_tax": ({"const": "not_collecting"}, "No tax is collected by this service."),
            "ip_address": ({"type": ["string", "null"]}, "A recent address of the customer."),
            "location": (_NULL, "The customer's location for taxes; it is not looked up."),
            "provider": (_TEXT, "Whose tax engine this is told for."),
        },
    ),
    "CashBalance": closed(
        "The cash balance of a customer.",
        {
            "object": _kind("cash_balance"),
            "available": (_NULL, "The funds there are; this service holds none."),
            "customer": (_TEXT, "The customer's id."),
            "livemode": _LIVEMODE,
            "settings": (_RECONCILED, "The settings of the cash balance."),
        },
    ),
    "PaymentSourceList": _inner_list(
        "The payment sources of a customer.", component("PaymentSource")
    ),
    "SubscriptionList": _inner_list(
        "The subscriptions of a customer; this service has none.", {"not": {}}
    ),
    "TaxIdList": _inner_list("The tax numbers of a customer.", component("TaxId")),
}

ONLY_EXPANDED: Final[Mapping[str, Schema]] = {
    "cash_balance": component("CashBalance"),
    "sources": component("PaymentSourceList"),
    "subscriptions": component("SubscriptionList"),
    "tax": component("Tax"),
    "tax_ids": component("TaxIdList"),
}

_ID: Final[Schema] = {"type": "string", "minLength": 1}
DEFAULT_SOURCE: Final = either(_ID, component("PaymentSource"), _NULL)
DEFAULT_PAYMENT_METHOD: Final = either(
    _ID, component("PaymentMethod"), component("PaymentSource"), _NULL
)
TEST_CLOCK: Final = either(_ID, component("TestClock"), _NULL)

PAGES: Final[Mapping[str, Schema]] = {
    "CustomerList": closed(
        "A page of a list of customers, the newest first.",
        {
            "object": _kind("list"),
            "data": (
                {
                    "type": "array",
                    "items": {"anyOf": [component("Customer"), component("UnreadableCustomer")]},
                },
                "The customers. Only with `as_of` one can be unreadable, and is there anyhow.",
            ),
            "has_more": (_FLAG, "Whether there are more in this direction."),
            "url": (_TEXT, "The address of the list."),
        },
    ),
    "EventList": closed(
        "A page of a list of events, the newest first.",
        {
            "object": _kind("list"),
            "data": (
                {"type": "array", "items": component("Event")},
                "The events; fewer than asked for when they are very large.",
            ),
            "has_more": (_FLAG, "Whether there are more in this direction."),
            "url": (_TEXT, "The address of the list."),
        },
    ),
    "CustomerHistory": closed(
        "A page of a customer's history, the oldest event first.",
        {
            "object": _kind("list"),
            "data": ({"type": "array", "items": component("HistoryEntry")}, "The events."),
            "has_more": (_FLAG, "Whether there are more in this direction."),
            "url": (_TEXT, "The address of the history."),
        },
    ),
    "CustomerSearchResult": closed(
        "A page of the customers that fit a query, the newest first.",
        {
            "object": _kind("search_result"),
            "data": ({"type": "array", "items": component("Customer")}, "The customers."),
            "has_more": (_FLAG, "Whether there are more."),
            "next_page": (
                {"type": ["string", "null"]},
                "What to give as `page` for the next one; null on the last.",
            ),
            "total_count": (
                {"type": "integer", "minimum": 0},
                "How many fit in all. Only there when `expand[]` names it.",
            ),
            "url": (_TEXT, "The address of the search."),
        },
        "total_count",
    ),
}
