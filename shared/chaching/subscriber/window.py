"""Puts what arrives into the order of positions, and shows what is missing. Pure.

Positions are dense, so after n comes n + 1. What is at or below the position was taken before;
what is next can be taken; what lies further ahead is held until the gap before it is filled. Only
so many are held: when there are more, the one furthest ahead is given up, which loses nothing,
because it will show as a gap in its turn. Take whenever the next item was offered: then a stretch
without a gap passes through, however long it is.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from chaching.envelope import Position

T = TypeVar("T")


class Window(Generic[T]):
    """The items after a position, as they come in any order and any number of times."""

    def __init__(self, position: Position, *, items_max: int) -> None:
        self._position = position
        self._items_max = items_max
        self._held: dict[Position, T] = {}

    @property
    def position(self) -> Position:
        """Where everything up to it has been taken."""
        return self._position

    @property
    def next(self) -> Position:
        return Position(self._position + 1)

    @property
    def gap_end(self) -> Position | None:
        """The last position that is missing before the first item held, or None."""
        if not self._held or self.next in self._held:
            return None
        return Position(min(self._held) - 1)

    def offer(self, position: Position, item: T) -> T | None:
        """Take an item in; return the one that was given up for it, itself perhaps.

        One that repeats what is held is given up; one that repeats what was taken is as good as it.
        """
        if position <= self._position:
            return None
        if position in self._held:
            return item
        self._held[position] = item
        if position == self.next or len(self._held) <= self._items_max:
            return None
        return self._held.pop(max(self._held))

    def take(self) -> list[T]:
        """Return the next items without a gap, and move the position beyond them."""
        taken: list[T] = []
        while self.next in self._held:
            self._position = self.next
            taken.append(self._held.pop(self._position))
        return taken
