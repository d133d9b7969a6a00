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
from chaching_api.documentation.operation_examples import (
    CUSTOMER,
    DELETED,
    DIFF,
    ENTRY,
    EVENT,
    NESTED,
    PLAIN,
    UPDATE,
)
from chaching_api.documentation.schemas import Schema
from chaching_api.event_parameters import EVENT_ID_PATTERN
from chaching_api.parameter_tables import Table
from chaching_api.parameters import CUSTOMER_ID_PATTERN

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
        examples={"A customer": PLAIN, "With address, shipping and more": NESTED},
        answers=component("Customer"),
        answer_example=CUSTOMER,
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
        answer_example=CUSTOMER,
        sometimes=("Chaching-As-Of", "Chaching-Erased"),
        errors=REFUSED_WITH_ID,
    ),
    Operation(
        method="get",
        path="/v1/customers/{customer}/history",
        name="read_history",
        group="Audit",
        summary="Read the history of a customer",
        description="Answers a page of all that ever happened to a customer, in order, also after "
        "its deletion: what changed, leaf by leaf, who asked and why. `from` and `to` choose a "
        "part.",
        right="audit",
        path_parameters={"customer": CUSTOMER_PATH},
        query=event_parameters.HISTORY,
        answers=component("CustomerHistory"),
        answer_example={
            "object": "list",
            "data": [ENTRY],
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
        answer_example=DIFF,
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
        examples={"Several fields": UPDATE, "Unset a field": {"phone": ""}},
        answers=component("Customer"),
        answer_example=CUSTOMER,
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
        answer_example=DELETED,
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
        answer_example={**DELETED, "erased": True},
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
            "data": [CUSTOMER],
            "has_more": False,
            "url": "/v1/customers",
        },
        sometimes=("Chaching-As-Of", "Chaching-Erased", "Chaching-Projection-Lag"),
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
            "data": [CUSTOMER],
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
            "data": [EVENT],
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
        answer_example=EVENT,
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
        description="Answers when the database answers, has the current schema, and the master key "
        "is the one of this database.",
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
