"""The history of a customer as auditors read it: what changed, when, who asked and why.

An entry is one event. It is made from the event itself, not from the states beside it, so it says
what was decided then; whoever replays all entries from nothing has the customer.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from msgspec import UNSET, UnsetType

from chaching import envelope
from chaching.domain.changes import Change, changes_between, changes_of
from chaching.domain.customer import CustomerErased, Event
from chaching.domain.ids import CustomerId, EventId, KeyId, RequestId
from chaching.envelope import NO_VERSION, Position, RecordedEvent, Version
from chaching.public_event import PUBLIC_TYPES


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """Who asked: the address that the request came from, and the API key, never the key itself.

    Events from before the kind of a key was kept have none.
    """

    client_address: str | None
    key_id: KeyId | None
    key_kind: str | None
    key_name: str | None


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """In which request, under which idempotency key, and the reason that the caller gave.

    ``erasure_reason`` is the code given with an erasure, and the reason where no other was given.
    """

    erasure_reason: str | UnsetType = UNSET
    idempotency_key: str | None
    reason: str | None
    request_id: RequestId


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a customer; ``time`` is the database's, RFC 3339 to the microsecond, in UTC.

    ``erased`` stands in entries of customers who were erased by now, whose values are gone.
    """

    id: EventId
    object: str = "history_entry"
    changes: list[Change]
    customer: CustomerId
    erased: bool | UnsetType = UNSET
    livemode: bool
    position: Position
    time: str
    type: str
    version: Version
    who: Who
    why: Why


class DiffSide(msgspec.Struct, frozen=True, kw_only=True):
    """The event that left a customer as it stood at a moment; version 0: it was not there yet."""

    position: Position | None = None
    time: str | None = None
    version: Version = NO_VERSION


class CustomerDiff(msgspec.Struct, frozen=True, kw_only=True):
    """In what a customer differs from itself at an earlier moment.

    ``erased`` stands where the customer was erased by now: changes of personal values are not told.
    """

    object: str = "customer_diff"
    changes: list[Change]
    customer: CustomerId
    erased: bool | UnsetType = UNSET
    start: DiffSide = msgspec.field(name="from")
    livemode: bool
    end: DiffSide = msgspec.field(name="to")


def entry_of(recorded: RecordedEvent) -> HistoryEntry:
    """Return what a stored event says to an auditor.

    Raises:
        Undecodable: the event or its metadata cannot be read.
    """
    event, metadata = envelope.decode_event(recorded), envelope.decode_metadata(recorded)
    return HistoryEntry(
        id=recorded.event_id,
        changes=changes_of(event),
        customer=recorded.key.id,
        erased=recorded.erased or UNSET,
        livemode=recorded.key.livemode,
        position=recorded.position,
        time=spelled_time(recorded.recorded_at),
        type=PUBLIC_TYPES[recorded.type],
        version=recorded.version,
        who=Who(
            client_address=metadata.client_address,
            key_id=metadata.key_id,
            key_kind=metadata.key_kind,
            key_name=metadata.actor,
        ),
        why=Why(
            erasure_reason=_own_reason(event) or UNSET,
            idempotency_key=metadata.idempotency_key,
            reason=metadata.reason or _own_reason(event),
            request_id=metadata.request_id,
        ),
    )


def _own_reason(event: Event) -> str | None:
    return event.reason if isinstance(event, CustomerErased) else None


def diff_of(start: RecordedEvent | None, end: RecordedEvent) -> CustomerDiff:
    """Return in what a customer after one of its events differs from itself after an earlier one.

    Raises:
        Undecodable: an event or a state cannot be read.
    """
    [after] = envelope.decode_customers([end])
    before = None if start is None else envelope.decode_customers([start])[0]
    return CustomerDiff(
        changes=changes_between(before, after),
        customer=end.key.id,
        erased=end.erased or UNSET,
        start=DiffSide() if start is None else _side(start),
        livemode=end.key.livemode,
        end=_side(end),
    )


def _side(event: RecordedEvent) -> DiffSide:
    return DiffSide(
        position=event.position, time=spelled_time(event.recorded_at), version=event.version
    )


def spelled_time(at: datetime) -> str:
    """Return an instant with all six digits, so that it names this microsecond and no longer."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
