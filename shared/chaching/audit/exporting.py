"""Writing a file of an account's events with their proofs, from the log and its tree.

Every event is proved for itself, in the tree of one signed checkpoint: an account's events are
sparse in the log, so proofs have little in common but their upper ends.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Final, TypeAlias

import msgspec

from chaching.audit.asking import ASK_LIMIT_S, FreshCheckpoints
from chaching.audit.entries import NotAnEntry, event_of
from chaching.audit.exports import EXPORT_FORMAT, ExportWriter, Header
from chaching.audit.notes import Checkpoint
from chaching.audit.opening import AuditRefused
from chaching.audit.rows import Row, Rows
from chaching.audit.stored import proofs
from chaching.audit.tree import inclusion_spans
from chaching.domain.ids import Mode
from chaching.eventstore.database import Database
from chaching.eventstore.statements import statement

STRETCH_EVENTS: Final = 2_000

_ACCOUNT_ROWS: Final = statement("chaching.audit", "account_rows")
_WAS_RECORDED: Final = statement("chaching.audit", "was_recorded")
_POSITION: Final = re.compile(r"position:([0-9]{1,18})")
_UNIX_S: Final = re.compile(r"[0-9]{1,11}")

MOMENTS: Final = "position:17, unix seconds, or an instant as in 2026-01-02T03:04:05Z"

Moment: TypeAlias = int | datetime
Progress: TypeAlias = Callable[[int, int], None]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Whose events are wanted, and which: each end a position or an instant, both included."""

    account: str
    mode: Mode | None
    start: Moment | None
    end: Moment | None


def parse_moment(text: str) -> Moment:
    """Return a position (``position:17``) or an instant (unix seconds, or RFC 3339).

    Raises:
        ValueError: the text is none of these; the message says what they are.
    """
    if found := _POSITION.fullmatch(text):
        return int(found[1])
    if _UNIX_S.fullmatch(text):
        return datetime.fromtimestamp(int(text), UTC)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(MOMENTS) from None
    if instant.tzinfo is None:
        raise ValueError(MOMENTS)
    return instant


async def export(
    database: Database,
    wanted: Wanted,
    progress: Progress = lambda _done, _of: None,
    *,
    ask_limit_s: float = ASK_LIMIT_S,
) -> AsyncIterator[bytes]:
    """Yield the lines of a file; ``progress`` is told positions looked at and to be looked at.

    Raises:
        AuditRefused: nothing is signed, or not all that is wanted.
        TreeBroken, NotANote: what is stored does not fit together.
        Unavailable: the database does not answer.
    """
    kept = await FreshCheckpoints(database, ask_limit_s=ask_limit_s).newest()
    if kept is None:
        raise AuditRefused("no checkpoint has been signed: the auditor has to run")
    checkpoint = kept.checkpoint
    start, end = await _range(database, wanted, checkpoint.size)
    writer = ExportWriter()
    yield writer.header(
        Header(
            format=EXPORT_FORMAT,
            account=wanted.account,
            mode=wanted.mode,
            start=start,
            end=end,
            note=kept.signed.note,
        )
    )
    for after in range(start - 1, end, STRETCH_EVENTS):
        up_to = min(after + STRETCH_EVENTS, end)
        for line in await _event_lines(database, wanted, writer, checkpoint, after, up_to):
            yield line
        progress(up_to - start + 1, end - start + 1)
    yield writer.end()


async def _event_lines(
    database: Database,
    wanted: Wanted,
    writer: ExportWriter,
    checkpoint: Checkpoint,
    after: int,
    up_to: int,
) -> list[bytes]:
    rows = await _rows(database, wanted, after, up_to)
    spans = [inclusion_spans(row.position - 1, checkpoint.size) for row in rows]
    try:
        events = [event_of(row.entry) for row in rows]
    except NotAnEntry as error:
        raise AuditRefused(f"an event after position {after} cannot be told: {error}") from error
    hashes = await proofs(database, spans) if spans else []
    return [writer.event(event, proof) for event, proof in zip(events, hashes, strict=True)]


async def _rows(database: Database, wanted: Wanted, after: int, up_to: int) -> list[Row]:
    cutter, rows = Rows(), list[Row]()
    livemode = None if wanted.mode is None else wanted.mode == "live"
    async with database.session() as session:
        await session.copy_out(
            _ACCOUNT_ROWS,
            after,
            up_to,
            wanted.account,
            livemode,
            take=lambda copied: rows.extend(cutter.cut(copied)),
        )
    return rows


async def _range(database: Database, wanted: Wanted, size: int) -> tuple[int, int]:
    """Return the first and the last position that are wanted, of those that are signed."""
    if isinstance(wanted.end, int) and wanted.end > size:
        raise AuditRefused(
            f"position {wanted.end} is under no signed checkpoint, {size} is the last"
        )
    start, end = wanted.start or 1, size if wanted.end is None else wanted.end
    if isinstance(start, datetime):
        start = await _first_recorded(database, start, size, later=False)
    if isinstance(end, datetime):
        end = await _first_recorded(database, end, size, later=True) - 1
    return start, end


async def _first_recorded(database: Database, instant: datetime, size: int, *, later: bool) -> int:
    """Return the first position recorded at an instant, or after it, or only ``later``.

    Instants are those of the database's clock; where it was set back, they are not in order.
    """
    low, high = 1, size + 1
    while low < high:
        middle = (low + high) // 2
        rows = await database.fetch(_WAS_RECORDED, middle, instant)
        if rows and (rows[0]["before"] or (later and rows[0]["at"])):
            low = middle + 1
        else:
            high = middle
    return low
