"""A moment of the past as a parameter: who may name which, and how others are refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chaching.envelope import Position
from chaching.moments import AtPosition, During, parse_moment
from chaching_api.errors import Malformed
from chaching_api.moments import CLOCKS_APART_MAX_S, PastLogMoment, PastMoment, refuse_future

ALL = PastMoment()
OF_LOG = PastLogMoment()
NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
TIMES = ["1772539200", "@1772539200", "2026-03-03", "2026-03-03T13:30:00 01:30", "position:17"]
NONE = ["abc", "10m", "2026-03-03T12:00:00", "2026-02-30", "position:", f"{'1' * 41}"]


def during(text: str) -> During:
    moment = ALL.read(text, "as_of")
    assert isinstance(moment, During)
    return moment


@pytest.mark.parametrize("text", TIMES)
def test_a_moment_is_what_its_spelling_names(text: str) -> None:
    assert ALL.read(text, "as_of") == OF_LOG.read(text, "as_of") == parse_moment(text)


@pytest.mark.parametrize("kind", [ALL, OF_LOG])
@pytest.mark.parametrize("text", NONE)
def test_anything_else_names_no_moment(kind: PastMoment | PastLogMoment, text: str) -> None:
    with pytest.raises(Malformed) as refused:
        kind.read(text, "from")
    assert refused.value.param == "from"
    assert refused.value.message.startswith("Invalid from: ")
    assert refused.value.message.endswith("position:17")
    assert ("version:3" in refused.value.message) == (kind is ALL)


def test_a_near_miss_is_told_what_is_amiss() -> None:
    with pytest.raises(Malformed, match=r"Invalid as_of: 2026-03-03T12:00:00; a time has .*offset"):
        ALL.read("2026-03-03T12:00:00", "as_of")


def test_an_empty_moment_is_refused_as_other_empty_values_are() -> None:
    with pytest.raises(Malformed) as refused:
        ALL.read("", "as_of")
    assert refused.value.reason == "parameter_invalid_empty"


def test_of_all_customers_no_version_is_a_moment() -> None:
    with pytest.raises(Malformed, match="versions count the events of one customer"):
        OF_LOG.read("version:3", "as_of")
    assert OF_LOG.read("position:17", "as_of") == AtPosition(Position(17))


def test_a_time_in_the_future_is_refused_but_for_what_clocks_may_be_apart() -> None:
    now = int(NOON.timestamp())
    refuse_future(None, now, "as_of")
    refuse_future(during("2026-03-03"), now, "as_of")
    refuse_future(during(str(now + CLOCKS_APART_MAX_S)), now, "as_of")
    for later in (str(now + CLOCKS_APART_MAX_S + 1), "2026-03-04", "123456789012"):
        with pytest.raises(Malformed, match="Invalid as_of: it lies in the future"):
            refuse_future(during(later), now, "as_of")
