"""The customers' projection: moves the read model and its checkpoint together, one step at a time.

Theory of operation. A step is one transaction: it moves the checkpoint in the name of the epoch it
was given, which fences a holder that was replaced before it writes anything, then parks streams and
writes rows. A crash before the commit leaves everything as it was; after it, the events count as
applied, whoever delivers them again. A commit whose answer was lost is asked again, finds the
checkpoint moved and raises Fenced, upon which the holder starts over from the stored checkpoint.

The server ends a transaction of ours that stays idle (``writer.SESSION_SETTINGS``), so a holder
that is paused inside one cannot keep the checkpoint's lock from the next.

A refused value is isolated by halving the step; its stream is parked in the same transaction that
applies the rest. More than ``PARKED_STREAMS_MAX`` parked streams mean a bug in this code: it stops.
A parked stream is tried again with its newest event up to the checkpoint, from which the whole
state follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from chaching.envelope import Position, RecordedEvent, StreamKey, Version
from chaching.eventstore.database import Database
from chaching.eventstore.errors import Unavailable, ValueRefused
from chaching.eventstore.lease import Held, Lease
from chaching.eventstore.store import EventStore
from chaching.runtime.lifecycle import retried
from chaching.runtime.logs import logger
from chaching_projector.projections.customers import writer
from chaching_projector.projections.customers.steps import (
    Item,
    Poison,
    RowChange,
    Step,
    item_of,
    step_of,
)

PARKED_STREAMS_MAX: Final = 10


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
            OutOfStep: a row is not at the version before its event.
            TooManyParked: nothing was applied.
        """
        step = step_of(items, self._parked)
        while refused := await retried(partial(self._try, step), on=Unavailable):
            step = step.without(*refused)
        self.position = step.end
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
            newest = await self._newest(poison)
            if newest is not None and await self._replay(poison, newest):
                del self._parked[poison.key]
                logger().info("stream_unparked", customer=poison.key.id, account=poison.key.account)

    async def _try(self, step: Step) -> tuple[RowChange, str] | None:
        """Commit a step; return a change that is refused, and why, if there is one."""
        self._check_parked(step)
        try:
            async with self._database.transaction() as session:
                await self._lease.advance(self._held, self.position, step.end, within=session)
                await writer.park(session, step.parked)
                await writer.write_rows(session, step.changes)
        except ValueRefused as error:
            return await writer.refused_among(self._database, step.changes), str(error)
        return None

    def _check_parked(self, step: Step) -> None:
        parked = len(self._parked) + len(step.parked)
        if step.parked and parked > PARKED_STREAMS_MAX:
            raise TooManyParked(
                f"{parked} streams cannot be applied, the newest because: {step.parked[-1].reason}"
            )

    async def _newest(self, poison: Poison) -> RecordedEvent | None:
        """Return the newest event of a parked stream that is not after the checkpoint."""
        newest: RecordedEvent | None = None
        version = Version(poison.version - 1)
        while events := await self._store.read_stream(poison.key, version):
            past = [event for event in events if event.position <= self.position]
            newest = past[-1] if past else newest
            if len(past) < len(events):
                break
            version = events[-1].version
        return newest

    async def _replay(self, poison: Poison, newest: RecordedEvent) -> bool:
        item = item_of(newest)
        if isinstance(item, Poison):
            return False
        step = step_of([item], ())
        changes = [_from(change, poison) for change in step.changes]
        if not changes:
            return False
        try:
            async with self._database.transaction() as session:
                at = self.position
                await self._lease.advance(self._held, at, at, within=session)
                await writer.write_rows(session, changes)
                await writer.unpark(session, poison.key)
        except ValueRefused:
            return False
        return True


def _from(change: RowChange, poison: Poison) -> RowChange:
    """Return the change as from the row that stood when the stream was parked."""
    return RowChange(
        before=Version(poison.version - 1), first_position=poison.position, row=change.row
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
