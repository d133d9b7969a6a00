"""From the Structs of the wire to JSON Schema, closed: what is answered has these keys, no others.

Every key of a Struct is always there, but for those that can be UNSET. What a type alone cannot
say (the spelling of an id, the range of a number) and what can stand for an id once it is expanded
is added here; the words are in ``words``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast, get_args

import msgspec
from msgspec import UnsetType

from chaching.audit.answers import AuditCheckpoint, AuditConsistency, AuditProof
from chaching.audit.entries import StoredEvent
from chaching.domain.changes import Change
from chaching.domain.customer_object import (
    AddressObject,
    CustomerObject,
    DeletedCustomerObject,
    InvoiceSettingsObject,
    RenderingOptionsObject,
    ShippingObject,
)
from chaching.domain.values import METADATA_KEYS_MAX, CustomField
from chaching.history import CustomerDiff, DiffSide, HistoryEntry, Who, Why
from chaching.public_event import PUBLIC_TYPES
from chaching_api.documentation.expanded import (
    DEFAULT_PAYMENT_METHOD,
    DEFAULT_SOURCE,
    EXPANDED,
    ONLY_EXPANDED,
    PAGES,
    TEST_CLOCK,
    component,
)
from chaching_api.documentation.schemas import COMPONENTS, METADATA_KEY, Schema
from chaching_api.documentation.words import ATTRIBUTES
from chaching_api.errors import ErrorEnvelope, ErrorFields
from chaching_api.event_object import (
    UNREADABLE,
    EventData,
    EventObject,
    EventRequest,
    UnreadableCustomer,
)
from chaching_api.event_parameters import EVENT_ID_PATTERN
from chaching_api.parameter_types import (
    INT64_MAX,
    INT64_MIN,
    METADATA_KEY_CHARACTERS_MAX,
    METADATA_VALUE_CHARACTERS_MAX,
)
from chaching_api.parameters import (
    CUSTOM_FIELD_NAME_CHARACTERS_MAX,
    CUSTOM_FIELD_VALUE_CHARACTERS_MAX,
    CUSTOM_FIELDS_MAX,
    CUSTOMER_ID_PATTERN,
    EMAIL_CHARACTERS_MAX,
    INVOICE_PREFIX_PATTERN,
    NAME_CHARACTERS_MAX,
    PHONE_CHARACTERS_MAX,
    TEXT_CHARACTERS_MAX,
)

ANSWERED: Final[Mapping[str, type[msgspec.Struct]]] = {
    "Customer": CustomerObject,
    "DeletedCustomer": DeletedCustomerObject,
    "Address": AddressObject,
    "Shipping": ShippingObject,
    "InvoiceSettings": InvoiceSettingsObject,
    "CustomField": CustomField,
    "RenderingOptions": RenderingOptionsObject,
    "AuditCheckpoint": AuditCheckpoint,
    "AuditProof": AuditProof,
    "AuditEvent": StoredEvent,
    "AuditConsistency": AuditConsistency,
    "UnreadableCustomer": UnreadableCustomer,
    "Event": EventObject,
    "EventData": EventData,
    "EventRequest": EventRequest,
    "Change": Change,
    "CustomerDiff": CustomerDiff,
    "DiffSide": DiffSide,
    "HistoryEntry": HistoryEntry,
    "Who": Who,
    "Why": Why,
    "Error": ErrorEnvelope,
    "ErrorFields": ErrorFields,
}

_INT64: Final[Schema] = {"format": "int64", "minimum": INT64_MIN, "maximum": INT64_MAX}
_UNIX_S: Final[Schema] = {"format": "int64", "minimum": 0, "maximum": INT64_MAX}
_NATURAL: Final[Schema] = {"format": "int64", "minimum": 0, "maximum": INT64_MAX}
_POSITION: Final[Schema] = {"format": "int64", "minimum": 1, "maximum": INT64_MAX}
_HASH: Final[Schema] = {"pattern": "^[A-Za-z0-9+/]{43}=$"}
_HASHES: Final[Schema] = {"items": {"type": "string", **_HASH}}
_ID: Final[Schema] = {"pattern": f"^{CUSTOMER_ID_PATTERN}$"}
_MAP: Final[Schema] = {
    "maxProperties": METADATA_KEYS_MAX,
    "propertyNames": {"maxLength": METADATA_KEY_CHARACTERS_MAX, "pattern": METADATA_KEY},
    "additionalProperties": {
        "type": "string",
        "minLength": 1,
        "maxLength": METADATA_VALUE_CHARACTERS_MAX,
    },
}

NARROWED: Final[Mapping[str, Schema]] = {
    "AuditCheckpoint.object": {"const": "audit.checkpoint"},
    "AuditCheckpoint.root_hash": _HASH,
    "AuditCheckpoint.size": _NATURAL,
    "AuditConsistency.object": {"const": "audit.consistency"},
    "AuditConsistency.from": _NATURAL,
    "AuditConsistency.hashes": _HASHES,
    "AuditConsistency.to": _NATURAL,
    "AuditEvent.position": _POSITION,
    "AuditEvent.previous_position": _NATURAL,
    "AuditEvent.recorded_at": {"format": "date-time"},
    "AuditEvent.version": _POSITION,
    "AuditProof.object": {"const": "audit.proof"},
    "AuditProof.hashes": _HASHES,
    "AuditProof.index": _NATURAL,
    "AuditProof.leaf_hash": _HASH,
    "AuditProof.size": _POSITION,
    "Customer.id": _ID,
    "Customer.object": {"const": "customer"},
    "Customer.balance": _INT64,
    "Customer.created": _UNIX_S,
    "Customer.description": {"maxLength": TEXT_CHARACTERS_MAX},
    "Customer.email": {"maxLength": EMAIL_CHARACTERS_MAX},
    "Customer.invoice_prefix": {"pattern": f"^{INVOICE_PREFIX_PATTERN}$"},
    "Customer.metadata": _MAP,
    "Customer.name": {"maxLength": NAME_CHARACTERS_MAX},
    "Customer.next_invoice_sequence": {"format": "int64", "minimum": 1, "maximum": INT64_MAX},
    "Customer.phone": {"maxLength": PHONE_CHARACTERS_MAX},
    "Customer.updated": _UNIX_S,
    "CustomerDiff.object": {"const": "customer_diff"},
    "CustomerDiff.customer": _ID,
    "DiffSide.position": {"minimum": 1, "maximum": INT64_MAX},
    "DiffSide.time": {"format": "date-time"},
    "DiffSide.version": {"minimum": 0},
    "HistoryEntry.object": {"const": "history_entry"},
    "HistoryEntry.customer": _ID,
    "HistoryEntry.position": {"minimum": 1, "maximum": INT64_MAX},
    "HistoryEntry.time": {"format": "date-time"},
    "HistoryEntry.version": {"minimum": 1},
    "CustomField.name": {"minLength": 1, "maxLength": CUSTOM_FIELD_NAME_CHARACTERS_MAX},
    "CustomField.value": {"minLength": 1, "maxLength": CUSTOM_FIELD_VALUE_CHARACTERS_MAX},
    "DeletedCustomer.id": _ID,
    "DeletedCustomer.object": {"const": "customer"},
    "DeletedCustomer.deleted": {"const": True},
    "ErrorFields.doc_url": {"format": "uri"},
    "Event.id": {"pattern": f"^{EVENT_ID_PATTERN}$"},
    "Event.object": {"const": "event"},
    "Event.created": _UNIX_S,
    "Event.pending_webhooks": {"const": 0},
    "Event.type": {"enum": [*PUBLIC_TYPES.values(), UNREADABLE]},
    "EventData.object": {"anyOf": [component("Customer"), component("UnreadableCustomer")]},
    "EventData.previous_attributes": {"type": "object"},
    "UnreadableCustomer.id": _ID,
    "UnreadableCustomer.object": {"const": "customer"},
    "InvoiceSettings.custom_fields": {"maxItems": CUSTOM_FIELDS_MAX},
}

# what is an id unless ``expand[]`` names it
EXPANDABLE: Final[Mapping[str, Schema]] = {
    "Customer.default_source": DEFAULT_SOURCE,
    "Customer.test_clock": TEST_CLOCK,
    "InvoiceSettings.default_payment_method": DEFAULT_PAYMENT_METHOD,
}


class Telling(msgspec.Struct, frozen=True, kw_only=True):
    """How to tell Structs, each by the name of its component.

    ``narrowed`` has what the types alone do not say, ``words`` what people are told; both are
    keyed by component and key.
    """

    structs: Mapping[str, type[msgspec.Struct]]
    narrowed: Mapping[str, Schema]
    words: Mapping[str, str]

    def components(self) -> dict[str, Schema]:
        """Return the schemas by name; a Struct within that has no name is a TypeError."""
        names = {struct.__name__: name for name, struct in self.structs.items()}
        _, found = msgspec.json.schema_components(self.structs.values(), ref_template="{name}")
        missing = found.keys() - names.keys()
        if missing:
            raise TypeError(f"no component has a name for {', '.join(sorted(missing))}")
        return {
            name: self._closed(name, struct, _renamed(found[struct.__name__], names))
            for name, struct in self.structs.items()
        }

    def described(self, path: str, schema: Schema) -> Schema:
        """Return a schema with what is narrower there, and its words."""
        narrowed = self.narrowed.get(path, {})
        if "anyOf" not in narrowed:
            told = {key: value for key, value in schema.items() if key != "default"}
            narrowed = {**_either(told), **narrowed}
        return {"description": self.words[path], **narrowed} if path in self.words else narrowed

    def _closed(self, name: str, struct: type[msgspec.Struct], schema: Schema) -> Schema:
        properties: dict[str, Schema] = schema["properties"]
        leavable = {f.encode_name for f in msgspec.structs.fields(struct) if _can_be_unset(f)}
        return {
            "type": "object",
            "description": self.words.get(name, ""),
            "properties": {
                key: self.described(f"{name}.{key}", properties[key])
                for key in sorted(properties, key=_rank)
            },
            "required": sorted(properties.keys() - leavable, key=_rank),
            "additionalProperties": False,
        }


def wire_schemas() -> dict[str, Schema]:
    """Return the components that answers are made of, by name."""
    telling = Telling(structs=ANSWERED, narrowed={**NARROWED, **EXPANDABLE}, words=ATTRIBUTES)
    closed = telling.components()
    closed["Customer"]["properties"] |= {
        name: telling.described(f"Customer.{name}", schema)
        for name, schema in ONLY_EXPANDED.items()
    }
    return {**closed, **EXPANDED, **PAGES}


def _can_be_unset(field: msgspec.structs.FieldInfo) -> bool:
    return UnsetType in get_args(field.type)


def _rank(key: str) -> tuple[int, str]:
    """Order keys as the wire does: ``id``, ``object``, then alphabetical."""
    first = ("id", "object")
    return (first.index(key) if key in first else len(first), key)


def _either(schema: Schema) -> Schema:
    """Return ``anyOf`` plain types as one list of types."""
    options: list[Schema] = schema.get("anyOf", [])
    if not options or any(option.keys() != {"type"} for option in options):
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {"type": [option["type"] for option in options], **rest}


def _renamed(schema: object, names: Mapping[str, str]) -> Any:
    """Return a schema whose references are to the names of the components."""
    if isinstance(schema, list):
        return [_renamed(item, names) for item in cast("list[object]", schema)]
    if not isinstance(schema, dict):
        return schema
    members = cast("Schema", schema)
    renamed = {key: _renamed(value, names) for key, value in members.items()}
    if "$ref" in members:
        renamed["$ref"] = COMPONENTS + names[members["$ref"]]
    return renamed
