"""Where in the log an instant lies.

``recorded_at`` is taken under the lock that orders appends, so it grows with positions, and an
instant is found by halving the log, in a few look-ups by key however long it is. Where the
database's clock was set back, an instant that came twice means one of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from chaching.envelope import Position
from chaching.eventstore.database import Database
from chaching.eventstore.statements import statement

_POSITIONS_BEFORE: Final = statement("chaching.eventstore", "positions_before")


class Recorded(msgspec.Struct, frozen=True):
    """A position and when its event was recorded; 0 and None before the first."""

    position: Position
    at: datetime | None


async def positions_before(database: Database, instants: Sequence[datetime]) -> list[Recorded]:
    """Return, for each of some instants, the last event that was recorded before it.

    Raises:
        Unavailable: no answer in time.
    """
    rows = await database.fetch(_POSITIONS_BEFORE, instants)
    found = {row["item"]: row for row in rows}
    return [
        Recorded(Position(row["position"]), row["recorded_at"])
        for row in (found[item] for item in range(1, len(instants) + 1))
    ]
