from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chaching.envelope import START, Position
from chaching_projector.cursor import Apply, CatchUp, Skip, judge


def positions(*numbers: int) -> list[Position]:
    return [Position(number) for number in numbers]


def test_what_was_applied_before_is_skipped() -> None:
    assert judge(Position(5), positions(3, 5, 4)) == Skip()


def test_an_empty_batch_is_skipped() -> None:
    assert judge(START, []) == Skip()


def test_what_follows_the_checkpoint_is_applied() -> None:
    assert judge(Position(5), positions(6, 7)) == Apply((0, 1))


def test_a_shuffled_batch_with_repeats_is_applied_in_order() -> None:
    assert judge(Position(5), positions(8, 6, 5, 6, 7)) == Apply((1, 4, 0))


def test_before_a_gap_is_applied_what_there_is() -> None:
    assert judge(Position(5), positions(9, 6)) == Apply((1,))


def test_a_gap_at_the_checkpoint_is_read_from_the_log_to_the_end_of_the_batch() -> None:
    assert judge(Position(5), positions(8, 7, 9)) == CatchUp(Position(9))


def follow(head: int, deliveries: list[list[Position]]) -> list[int]:
    """Do what the runner does; return the positions that were applied, in order."""
    applied: list[int] = []

    def catch_up(up_to: int) -> None:
        applied.extend(range(len(applied) + 1, up_to + 1))

    for batch in deliveries:
        while not isinstance(verdict := judge(Position(len(applied)), batch), Skip):
            if isinstance(verdict, Apply):
                applied.extend(batch[index] for index in verdict.picks)
            else:
                catch_up(verdict.up_to)
    catch_up(head)  # what never came, the watch reads
    return applied


@st.composite
def bad_deliveries(draw: st.DrawFn) -> tuple[int, list[list[Position]]]:
    """A log's positions, lost, repeated, shuffled and cut into batches."""
    head = draw(st.integers(0, 30))
    one = st.integers(1, max(head, 1)).map(Position)
    some = st.lists(one, max_size=60) if head else st.just(list[Position]())
    order = draw(some | some.map(sorted))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=8)))
    edges = [0, *cuts, len(order)]
    return head, [order[a:b] for a, b in pairwise(edges)]


@given(bad_deliveries())
def test_whatever_comes_each_position_is_applied_once_and_in_order(
    given_deliveries: tuple[int, list[list[Position]]],
) -> None:
    head, deliveries = given_deliveries
    assert follow(head, deliveries) == list(range(1, head + 1))
