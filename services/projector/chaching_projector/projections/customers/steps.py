"""What one step of the projection changes: the newest state of each customer in it. Pure.

A step takes a dense range of the log. Of each customer only the newest event of the range counts,
and the row must stand at the version before the first of them. A poisonous event parks its stream:
this event and all later ones of that customer wait, while all others go on.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import TypeAlias

import msgspec

from chaching.broker.messages import EventMessage, message_of
from chaching.envelope import Position, RecordedEvent, StreamKey, Undecodable, Version
from chaching_projector.projections.customers.rows import CustomerRow, row_of


class Poison(msgspec.Struct, frozen=True, kw_only=True):
    """An event that cannot be applied, and why."""

    key: StreamKey
    version: Version
    position: Position
    reason: str


Item: TypeAlias = EventMessage | Poison


class RowChange(msgspec.Struct, frozen=True, kw_only=True):
    """A row that takes the place of the one at version ``before`` (0: there is none)."""

    before: Version
    first_position: Position
    row: CustomerRow


class Repair(msgspec.Struct, frozen=True, kw_only=True):
    """A row that stood at another version than the one before its event, and where it goes."""

    key: StreamKey
    found: Version
    expected: Version
    written: Version


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """The changes of a range of the log that ends at ``end``, and the streams that it parks.

    Some of its changes may repair a row that stood at another version.
    """

    end: Position
    changes: tuple[RowChange, ...]
    parked: tuple[Poison, ...] = ()
    repairs: tuple[Repair, ...] = ()

    def without(self, refused: RowChange, reason: str) -> Step:
        """Return the step that parks a stream instead of changing its row."""
        key = refused.row.key
        expected = [repair.expected for repair in self.repairs if repair.key == key]
        poison = Poison(
            key=key,
            version=Version((expected or [refused.before])[0] + 1),
            position=refused.first_position,
            reason=reason,
        )
        return Step(
            end=self.end,
            changes=tuple(c for c in self.changes if c is not refused),
            parked=(*(p for p in self.parked if p.key != key), poison),
            repairs=tuple(r for r in self.repairs if r.key != key),
        )

    def repairing(self, change: RowChange, found: Version, row: CustomerRow) -> Step:
        """Return the step that replaces the row that stands at ``found``, whatever it says."""
        repair = Repair(key=row.key, found=found, expected=change.before, written=row.version)
        other = msgspec.structs.replace(change, before=found, row=row)
        return msgspec.structs.replace(
            self,
            changes=tuple(other if c is change else c for c in self.changes),
            repairs=(*self.repairs, repair),
        )


class OutOfStep(Exception):  # noqa: N818 - says how the rows are
    """The events do not follow one another, or too many rows: this code must be wrong."""


class _Newest(msgspec.Struct):
    first: EventMessage
    last: EventMessage


def item_of(recorded: RecordedEvent) -> Item:
    """Return a stored event as a message, or as poison when it cannot be decoded."""
    try:
        return message_of(recorded)
    except Undecodable as error:
        return Poison(
            key=recorded.key,
            version=recorded.version,
            position=recorded.position,
            reason=str(error),
        )


def step_of(items: Sequence[Item], parked: Container[StreamKey]) -> Step:
    """Return what a dense range of events changes, leaving out what is parked.

    Raises:
        OutOfStep: the versions of a customer do not follow one another.
    """
    newest: dict[StreamKey, _Newest] = {}
    poisons: dict[StreamKey, Poison] = {}
    for item in items:
        if item.key in poisons or item.key in parked:
            continue
        if isinstance(item, Poison):
            poisons[item.key] = item
        elif (known := newest.get(item.key)) is None:
            newest[item.key] = _Newest(item, item)
        else:
            _check_follows(known.last, item)
            known.last = item
    changes = list(_changes(newest.values(), poisons))
    return Step(end=items[-1].position, changes=tuple(changes), parked=tuple(poisons.values()))


def _changes(newest: Iterable[_Newest], poisons: dict[StreamKey, Poison]) -> Iterable[RowChange]:
    for known in newest:
        first = known.first
        try:
            row = row_of(known.last)
        except Undecodable as error:
            poisons[first.key] = Poison(
                key=first.key, version=first.version, position=first.position, reason=str(error)
            )
            continue
        yield RowChange(before=Version(first.version - 1), first_position=first.position, row=row)


def _check_follows(last: EventMessage, item: EventMessage) -> None:
    if item.version != last.version + 1:
        raise OutOfStep(f"version {item.version} of a customer follows its version {last.version}")
