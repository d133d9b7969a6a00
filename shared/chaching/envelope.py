"""What is stored around an event, and the one place where events become bytes and back.

A stored event is never rewritten: ``decode`` lifts old schema versions to the present one. Here
personal values are in the clear; the event store encrypts them beneath (``eventstore.encryption``).

Besides the event the customer after it is stored (``state``), except with the first event of a
stream, whose fold is as near. So the newest event alone tells how a customer stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NewType

import msgspec

from chaching.domain.customer import (
    Customer,
    CustomerCreated,
    CustomerDeleted,
    CustomerErased,
    CustomerUpdated,
    Event,
    evolve,
)
from chaching.domain.ids import AccountId, CustomerId, EventId, KeyId, RequestId

LogId = NewType("LogId", str)
Position = NewType("Position", int)
Version = NewType("Version", int)
# a customer's data key as it is stored, empty once it is destroyed
WrappedKey = NewType("WrappedKey", bytes)

START: Final = Position(0)
NO_VERSION: Final = Version(0)

# what a decoder raises; the latter when somebody nested thousands of lists
BROKEN_JSON: Final = (msgspec.MsgspecError, RecursionError)

SCHEMA_VERSION: Final = 1
EVENT_TYPES: Final[dict[str, type[Event]]] = {
    "CustomerCreated": CustomerCreated,
    "CustomerUpdated": CustomerUpdated,
    "CustomerDeleted": CustomerDeleted,
    "CustomerErased": CustomerErased,
}


class StreamKey(msgspec.Struct, frozen=True, order=True):
    """Names one customer's stream; account and mode stand in every key."""

    account: AccountId
    livemode: bool
    id: CustomerId


class Metadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who asked for a change, from where, in which request and why.

    Holds no customer's data, unless a caller writes some into ``reason``. Older events have neither
    that nor ``key_kind``.
    """

    request_id: RequestId
    key_id: KeyId | None = None
    actor: str | None = None
    client_address: str | None = None
    idempotency_key: str | None = None
    traceparent: str | None = None
    key_kind: str | None = None
    reason: str | None = None


class KeptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to be stored under an idempotency key, in the append that makes it true.

    ``fingerprint`` is the SHA-256 of what was asked, ``answer`` the bytes that are answered.
    """

    idempotency_key: str
    fingerprint: bytes
    request_id: RequestId
    answer: bytes


class PendingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a command that changed nothing, true while the stream is at the version."""

    key: StreamKey
    expected_version: Version
    kept: KeptAnswer
    data_key: WrappedKey | None = None


class PendingEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event on its way into the log: JSON texts, and what the append must check.

    ``data_key`` is the customer's, None for one that has none yet.
    """

    key: StreamKey
    expected_version: Version
    event_id: EventId
    type: str
    payload: str
    state: str | None
    metadata: str
    invoice_prefix: str | None
    kept: KeptAnswer | None = None
    data_key: WrappedKey | None = None
    schema_version: int = SCHEMA_VERSION


class RecordedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it stands in the log; ``previous_position`` is the same stream's, 0 for none.

    ``erased``: personal values that it had are blank, since its customer was erased by now.
    """

    position: Position
    key: StreamKey
    version: Version
    previous_position: Position
    event_id: EventId
    type: str
    schema_version: int
    payload: str
    state: str | None
    metadata: str
    recorded_at: datetime
    erased: bool = False


class Undecodable(Exception):  # noqa: N818 - says what the event is
    """A stored event cannot be read by this code: unknown type, unknown schema, broken JSON."""


_encode = msgspec.json.Encoder().encode
_event_decoders: Final = {
    name: msgspec.json.Decoder(event_type) for name, event_type in EVENT_TYPES.items()
}
_decode_state = msgspec.json.Decoder(Customer).decode
_decode_metadata = msgspec.json.Decoder(Metadata).decode


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A decision ready to be stored: the event, the version before it, the customer after it.

    ``kept`` is the answer to it, if it came with an idempotency key; ``data_key`` the customer's,
    None for one that has none yet.
    """

    key: StreamKey
    version: Version
    event: Event
    after: Customer
    event_id: EventId
    metadata: Metadata
    kept: KeptAnswer | None = None
    data_key: WrappedKey | None = None


def encode(decisions: Sequence[Decided]) -> list[PendingEvent]:
    """Return the decisions in the form in which the store appends them, in the same order."""
    return [_pending(decided) for decided in decisions]


def decode_event(recorded: RecordedEvent) -> Event:
    """Return the fact itself.

    Raises:
        Undecodable: the type or its schema version is unknown, or the payload is broken.
    """
    return _decode_payload(recorded.type, recorded.schema_version, recorded.payload)


def decode_customers(recorded: Sequence[RecordedEvent]) -> list[Customer]:
    """Return, for each event, the customer as it stood after it.

    Raises:
        Undecodable: an event or a state cannot be read.
    """
    return [customer_after(r.type, r.schema_version, r.payload, r.state) for r in recorded]


def customer_after(
    event_type: str, schema_version: int, payload: str, state: str | None
) -> Customer:
    """Return the customer after a stored event, from its state or, on version 1, from its fold.

    Raises:
        Undecodable: the event or the state cannot be read.
    """
    if state is None:
        event = _decode_payload(event_type, schema_version, payload)
        if not isinstance(event, CustomerCreated):
            raise Undecodable(f"the state beside a {event_type} is missing")
        return evolve(None, event)
    _check_schema(event_type, schema_version)
    try:
        return _decode_state(state)
    except BROKEN_JSON as error:
        raise Undecodable(f"the state beside a {event_type} is broken: {error}") from error


def decode_metadata(recorded: RecordedEvent) -> Metadata:
    """Return who asked for a change, from where and in which request.

    Raises:
        Undecodable: the metadata are broken.
    """
    try:
        return _decode_metadata(recorded.metadata)
    except BROKEN_JSON as error:
        raise Undecodable(f"the metadata of a {recorded.type} are broken: {error}") from error


def _pending(decided: Decided) -> PendingEvent:
    event, first = decided.event, decided.version == NO_VERSION
    return PendingEvent(
        key=decided.key,
        expected_version=decided.version,
        event_id=decided.event_id,
        type=type(event).__name__,
        payload=_encode(event).decode(),
        state=None if first else _encode(decided.after).decode(),
        metadata=_encode(decided.metadata).decode(),
        invoice_prefix=_new_invoice_prefix(event),
        kept=decided.kept,
        data_key=decided.data_key,
    )


def _new_invoice_prefix(event: Event) -> str | None:
    match event:
        case CustomerCreated():
            return event.commercial.invoice_prefix
        case CustomerUpdated() if "invoice_prefix" in event.commercial.changes:
            return str(event.commercial.changes["invoice_prefix"])
        case _:
            return None


def _decode_payload(event_type: str, schema_version: int, payload: str) -> Event:
    _check_schema(event_type, schema_version)
    try:
        return _event_decoders[event_type].decode(payload)
    except BROKEN_JSON as error:
        raise Undecodable(f"the payload of a {event_type} is broken: {error}") from error


def _check_schema(event_type: str, schema_version: int) -> None:
    if event_type not in EVENT_TYPES:
        raise Undecodable(f"unknown event type {event_type!r}")
    if schema_version != SCHEMA_VERSION:
        raise Undecodable(f"unknown schema version {schema_version} of {event_type}")
