"""Every operation of the service, each with one entry: what it takes, needs and answers.

To document a new operation, add its entry here and, in ``words``, the sentences for parameters
that have none yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from chaching_api import event_parameters, parameters, proof_parameters
from chaching_api.documentation.assets import ASSETS
from chaching_api.documentation.expanded import component
from chaching_api.documentation.schemas import Schema
from chaching_api.event_parameters import EVENT_ID_PATTERN
from chaching_api.parameter_tables import Table
from chaching_api.parameters import CUSTOMER_ID_PATTERN
from chaching_api.requests import OWN_VERSION

Method: TypeAlias = Literal["get", "post", "delete"]

JSON: Final = "application/json"
HTML: Final = "text/html; charset=utf-8"
TEST_MODE: Final = False

REFUSED: Final = (400, 401, 403, 413, 429, 500, 503)
REFUSED_WITH_ID: Final = (400, 401, 403, 404, 413, 429, 500, 503)
PUBLIC: Final = (400, 500)

EVENT_PATH: Final[Schema] = {"type": "string", "pattern": f"^{EVENT_ID_PATTERN}$"}
CUSTOMER_PATH: Final[Schema] = {"type": "string", "pattern": f"^{CUSTOMER_ID_PATTERN}$"}


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path.

    ``right`` is what a key must have, None: no key is needed. ``query`` and ``body`` are parameter
    tables, None: there is no body. ``tightened``: see ``schemas.Shape``. ``examples`` are bodies by
    title. ``answers`` is the schema of a success, ``headers`` are those that it has besides the
    ones of every answer, ``sometimes`` those that it can have.
    """

    method: Method
    path: str
    name: str
    group: str
    summary: str
    description: str
    right: str | None = None
    path_parameters: Mapping[str, Schema] = {}
    query: Table = {}
    body: Table | None = None
    tightened: Mapping[str, Schema] = {}
    examples: Mapping[str, Mapping[str, object]] = {}
    answers: Schema
    answer_example: Mapping[str, object] | None = None
    content_type: str = JSON
    headers: tuple[str, ...] = ()
    sometimes: tuple[str, ...] = ()
    errors: tuple[int, ...]


def _page(path: str, name: str, summary: str, description: str, content_type: str) -> Operation:
    return Operation(
        method="get",
        path=path,
        name=name,
        group="Documentation",
        summary=summary,
        description=description,
        answers={"type": "object" if content_type == JSON else "string"},
        content_type=content_type,
        headers=("ETag",),
        errors=PUBLIC,
    )


