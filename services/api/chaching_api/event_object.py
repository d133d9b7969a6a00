"""The event object of the wire: Stripe's Event, whose data is what messages carry of the event.

An event that cannot be read, since its row was changed or a newer version wrote it, fails no page
and is not left out. It has a type that no handler of customers knows, and in the place of the
customer its id and why there is no more: half a customer under a known type would be taken for one.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from chaching.domain.ids import CustomerId, EventId, RequestId
from chaching.envelope import Metadata, RecordedEvent, Undecodable, decode_metadata
from chaching.public_event import public_event_of
from chaching_api.requests import OWN_VERSION

UNREADABLE: Final = "customer.unreadable"


class UnreadableCustomer(msgspec.Struct, frozen=True, kw_only=True):
    """Stands for a customer of which nothing can be told; ``unreadable`` says why."""

    id: CustomerId
    object: str = "customer"
    unreadable: str


def unreadable(event: RecordedEvent, cause: Undecodable) -> UnreadableCustomer:
    """Return what stands for a customer as an event left it that cannot be read."""
    return UnreadableCustomer(
        id=event.key.id,
        unreadable=f"what is stored with its version {event.version}, position {event.position}, "
        f"cannot be read: {cause}",
    )


class EventData(msgspec.Struct, frozen=True, kw_only=True):
    """The object as it stood after the event, and of an update what it was before."""

    object: msgspec.Raw
    previous_attributes: msgspec.Raw | UnsetType = UNSET


class EventRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request that caused an event."""

    id: RequestId
    idempotency_key: str | None


class EventObject(msgspec.Struct, frozen=True, kw_only=True):
    """An event as callers see it, keys in the order of the contract; ``created`` in unix seconds.

    There are no webhooks, so none is ever pending.
    """

    id: EventId
    object: str = "event"
    api_version: str = OWN_VERSION
    created: int
    data: EventData
    livemode: bool
    pending_webhooks: int = 0
    request: EventRequest | None
    type: str


_encode = msgspec.json.Encoder().encode


def render_event(recorded: RecordedEvent) -> bytes:
    """Return the JSON of a stored event as a retrieve answers it; it need not be readable."""
    try:
        public = public_event_of(recorded)
    except Undecodable as error:
        data = EventData(object=msgspec.Raw(_encode(unreadable(recorded, error))))
        return _rendered(recorded, UNREADABLE, data, _metadata_of(recorded))
    previous = public.previous_attributes
    data = EventData(
        object=public.object, previous_attributes=UNSET if previous is None else previous
    )
    return _rendered(recorded, public.type, data, public.metadata)


def _rendered(
    recorded: RecordedEvent, kind: str, data: EventData, metadata: Metadata | None
) -> bytes:
    return _encode(
        EventObject(
            id=recorded.event_id,
            created=int(recorded.recorded_at.timestamp()),
            data=data,
            livemode=recorded.key.livemode,
            request=None
            if metadata is None
            else EventRequest(id=metadata.request_id, idempotency_key=metadata.idempotency_key),
            type=kind,
        )
    )


def _metadata_of(recorded: RecordedEvent) -> Metadata | None:
    try:
        return decode_metadata(recorded)
    except Undecodable:
        return None
