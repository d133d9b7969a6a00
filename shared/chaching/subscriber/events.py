"""Events as a subscriber's handler sees them, and how they are read from messages.

What others wrote is read openly, so that a subscriber need not be replaced before the service:
attributes that this version does not know are passed over, and values that may be added to (such
as ``tax_exempt``) are plain text. An event of an unknown type comes as ``Event`` with its body.
An event of a known type whose body cannot be read is ``Undecodable``, never half an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, TypeVar

import msgspec

from chaching.broker.messages import SOURCE_PREFIX
from chaching.domain.ids import AccountId, CustomerId, EventId, Mode
from chaching.envelope import LogId, Position, StreamKey, Undecodable, Version

SCHEMA_VERSION: Final = 1

Order: TypeAlias = Literal["replay", "discard"]
GIVE_UP: Final = "give_up"


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """An address."""

    city: str | None = None
    country: str | None = None
    line1: str | None = None
    line2: str | None = None
    postal_code: str | None = None
    state: str | None = None


class Shipping(msgspec.Struct, frozen=True, kw_only=True):
    """Where and to whom goods and invoices go."""

    address: Address | None = None
    name: str | None = None
    phone: str | None = None


class CustomField(msgspec.Struct, frozen=True, kw_only=True):
    """A name and a value printed on every invoice."""

    name: str
    value: str


class RenderingOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How invoices are rendered."""

    amount_tax_display: str | None = None
    template: str | None = None


class InvoiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The defaults of a customer's invoices."""

    custom_fields: tuple[CustomField, ...] | None = None
    default_payment_method: str | None = None
    footer: str | None = None
    rendering_options: RenderingOptions | None = None


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """A customer as the API shows it; times in unix seconds, ``balance`` in cents."""

    id: CustomerId
    address: Address | None = None
    balance: int = 0
    created: int
    currency: str | None = None
    default_source: str | None = None
    delinquent: bool | None = None
    description: str | None = None
    discount: object = None
    email: str | None = None
    invoice_prefix: str | None = None
    invoice_settings: InvoiceSettings = InvoiceSettings()
    livemode: bool
    metadata: dict[str, str] = {}
    name: str | None = None
    next_invoice_sequence: int | None = None
    phone: str | None = None
    preferred_locales: tuple[str, ...] = ()
    shipping: Shipping | None = None
    tax_exempt: str | None = None
    test_clock: str | None = None
    updated: int | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event of any type, also of one that this version of the library does not know.

    ``position`` is its place in the whole log, ``version`` that among its customer's events and
    ``previous_position`` where the customer's event before it stands, 0 for none. ``body`` is JSON
    as it came.
    """

    id: EventId
    type: str
    position: Position
    previous_position: Position
    version: Version
    account: AccountId
    mode: Mode
    customer_id: CustomerId
    time: datetime
    traceparent: str | None
    body: bytes


class CustomerEvent(Event, frozen=True, kw_only=True):
    """An event that tells how the customer stands after it.

    ``customer_json`` is what the API showed of the customer, byte for byte; ``attached`` is what it
    shows only when expanded.
    """

    customer: Customer
    customer_json: bytes
    attached: Mapping[str, object]


class CustomerCreated(CustomerEvent, frozen=True, kw_only=True):
    """A customer was created."""


class CustomerUpdated(CustomerEvent, frozen=True, kw_only=True):
    """A customer was changed; ``previous_attributes`` are the old values of what changed."""

    previous_attributes: Mapping[str, object]


class CustomerDeleted(CustomerEvent, frozen=True, kw_only=True):
    """A customer was deleted; ``customer`` is how it stood before."""


class CustomerErased(CustomerEvent, frozen=True, kw_only=True):
    """A person was forgotten: keep nothing of theirs. ``customer`` has no personal values left."""


EVENT_TYPES: Final[Mapping[str, type[CustomerEvent]]] = {
    "customer.created": CustomerCreated,
    "customer.updated": CustomerUpdated,
    "customer.deleted": CustomerDeleted,
    "customer.erased": CustomerErased,
}


class Headers(msgspec.Struct, frozen=True, kw_only=True):
    """What a message says about itself in its headers, as far as a subscriber needs it.

    The last five stand only in messages that are parked or were.
    """

    id: EventId = msgspec.field(name="cloudEvents:id")
    source: str = msgspec.field(name="cloudEvents:source")
    type: str = msgspec.field(name="cloudEvents:type")
    time: datetime = msgspec.field(name="cloudEvents:time")
    customer_id: CustomerId = msgspec.field(name="cloudEvents:subject")
    position: Position
    previous_position: Position
    version: Version
    schema_version: int = SCHEMA_VERSION
    account: AccountId
    mode: Mode
    traceparent: str | None = None
    order: Order | None = msgspec.field(name="parked_order", default=None)
    parked_at: datetime | None = None
    parked_reason: str | None = None
    parked_detail: str | None = None
    parked_tries: int = 0


class GivenUp(msgspec.Struct, frozen=True, kw_only=True):
    """The order to pass over a parked event for good, without the event: its message is lost."""

    source: str = msgspec.field(name="cloudEvents:source")
    position: Position
    order: Literal["give_up"] = msgspec.field(name="parked_order", default=GIVE_UP)

    @property
    def log_id(self) -> LogId:
        return _log_id(self.source)


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A message of an event: its headers, read and as they came, and its body unread."""

    known: Headers
    headers: Mapping[str, object]
    body: bytes

    @property
    def position(self) -> Position:
        return self.known.position

    @property
    def log_id(self) -> LogId:
        return _log_id(self.known.source)

    @property
    def key(self) -> StreamKey:
        known = self.known
        return StreamKey(known.account, known.mode == "live", known.customer_id)