_PLAIN: Final = {
    "name": "Jane Doe",
    "email": "jane.doe@example.com",
    "phone": "+123456789",
    "description": "Premium plan customer",
}
_NESTED: Final = {
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
_UPDATE: Final = {
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

_CUSTOMER: Final[Mapping[str, object]] = {
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
_DELETED: Final[Mapping[str, object]] = {
    "id": "cus_NffrFeUfNV2Hib",
    "object": "customer",
    "deleted": True,
}
_EVENT: Final[Mapping[str, object]] = {
    "id": "evt_NffrFeUfNV2HibLkdIwHu2",
    "object": "event",
    "api_version": OWN_VERSION,
    "created": 1680894120,
    "data": {
        "object": {**_CUSTOMER, "name": "Jenny Rosen-Smith", "updated": 1680894120},
        "previous_attributes": {"name": "Jenny Rosen"},
    },
    "livemode": False,
    "pending_webhooks": 0,
    "request": {"id": "req_8Kk1vXhRZn4TqB", "idempotency_key": None},
    "type": "customer.updated",
}

_CHANGE: Final = {"attribute": "name", "old": "Jenny Rosen", "new": "Jenny Doe"}
_ENTRY: Final[Mapping[str, object]] = {
    "id": "evt_0UqJH4d8m2XbQz",
    "object": "history_entry",
    "changes": [_CHANGE],
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
_DIFF: Final[Mapping[str, object]] = {
    "object": "customer_diff",
    "changes": [_CHANGE],
    "customer": "cus_NffrFeUfNV2Hib",
    "from": {"position": 12, "time": "2026-03-01T09:30:00.000001Z", "version": 1},
    "livemode": False,
    "to": {"position": 17, "time": "2026-03-03T12:00:00.123456Z", "version": 2},
}

OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        method="post",
        path="/v1/customers",
        name="create_customer",
        group="Customers",
        summary="Create a customer",
        description="Creates a customer, an individual or a business that you can bill, and "
        "answers it. No parameter is required.",
        right="customers:write",
        body=parameters.CREATE[TEST_MODE],
        tightened={
            "shipping": {"required": ["address", "name"]},
            "shipping.address": {"minProperties": 1},
        },
        examples={"A customer": _PLAIN, "With address, shipping and more": _NESTED},
        answers=component("Customer"),
        answer_example=_CUSTOMER,
        sometimes=("Idempotent-Replayed", "Original-Request"),
        errors=(*REFUSED, 409),
    ),
    Operation(
        method="get",
        path="/v1/customers/{customer}",
        name="retrieve_customer",
        group="Customers",
        summary="Retrieve a customer",
        description="Answers a customer as the last write left it. Of a deleted one only a stub "
        "is left. With `as_of` it is answered as it was at a moment of the past.",
        right="customers:read",
        path_parameters={"customer": CUSTOMER_PATH},
        query=parameters.RETRIEVE,
        answers={"anyOf": [component("Customer"), component("DeletedCustomer")]},
        answer_example=_CUSTOMER,
        sometimes=("Chaching-As-Of",),
        errors=REFUSED_WITH_ID,
    ),
    Operation(
        method="get",
        path="/v1/customers/{customer}/history",
        name="read_history",
        group="Audit",
        summary="Read the history of a customer",
        description="Answers a page of all that ever happened to a customer, in order, also after "
        "its deletion: what changed, leaf by leaf, who asked and why.",
        right="audit",
        path_parameters={"customer": CUSTOMER_PATH},
        query=event_parameters.HISTORY,
        answers=component("CustomerHistory"),
        answer_example={
            "object": "list",
            "data": [_ENTRY],
            "has_more": False,
            "url": "/v1/customers/cus_NffrFeUfNV2Hib/history",
        },
        errors=REFUSED_WITH_ID,
    ),
    Operation(
        method="get",
        path="/v1/customers/{customer}/diff",
        name="read_diff",
        group="Audit",
        summary="Compare a customer with itself",
        description="Answers in what a customer at one moment differs from itself at an earlier "
        "one. From before it was created, every value differs from null.",
        right="audit",
        path_parameters={"customer": CUSTOMER_PATH},
        query=event_parameters.DIFF,
        answers=component("CustomerDiff"),
        answer_example=_DIFF,
        errors=REFUSED_WITH_ID,
    ),
    Operation(
        method="post",
        path="/v1/customers/{customer}",
        name="update_customer",
        group="Customers",
        summary="Update a customer",
        description="Changes what is given, leaves the rest, and answers the customer. Addresses, "
        "shipping, invoice settings and metadata are merged key by key; lists are replaced. "
        "An update that changes nothing is answered the same way.",
        right="customers:write",
        path_parameters={"customer": CUSTOMER_PATH},
        body=parameters.UPDATE[TEST_MODE],
        examples={"Several fields": _UPDATE, "Unset a field": {"phone": ""}},
        answers=component("Customer"),
        answer_example=_CUSTOMER,
        sometimes=("Idempotent-Replayed", "Original-Request"),
        errors=(*REFUSED_WITH_ID, 409),
    ),
    Operation(
        method="delete",
        path="/v1/customers/{customer}",
        name="delete_customer",
        group="Customers",
        summary="Delete a customer",
        description="Deletes a customer for good. It cannot be undone: the customer cannot be "
        "updated any more, and a retrieve answers the stub that this answers.",
        right="customers:write",
        path_parameters={"customer": CUSTOMER_PATH},
        query=parameters.DELETE,
        answers=component("DeletedCustomer"),
        answer_example=_DELETED,
        errors=(*REFUSED_WITH_ID, 409),
    ),
    Operation(
        method="post",
        path="/v1/customers/{customer}/erase",
        name="erase_customer",
        group="Customers",
        summary="Erase a customer",
        description="Forgets the person for good: destroys the key that every personal value of "
        "the customer was stored with, in its present and in all its history, and deletes the "
        "customer if it is not. It cannot be undone. From then on a retrieve, and every request "
        "that is repeated with its `Idempotency-Key`, answers the stub that this answers. "
        "Subscribers are told by `customer.erased`. An erased customer can be erased again; "
        "nothing happens.",
        right="erase",
        path_parameters={"customer": CUSTOMER_PATH},
        body=parameters.ERASE,
        examples={"With a reason": {"reason": "request"}},
        answers=component("DeletedCustomer"),
        answer_example={**_DELETED, "erased": True},
        sometimes=("Idempotent-Replayed", "Original-Request"),
        errors=(*REFUSED_WITH_ID, 409),
    ),
    Operation(
        method="get",
        path="/v1/customers",
        name="list_customers",
        group="Customers",
        summary="List customers",
        description="Answers a page of customers, the newest first; deleted ones are not listed. "
        "To go on, give the id of the page's last customer as `starting_after`; to go back, that "
        "of its first as `ending_before`. With `as_of` the page is answered as it was at a moment "
        "of the past; when few of the customers of then fit, it may be shorter than `limit` though "
        "there are more.",
        right="customers:read",
        query=parameters.LIST,
        answers=component("CustomerList"),
        answer_example={
            "object": "list",
            "data": [_CUSTOMER],
            "has_more": False,
            "url": "/v1/customers",
        },
        sometimes=("Chaching-As-Of", "Chaching-Projection-Lag"),
        errors=REFUSED,
    ),
    Operation(
        method="get",
        path="/v1/customers/search",
        name="search_customers",
        group="Customers",
        summary="Search customers",
        description="Answers a page of the customers that fit a query, the newest first. A search "
        "may be some events behind the last write; `Chaching-Projection-Lag` says how many. "
        "Fields are `created`, `email`, `name`, `phone` and `metadata['key']`; `:` is exact, `~` "
        "finds a part of at least three characters, `>`, `<`, `>=` and `<=` compare numbers.",
        right="customers:read",
        query=parameters.SEARCH,
        answers=component("CustomerSearchResult"),
        answer_example={
            "object": "search_result",
            "data": [_CUSTOMER],
            "has_more": False,
            "next_page": None,
            "url": "/v1/customers/search",
        },
        headers=("Chaching-Projection-Lag",),
        errors=REFUSED,
    ),
    Operation(
        method="get",
        path="/v1/events",
        name="list_events",
        group="Events",
        summary="List events",
        description="Answers a page of what happened to customers, the newest first, deleted ones "
        "included, as far back as there are any. A list after a write shows it. To go on, give the "
        "id of the page's last event as `starting_after`; to see what is new, that of its first "
        "as `ending_before`.",
        right="events:read",
        query=event_parameters.EVENT_LIST,
        answers=component("EventList"),
        answer_example={
            "object": "list",
            "data": [_EVENT],
            "has_more": False,
            "url": "/v1/events",
        },
        errors=REFUSED,
    ),
    Operation(
        method="get",
        path="/v1/events/{event}",
        name="retrieve_event",
        group="Events",
        summary="Retrieve an event",
        description="Answers an event, with the customer as it stood after it.",
        right="events:read",
        path_parameters={"event": EVENT_PATH},
        query=event_parameters.EVENT_RETRIEVE,
        answers=component("Event"),
        answer_example=_EVENT,
        errors=REFUSED_WITH_ID,
    ),
    Operation(
        method="get",
        path="/v1/audit/checkpoint",
        name="retrieve_checkpoint",
        group="Audit",
        summary="Retrieve a signed checkpoint",
        description="Answers the newest signed checkpoint of the log, after a short wait for one "
        "of all events that there are now; `size` says how many it covers. Keep `note` elsewhere: "
        "it proves what the log was.",
        right="audit",
        query=proof_parameters.CHECKPOINT,
        answers=component("AuditCheckpoint"),
        errors=REFUSED,
    ),
    Operation(
        method="get",
        path="/v1/audit/proof",
        name="retrieve_proof",
        group="Audit",
        summary="Prove that an event is in the log",
        description="Answers an event of the key's account and mode as it is stored, and the proof "
        "that it is in the tree of a signed checkpoint.",
        right="audit",
        query=proof_parameters.PROOF,
        answers=component("AuditProof"),
        errors=REFUSED_WITH_ID,
    ),
    Operation(
        method="get",
        path="/v1/audit/consistency",
        name="retrieve_consistency",
        group="Audit",
        summary="Prove that the log has only grown",
        description="Answers the proof that the log of one size is the beginning of that of "
        "another, such as between a checkpoint that was kept and the newest.",
        right="audit",
        query=proof_parameters.CONSISTENCY,
        answers=component("AuditConsistency"),
        errors=REFUSED,
    ),
    Operation(
        method="get",
        path="/healthz",
        name="is_live",
        group="Health",
        summary="Ask whether the process lives",
        description="Answers as long as the process can answer at all.",
        answers=component("Live"),
        errors=PUBLIC,
    ),
    Operation(
        method="get",
        path="/readyz",
        name="is_ready",
        group="Health",
        summary="Ask whether the service is ready",
        description="Answers when the database answers and has the current schema.",
        answers=component("Ready"),
        errors=(*PUBLIC, 503),
    ),
    _page(
        "/docs",
        "read_reference",
        "Read the API reference",
        "A page to read this document in and to try the operations from.",
        HTML,
    ),
    _page(
        "/docs/events",
        "read_how_to_subscribe",
        "Read how to subscribe to events",
        "A page on the messages that other services receive, with a program to begin with.",
        HTML,
    ),
    _page(
        "/docs/errors",
        "read_error_codes",
        "Read what the error codes mean",
        "A page with an anchor for each code; `doc_url` in every error leads there.",
        HTML,
    ),
    _page(
        "/openapi.json",
        "read_document",
        "Read this document",
        "The OpenAPI document of this service.",
        JSON,
    ),
    _page(
        "/asyncapi.json",
        "read_events_document",
        "Read the document of the events",
        "The AsyncAPI document of the messages that other services receive.",
        JSON,
    ),
    Operation(
        method="get",
        path="/docs/assets/{file}",
        name="read_asset",
        group="Documentation",
        summary="Read a file of the pages",
        description="The scripts, styles and the icon of the pages.",
        path_parameters={"file": {"type": "string", "enum": sorted(ASSETS)}},
        answers={"type": "string"},
        content_type="*/*",
        headers=("ETag",),
        errors=(*PUBLIC, 404),
    ),
)
