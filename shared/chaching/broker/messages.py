"""What an event says on its way to others: one message, made in one place.

``message_of`` turns a stored event into a message; the relay publishes it, and the projector makes
the same when it reads the log by itself. So there is one path from an event to a row of the read
model, whichever way it travels.

On the wire a message is a CloudEvent 1.0 in the binary mode of its AMQP binding: its attributes
stand in headers that begin with ``cloudEvents:``, but for ``datacontenttype``, which is the
property ``content-type``. ``source`` names the log as ``urn:uuid:`` and its id: two logs have the
same positions, and only this tells their messages apart. Beside them stand those of the log:
``position``, ``previous_position`` (the same customer's, 0 for none), ``version``, ``account``,
``mode`` and, when known, ``traceparent``. ``schema_version`` is that of the message, not of the
stored event: it grows only when a subscriber must change. The body is JSON:

- ``object``: the customer after the event; with ``customer.deleted`` as it was;
- ``previous_attributes``: updates only, the old values of the changed leaves that the object shows
  (a metadata key that is new shows null; ``updated`` never stands here);
- ``attached``: what a customer shows only when expanded.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal, cast

import msgspec
from msgspec import UNSET, UnsetType

from chaching import envelope
from chaching.domain.customer import Customer, CustomerDeleted, CustomerUpdated
from chaching.domain.customer_object import (
    VISIBLE_ATTRIBUTES,
    AddressObject,
    RenderingOptionsObject,
    ShippingObject,
    customer_object,
)
from chaching.domain.ids import AccountId, CustomerId, EventId, Mode, mode_of
from chaching.domain.values import ReconciliationMode, TaxId, ValidateLocation
from chaching.envelope import (
    LogId,
    Position,
    RecordedEvent,
    StreamKey,
    Undecodable,
    Version,
)

SCHEMA_VERSION: Final = 1
SOURCE_PREFIX: Final = "urn:uuid:"
CONTENT_TYPE: Final = "application/json"
PERSISTENT: Final = 2
CUSTOMER_DELETED: Final = "customer.deleted"
MESSAGE_TYPES: Final = {
    "CustomerCreated": "customer.created",
    "CustomerUpdated": "customer.updated",
    "CustomerDeleted": CUSTOMER_DELETED,
}


class AttachedTax(msgspec.Struct, frozen=True, kw_only=True):
    """Where a customer is taxed."""

    ip_address: str | None
    validate_location: ValidateLocation | None


class AttachedCashBalance(msgspec.Struct, frozen=True, kw_only=True):
    """How a customer's cash balance is settled."""

    reconciliation_mode: ReconciliationMode | None


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer shows only when expanded; ids of payment methods and sources, in order."""

    cash_balance: AttachedCashBalance
    payment_methods: tuple[str, ...]
    sources: tuple[str, ...]
    tax: AttachedTax
    tax_ids: tuple[TaxId, ...]


class OtherLog(Exception):  # noqa: N818 - says where a message comes from
    """A message tells of another log; its position means nothing here."""


class EventMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One event as others see it; the three parts of its body are JSON as it travels."""

    position: Position
    previous_position: Position
    key: StreamKey
    version: Version
    schema_version: int = SCHEMA_VERSION
    event_id: EventId
    type: str
    time: datetime
    traceparent: str | None = None
    object: msgspec.Raw
    previous_attributes: msgspec.Raw | None = None
    attached: msgspec.Raw


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """A message in the form that the broker takes."""

    routing_key: str
    message_id: str
    headers: dict[str, str | int]
    body: bytes


class MessageBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a message; its parts are JSON as it travels."""

    object: msgspec.Raw
    previous_attributes: msgspec.Raw | UnsetType = UNSET
    attached: msgspec.Raw


class MessageHeaders(msgspec.Struct, frozen=True, kw_only=True):
    """The headers of a message, all that there are; the broker may add some that begin with x-."""

    specversion: Literal["1.0"] = msgspec.field(name="cloudEvents:specversion", default="1.0")
    event_id: EventId = msgspec.field(name="cloudEvents:id")
    source: Annotated[str, msgspec.Meta(pattern="^urn:uuid:[0-9a-f-]{36}\\Z")] = msgspec.field(
        name="cloudEvents:source"
    )
    type: str = msgspec.field(name="cloudEvents:type")
    time: Annotated[datetime, msgspec.Meta(tz=True)] = msgspec.field(name="cloudEvents:time")
    subject: CustomerId = msgspec.field(name="cloudEvents:subject")
    position: Annotated[Position, msgspec.Meta(ge=1)]
    previous_position: Annotated[Position, msgspec.Meta(ge=0)]
    version: Annotated[Version, msgspec.Meta(ge=1)]
    schema_version: int
    account: AccountId
    mode: Mode
    traceparent: str | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode
_decode_body = msgspec.json.Decoder(MessageBody).decode

_UNSET_ADDRESS: Final = dict.fromkeys(AddressObject.__struct_fields__)
_UNSET_SHIPPING: Final = dict.fromkeys(ShippingObject.__struct_fields__)
_UNSET_RENDERING: Final = dict.fromkeys(RenderingOptionsObject.__struct_fields__)


def message_of(recorded: RecordedEvent) -> EventMessage:
    """Return what a stored event says to others.

    Raises:
        Undecodable: the event, the state beside it or its metadata cannot be read.
    """
    event = envelope.decode_event(recorded)
    [customer] = envelope.decode_customers([recorded])
    metadata = envelope.decode_metadata(recorded)
    shown = customer_object(customer)
    if isinstance(event, CustomerDeleted) and not customer.deleted:
        raise Undecodable("the state beside a CustomerDeleted is not deleted")
    return EventMessage(
        position=recorded.position,
        previous_position=recorded.previous_position,
        key=recorded.key,
        version=recorded.version,
        event_id=recorded.event_id,
        type=MESSAGE_TYPES[recorded.type],
        time=recorded.recorded_at,
        traceparent=metadata.traceparent,
        object=msgspec.Raw(_encode(shown)),
        previous_attributes=_previous(event) if isinstance(event, CustomerUpdated) else None,
        attached=msgspec.Raw(_encode(attached(customer))),
    )


def attached(customer: Customer) -> Attached:
    """Return what a customer shows only when expanded."""
    commercial, personal = customer.commercial, customer.personal
    return Attached(
        cash_balance=AttachedCashBalance(reconciliation_mode=commercial.reconciliation_mode),
        payment_methods=commercial.payment_methods,
        sources=commercial.sources,
        tax=AttachedTax(
            ip_address=personal.ip_address, validate_location=commercial.validate_location
        ),
        tax_ids=personal.tax_ids,
    )


def encode(message: EventMessage, log_id: LogId) -> Wire:
    """Return a message of a log in the form that the broker takes."""
    key = message.key
    mode = mode_of(livemode=key.livemode)
    headers = MessageHeaders(
        event_id=message.event_id,
        source=SOURCE_PREFIX + log_id,
        type=message.type,
        time=message.time,
        subject=key.id,
        position=message.position,
        previous_position=message.previous_position,
        version=message.version,
        schema_version=message.schema_version,
        account=key.account,
        mode=mode,
        traceparent=UNSET if message.traceparent is None else message.traceparent,
    )
    previous = message.previous_attributes
    body = MessageBody(
        object=message.object,
        previous_attributes=UNSET if previous is None else previous,
        attached=message.attached,
    )
    return Wire(
        routing_key=f"{message.type}.{mode}.{key.account}",
        message_id=message.event_id,
        headers=msgspec.to_builtins(headers),
        body=_encode(body),
    )


def decode(headers: Mapping[str, object], body: bytes, log_id: LogId) -> EventMessage:
    """Return the message of a log that the broker delivered.

    Raises:
        OtherLog: it is a message of another log.
        Undecodable: it is not one of ours.
    """
    try:
        known = msgspec.convert(headers, MessageHeaders)
        parts = _decode_body(body)
    except msgspec.MsgspecError as error:
        raise Undecodable(f"a message is broken: {error}") from error
    if known.source != SOURCE_PREFIX + log_id:
        raise OtherLog(f"a message of another log: {known.source}")
    if known.schema_version != SCHEMA_VERSION:
        raise Undecodable(f"unknown schema version {known.schema_version} of a message")
    previous = parts.previous_attributes
    return EventMessage(
        position=known.position,
        previous_position=known.previous_position,
        key=StreamKey(known.account, known.mode == "live", known.subject),
        version=known.version,
        schema_version=known.schema_version,
        event_id=known.event_id,
        type=known.type,
        time=known.time,
        traceparent=None if known.traceparent is UNSET else known.traceparent,
        object=parts.object,
        previous_attributes=None if previous is UNSET else previous,
        attached=parts.attached,
    )


def _previous(event: CustomerUpdated) -> msgspec.Raw:
    changes = {**event.commercial.changes, **event.personal.changes}
    previous = {**event.commercial.previous, **event.personal.previous}
    shown = {
        name: _shown(name, previous[name], changes.get(name))
        for name in sorted(previous)
        if name in VISIBLE_ATTRIBUTES
    }
    return msgspec.Raw(_encode(shown))


def _shown(name: str, old: Any, new: Any) -> object:
    """Return an old value as the object showed it: one that went as a whole has all its keys."""
    match name:
        case "address" if new is None and old is not None:
            return _UNSET_ADDRESS | old
        case "shipping" if new is None and old is not None:
            address = _UNSET_ADDRESS | old.get("address", {})
            return _UNSET_SHIPPING | old | {"address": address}
        case "invoice_settings" if old and old.get("rendering_options") is not None:
            return _with_rendering_options(old, new)
        case _:
            return old


def _with_rendering_options(old: Any, new: Any) -> object:
    if cast("Mapping[str, object]", new).get("rendering_options") is not None:
        return old
    return old | {"rendering_options": _UNSET_RENDERING | old["rendering_options"]}
