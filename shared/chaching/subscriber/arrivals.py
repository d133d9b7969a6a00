"""Which deliveries of the own queue can be acknowledged. Pure.

Events are done in the order of positions and arrive in any: what is done may stand behind what is
not, and must not take its place among those that the broker lets wait. So all up to the first that
is not done are acknowledged at once, and each one behind it alone.
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

    def is_settled(self, position: Position) -> bool:
        return self.is_done or (self.position is not None and self.position <= position)


class Settled(msgspec.Struct, frozen=True):
    """The tag up to which all can be acknowledged, and those behind it that can be alone."""

    up_to: int | None
    alone: list[int]


class Arrivals:
    """The deliveries that are not acknowledged yet, in order of arrival."""

    def __init__(self) -> None:
        self._open: deque[Arrival] = deque()

    def add(self, arrival: Arrival) -> None:
        self._open.append(arrival)

    def settled(self, position: Position) -> Settled:
        """Return, once, what can be acknowledged now that all up to a position is done."""
        up_to: int | None = None
        while self._open and self._open[0].is_settled(position):
            up_to = self._open.popleft().tag
        alone = [arrival.tag for arrival in self._open if arrival.is_settled(position)]
        if alone:
            self._open = deque(one for one in self._open if not one.is_settled(position))
        return Settled(up_to, alone)
