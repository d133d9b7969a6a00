"""The entry of a customer, as its row in the read model says it. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from chaching.domain.ids import AccountId
from chaching.domain.search_terms import Searchable, folded, terms_of
from chaching.envelope import StreamKey


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A row of read_model.search_entries; ``metadata`` is JSON, ``terms`` an array's text."""

    key: StreamKey
    created: int
    searchable: Searchable
    metadata: str
    terms: str


_decode_metadata: Final = msgspec.json.Decoder(dict[str, str]).decode
_encode: Final = msgspec.json.Encoder().encode


def entry_of(
    key: StreamKey,
    created: int,
    email: str | None,
    name: str | None,
    phone: str | None,
    metadata: str | None,
) -> Entry:
    """Return the entry of a customer who is not deleted; ``metadata`` is a JSON object."""
    searchable = folded(email, name, phone, _decode_metadata(metadata) if metadata else {})
    terms = terms_of(AccountId(key.account), key.livemode, searchable)
    return Entry(
        key=key,
        created=created,
        searchable=searchable,
        metadata=_encode(searchable.metadata).decode(),
        terms=f"{{{','.join(map(str, terms))}}}",
    )
