"""Which events a list of events walks past. Pure.

Events stand in the order of the log. Cursors and bounds on ``created`` are positions there, so the
tighter of each side is all that is left of them: one stretch between two positions that are
themselves outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from chaching.envelope import START, Position
from chaching.eventstore.lookups import AccountMode, EventWalk
from chaching.public_event import PUBLIC_TYPES
from chaching_api.event_parameters import EventListInput
from chaching_api.parameter_types import INT64_MAX

END: Final = Position(INT64_MAX)
ANY: Final = "*"


class Stretch(msgspec.Struct, frozen=True):
    """The positions between two, which are themselves outside."""

    after: Position = START
    before: Position = END


def event_walk_of(
    whose: AccountMode, wanted: EventListInput, cursor: Position | None, created: Stretch
) -> EventWalk | None:
    """Return the walk that a list asks for; None when no event can be on the way.

    ``cursor`` is the position of the event that the list names, ``created`` where those of the
    seconds that it asks for stand.
    """
    after, before = created.after, created.before
    from_oldest = wanted.ending_before is not None
    if cursor is not None and from_oldest:
        after = max(after, cursor)
    elif cursor is not None:
        before = min(before, cursor)
    types = types_like(wanted.types)
    # without webhooks every event is delivered as far as it ever will be
    if not types or wanted.delivery_success is False or after + 1 >= before:
        return None
    return EventWalk(
        whose=whose,
        types=types,
        after=after,
        before=before,
        from_oldest=from_oldest,
        limit=wanted.limit,
    )


def types_like(patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the log's types whose public name fits one of the patterns.

    In a pattern ``*`` stands for any characters, also for none.
    """
    return tuple(
        [
            stored
            for stored, public in PUBLIC_TYPES.items()
            if any(_fits(public, pattern) for pattern in patterns)
        ]
    )


def _fits(name: str, pattern: str) -> bool:
    first, *others = pattern.split(ANY)
    if not others:
        return name == pattern
    *middle, last = others
    place, end = len(first), len(name) - len(last)
    if place > end or not name.startswith(first) or not name.endswith(last):
        return False
    for part in middle:
        found = name.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True
