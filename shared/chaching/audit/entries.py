"""An event as it is stored, and its entry: the bytes of it that are hashed.

An entry is the format's number in one byte, the count of columns, and then every column of the row
in the table's order: the number of its type, the length of its bytes, and the bytes. Counts, types
and lengths are integers of four bytes. A null has the length -1 and no bytes, so it is never an
empty text. Numbers are big-endian, texts UTF-8, an instant counts microseconds from the year 2000.
These are the bytes in which PostgreSQL itself sends a record, so it can hash a row by itself, and
whoever reads one hashes what comes and decodes nothing.

A column that is added to the table makes a new format; older events keep theirs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

FORMAT: Final = 1
NULL_LENGTH: Final = -1

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_INSTANT: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
_HEAD: Final = struct.Struct(">bi")
_COLUMN: Final = struct.Struct(">ii")
_MICROSECONDS: Final = struct.Struct(">q")


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
    return _HEAD.pack(FORMAT, len(_COLUMNS)) + b"".join(_fields(event))


def event_of(entry: bytes) -> StoredEvent:
    """Return the event of an entry; the inverse of ``entry_of``.

    Raises:
        NotAnEntry: the bytes are no entry of this format.
    """
    if entry[: _HEAD.size] != _HEAD.pack(FORMAT, len(_COLUMNS)):
        raise NotAnEntry(f"the format of an entry is {FORMAT}, with {len(_COLUMNS)} columns")
    values: dict[str, object] = {}
    at, name = _HEAD.size, ""
    try:
        for name, column in _COLUMNS.items():
            type_number, length = _COLUMN.unpack_from(entry, at)
            if type_number != column.type_number:
                raise NotAnEntry(f"{name}: the type is not {column.type_number}")
            at += _COLUMN.size
            if length == NULL_LENGTH:
                values[name] = None
            else:
                values[name] = column.decode(entry[at : at + length])
                at += length
        event = msgspec.convert(values, StoredEvent)
    except (struct.error, ValueError, OverflowError, msgspec.ValidationError) as error:
        raise NotAnEntry(f"{name}: {error}") from error
    if at != len(entry):
        raise NotAnEntry(f"{len(entry) - at} bytes follow the last column")
    return event


def _fields(event: StoredEvent) -> Iterator[bytes]:
    for name, column in _COLUMNS.items():
        value = getattr(event, name)
        if value is None:
            yield _COLUMN.pack(column.type_number, NULL_LENGTH)
            continue
        try:
            encoded = column.encode(value)
        except (struct.error, ValueError) as error:
            raise NotAnEntry(f"{name}: {error}") from error
        yield _COLUMN.pack(column.type_number, len(encoded))
        yield encoded


def _encoded_instant(text: str) -> bytes:
    instant = datetime.strptime(text, _INSTANT).replace(tzinfo=UTC)
    if instant_text(instant) != text:
        raise ValueError("six digits of the second are wanted")
    return _MICROSECONDS.pack((instant - _EPOCH) // timedelta(microseconds=1))


def _decoded_instant(encoded: bytes) -> str:
    (microseconds,) = _MICROSECONDS.unpack(encoded)
    return instant_text(_EPOCH + timedelta(microseconds=microseconds))


class _Column(NamedTuple):
    """The number that PostgreSQL gives a type, and how a value becomes bytes and back."""

    type_number: int
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], object]


def _number(type_number: int, form: str) -> _Column:
    packed = struct.Struct(form)

    def decode(encoded: bytes) -> object:
        return packed.unpack(encoded)[0]

    return _Column(type_number, packed.pack, decode)


def _encoded_boolean(value: bool) -> bytes:
    return b"\x01" if value else b"\x00"


def _decoded_boolean(encoded: bytes) -> bool:
    if encoded not in {b"\x00", b"\x01"}:
        raise ValueError("a boolean is one byte, 00 or 01")
    return encoded == b"\x01"


_BOOLEAN: Final = _Column(16, _encoded_boolean, _decoded_boolean)
_BIGINT: Final = _number(20, ">q")
_SMALLINT: Final = _number(21, ">h")
_INTEGER: Final = _number(23, ">i")
_TEXT: Final = _Column(25, str.encode, bytes.decode)
_JSON: Final = _Column(114, str.encode, bytes.decode)
_TIMESTAMPTZ: Final = _Column(1184, _encoded_instant, _decoded_instant)

_COLUMNS: Final[Mapping[str, _Column]] = {
    "position": _BIGINT,
    "account": _TEXT,
    "livemode": _BOOLEAN,
    "stream": _TEXT,
    "version": _INTEGER,
    "previous_position": _BIGINT,
    "event_id": _TEXT,
    "type": _TEXT,
    "schema_version": _SMALLINT,
    "payload": _JSON,
    "state": _JSON,
    "metadata": _JSON,
    "invoice_prefix": _TEXT,
    "recorded_at": _TIMESTAMPTZ,
}
