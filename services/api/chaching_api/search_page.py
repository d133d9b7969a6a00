"""The opaque page of a search: how far it has gone, and whose search it is. Pure.

A page names the last customer that was shown, so it stays right whatever is created or deleted in
the meantime. It is bound to account, mode and query by a digest, since one of another search would
give a page that makes no sense. Nothing in it is secret, and nothing in it gives a right.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import Final

import msgspec

from chaching_api.errors import Malformed
from chaching_api.parameter_types import INT64_MAX
from chaching_api.places import Place

DIGEST_BYTES: Final = 8


# before the newest: ids are letters, digits, underscores and hyphens, which "~" comes after
TOP: Final = Place(INT64_MAX, "~")


class _Page(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    digest: bytes
    created: int
    id: str


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Page).decode


def page_after(place: Place, search: bytes) -> str:
    """Return the page that follows a place; ``search`` says whose it is."""
    page = _Page(_digest(search), place.created, place.id)
    return urlsafe_b64encode(_encode(page)).decode().rstrip("=")


def place_of(page: str, search: bytes) -> Place:
    """Return the place after which a page begins.

    Raises:
        Malformed: it is no page, or one of another search.
    """
    try:
        padded = page + "=" * (-len(page) % 4)
        found = _decode(urlsafe_b64decode(padded.encode("ascii")))
    except (ValueError, msgspec.MsgspecError) as error:
        raise _refused("it must be the next_page of an answer, unchanged") from error
    if found.digest != _digest(search):
        raise _refused("it belongs to another search")
    if abs(found.created) > INT64_MAX or "\0" in found.id:
        raise _refused("it must be the next_page of an answer, unchanged")
    return Place(found.created, found.id)


def _digest(search: bytes) -> bytes:
    return blake2b(search, digest_size=DIGEST_BYTES).digest()


def _refused(why: str) -> Malformed:
    return Malformed(f"Invalid page: {why}.", param="page")
