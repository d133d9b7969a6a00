"""Where a subscriber stands."""

from __future__ import annotations

from datetime import datetime

import msgspec

from chaching.envelope import START, LogId, Position
from chaching.subscriber.events import Received


class Bookmark(msgspec.Struct, frozen=True, kw_only=True):
    """The position up to which all is done, of which log, and when the event there was recorded.

    The log is None before the first event. The time is that of the service's database.
    """

    log_id: LogId | None = None
    position: Position = START
    time: datetime | None = None


BEGINNING = Bookmark()


def bookmark_of(message: Received) -> Bookmark:
    """Return where a subscriber stands that has done an event and all before it."""
    return Bookmark(log_id=message.log_id, position=message.position, time=message.known.time)
