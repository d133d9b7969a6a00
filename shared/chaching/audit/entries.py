"""An event as it is stored, and its entry: the bytes of it that are hashed.

An entry is the format's number in one byte and then every column of the row, in the table's order:
the length of its bytes as a signed big-endian integer of four bytes, and the bytes. A null has the
length -1 and no bytes, so it is never an empty text. Numbers are big-endian, texts UTF-8, an
instant counts microseconds from the year 2000. These are the bytes in which PostgreSQL itself
copies rows out, so whoever reads a stretch of the log hashes what comes, and decodes nothing.

A column that is added to the table makes a new format; older events keep theirs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

import msgspec

FORMAT: Final = 1
NULL_LENGTH: Final = -1

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_INSTANT: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
_LENGTH: Final = struct.Struct(">i")
_BIGINT: Final = struct.Struct(">q")
_INTEGER: Final = struct.Struct(">i")
_SMALLINT: Final = struct.Struct(">h")


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of the log, with every column as it is stored, in the table's order.

    ``payload``, ``state`` and ``metadata`` are texts, whose every byte counts. ``recorded_at`` is
    in UTC with six digits of the second, as in ``2026-01-02T03:04:05.000006Z``.
    """

    position: int
    account: str
    livemode: bool
    stream: str
    version: int
    previous_position: int
    event_id: str
    type: str
    schema_version: int
    payload: str
    state: str | None
    metadata: str
    invoice_prefix: str | None
    recorded_at: str


def instant_text(instant: datetime) -> str:
    """Return an instant as a ``StoredEvent`` tells it."""
    # strftime leaves out the zeros before an early year
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


class NotAnEntry(Exception):  # noqa: N818 - says what the bytes are
    """Bytes, or values, that no row of the log can have; the message names the column."""


def entry_of(event: StoredEvent) -> bytes:
    """Return the entry of an event.

    Raises:
        NotAnEntry: a value does not fit its column.
    """
    return bytes([FORMAT]) + b"".join(_fields(event))


def event_of(entry: bytes) -> StoredEvent:
    """Return the event of an entry; the inverse of ``entry_of``.

    Raises:
        NotAnEntry: the bytes are no entry of this format.
    """
    if entry[:1] != bytes([FORMAT]):
        raise NotAnEntry(f"the format of an entry is {FORMAT}")
    values: dict[str, object] = {}
    at, name = 1, ""
    try:
        for name, (_, decode) in _COLUMNS.items():
            (length,) = _LENGTH.unpack_from(entry, at)
            at += _LENGTH.size
            values[name] = None if length == NULL_LENGTH else decode(entry[at : at + length])
            at += max(length, 0)
        event = msgspec.convert(values, StoredEvent)
    except (struct.error, ValueError, OverflowError) as error:
        raise NotAnEntry(f"{name}: {error}") from error
    if at != len(entry):
        raise NotAnEntry(f"{len(entry) - at} bytes follow the last column")
    return event


def _fields(event: StoredEvent) -> Iterator[bytes]:
    for name, (encode, _) in _COLUMNS.items():
        value = getattr(event, name)
        if value is None:
            yield _LENGTH.pack(NULL_LENGTH)
            continue
        try:
            encoded = encode(value)
        except (struct.error, ValueError) as error:
            raise NotAnEntry(f"{name}: {error}") from error
        yield _LENGTH.pack(len(encoded))
        yield encoded


def _encoded_instant(text: str) -> bytes:
    instant = datetime.strptime(text, _INSTANT).replace(tzinfo=UTC)
    if instant_text(instant) != text:
        raise ValueError("six digits of the second are wanted")
    return _BIGINT.pack((instant - _EPOCH) // timedelta(microseconds=1))


def _decoded_instant(encoded: bytes) -> str:
    (microseconds,) = _BIGINT.unpack(encoded)
    return instant_text(_EPOCH + timedelta(microseconds=microseconds))


_Kind: TypeAlias = tuple[Callable[[Any], bytes], Callable[[bytes], object]]


def _number(packed: struct.Struct) -> _Kind:
    return packed.pack, lambda encoded: packed.unpack(encoded)[0]


_TEXT: Final[_Kind] = (str.encode, bytes.decode)
_BOOLEAN: Final[_Kind] = (lambda value: bytes([value]), lambda encoded: encoded != b"\x00")

_COLUMNS: Final[Mapping[str, _Kind]] = {
    "position": _number(_BIGINT),
    "account": _TEXT,
    "livemode": _BOOLEAN,
    "stream": _TEXT,
    "version": _number(_INTEGER),
    "previous_position": _number(_BIGINT),
    "event_id": _TEXT,
    "type": _TEXT,
    "schema_version": _number(_SMALLINT),
    "payload": _TEXT,
    "state": _TEXT,
    "metadata": _TEXT,
    "invoice_prefix": _TEXT,
    "recorded_at": (_encoded_instant, _decoded_instant),
}
