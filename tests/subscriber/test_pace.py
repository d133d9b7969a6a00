from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaching.subscriber.pace import FIRST_EVENTS, STEP_AIM_S, Pace

EVENTS_MAX = 200


def after(*seconds_an_event: float) -> int:
    """Return the size of the step after steps in which each event took so long."""
    pace = Pace(events_max=EVENTS_MAX)
    for seconds in seconds_an_event:
        pace.took(pace.events, pace.events * seconds)
    return pace.events


@pytest.mark.parametrize(
    ("seconds", "events"),
    [
        ([], FIRST_EVENTS),
        ([0.0001], 4 * FIRST_EVENTS),
        ([0.0001] * 5, EVENTS_MAX),
        ([2.0], 1),
        ([0.1], 5),
        ([2.0, 0.0001], 4),
        ([2.0, 0.0001, 0.0001], 16),
        ([0.0], EVENTS_MAX),
    ],
)
def test_a_step_grows_with_quick_events_and_shrinks_at_once_with_slow_ones(
    seconds: list[float], events: int
) -> None:
    assert after(*seconds) == events


@given(st.lists(st.floats(0, 100), max_size=20))
def test_a_step_is_never_empty_and_never_beyond_its_limit(seconds: list[float]) -> None:
    assert 1 <= after(*seconds) <= EVENTS_MAX


@given(st.floats(0.003, 10))
def test_steps_settle_at_the_time_that_is_aimed_at(seconds: float) -> None:
    events = after(*[seconds] * 10)
    assert events == 1 or events * seconds <= STEP_AIM_S * 1.01
