"""The customers' projection: moves the read model and its checkpoint together, one step at a time.

Theory of operation. A step is one transaction: it moves the checkpoint in the name of the epoch it
was given, which fences a holder that was replaced before it writes anything, then parks streams and
writes rows. A crash before the commit leaves everything as it was; after it, the events count as
applied, whoever delivers them again. A commit whose answer was lost is asked again, finds the
checkpoint moved and raises Fenced, upon which the holder starts over from the stored checkpoint.

The server ends a transaction of ours that stays idle (``writer.SESSION_SETTINGS``), so a holder
that is paused inside one cannot keep the checkpoint's lock from the next.

A row at another version than the one before its event (somebody wrote to it, or this code is wrong)
is told as ``row_repaired`` and replaced, in the same transaction as the rest, by what the newest
event up to the step's end says, read from the log. More than ``REPAIRED_ROWS_MAX`` in one step
mean a bug: it stops.

A refused value is isolated by halving the step; its stream is parked in the same transaction that
applies the rest. More than ``PARKED_STREAMS_MAX`` parked streams mean a bug in this code: it stops.
A parked stream is tried again with its newest event up to the checkpoint, from which the whole
state follows, whatever the row says.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from chaching.envelope import NO_VERSION, Position, RecordedEvent, StreamKey, Version
from chaching.eventstore.database import Database
from chaching.eventstore.errors import Unavailable, ValueRefused
from chaching.eventstore.lease import Held, Lease
from chaching.eventstore.store import EventStore
from chaching.runtime.lifecycle import retried
from chaching.runtime.logs import logger
from chaching_projector.projections.customers import writer
from chaching_projector.projections.customers.rows import CustomerRow
from chaching_projector.projections.customers.steps import (
    Item,
    OutOfStep,
    Poison,
    Repair,
    RowChange,
    Step,
    item_of,
    step_of,
)

PARKED_STREAMS_MAX: Final = 10
REPAIRED_ROWS_MAX: Final = 10


class TooManyParked(Exception):  # noqa: N818 - says how it is
    """So many streams cannot be applied that this code must be wrong."""


class CustomersProjection:
    """The read model in the hands of one holder; use it from one task at a time."""

    def __init__(self, database: Database, store: EventStore, lease: Lease, held: Held) -> None:
        self._database = database
        self._store = store
        self._lease = lease
        self._held = held
        self._parked: dict[StreamKey, Poison] = {}
        self.position: Position = held.position

    async def open(self) -> None:
        """Read which streams are parked; raises Unavailable."""
        self._parked = {p.key: p for p in await writer.parked_streams(self._database)}

    async def apply(self, items: Sequence[Item]) -> None:
        """Apply the events that follow the checkpoint, waiting while the database is away.

        Raises:
            Fenced: another holds the lease now, or a commit's answer was lost.
            OutOfStep: events do not follow one another, or many rows; nothing was applied.
            TooManyParked: nothing was applied.
        """
        step = step_of(items, self._parked)
        while better := await retried(partial(self._try, step), on=Unavailable):
            step = better
        self.position = step.end
        for repair in step.repairs:
            _log_repaired(repair)
        for poison in step.parked:
            self._parked[poison.key] = poison
            _log_parked(poison)

    async def retry_parked(self) -> None:
        """Bring every parked stream that can be applied now to where the others are.

        Raises:
            Fenced: another holds the lease now.
            Unavailable: no answer in time.
        """
        for poison in list(self._parked.values()):
            newest = await self._newest(poison.key, Version(poison.version - 1), self.position)
            if newest is not None and await self._replay(poison, newest):
                del self._parked[poison.key]
                logger().info("stream_unparked", customer=poison.key.id, account=poison.key.account)

    async def _try(self, step: Step) -> Step | None:
        """Commit a step; if it cannot be, return the one to try in its place."""
        self._check_parked(step)
        try:
            async with self._database.transaction() as session:
                await self._lease.advance(self._held, self.position, step.end, within=session)
                await writer.park(session, step.parked)
                await writer.write_rows(session, step.changes)
        except ValueRefused as error:
            refused = await writer.refused_among(self._database, step.changes)
            return step.without(refused, str(error))
        except OutOfStep as error:
            return await self._repaired(step, error)
        return None

    async def _repaired(self, step: Step, error: OutOfStep) -> Step:
        """Return the step that replaces rows at whatever version they stand."""
        keys = [change.row.key for change in step.changes]
        versions = await writer.row_versions(self._database, keys)
        found = [versions.get(key, NO_VERSION) for key in keys]
        wrong = [(c, at) for c, at in zip(step.changes, found, strict=True) if at != c.before]
        if not 0 < len(wrong) <= REPAIRED_ROWS_MAX - len(step.repairs):
            raise error
        for change, at in wrong:
            step = step.repairing(change, at, await self._true_row(change, step.end))
        return step

    async def _true_row(self, change: RowChange, up_to: Position) -> CustomerRow:
        """Return the row as the log has it; what is parked in the same step does not count."""
        after = Version(change.row.version - 1)
        newest = await self._newest(change.row.key, after, up_to)
        if newest is None:
            raise OutOfStep(f"the log has no version {change.row.version} of this customer")
        changes = step_of([item_of(newest)], ()).changes
        return changes[0].row if changes else change.row

    def _check_parked(self, step: Step) -> None:
        parked = len(self._parked) + len(step.parked)
        if step.parked and parked > PARKED_STREAMS_MAX:
            raise TooManyParked(
                f"{parked} streams cannot be applied, the newest because: {step.parked[-1].reason}"
            )

    async def _newest(
        self, key: StreamKey, version: Version, up_to: Position
    ) -> RecordedEvent | None:
        """Return the newest event of a stream after a version and not after a position."""
        newest: RecordedEvent | None = None
        while events := await self._store.read_stream(key, version):
            past = [event for event in events if event.position <= up_to]
            newest = past[-1] if past else newest
            if len(past) < len(events):
                break
            version = events[-1].version
        return newest

    async def _replay(self, poison: Poison, newest: RecordedEvent) -> bool:
        step = step_of([item_of(newest)], ())
        if not step.changes:
            return False
        [change] = step.changes
        versions = await writer.row_versions(self._database, [poison.key])
        found = versions.get(poison.key, NO_VERSION)
        try:
            async with self._database.transaction() as session:
                at = self.position
                await self._lease.advance(self._held, at, at, within=session)
                await writer.write_rows(session, [msgspec.structs.replace(change, before=found)])
                await writer.unpark(session, poison.key)
        except ValueRefused:
            return False
        if found != (expected := Version(poison.version - 1)):
            _log_repaired(
                Repair(key=poison.key, found=found, expected=expected, written=change.row.version)
            )
        return True


def _log_repaired(repair: Repair) -> None:
    logger().error(
        "row_repaired",
        account=repair.key.account,
        livemode=repair.key.livemode,
        customer=repair.key.id,
        found=repair.found,
        expected=repair.expected,
        written=repair.written,
    )


def _log_parked(poison: Poison) -> None:
    logger().error(
        "stream_parked",
        account=poison.key.account,
        livemode=poison.key.livemode,
        customer=poison.key.id,
        version=poison.version,
        position=poison.position,
        reason=poison.reason,
    )
