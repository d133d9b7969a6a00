"""What the entry of a customer for searches may be, from the fold of the deltas alone. Pure.

Entries trail the read model. So an entry is right when it is what the customer was at one of the
versions from the newest that searches say they know up to the one of the row. While searches are
not behind that is one version. A deleted customer has no entry, and none has one before it came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from chaching.comparison.expected import Differing, in_json
from chaching.domain.customer import Customer, Personal
from chaching.domain.search_terms import folded, terms_of
from chaching.envelope import StreamKey

Findable: TypeAlias = Personal | None  # None: not to be found, so there is no entry

_encode = msgspec.json.Encoder().encode


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A row of read_model.search_entries without its key; ``metadata`` is JSON."""

    email: str | None
    name: str | None
    phone: str | None
    metadata: str
    terms: Sequence[int]


class Trail:
    """How a customer could be found, at each version that its entry may be of, the oldest first."""

    def __init__(self) -> None:
        self._findable: list[Findable] = [None]

    def add(self, customer: Customer, *, is_searched: bool) -> None:
        """Take the next version; ``is_searched``: searches know it, and none before it counts."""
        findable = None if customer.deleted else customer.personal
        if is_searched:
            self._findable = [findable]
        elif findable != self._findable[-1]:
            self._findable.append(findable)

    @property
    def is_over(self) -> bool:
        """Say whether there must be no entry, whatever the customer was before."""
        return self._findable == [None]

    def has_no_entry(self) -> bool:
        """Say whether it is right that there is no entry."""
        return None in self._findable

    def differences(self, key: StreamKey, found: Entry) -> list[Differing]:
        """Return in what an entry is not the newest that it may be; none when it is one of them."""
        differing: list[Differing] = []
        for findable in reversed(self._findable):
            if findable is not None:
                here = _differences(key, findable, found)
                if not here:
                    return []
                differing = differing or here
        return differing


_FIELDS: Final = ("email", "name", "phone")


def _differences(key: StreamKey, personal: Personal, found: Entry) -> list[Differing]:
    searchable = folded(personal.email, personal.name, personal.phone, personal.metadata)
    differing = [
        Differing(field, wanted, there)
        for field in _FIELDS
        if (wanted := getattr(searchable, field)) != (there := getattr(found, field))
    ]
    differing += in_json("metadata", _encode(searchable.metadata).decode(), found.metadata)
    terms = terms_of(key.account, key.livemode, searchable)
    if terms != found.terms:
        differing.append(Differing("terms", terms, found.terms))
    return differing
