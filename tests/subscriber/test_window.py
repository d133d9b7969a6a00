from __future__ import annotations

import random
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from chaching.envelope import START, Position
from chaching.subscriber.arrivals import Arrival, Arrivals, Settled
from chaching.subscriber.window import Window


def taken(window: Window[int], offered: Iterable[int]) -> list[int]:
    """Offer one after another and return what could be taken, in order."""
    found: list[int] = []
    for position in offered:
        window.offer(Position(position), position)
        found += window.take()
    return found


@given(st.integers(0, 60), st.integers(1, 4), st.randoms(use_true_random=False))
def test_whatever_the_order_and_however_often_each_comes_once_and_in_order(
    count: int, times: int, chance: random.Random
) -> None:
    offered = list(range(1, count + 1)) * times
    chance.shuffle(offered)
    window: Window[int] = Window(START, items_max=100)
    assert taken(window, offered) == list(range(1, count + 1))
    assert (window.position, window.gap_end) == (count, None)


@given(st.lists(st.integers(1, 50)), st.integers(0, 50), st.integers(1, 8))
def test_what_is_taken_never_has_a_gap_and_never_repeats(
    offered: list[int], start: int, items_max: int
) -> None:
    window: Window[int] = Window(Position(start), items_max=items_max)
    found = taken(window, offered)
    assert found == list(range(start + 1, start + 1 + len(found)))
    assert window.position == start + len(found)


def test_a_gap_ends_before_the_first_item_that_is_held() -> None:
    window: Window[int] = Window(Position(4), items_max=10)
    for position in (9, 7, 8):
        window.offer(Position(position), position)
    assert window.gap_end == 6
    window.offer(Position(5), 5)
    assert window.gap_end is None
    assert window.take() == [5]
    assert window.gap_end == 6


def test_a_full_window_gives_up_what_lies_furthest_ahead() -> None:
    window: Window[int] = Window(START, items_max=2)
    assert window.offer(Position(3), 3) is None
    assert window.offer(Position(9), 9) is None
    assert window.offer(Position(5), 5) == 9
    assert window.offer(Position(7), 7) == 7
    assert window.offer(Position(1), 1) is None
    assert window.take() == [1]
    assert window.offer(Position(4), 4) == 5


def test_what_repeats_what_is_held_is_given_up() -> None:
    window: Window[str] = Window(START, items_max=2)
    assert window.offer(Position(3), "first") is None
    assert window.offer(Position(3), "second") == "second"
    assert window.offer(Position(1), "next") is None
    assert window.take() == ["next"]
    assert window.offer(Position(1), "done") is None


def test_a_stretch_without_a_gap_passes_through_however_small_the_window() -> None:
    window: Window[int] = Window(START, items_max=1)
    assert taken(window, range(1, 100)) == list(range(1, 100))


def test_what_was_given_up_is_taken_when_it_comes_again() -> None:
    window: Window[int] = Window(START, items_max=1)
    assert taken(window, [3, 2, 1, 2, 3]) == [1, 2, 3]


def arrived(*positions: int | None) -> tuple[Arrivals, list[Arrival]]:
    arrivals = Arrivals()
    all_of_them = [
        Arrival(tag, None if position is None else Position(position))
        for tag, position in enumerate(positions, start=1)
    ]
    for arrival in all_of_them:
        arrivals.add(arrival)
    return arrivals, all_of_them


def test_what_is_done_is_acknowledged_up_to_the_first_that_is_not_and_behind_it_alone() -> None:
    arrivals, _ = arrived(1, 3, 2, 4, 5)
    assert arrivals.settled(Position(2)) == Settled(1, [3])
    assert arrivals.settled(Position(2)) == Settled(None, [])
    assert arrivals.settled(Position(4)) == Settled(4, [])
    assert arrivals.settled(Position(5)) == Settled(5, [])


def test_repetitions_are_acknowledged_with_what_they_repeat() -> None:
    arrivals, _ = arrived(1, 1, 2, 1, 2, 3)
    assert arrivals.settled(Position(1)) == Settled(2, [4])
    assert arrivals.settled(Position(2)) == Settled(5, [])


def test_what_was_given_up_is_acknowledged_before_it_is_done() -> None:
    arrivals, [_, far, _] = arrived(1, 99, 2)
    far.is_done = True
    assert arrivals.settled(START) == Settled(None, [2])
    assert arrivals.settled(Position(2)) == Settled(3, [])


def test_what_has_no_position_is_acknowledged_only_when_it_is_marked() -> None:
    arrivals, [ordered, _] = arrived(None, 1)
    assert arrivals.settled(START) == Settled(None, [])
    assert arrivals.settled(Position(1)) == Settled(None, [2])
    ordered.is_done = True
    assert arrivals.settled(Position(1)) == Settled(1, [])


@given(st.lists(st.integers(1, 30), max_size=40), st.lists(st.integers(0, 30), max_size=10))
def test_each_delivery_is_acknowledged_once_and_only_when_it_is_done(
    positions: list[int], steps: list[int]
) -> None:
    arrivals, _ = arrived(*positions)
    acknowledged: set[int] = set()
    for done in sorted(steps):
        settled = arrivals.settled(Position(done))
        up_to = set(range(1, (settled.up_to or 0) + 1)) - acknowledged
        assert settled.up_to is None or settled.up_to in up_to
        assert not up_to & set(settled.alone)
        assert not acknowledged & set(settled.alone)
        acknowledged |= up_to | set(settled.alone)
        assert acknowledged == {t for t, at in enumerate(positions, start=1) if at <= done}
