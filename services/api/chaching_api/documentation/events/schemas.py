"""From the Structs that write and read messages to the schemas of AsyncAPI.

The customer in a message is never expanded, so its ids are ids. ``previous_attributes`` has the
keys of the object that an event can change, each a leaf of its own, so its schema is made from the
object's. AsyncAPI 3.0 takes JSON Schema draft 7, where nothing may stand beside a reference; what
does is put around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from chaching.broker.messages import (
    Attached,
    AttachedCashBalance,
    AttachedTax,
    MessageBody,
    MessageHeaders,
)
from chaching.domain.customer import Commercial, Personal
from chaching.domain.customer_object import (
    AddressObject,
    CustomerObject,
    InvoiceSettingsObject,
    RenderingOptionsObject,
    ShippingObject,
)
from chaching.domain.ids import ACCOUNT_ID_PATTERN
from chaching.domain.values import (
    PAYMENT_METHODS_MAX,
    TAX_IDS_MAX,
    CustomField,
    TaxId,
)
from chaching_api.documentation.events.words import ATTRIBUTES, BODY, ENTRIES, UPDATE_BODY
from chaching_api.documentation.schemas import COMPONENTS, Schema
from chaching_api.documentation.wire import NARROWED, Telling
from chaching_api.parameter_types import INT64_MAX
from chaching_api.parameters import CUSTOMER_ID_PATTERN

HEADERS: Final = "Headers"
PREVIOUS: Final = "Previous"
PREVIOUS_ATTRIBUTES: Final = "PreviousAttributes"
ADDED_BY_THE_BROKER: Final = "^x-"

SENT: Final[Mapping[str, type[msgspec.Struct]]] = {
    HEADERS: MessageHeaders,
    UPDATE_BODY: MessageBody,
    "Customer": CustomerObject,
    "Address": AddressObject,
    "Shipping": ShippingObject,
    "InvoiceSettings": InvoiceSettingsObject,
    "CustomField": CustomField,
    "RenderingOptions": RenderingOptionsObject,
    "Attached": Attached,
    "CashBalance": AttachedCashBalance,
    "Tax": AttachedTax,
    "TaxId": TaxId,
}
PARTS: Final = {
    PREVIOUS_ATTRIBUTES: "Customer",
    "PreviousAddress": "Address",
    "PreviousShipping": "Shipping",
    "PreviousInvoiceSettings": "InvoiceSettings",
    "PreviousRenderingOptions": "RenderingOptions",
}
CHANGEABLE: Final = frozenset(Commercial.__struct_fields__ + Personal.__struct_fields__)

_POSITION: Final[Schema] = {"format": "int64", "maximum": INT64_MAX}

_NARROWED: Final[Mapping[str, Schema]] = {
    **NARROWED,
    "Headers.cloudEvents:id": {"minLength": 1},
    "Headers.cloudEvents:source": {"format": "uri", "pattern": "^urn:uuid:[0-9a-f-]{36}$"},
    "Headers.cloudEvents:subject": {"pattern": f"^{CUSTOMER_ID_PATTERN}$"},
    "Headers.cloudEvents:type": {"enum": list(ENTRIES)},
    "Headers.position": _POSITION,
    "Headers.previous_position": _POSITION,
    "Headers.version": _POSITION,
    "Headers.schema_version": {"minimum": 1},
    "Headers.account": {"pattern": f"^{ACCOUNT_ID_PATTERN}$"},
    "Headers.traceparent": {
        "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
    },
    "UpdateBody.object": {"$ref": f"{COMPONENTS}Customer"},
    "UpdateBody.previous_attributes": {"$ref": COMPONENTS + PREVIOUS_ATTRIBUTES},
    "UpdateBody.attached": {"$ref": f"{COMPONENTS}Attached"},
    "Attached.payment_methods": {"maxItems": PAYMENT_METHODS_MAX},
    "Attached.tax_ids": {"maxItems": TAX_IDS_MAX},
    "TaxId.created": {"format": "int64", "minimum": 0, "maximum": INT64_MAX},
}


def message_schemas() -> dict[str, Schema]:
    """Return the components that messages are made of, by name."""
    found = Telling(structs=SENT, narrowed=_NARROWED, words=ATTRIBUTES).components()
    found[HEADERS]["patternProperties"] = {ADDED_BY_THE_BROKER: {}}
    found[BODY] = _without_previous(found[UPDATE_BODY])
    found[UPDATE_BODY]["required"] = list(found[UPDATE_BODY]["properties"])
    previous = {name: _previous(name, found[whole]) for name, whole in PARTS.items()}
    return {name: draft_7(schema) for name, schema in {**found, **previous}.items()}


def headers_of(message_type: str) -> Schema:
    """Return the schema of the headers of messages of one type."""
    return {
        "type": "object",
        "allOf": [{"$ref": COMPONENTS + HEADERS}],
        "properties": {"cloudEvents:type": {"const": message_type}},
    }


def draft_7(node: Any) -> Any:
    """Return a schema with everything that stands beside a reference put around it."""
    if isinstance(node, list):
        return [draft_7(item) for item in cast("list[object]", node)]
    if not isinstance(node, dict):
        return node
    members = {key: draft_7(value) for key, value in cast("Schema", node).items()}
    if "$ref" in members and len(members) > 1:
        members["allOf"] = [{"$ref": members.pop("$ref")}]
    return members


def _without_previous(body: Schema) -> Schema:
    properties = {k: s for k, s in body["properties"].items() if k != "previous_attributes"}
    return {
        **body,
        "description": ATTRIBUTES[BODY],
        "properties": properties,
        "required": list(properties),
    }


def _previous(name: str, whole: Schema) -> Schema:
    """Return the schema of some leaves of an object, which are its old ones."""
    leaves = dict(_leaves(name, whole["properties"]))
    least = {} if name == PREVIOUS_ATTRIBUTES else {"minProperties": 1}
    return {
        "type": "object",
        "description": ATTRIBUTES[name],
        "properties": leaves,
        **least,
        "additionalProperties": False,
    }


def _leaves(name: str, properties: Mapping[str, Schema]) -> Iterator[tuple[str, Schema]]:
    for key, schema in properties.items():
        path = f"{name}.{key}"
        if name == PREVIOUS_ATTRIBUTES and key not in CHANGEABLE:
            continue
        old = _partial(schema)
        yield key, {**old, "description": ATTRIBUTES[path]} if path in ATTRIBUTES else old


def _partial(schema: Schema) -> Schema:
    """Return a leaf's schema, in which an object has the leaves that changed and no others."""
    if "anyOf" in schema:
        return {**schema, "anyOf": [_partial(option) for option in schema["anyOf"]]}
    wholes = {COMPONENTS + whole: COMPONENTS + part for part, whole in PARTS.items()}
    if schema.get("$ref") in wholes:
        return {**schema, "$ref": wholes[schema["$ref"]]}
    if "additionalProperties" in schema:
        value = {**schema["additionalProperties"], "type": ["string", "null"]}
        return {
            **{key: told for key, told in schema.items() if key != "maxProperties"},
            "additionalProperties": value,
            "minProperties": 1,
        }
    return schema
