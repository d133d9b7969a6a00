"""The OpenAPI 3.1 document, put together from the table of operations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import msgspec

from chaching.domain.customer import NoSuchCustomer
from chaching.eventstore.errors import Unavailable
from chaching_api import parameter_types
from chaching_api.authentication import masked
from chaching_api.documentation import headers
from chaching_api.documentation.error_codes import REASONS, STATUSES
from chaching_api.documentation.expanded import component
from chaching_api.documentation.operations import OPERATIONS, Operation
from chaching_api.documentation.schemas import (
    Encoding,
    Schema,
    Shape,
    expansion_name,
    required_of,
)
from chaching_api.documentation.wire import wire_schemas
from chaching_api.documentation.words import parameter_words
from chaching_api.errors import (
    BodyTooLarge,
    LostRace,
    NotAllowed,
    NotAuthenticated,
    RateLimited,
    envelope,
    failure_of,
)
from chaching_api.expansions import Expansions, expandable
from chaching_api.requests import OWN_VERSION, REASON

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"
ENCODINGS: Final[Mapping[str, Encoding]] = {JSON: "json", FORM: "form"}
NESTED: Final = {"style": "deepObject", "explode": True}
NOT_MODIFIED: Final = "304"
EXAMPLE_URL: Final = "https://api.example.com"
EXAMPLE_KEY: Final = "sk_test_12346789"
EXAMPLE_LACK: Final = (
    "The provided key does not have the required permissions for this endpoint. Having the "
    "'customers:write' right would allow this request to continue."
)

ABOUT: Final = """\
Customers for billing, with a REST API that clients of Stripe's Customers API can use as they are.

Every success is 200 with a JSON object; every error is a JSON object `{"error": {…}}`, whose \
`doc_url` leads to [its explanation](/docs/errors).

**Your key.** Give it as a bearer token, `Authorization: Bearer sk_test_…`, or as the user name of \
Basic authentication with an empty password. The key decides on the account and on the mode, test \
or live.

**To try an operation here**, press Authorize, paste your key, open the operation and press \
Execute. A service started with `make run` knows the key `sk_test_12345`.

**Bodies** are forms with brackets, as in `address[line1]=…`, or JSON of the same structure. In \
JSON, `null` is what an empty value is in a form: it unsets. Numbers and booleans count as their \
text where a text is wanted. Parameters of a POST may stand in the query too.

**Events.** Every change is also published for other services: [how to subscribe](/docs/events).
"""

_GROUPS: Final = {
    "Customers": "The people and businesses that you bill.",
    "Events": "What happened to customers, for good and in order.",
    "Audit": "What happened to a customer, who asked for it, and how it stood then; and evidence "
    "that nobody has tampered with the log.",
    "Health": "Probes for those who run the service.",
    "Documentation": "This reference.",
}


EXAMPLE_LIMIT: Final = "Too many requests came too quickly. Please try again later."


@cache
def document() -> Mapping[str, Any]:
    """Return the document as an object; it is made once."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Chaching Customers API", "version": OWN_VERSION, "description": ABOUT},
        "servers": [{"url": "/", "description": "This service"}],
        "tags": [{"name": name, "description": words} for name, words in _GROUPS.items()],
        "paths": _paths(),
        "components": {
            "schemas": {**_components(), **dict(_expansions())},
            "responses": {str(status): _refusal(status) for status in STATUSES},
            "headers": dict(headers.ANSWERED),
            "parameters": dict(_given_headers()),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "Your secret key."},
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "Your secret key as user name, the password left empty.",
                },
            },
        },
    }


