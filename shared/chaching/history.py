"""The history of a customer as auditors read it: what changed, when, who asked and why.

An entry is one event. It is made from the event itself, not from the states beside it, so it says
what was decided then; whoever replays all entries from nothing has the customer.

An event that cannot be read, since its row was changed or a newer version wrote it, has an entry
too: with what its row says without being read, and why the rest is missing. So who breaks one row
hides nothing but what stood in it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from chaching import envelope
from chaching.domain.changes import Change, changes_between, changes_of
from chaching.domain.customer import Customer, CustomerErased, Event
from chaching.domain.ids import CustomerId, EventId, KeyId, RequestId
from chaching.envelope import (
    NO_VERSION,
    Metadata,
    Position,
    RecordedEvent,
    Undecodable,
    Version,
)
from chaching.public_event import PUBLIC_TYPES

T = TypeVar("T")


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
    ``unreadable`` tells what cannot be read: then ``changes``, or ``who`` and ``why``, are None.
    ``type`` is as it is stored where it is unknown.
    """

    id: EventId
    object: str = "history_entry"
    changes: list[Change] | None
    customer: CustomerId
    erased: bool | UnsetType = UNSET
    livemode: bool
    position: Position
    time: str
    type: str
    unreadable: str | UnsetType = UNSET
    version: Version
    who: Who | None
    why: Why | None


class Stood(msgspec.Struct, frozen=True):
    """An event, and the customer as it stood right after it."""

    event: RecordedEvent
    customer: Customer


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
    """Return what a stored event says to an auditor; it need not be readable."""
    told, no_event = _tried(_event_and_changes, recorded)
    metadata, no_metadata = _tried(envelope.decode_metadata, recorded)
    return HistoryEntry(
        id=recorded.event_id,
        changes=None if told is None else told[1],
        customer=recorded.key.id,
        erased=recorded.erased or UNSET,
        livemode=recorded.key.livemode,
        position=recorded.position,
        time=spelled_time(recorded.recorded_at),
        type=PUBLIC_TYPES.get(recorded.type, recorded.type),
        unreadable="; ".join(filter(None, (no_event, no_metadata))) or UNSET,
        version=recorded.version,
        who=None if metadata is None else who_of(metadata),
        why=None
        if metadata is None
        else Why(
            erasure_reason=(told and _own_reason(told[0])) or UNSET,
            idempotency_key=metadata.idempotency_key,
            reason=metadata.reason or (told and _own_reason(told[0])),
            request_id=metadata.request_id,
        ),
    )


def who_of(metadata: Metadata) -> Who:
    """Return who asked for a change."""
    return Who(
        client_address=metadata.client_address,
        key_id=metadata.key_id,
        key_kind=metadata.key_kind,
        key_name=metadata.actor,
    )


def _event_and_changes(recorded: RecordedEvent) -> tuple[Event, list[Change]]:
    event = envelope.decode_event(recorded)
    try:
        return event, changes_of(event)
    except RecursionError as error:
        raise Undecodable(f"the payload of a {recorded.type} is nested too deep") from error


def _tried(
    read: Callable[[RecordedEvent], T], recorded: RecordedEvent
) -> tuple[T | None, str | None]:
    """Return what is read of an event, or why it cannot be."""
    try:
        return read(recorded), None
    except Undecodable as error:
        return None, str(error)


def _own_reason(event: Event) -> str | None:
    return event.reason if isinstance(event, CustomerErased) else None


def diff_of(start: Stood | None, end: Stood) -> CustomerDiff:
    """Return in what a customer differs from itself as an earlier event left it."""
    return CustomerDiff(
        changes=changes_between(None if start is None else start.customer, end.customer),
        customer=end.event.key.id,
        erased=end.event.erased or UNSET,
        start=DiffSide() if start is None else _side(start.event),
        livemode=end.event.key.livemode,
        end=_side(end.event),
    )


def _side(event: RecordedEvent) -> DiffSide:
    return DiffSide(
        position=event.position, time=spelled_time(event.recorded_at), version=event.version
    )


def spelled_time(at: datetime) -> str:
    """Return an instant with all six digits, so that it names this microsecond and no longer."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
