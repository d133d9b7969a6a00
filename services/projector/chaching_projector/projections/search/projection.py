"""The search's projection: makes entries from the rows of the read model, some time after them.

Theory of operation. What searches need is dear to keep: some sixty terms a customer. So it does not
stand in the step that writes the read model, which retrieves and lists wait for, but follows it.
A step takes the range of the log from its own checkpoint to at most the read model's, asks which
customers have events there, reads their rows, which are at least that new, and writes or removes
their entries, in one transaction with the checkpoint. A row that is newer than the range brings
the entry forward early; the later step finds it so and leaves it alone. A crash before the commit
leaves everything as it was. The checkpoint moves last in the transaction, so that the lease can be
renewed while entries are written, and a holder that was fenced meanwhile writes nothing.

A customer may have 25,000 terms, which take the database more than a second. So a step is bounded
in the characters that it makes terms of, and one that is too large, or takes too long, is taken in
halves, down to a single event.

A row that changed without an event at its time, since its stream had been parked, is named in
``search_renewals`` by the transaction that wrote it, and its entry is made anew by the next step.

The lease ``projection.search`` fences a holder that was replaced. Nothing in a row can be refused
here that the read model has taken; any error is a bug and starts the loop again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from chaching.domain.ids import AccountId, CustomerId
from chaching.envelope import Position, StreamKey
from chaching.eventstore.database import Database, Row, Session
from chaching.eventstore.errors import OutOfTime, Unavailable
from chaching.eventstore.lease import Held, Lease
from chaching.eventstore.statements import statement
from chaching.runtime.lifecycle import retried
from chaching_projector.projections.search.entries import Entry, entry_of

LEASE_NAME: Final = "projection.search"
PACKAGE: Final = "chaching_projector.projections.search"
STEP_EVENTS_MAX: Final = 1_000
STEP_CHARACTERS_MAX: Final = 250_000
STEP_STATEMENT_TIMEOUT_S: Final = 30.0
# a customer has at most some 500,000 characters of terms, most have a thousand
PORTION_CHARACTERS_MIN: Final = 200_000
SEARCH_POLL_S: Final = 0.2

_AHEAD: Final = statement(PACKAGE, "ahead")
_CHANGED: Final = statement(PACKAGE, "changed_customers")
_WRITE: Final = statement(PACKAGE, "write_entries")
_DELETE: Final = statement(PACKAGE, "delete_entries")


class _StepTooLarge(Exception):  # noqa: N818 - says what the step is
    """The customers of a step have more characters than one transaction should make terms of."""


class SearchProjection:
    """The entries in the hands of one holder; use it from one task at a time."""

    def __init__(self, database: Database, lease: Lease, held: Held) -> None:
        self._database = database
        self._lease = lease
        self._held = held
        self.position: Position = held.position

    async def follow(self) -> None:
        """Keep up with the read model until cancelled, waiting while the database is away.

        Raises:
            Fenced: another holds the lease now, or a commit's answer was lost.
        """
        while True:
            await retried(self.catch_up, on=Unavailable)
            await asyncio.sleep(SEARCH_POLL_S)

    async def catch_up(self) -> None:
        """Go on to where the read model is now; raises Fenced or Unavailable."""
        [row] = await self._database.fetch(_AHEAD)
        head = Position(row["position"])
        if row["renewed"]:
            await self._go_on(head)
        while self.position < head:
            await self._go_on(head)

    async def _go_on(self, head: Position) -> None:
        """Take a step towards the head, a smaller one if the first is too large."""
        end = min(head, Position(self.position + STEP_EVENTS_MAX))
        while True:
            try:
                return await self._step(end)
            except (_StepTooLarge, OutOfTime):
                if end <= self.position + 1:
                    raise
                end = Position((self.position + end) // 2)

    async def _step(self, end: Position) -> None:
        async with self._database.transaction() as session:
            rows = await session.fetch(_CHANGED, self.position, end)
            if sum(map(_characters, rows)) > STEP_CHARACTERS_MAX and end > self.position + 1:
                raise _StepTooLarge
            for entries in _portions(row for row in rows if not row["deleted"]):
                await _write(session, entries)
            await _delete(session, [row for row in rows if row["deleted"]])
            await self._lease.advance(self._held, self.position, end, within=session)
        self.position = end


def _characters(row: Row) -> int:
    """Return of how many characters terms are to be made."""
    return sum(len(row[name] or "") for name in ("email", "name", "phone", "metadata"))


def _portions(rows: Iterable[Row]) -> Iterator[list[Entry]]:
    """Yield the entries of rows, so many at a time as take neither loop nor database long."""
    entries: list[Entry] = []
    characters = 0
    for row in rows:
        entry = _entry(row)
        entries.append(entry)
        characters += len(entry.terms)
        if characters >= PORTION_CHARACTERS_MIN:
            yield entries
            entries, characters = [], 0
    if entries:
        yield entries


async def _write(session: Session, entries: Sequence[Entry]) -> None:
    await session.execute(
        _WRITE,
        [entry.key.account for entry in entries],
        [entry.key.livemode for entry in entries],
        [entry.created for entry in entries],
        [entry.key.id for entry in entries],
        [entry.searchable.email for entry in entries],
        [entry.searchable.name for entry in entries],
        [entry.searchable.phone for entry in entries],
        [entry.metadata for entry in entries],
        [entry.terms for entry in entries],
    )


async def _delete(session: Session, rows: Sequence[Row]) -> None:
    if not rows:
        return
    await session.execute(
        _DELETE,
        [row["account"] for row in rows],
        [row["livemode"] for row in rows],
        [row["created"] for row in rows],
        [row["id"] for row in rows],
    )


def _entry(row: Row) -> Entry:
    return entry_of(
        StreamKey(AccountId(row["account"]), row["livemode"], CustomerId(row["id"])),
        row["created"],
        row["email"],
        row["name"],
        row["phone"],
        row["metadata"],
    )
