"""What a byte of a request can cost: the same kind of input at growing sizes.

Each family is one way to make the decoder or a validator work hard. Its time is the processor's,
so that a busy machine does not count; a family whose cost per byte grows with its size is
superlinear, and one request of it could hold a gateway up.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

import msgspec
from tests.fuzz.given import Given

from chaching_api.bodies import BODY_BYTES_MAX, FORM, JSON, decode
from chaching_api.errors import Malformed, envelope, failure_of
from chaching_api.parameters import read_create

Make: TypeAlias = Callable[[int], bytes]

LARGE_BYTES: Final = BODY_BYTES_MAX
SMALLER: Final = 16  # the ratio of the two sizes at which a family is measured
ROUNDS: Final = 3
GROWTH_MAX: Final = 8.0  # of the cost per byte, from the smaller size to the larger one
SOON_S: Final = 0.02  # what takes less is too short to tell how it grows
INPUT_LIMIT_S: Final = 1.5


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a family costs: per byte at its smaller and its larger size, and all of the larger."""

    family: str
    smaller_ns_per_byte: float
    ns_per_byte: float
    whole_s: float

    @property
    def growth(self) -> float:
        return self.ns_per_byte / self.smaller_ns_per_byte

    @property
    def is_linear(self) -> bool:
        return self.whole_s < SOON_S or self.growth <= GROWTH_MAX


def _repeated(piece: bytes, before: bytes = b"", after: bytes = b"") -> Make:
    def make(size_bytes: int) -> bytes:
        room = size_bytes - len(before) - len(after)
        return before + piece * (room // len(piece)) + after

    return make


def _numbered(piece: bytes, between: bytes = b"&", before: bytes = b"", after: bytes = b"") -> Make:
    """As many pieces as fit, each with a number of its own."""

    def make(size_bytes: int) -> bytes:
        count = size_bytes // (len(piece) + 6 + len(between))
        return before + between.join([piece % index for index in range(count)]) + after

    return make


def _pairs(piece: bytes, count: int = 1_000) -> Make:
    """About as many pairs as are allowed, each as long as fits."""

    def make(size_bytes: int) -> bytes:
        filling = b"x" * (size_bytes // count - len(piece) - 8)
        return b"&".join([piece % index + filling for index in range(count)])

    return make


def _around(head: str, count: int = 990) -> Make:
    """A name that is as long as fits, around many others."""

    def make(size_bytes: int) -> bytes:
        inner = {f"n{index}": "x" for index in range(count)}
        long = "k" * max(1, size_bytes - len(json.dumps(inner)) - 100)
        return json.dumps({head: {long: inner}}).encode()

    return make


FORMS: Final[dict[str, Make]] = {
    "one long value": _repeated(b"a", b"name="),
    "one long name": _repeated(b"a"),
    "a description of letters of three bytes": _repeated("\u20ac".encode(), b"description="),
    "ampersands": _repeated(b"&"),
    "plus signs": _repeated(b"+", b"name="),
    "escapes of ASCII": _repeated(b"%41", b"name="),
    "escapes of UTF-8": _repeated(b"%C3%BC", b"name="),
    "escapes in a name": _repeated(b"%5B%5D", b"a"),
    "a last escape that is none": _repeated(b"%C3%BC", b"name=", b"%4"),
    "a last byte that is no UTF-8": _repeated(b"a=b&", after=b"\xff"),
    "a last byte that is NUL": _repeated(b"a=b&", after=b"\0"),
    "opening brackets": _repeated(b"["),
    "empty brackets": _repeated(b"[]", b"a"),
    "many levels": _repeated(b"[b]", b"a"),
    "pairs with long names": _pairs(b"a%d", 900),
    "pairs of one list": _pairs(b"preferred_locales[]=%d"),
    "items of one list": _pairs(b"tax_id_data[][k%d]="),
    "names that nobody knows": _pairs(b"address[%d]"),
    "keys of metadata": _pairs(b"metadata[%d]="),
    "lists by index": _pairs(b"expand[%d]="),
    "an e-mail address of dots": _repeated(b".", b"email=a@"),
    "an e-mail address of at signs": _repeated(b"@", b"email="),
    "an IPv6 address of colons": _repeated(b":", b"tax[ip_address]="),
    "an IPv4 address of dots": _repeated(b"1.", b"tax[ip_address]="),
    "a locale of subtags": _repeated(b"a-", b"preferred_locales[0]=aa-"),
    "an invoice prefix": _repeated(b"A", b"invoice_prefix="),
    "an integer of nines": _repeated(b"9", b"balance="),
    "an id of underscores": _repeated(b"_", b"source=src_"),
    "a tax number": _repeated(b"-", b"tax_id_data[0][type]=eu_vat&tax_id_data[0][value]="),
    "an expansion of dots": _repeated(b".", b"expand[]="),
    "white space around a name": _repeated(b"+", b"name=", b"a"),
}
JSONS: Final[dict[str, Make]] = {
    "one long text": _repeated(b"a", b'{"name":"', b'"}'),
    "escapes of one text": _repeated(b"\\u20ac", b'{"name":"', b'"}'),
    "white space": _repeated(b" ", b"{", b"}"),
    "an integer": _repeated(b"9", b'{"balance":', b"}"),
    "a fraction": _repeated(b"9", b'{"balance":0.', b"}"),
    "opening arrays": _repeated(b"["),
    "opening objects": _repeated(b'{"a":'),
    "numbers in an array": _repeated(b"1,", b'{"a":[', b"1]}"),
    "arrays in an array": _repeated(b"[],", b'{"a":[', b"[]]}"),
    "objects in an array": _repeated(b"{},", b'{"a":[', b"{}]}"),
    "members": _numbered(b'"a%d":1', b",", b"{", b"}"),
    "members of metadata": _numbered(b'"a%d":1', b",", b'{"metadata":{', b"}}"),
    "members with indices": _numbered(b'"%d":1', b",", b'{"expand":{', b"}}"),
    "one member again and again": _repeated(b'"a":1,', b"{", b'"a":1}'),
    "a long name around unknown ones": _around("tax_id_data"),
    "a long name around members": _around("metadata"),
    "a long name that nobody knows": _around("address"),
}


def costs(large_bytes: int = LARGE_BYTES) -> Iterator[Cost]:
    """Measure every family at a size and at a fraction of it."""
    for content_type, families in ((FORM, FORMS), (JSON, JSONS)):
        media = "form" if content_type == FORM else "JSON"
        for family, make in families.items():
            smaller = Given(content_type=content_type, body=make(large_bytes // SMALLER))
            larger = Given(content_type=content_type, body=make(large_bytes))
            smaller_s, larger_s = time_s(smaller), time_s(larger)
            yield Cost(
                family=f"{media}: {family}",
                smaller_ns_per_byte=smaller_s * 1e9 / smaller.size_bytes,
                ns_per_byte=larger_s * 1e9 / larger.size_bytes,
                whole_s=larger_s,
            )


def serve(given: Given) -> None:
    """Do with an input what a gateway does before it asks the store."""
    ids = itertools.count()
    try:
        tree = decode(given.content_type, given.body, given.query)
        read_create(tree, livemode=False, at=0, new_id=lambda prefix: f"{prefix}{next(ids)}")
    except Malformed as fault:
        envelope(failure_of(fault))


def time_s(given: Given) -> float:
    """Return the least processor time of some rounds: what is more was somebody else's."""
    least_s = float("inf")
    for _ in range(ROUNDS):
        began_s = time.thread_time()
        serve(given)
        least_s = min(least_s, time.thread_time() - began_s)
    return least_s
