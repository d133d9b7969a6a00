"""How many events go into one step, so that it lasts about as long as is aimed at. Pure.

A step holds locks, and all of it is done again after a crash; with handlers that take long it must
be short, with quick ones the commit is what takes time.
"""

from __future__ import annotations

from typing import Final

STEP_AIM_S: Final = 0.5
FIRST_EVENTS: Final = 50
GROWTH: Final = 4


class Pace:
    """The size of the next step, from how long the last ones took."""

    def __init__(self, *, events_max: int) -> None:
        self._events_max = events_max
        self.events = min(FIRST_EVENTS, events_max)

    def took(self, events: int, seconds: float) -> None:
        """Learn from a step, whether or not it succeeded."""
        most = min(GROWTH * self.events, self._events_max)
        fitting = events * STEP_AIM_S / seconds if seconds > 0 else most
        self.events = max(1, int(min(fitting, most)))
