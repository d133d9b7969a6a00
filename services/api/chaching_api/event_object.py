"""The event object of the wire: Stripe's Event, whose data is what messages carry of the event."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from chaching.domain.ids import EventId, RequestId
from chaching.envelope import RecordedEvent
from chaching.public_event import public_event_of
from chaching_api.requests import OWN_VERSION


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
    request: EventRequest
    type: str


_encode = msgspec.json.Encoder().encode


def render_event(recorded: RecordedEvent) -> bytes:
    """Return the JSON of a stored event as a retrieve answers it.

    Raises:
        Undecodable: the event, the state beside it or its metadata cannot be read.
    """
    public = public_event_of(recorded)
    previous = public.previous_attributes
    return _encode(
        EventObject(
            id=recorded.event_id,
            created=int(recorded.recorded_at.timestamp()),
            data=EventData(
                object=public.object,
                previous_attributes=UNSET if previous is None else previous,
            ),
            livemode=recorded.key.livemode,
            request=EventRequest(
                id=public.metadata.request_id,
                idempotency_key=public.metadata.idempotency_key,
            ),
            type=public.type,
        )
    )
