"""A file of proved events: its lines, and how it is checked with nothing but a public key.

Here is no database and no network, so whoever holds a file can check it anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import BinaryIO, Final

import msgspec

from chaching.audit.entries import NotAnEntry, StoredEvent, entry_of
from chaching.audit.hashing import from_base64, leaf_hash, to_base64
from chaching.audit.notes import (
    Checkpoint,
    NotANote,
    PublicKey,
    Untrusted,
    parse_checkpoint,
)
from chaching.audit.tree import is_included
from chaching.domain.ids import Mode, mode_of

EXPORT_FORMAT: Final = "chaching-audit-export/1"
LINE_BYTES_MAX: Final = 64 * 1024 * 1024
LINES_BETWEEN_PROGRESS: Final = 1_000


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first line: whose events follow, at which positions, under which checkpoint.

    ``mode`` is None when events of both modes follow; ``start`` and ``end`` are both included.
    """

    format: str
    account: str
    mode: Mode | None
    start: int = msgspec.field(name="from")
    end: int = msgspec.field(name="to")
    note: str


class ProvedEvent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line for an event: the event as it is stored, and its inclusion proof in Base64."""

    event: StoredEvent
    hashes: Sequence[str]


class End(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last line: how many events there were, and the SHA-256 of all lines before in hex."""

    events: int
    sha256: str


class ExportVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found; ``line`` and ``position`` say where the first fault is, if any."""

    is_sound: bool
    events: int
    size: int | None = None
    fault: str | None = None
    line: int | None = None
    position: int | None = None


class _Faulty(Exception):  # noqa: N818 - says what the file is
    def __init__(self, fault: str, position: int | None = None) -> None:
        super().__init__(fault)
        self.position = position


_encode: Final = msgspec.json.Encoder().encode
_decode_header: Final = msgspec.json.Decoder(Header).decode
_decode_event: Final = msgspec.json.Decoder(ProvedEvent).decode
_decode_end: Final = msgspec.json.Decoder(End).decode


class ExportWriter:
    """Makes the lines of a file, and remembers what the last one says of them."""

    def __init__(self) -> None:
        self._events = 0
        self._digest = sha256()

    def header(self, header: Header) -> bytes:
        return self._line(header)

    def event(self, event: StoredEvent, hashes: Sequence[bytes]) -> bytes:
        self._events += 1
        return self._line(ProvedEvent(event=event, hashes=[to_base64(h) for h in hashes]))

    def end(self) -> bytes:
        return self._line(End(events=self._events, sha256=self._digest.hexdigest()))

    def _line(self, line: msgspec.Struct) -> bytes:
        encoded = _encode(line) + b"\n"
        self._digest.update(encoded)
        return encoded


def check_export(
    file: BinaryIO,
    keys: Sequence[PublicKey],
    progress: Callable[[int], None] = lambda _bytes_read: None,
) -> ExportVerdict:
    """Check a whole file; ``progress`` is told how many bytes were read."""
    check = _Check(file, keys)
    try:
        check.run(progress)
    except _Faulty as faulty:
        return ExportVerdict(
            is_sound=False,
            events=check.events,
            size=check.size,
            fault=str(faulty),
            line=check.line,
            position=faulty.position,
        )
    return ExportVerdict(is_sound=True, events=check.events, size=check.size)


class _Check:
    """One check: the lines read so far, and the newest event of each stream among them."""

    def __init__(self, file: BinaryIO, keys: Sequence[PublicKey]) -> None:
        self._file = file
        self._keys = keys
        self._digest = sha256()
        self._newest: dict[tuple[bool, str], tuple[int, int]] = {}
        self.events = 0
        self.line = 0
        self.size: int | None = None

    def run(self, progress: Callable[[int], None]) -> None:
        header, checkpoint = self._header(self._next())
        before = header.start - 1
        read = self._next()
        while (end := _end_of(read)) is None:
            before = self._event(read, header, checkpoint, before)
            self._digest.update(read)
            read = self._next()
            if self.line % LINES_BETWEEN_PROGRESS == 0:
                progress(self._file.tell())
        if (end.events, end.sha256) != (self.events, self._digest.hexdigest()):
            raise _Faulty("the last line says other than the lines before it")
        self.line += 1
        if self._file.read(1):
            raise _Faulty("something follows the last line")

    def _next(self) -> bytes:
        read = self._file.readline(LINE_BYTES_MAX)
        self.line += 1
        if not read:
            raise _Faulty("the file ends before its last line")
        if not read.endswith(b"\n"):
            raise _Faulty("the line is cut off, or too long")
        return read

    def _header(self, read: bytes) -> tuple[Header, Checkpoint]:
        try:
            header = _decode_header(read)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _Faulty(f"the header cannot be read: {error}") from error
        if header.format != EXPORT_FORMAT:
            raise _Faulty(f"the format is not {EXPORT_FORMAT}")
        try:
            signed = parse_checkpoint(header.note)
            signed.check(self._keys)
        except NotANote as error:
            raise _Faulty(f"the header has no checkpoint: {error}") from error
        except Untrusted as error:
            raise _Faulty(f"the checkpoint is not to be trusted: {error}") from error
        self.size = signed.checkpoint.size
        if header.end > self.size:
            raise _Faulty("the checkpoint does not cover the positions of the header")
        self._digest.update(read)
        return header, signed.checkpoint

    def _event(self, read: bytes, header: Header, checkpoint: Checkpoint, before: int) -> int:
        """Check the line of an event; return its position."""
        try:
            proved = _decode_event(read)
            hashes = [from_base64(text) for text in proved.hashes]
            leaf = leaf_hash(entry_of(proved.event))
        except (msgspec.MsgspecError, NotAnEntry, ValueError) as error:
            raise _Faulty(f"the event cannot be read: {error}") from error
        event = proved.event
        position = event.position
        if event.account != header.account or (
            header.mode is not None and mode_of(livemode=event.livemode) != header.mode
        ):
            raise _Faulty("the event is another account's or mode's", position)
        if not before < position <= header.end:
            raise _Faulty("the event is out of order, or outside of the header's range", position)
        if not is_included(leaf, position - 1, checkpoint.size, hashes, checkpoint.root):
            raise _Faulty("the event is not included in the signed tree", position)
        self._follows(event)
        self.events += 1
        return position

    def _follows(self, event: StoredEvent) -> None:
        stream = (event.livemode, event.stream)
        newest = self._newest.get(stream)
        if newest is not None and newest != (event.version - 1, event.previous_position):
            raise _Faulty("events of the stream before this one are left out", event.position)
        self._newest[stream] = (event.version, event.position)


def _end_of(read: bytes) -> End | None:
    try:
        return _decode_end(read)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
