"""Writing a file of an account's events with their proofs, from the log and its tree.

Every event is proved for itself, in the tree of one signed checkpoint: an account's events are
sparse in the log, so proofs have little in common but their upper ends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
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

Progress: TypeAlias = Callable[[int, int], None]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Whose events are wanted, and from which position to which, both included."""

    account: str
    mode: Mode | None
    start: int | None
    end: int | None


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
    fresh = FreshCheckpoints(database, ask_limit_s=ask_limit_s)
    kept = await (fresh.newest() if wanted.end is None else fresh.of_size(wanted.end))
    if kept is None:
        raise AuditRefused("no checkpoint has been signed: the auditor has to run")
    checkpoint = kept.checkpoint
    start, end = _range(wanted, checkpoint.size)
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


def _range(wanted: Wanted, size: int) -> tuple[int, int]:
    """Return the first and the last position that are wanted, of those that are signed."""
    end = size if wanted.end is None else wanted.end
    if end > size:
        raise AuditRefused(f"position {end} is under no signed checkpoint, {size} is the last")
    return wanted.start or 1, end
