"""What an event changed, leaf by leaf, in the words of the API: old → new. Pure.

A leaf is named by its dotted path in the customer object, or where it shows only when expanded, in
that: ``address.city``, ``metadata.plan``, ``tax.ip_address``. Lists are leaves and replaced whole.
What is not there counts as null on either side; so the first event's changes begin at null, and
those of all events, put on top of each other, are the customer.

A deletion changes one leaf, ``deleted``: the values stay in the history as they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, assert_never, cast

import msgspec

from chaching.domain.customer import (
    Commercial,
    Customer,
    CustomerCreated,
    CustomerDeleted,
    CustomerErased,
    CustomerUpdated,
    Event,
    Personal,
)
from chaching.domain.delta import Delta, difference
from chaching.domain.values import Address, InvoiceSettings


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One leaf before and after; the values are JSON, null where there was or is none.

    Both are null when the customer was erased since: that it changed is known, and to what is not.
    """

    attribute: str
    old: Any
    new: Any


_DELETED: Final = Change(attribute="deleted", old=None, new=True)
_ERASED: Final = Change(attribute="erased", old=None, new=True)
# what the API calls by another name than the state
_NAMES: Final = {
    "ip_address": "tax.ip_address",
    "reconciliation_mode": "cash_balance.settings.reconciliation_mode",
    "validate_location": "tax.validate_location",
}
_EMPTY: Final[tuple[object, ...]] = (None, {}, (), InvoiceSettings())
_BLANK: Final[Mapping[type, Commercial | Personal]] = {
    Commercial: Commercial(invoice_prefix=""),
    Personal: Personal(),
}
_UNSET_ADDRESS: Final = dict.fromkeys(sorted(Address.__struct_fields__))


def changes_of(event: Event) -> list[Change]:
    """Return what an event changed, in the order of the attributes' names."""
    match event:
        case CustomerCreated():
            return _sorted(_of_new(event.commercial), _of_new(event.personal))
        case CustomerUpdated():
            return _sorted(_of_delta(event.commercial), _of_delta(event.personal))
        case CustomerDeleted():
            return [_DELETED]
        case CustomerErased():
            return [_ERASED]
        case _:
            assert_never(event)


def changes_between(before: Customer | None, after: Customer | None) -> list[Change]:
    """Return in what a customer differs from itself at an earlier time, None: it was not there."""
    if after is None:
        return []
    ends = iter(_ends_of(before, after))
    if before is None:
        return _sorted(_of_new(after.commercial), _of_new(after.personal), ends)
    return _sorted(
        _of_delta(difference(before.commercial, after.commercial)),
        _of_delta(difference(before.personal, after.personal)),
        ends,
    )


def _ends_of(before: Customer | None, after: Customer) -> list[Change]:
    """Return by what a customer ended since: an erasure says that it is deleted, too."""
    if after.erased:
        return [] if before is not None and before.erased else [_ERASED]
    return [_DELETED] if after.deleted and not (before and before.deleted) else []


def _sorted(*found: Iterator[Change]) -> list[Change]:
    return sorted((change for part in found for change in part), key=_attribute)


def _attribute(change: Change) -> str:
    return change.attribute


def _of_new(values: Commercial | Personal) -> Iterator[Change]:
    """Yield what a part of a new customer holds, but for what is empty as by default."""
    for name in values.__struct_fields__:
        value = getattr(values, name)
        if value not in _EMPTY or value != getattr(_BLANK[type(values)], name):
            yield from _leaves(_NAMES.get(name, name), None, _plain(value))


def _of_delta(delta: Delta) -> Iterator[Change]:
    for name, new in delta.changes.items():
        path, old = _NAMES.get(name, name), delta.previous.get(name)
        if old == new:  # in no delta, unless its values are gone since
            yield Change(attribute=path, old=None, new=None)
        else:
            yield from _leaves(path, old, new)


def _leaves(path: str, old: Any, new: Any) -> Iterator[Change]:
    if old == new:
        return
    if not _is_object(old, new):
        yield Change(attribute=path, old=old, new=new)
        return
    before = cast("Mapping[str, Any]", old or {})
    after = cast("Mapping[str, Any]", new or {})
    found = [
        change
        for name in {**before, **after}
        for change in _leaves(f"{path}.{name}", before.get(name), after.get(name))
    ]
    if found:
        yield from found
    else:  # an object without a set leaf came or went
        yield Change(attribute=path, old=_whole(old), new=_whole(new))


def _is_object(old: object, new: object) -> bool:
    """Tell whether the two are objects, or one of them is and the other is not there."""
    return (isinstance(old, dict) or old is None) and (isinstance(new, dict) or new is None)


def _plain(value: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def _whole(value: object) -> object:
    return None if value is None else _UNSET_ADDRESS
