"""Rows of the log as PostgreSQL copies them out in binary form, cut apart without decoding them.

The statement ``log_rows`` puts a boolean before the columns of the event. The rest of a row, from
its first column on, is an entry as it is hashed, but for the format's number.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from chaching.audit.entries import FORMAT

COPY_HEADER_BYTES: Final = 19
COPY_END: Final = 0xFF
LEAD_BYTES: Final = 7  # the count of columns, the boolean and its length
NUMBER_BYTES: Final = (1, 2, 4, 8, 8)

_PREFIX: Final = bytes([FORMAT])
_LENGTH: Final = struct.Struct(">i").unpack_from
_COUNT: Final = struct.Struct(">h").unpack_from
# the numbers between two texts, each with its length, up to the length of the next text
_TO_ACCOUNT: Final = struct.Struct(">h i? iq i")
_TO_STREAM: Final = struct.Struct(">i? i")
_TO_EVENT_ID: Final = struct.Struct(">ii iq i")
_TO_PAYLOAD: Final = struct.Struct(">ih i")
_TO_END: Final = struct.Struct(">iq")


class Row(NamedTuple):
    """One event of the log: whether it follows on the one it says it follows, and its entry."""

    position: int
    follows: bool
    entry: bytes


class Rows:
    """Cuts what is copied out into rows; a row that has not come whole is kept for the rest."""

    def __init__(self) -> None:
        self._rest = b""
        self._has_begun = False

    def cut(self, copied: bytes) -> list[Row]:
        """Return the rows that are whole now."""
        text = self._rest + copied if self._rest else copied
        rows: list[Row] = []
        at, end = 0, len(text)
        if not self._has_begun and end >= COPY_HEADER_BYTES:
            at, self._has_begun = COPY_HEADER_BYTES, True
        if self._has_begun:
            while at < end and text[at] != COPY_END:
                try:
                    row_end, row = _row(text, at)
                except struct.error:
                    break
                if row_end > end:
                    break
                rows.append(row)
                at = row_end
        self._rest = text[at:] if at < end and text[at] != COPY_END else b""
        return rows


def _row(text: bytes, at: int) -> tuple[int, Row]:
    """Return where the row at ``at`` ends, and the row; struct.error when it has not all come."""
    try:
        to, row = _usual_row(text, at)
    except struct.error:
        return _any_row(text, at)
    return (to, row) if row is not None and to <= len(text) else _any_row(text, at)


def _usual_row(text: bytes, at: int) -> tuple[int, Row | None]:
    """Cut a row that has nulls only where the table allows them; None if this is no such row."""
    _, _, follows, _, position, account = _TO_ACCOUNT.unpack_from(text, at)
    to = at + _TO_ACCOUNT.size + account
    one, _, stream = _TO_STREAM.unpack_from(text, to)
    to += _TO_STREAM.size + stream
    four, _, eight, _, event_id = _TO_EVENT_ID.unpack_from(text, to)
    to += _TO_EVENT_ID.size + event_id
    (kind,) = _LENGTH(text, to)
    to += 4 + kind
    two, _, payload = _TO_PAYLOAD.unpack_from(text, to)
    to += _TO_PAYLOAD.size + payload
    (state,) = _LENGTH(text, to)
    to += 4 + max(0, state)
    (metadata,) = _LENGTH(text, to)
    to += 4 + metadata
    (prefix,) = _LENGTH(text, to)
    to += 4 + max(0, prefix)
    instant, _ = _TO_END.unpack_from(text, to)
    to += _TO_END.size
    if (one, two, four, eight, instant) != NUMBER_BYTES:
        return to, None
    if account | stream | event_id | kind | payload | metadata < 0:
        return to, None
    return to, Row(position, follows, _PREFIX + text[at + LEAD_BYTES : to])


def _any_row(text: bytes, at: int) -> tuple[int, Row]:
    """Cut a row column by column; one with nulls where none may be follows on nothing."""
    (columns,) = _COUNT(text, at)
    _, _, _, _, position, _ = _TO_ACCOUNT.unpack_from(text, at)
    to = at + 2
    for _ in range(columns):
        (length,) = _LENGTH(text, to)
        to += 4 + max(length, 0)
    return to, Row(position, False, _PREFIX + text[at + LEAD_BYTES : to])
