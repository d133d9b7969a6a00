"""Rows of the log as PostgreSQL copies them out in binary form, cut apart without decoding them.

The statements ``log_rows`` and ``account_rows`` answer three columns: whether the event follows on
the one that it says it follows, its position, and its entry but for the format's number.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from chaching.audit.entries import FORMAT

COPY_HEADER_BYTES: Final = 19
COPY_END: Final = 0xFF

_PREFIX: Final = bytes([FORMAT])
# the count of columns; follows, position and the length of the entry, each after its own length
_HEAD: Final = struct.Struct(">h i? iq i")


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
        while self._has_begun and at + _HEAD.size <= end and text[at] != COPY_END:
            _, _, follows, _, position, length = _HEAD.unpack_from(text, at)
            start = at + _HEAD.size
            if start + length > end:
                break
            rows.append(Row(position, follows, _PREFIX + text[start : start + length]))
            at = start + length
        self._rest = text[at:] if at < end and text[at] != COPY_END else b""
        return rows
