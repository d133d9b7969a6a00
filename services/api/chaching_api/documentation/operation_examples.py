"""What the reference shows as examples of requests and answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chaching_api.requests import OWN_VERSION

PLAIN: Final = {
    "name": "Jane Doe",
    "email": "jane.doe@example.com",
    "phone": "+123456789",
    "description": "Premium plan customer",
}
NESTED: Final = {
    "name": "Jane Doe",
    "email": "jane.doe@example.com",
    "address": {"line1": "123 Main St", "city": "New York", "country": "US"},
    "shipping": {
        "name": "Jane Doe",
        "address": {"line1": "123 Main St", "city": "New York", "country": "US"},
    },
    "metadata": {"plan": "premium"},
    "preferred_locales": ["en", "fr-CA"],
    "invoice_settings": {"custom_fields": [{"name": "PO", "value": "4711"}]},
    "tax_id_data": [{"type": "eu_vat", "value": "DE123456789"}],
}
UPDATE: Final = {
    "name": "Jane Doe Updated",
    "email": "jane.updated@example.com",
    "phone": "+1987654321",
    "metadata": {"plan": "premium"},
    "address": {"line1": "123 Updated St", "city": "New York", "country": "US"},
    "shipping": {
        "name": "Jane Doe",
        "address": {"line1": "123 Updated St", "city": "New York"},
    },
}

CUSTOMER: Final[Mapping[str, object]] = {
    "id": "cus_NffrFeUfNV2Hib",
    "object": "customer",
    "address": None,
    "balance": 0,
    "created": 1680893993,
    "currency": None,
    "default_source": None,
    "delinquent": False,
    "description": None,
    "discount": None,
    "email": "jennyrosen@example.com",
    "invoice_prefix": "0759376C",
    "invoice_settings": {
        "custom_fields": None,
        "default_payment_method": None,
        "footer": None,
        "rendering_options": None,
    },
    "livemode": False,
    "metadata": {},
    "name": "Jenny Rosen",
    "next_invoice_sequence": 1,
    "phone": None,
    "preferred_locales": [],
    "shipping": None,
    "tax_exempt": "none",
    "test_clock": None,
}
DELETED: Final[Mapping[str, object]] = {
    "id": "cus_NffrFeUfNV2Hib",
    "object": "customer",
    "deleted": True,
}
EVENT: Final[Mapping[str, object]] = {
    "id": "evt_NffrFeUfNV2HibLkdIwHu2",
    "object": "event",
    "api_version": OWN_VERSION,
    "created": 1680894120,
    "data": {
        "object": {**CUSTOMER, "name": "Jenny Rosen-Smith", "updated": 1680894120},
        "previous_attributes": {"name": "Jenny Rosen"},
    },
    "livemode": False,
    "pending_webhooks": 0,
    "request": {"id": "req_8Kk1vXhRZn4TqB", "idempotency_key": None},
    "type": "customer.updated",
}

CHANGE: Final = {"attribute": "name", "old": "Jenny Rosen", "new": "Jenny Doe"}
ENTRY: Final[Mapping[str, object]] = {
    "id": "evt_0UqJH4d8m2XbQz",
    "object": "history_entry",
    "changes": [CHANGE],
    "customer": "cus_NffrFeUfNV2Hib",
    "livemode": False,
    "position": 17,
    "time": "2026-03-03T12:00:00.123456Z",
    "type": "customer.updated",
    "version": 2,
    "who": {
        "client_address": "192.0.2.1",
        "key_id": "key_0UqJ9sB41mKcR7",
        "key_kind": "secret",
        "key_name": "the billing job",
    },
    "why": {
        "idempotency_key": None,
        "reason": "ticket 4711",
        "request_id": "req_0UqJH4d7fT1nLw",
    },
}
DIFF: Final[Mapping[str, object]] = {
    "object": "customer_diff",
    "changes": [CHANGE],
    "customer": "cus_NffrFeUfNV2Hib",
    "from": {"position": 12, "time": "2026-03-01T09:30:00.000001Z", "version": 1},
    "livemode": False,
    "to": {"position": 17, "time": "2026-03-03T12:00:00.123456Z", "version": 2},
}
