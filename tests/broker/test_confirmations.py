from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chaching.broker.publisher import Confirmations
from chaching.envelope import Position

FIRST = 41


def published(count: int) -> Confirmations:
    confirmations = Confirmations()
    for tag in range(1, count + 1):
        confirmations.published(Position(FIRST + tag))
    return confirmations


def test_nothing_is_confirmed_at_first() -> None:
    confirmations = published(3)
    assert (confirmations.position, confirmations.in_flight) == (0, 3)


def test_a_confirm_ahead_waits_for_those_before() -> None:
    confirmations = published(3)
    confirmations.acknowledged(2, multiple=False)
    assert confirmations.position == 0
    confirmations.acknowledged(1, multiple=False)
    assert (confirmations.position, confirmations.in_flight) == (FIRST + 2, 1)


def test_one_confirm_can_confirm_all_before() -> None:
    confirmations = published(3)
    confirmations.acknowledged(3, multiple=True)
    assert (confirmations.position, confirmations.in_flight) == (FIRST + 3, 0)


@given(st.lists(st.tuples(st.integers(1, 20), st.booleans()), max_size=40))
def test_the_position_is_the_highest_below_which_nothing_is_open(
    answers: list[tuple[int, bool]],
) -> None:
    confirmations, done = published(20), set[int]()
    for tag, multiple in answers:
        confirmations.acknowledged(tag, multiple=multiple)
        done |= set(range(1, tag + 1)) if multiple else {tag}
        contiguous = next(number for number in range(1, 22) if number not in done) - 1
        assert confirmations.position == (FIRST + contiguous if contiguous else 0)
        assert confirmations.in_flight == 20 - contiguous
