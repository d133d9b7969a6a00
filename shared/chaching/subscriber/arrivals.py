"""Which deliveries of the own queue can be acknowledged. Pure.

Events are done in the order of positions and acknowledged in the order of arrival, all up to the
first delivery that is not done. One that is given up while others before it wait is acknowledged
alone, and so are those that are done behind one that waits, once many are open: neither may take
the place of what is waited for, since the broker sends only so many at a time.
"""

from __future__ import annotations

from collections import deque

import msgspec

from chaching.envelope import Position


class Arrival(msgspec.Struct):
    """A delivery of the own queue: done when its position is, if it has one, or when marked so."""

    tag: int
    position: Position | None = None
    is_done: bool = False
    is_acknowledged: bool = False

    def is_settled(self, position: Position) -> bool:
        return self.is_done or (self.position is not None and self.position <= position)


class Arrivals:
    """The deliveries that are not acknowledged yet, in order of arrival."""

    def __init__(self) -> None:
        self._open: deque[Arrival] = deque()

    def add(self, arrival: Arrival) -> None:
        self._open.append(arrival)

    def settled(self, position: Position) -> int | None:
        """Return the tag up to which all can be acknowledged when all up to a position is done."""
        tag: int | None = None
        while self._open and self._open[0].is_settled(position):
            arrival = self._open.popleft()
            if not arrival.is_acknowledged:
                tag = arrival.tag
        return tag

    def settled_behind(self, position: Position, *, open_max: int) -> list[int]:
        """Return the tags that can be acknowledged one by one, when more than so many are open."""
        if len(self._open) <= open_max:
            return []
        settled = [arrival for arrival in self._open if arrival.is_settled(position)]
        self._open = deque([each for each in self._open if not each.is_settled(position)])
        return [arrival.tag for arrival in settled if not arrival.is_acknowledged]
