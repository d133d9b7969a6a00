"""What a customer can be found by: terms, 64-bit numbers of which an index keeps sets. Pure.

A term says that a text field equals something, has three characters in a row somewhere, is there
or is not there. Its upper half is a hash of account, mode and field, its lower half one of what is
said of the field. So the terms of one account lie side by side in the index, and a search looks at
nobody else's.

Different facts may share a term: terms only lead to candidates, which are then compared with the
folded texts themselves. Case is folded here, for those who write terms and those who look for them
alike, and never by the database, whose rules depend on how it was made. Folding maps each
character by itself, so a part of a text folds to a part of the folded text.

What is computed here is stored. After a change of it all entries must be made anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Final
from zlib import crc32

import msgspec

from chaching.domain.ids import AccountId

GRAM_CHARACTERS: Final = 3
SUBSTRING_TERMS_MAX: Final = 16
CACHED_FIELDS_MAX: Final = 4096

EMAIL: Final = "email"
NAME: Final = "name"
PHONE: Final = "phone"
METADATA: Final = "metadata"

_HASH_BYTES: Final = 4
_EQUALS: Final = b"="
_PRESENT: Final = crc32(b"?")
_ABSENT: Final = crc32(b"!")


class Searchable(msgspec.Struct, frozen=True, kw_only=True):
    """The texts by which a customer is found, folded; the keys of metadata are as they are."""

    email: str | None
    name: str | None
    phone: str | None
    metadata: Mapping[str, str]


def fold(text: str) -> str:
    """Return a text with the case of its letters forgotten."""
    return text.casefold()


def folded(
    email: str | None, name: str | None, phone: str | None, metadata: Mapping[str, str]
) -> Searchable:
    """Return what a customer is found by."""
    return Searchable(
        email=None if email is None else fold(email),
        name=None if name is None else fold(name),
        phone=None if phone is None else fold(phone),
        metadata={key: fold(text) for key, text in metadata.items()},
    )


def terms_of(account: AccountId, livemode: bool, searchable: Searchable) -> list[int]:
    """Return all terms of a customer, in order."""
    terms: set[int] = set()
    for name, text in (
        (EMAIL, searchable.email),
        (NAME, searchable.name),
        (PHONE, searchable.phone),
    ):
        head = _head(account, livemode, name)
        if text is None:
            terms.add(head | _ABSENT)
        else:
            _add_terms(terms, head, text)
    for key, text in searchable.metadata.items():
        _add_terms(terms, _head(account, livemode, METADATA, key), text)
    return sorted(terms)


def equality(
    account: AccountId, livemode: bool, field: str, key: str | None, text: str
) -> list[int]:
    """Return the term of those whose field, folded, is this folded text."""
    return [_head(account, livemode, field, key) | crc32(_EQUALS + text.encode())]


def containment(
    account: AccountId, livemode: bool, field: str, key: str | None, text: str
) -> list[int]:
    """Return terms of those whose field, folded, has this folded text in it, and of some others.

    Of a long text only some, spread over it: each one more costs more than it leaves out.
    """
    head = _head(account, livemode, field, key)
    grams = _grams(text)
    step = -(-len(grams) // SUBSTRING_TERMS_MAX)
    return [head | crc32(gram.encode()) for gram in grams[::step]]


def presence(account: AccountId, livemode: bool, field: str, key: str | None) -> list[int]:
    """Return the term of those who have a field."""
    return [_head(account, livemode, field, key) | _PRESENT]


def absence(account: AccountId, livemode: bool, field: str) -> list[int]:
    """Return the term of those who do not have a field, one of email, name and phone."""
    return [_head(account, livemode, field) | _ABSENT]


def _add_terms(terms: set[int], head: int, text: str) -> None:
    terms.add(head | _PRESENT)
    terms.add(head | crc32(_EQUALS + text.encode()))
    terms.update([head | crc32(gram.encode()) for gram in _grams(text)])


def _grams(text: str) -> list[str]:
    return [text[at : at + GRAM_CHARACTERS] for at in range(len(text) - GRAM_CHARACTERS + 1)]


@lru_cache(maxsize=CACHED_FIELDS_MAX)
def _head(account: AccountId, livemode: bool, field: str, key: str | None = None) -> int:
    """Return the upper half of the terms of one field, as a signed number of 64 bits."""
    said = "\0".join([account, str(livemode), field, key or ""])
    digest = blake2b(said.encode(), digest_size=_HASH_BYTES).digest()
    return int.from_bytes(digest, "big", signed=True) << 32