class NoEvent(Exception):  # noqa: N818 - says what the message is not
    """A message does not say which event of which log it is."""


def _log_id(source: str) -> LogId:
    return LogId(source.removeprefix(SOURCE_PREFIX))


Read = TypeVar("Read", Headers, GivenUp)


class _Body(msgspec.Struct, frozen=True, kw_only=True):
    customer: msgspec.Raw = msgspec.field(name="object")
    previous_attributes: dict[str, object] = {}
    attached: dict[str, object] = {}


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_customer = msgspec.json.Decoder(Customer).decode


def received(headers: Mapping[str, object], body: bytes) -> Received:
    """Return a message as that of an event.

    Raises:
        NoEvent: it is none.
    """
    return Received(known=_read(headers, Headers), headers=headers, body=body)


def received_or_given_up(headers: Mapping[str, object], body: bytes) -> Received | GivenUp:
    """Return a message of the own queue: that of an event, or an order that comes without one.

    Raises:
        NoEvent: it is neither.
    """
    if headers.get("parked_order") == GIVE_UP:
        return _read(headers, GivenUp)
    return received(headers, body)


def _read(headers: Mapping[str, object], into: type[Read]) -> Read:
    try:
        known = msgspec.convert(headers, into)
    except msgspec.ValidationError as error:
        raise NoEvent(f"a message is not that of an event: {error}") from error
    if not known.source.startswith(SOURCE_PREFIX) or known.position < 1:
        raise NoEvent("a message does not name its log or its position")
    return known


def event_of(message: Received) -> Event:
    """Return the event that a message tells.

    Raises:
        Undecodable: its type is known, and its body is not as this version reads it.
    """
    known = message.known
    event_type = EVENT_TYPES.get(known.type)
    if event_type is None:
        return plain_event(message)
    if known.schema_version != SCHEMA_VERSION:
        raise Undecodable(f"unknown schema version {known.schema_version} of {known.type}")
    try:
        body = _decode_body(message.body)
        customer = _decode_customer(body.customer)
    except msgspec.MsgspecError as error:
        raise Undecodable(f"the body of a {known.type} is broken: {error}") from error
    facts = _facts(message)
    facts |= {
        "customer": customer,
        "customer_json": bytes(body.customer),
        "attached": body.attached,
    }
    if event_type is CustomerUpdated:
        facts["previous_attributes"] = body.previous_attributes
    return event_type(**facts)


def plain_event(message: Received) -> Event:
    """Return an event with nothing of its body read."""
    return Event(**_facts(message))


def _facts(message: Received) -> dict[str, Any]:
    known = message.known
    return {
        "id": known.id,
        "type": known.type,
        "position": known.position,
        "previous_position": known.previous_position,
        "version": known.version,
        "account": known.account,
        "mode": known.mode,
        "customer_id": known.customer_id,
        "time": known.time,
        "traceparent": known.traceparent,
        "body": message.body,
    }
