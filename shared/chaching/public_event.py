"""What an event says to others, made in one place: messages and the event API carry the same.

- ``type``: what others call it, ``customer.created`` for a CustomerCreated;
- ``object``: the customer after the event; with ``customer.deleted`` as it was, with
  ``customer.erased`` and in what is said of it again later without its personal values;
- ``previous_attributes``: updates only, the old values of the changed leaves that the object shows
  (a metadata key that is new shows null; ``updated`` never stands here).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from chaching import envelope
from chaching.domain.customer import Customer, CustomerDeleted, CustomerUpdated
from chaching.domain.customer_object import (
    VISIBLE_ATTRIBUTES,
    AddressObject,
    RenderingOptionsObject,
    ShippingObject,
    customer_object,
)
from chaching.envelope import Metadata, RecordedEvent, Undecodable

CUSTOMER_DELETED: Final = "customer.deleted"
CUSTOMER_ERASED: Final = "customer.erased"
PUBLIC_TYPES: Final[Mapping[str, str]] = {
    "CustomerCreated": "customer.created",
    "CustomerUpdated": "customer.updated",
    "CustomerDeleted": CUSTOMER_DELETED,
    "CustomerErased": CUSTOMER_ERASED,
}


class PublicEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as others see it; two of its parts are JSON as it is shown.

    ``customer`` is the state after the event, ``metadata`` who asked for it.
    """

    type: str
    object: msgspec.Raw
    previous_attributes: msgspec.Raw | None
    customer: Customer
    metadata: Metadata


# how a change of an erased customer's metadata reads
NO_LEAVES: Final[tuple[dict[str, str], dict[str, str]]] = ({}, {})

_encode = msgspec.json.Encoder().encode

_UNSET_ADDRESS: Final = dict.fromkeys(AddressObject.__struct_fields__)
_UNSET_SHIPPING: Final = dict.fromkeys(ShippingObject.__struct_fields__)
_UNSET_RENDERING: Final = dict.fromkeys(RenderingOptionsObject.__struct_fields__)


def public_event_of(recorded: RecordedEvent) -> PublicEvent:
    """Return what a stored event says to others.

    Raises:
        Undecodable: the event, the state beside it or its metadata cannot be read.
    """
    event = envelope.decode_event(recorded)
    [customer] = envelope.decode_customers([recorded])
    metadata = envelope.decode_metadata(recorded)
    if isinstance(event, CustomerDeleted) and not customer.deleted:
        raise Undecodable("the state beside a CustomerDeleted is not deleted")
    try:
        previous = _previous(event) if isinstance(event, CustomerUpdated) else None
    except (AttributeError, LookupError, TypeError) as error:
        raise Undecodable(f"what a {recorded.type} changed has no such form") from error
    return PublicEvent(
        type=PUBLIC_TYPES[recorded.type],
        object=msgspec.Raw(_encode(customer_object(customer))),
        previous_attributes=previous,
        customer=customer,
        metadata=metadata,
    )


def _previous(event: CustomerUpdated) -> msgspec.Raw:
    changes = {**event.commercial.changes, **event.personal.changes}
    previous = {**event.commercial.previous, **event.personal.previous}
    shown = {
        name: _shown(name, previous[name], changes.get(name))
        for name in sorted(previous)
        if name in VISIBLE_ATTRIBUTES and (previous[name], changes.get(name)) != NO_LEAVES
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