def encoded_document() -> bytes:
    """Return the document as JSON."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=1)


def _paths() -> dict[str, dict[str, Schema]]:
    paths: dict[str, dict[str, Schema]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return paths


def _operation(operation: Operation) -> Schema:
    needs = f"\n\nNeeds a key with the right `{operation.right}`." if operation.right else ""
    told: Schema = {
        "operationId": operation.name,
        "tags": [operation.group],
        "summary": operation.summary,
        "description": operation.description + needs,
        "security": [{"bearer": []}, {"basic": []}] if operation.right else [],
        "parameters": list(_parameters(operation)),
        "responses": _responses(operation),
    }
    if operation.body is not None:
        told["requestBody"] = {
            "required": bool(required_of(operation.body)),
            "content": {
                media_type: _body(operation, encoding) for media_type, encoding in ENCODINGS.items()
            },
        }
    return told


def _parameters(operation: Operation) -> Iterator[Schema]:
    words = parameter_words(operation.name)
    for name, schema in operation.path_parameters.items():
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": words[name],
            "schema": schema,
        }
    table = _shape(operation, "form").of_table(operation.query)
    for name, schema in table["properties"].items():
        yield _query_parameter(name, schema, required=name in required_of(operation.query))
    names = ["Stripe-Version"]
    if operation.method == "post":
        names.insert(0, "Idempotency-Key")
    if operation.method != "get":
        names.append(REASON)
    if "ETag" in operation.headers:
        names.append("If-None-Match")
    yield from ({"$ref": f"#/components/parameters/{name}"} for name in names)


def _query_parameter(name: str, schema: Schema, *, required: bool) -> Schema:
    """Return a parameter; the items of a list come one by one, each named with empty brackets."""
    is_list = "array" in _types(schema)
    return {
        "name": f"{name}[]" if is_list else name,
        "in": "query",
        "required": required,
        "description": schema.get("description", ""),
        "schema": {key: value for key, value in schema.items() if key != "description"},
        **(NESTED if _is_nested(schema) and not is_list else {}),
    }


def _body(operation: Operation, encoding: Encoding) -> Schema:
    assert operation.body is not None  # noqa: S101 - asked for only where there is one
    schema = _shape(operation, encoding).of_table(operation.body)
    if encoding == "form":
        nested = {name: NESTED for name, p in schema["properties"].items() if _is_nested(p)}
        return {"schema": schema, "encoding": nested}
    examples = {title: {"value": value} for title, value in operation.examples.items()}
    return {"schema": schema, **({"examples": examples} if examples else {})}


def _shape(operation: Operation, encoding: Encoding) -> Shape:
    return Shape(
        encoding=encoding,
        words=parameter_words(operation.name),
        tightened=operation.tightened,
    )


def _is_nested(schema: Schema) -> bool:
    """Whether a value is spelled in a form with brackets after its name."""
    options: list[Schema] = schema.get("anyOf", [])
    return not {"array", "object"}.isdisjoint(_types(schema)) or any(map(_is_nested, options))


def _types(schema: Schema) -> list[str]:
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else types


def _responses(operation: Operation) -> Schema:
    content: Schema = {"schema": operation.answers}
    if operation.answer_example is not None:
        content["example"] = operation.answer_example
    echoed = ("Idempotency-Key",) if operation.method == "post" else ()
    responses: Schema = {
        "200": {
            "description": "Done.",
            "headers": {
                **_answered(*echoed, *operation.headers),
                **{name: _optional(name) for name in operation.sometimes},
            },
            "content": {operation.content_type: content},
        }
    }
    if "ETag" in operation.headers:
        responses[NOT_MODIFIED] = {
            "description": "You have it already.",
            "headers": _answered("ETag"),
        }
    for status in sorted(operation.errors):
        responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
    return responses


def _refusal(status: int) -> Schema:
    own = headers.ON_STATUS.get(status, ())
    return {
        "description": STATUSES[status],
        "headers": _answered("Idempotency-Key", "Stripe-Should-Retry", *own),
        "content": {JSON: {"schema": component("Error"), "example": _EXAMPLES[status]}},
    }


def _failure_examples() -> Iterator[tuple[int, object]]:
    """Yield for each status a failure as it is answered."""
    too_many = RateLimited(EXAMPLE_LIMIT, limit="global-rate", retry_after_s=1)
    failures = [
        failure_of(parameter_types.unknown(["wat"])),
        failure_of(NotAuthenticated(f"Invalid API Key provided: {masked(EXAMPLE_KEY)}")),
        failure_of(NotAllowed(EXAMPLE_LACK)),
        failure_of(NoSuchCustomer("cus_123456789")),
        failure_of(LostRace()),
        failure_of(BodyTooLarge()),
        failure_of(too_many),
        failure_of(RuntimeError()),
        failure_of(Unavailable()),
    ]
    for failure in failures:
        yield failure.status, msgspec.json.decode(envelope(failure, EXAMPLE_URL))


_EXAMPLES: Final = dict(_failure_examples())


def _answered(*names: str) -> Schema:
    return {
        name: {"$ref": f"#/components/headers/{name}"}
        for name in (*headers.ON_EVERY_ANSWER, *names)
    }


def _optional(name: str) -> Schema:
    told = headers.ANSWERED[name]
    return {key: value for key, value in told.items() if key != "required"}


def _given_headers() -> Iterator[tuple[str, Schema]]:
    for name, told in headers.GIVEN.items():
        yield name, {"name": name, "in": "header", "required": False, **told}


def _components() -> dict[str, Schema]:
    schemas = wire_schemas()
    schemas["ErrorFields"]["properties"]["reason"]["examples"] = list(REASONS)
    return {**schemas, "Live": _probe("ok"), "Ready": _probe("ready")}


def _probe(status: str) -> Schema:
    return {
        "type": "object",
        "description": f"The probe's answer: always `{status}`.",
        "properties": {"status": {"const": status, "description": f"Always `{status}`."}},
        "required": ["status"],
        "additionalProperties": False,
    }


def _expansions() -> Iterator[tuple[str, Schema]]:
    tables = [table for o in OPERATIONS for table in (o.query, o.body or {})]
    roots = {p.root for table in tables for p in table.values() if isinstance(p, Expansions)}
    for root in sorted(roots):
        paths = sorted(expandable(root))
        told = "A path that `expand[]` takes." if paths else "Nothing in it can be expanded."
        named: Schema = {"enum": paths} if paths else {"not": {}}
        yield expansion_name(root), {"type": "string", "description": told, **named}
