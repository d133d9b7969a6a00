"""A moment of the past, in each of its spellings, and what it means."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaching.envelope import NO_VERSION, Position, Version
from chaching.history import spelled_time
from chaching_api.errors import Malformed
from chaching_api.moments import (
    CLOCKS_APART_MAX_S,
    AtPosition,
    AtVersion,
    PastLogMoment,
    PastMoment,
    Until,
    refuse_future,
)

ALL = PastMoment()
OF_LOG = PastLogMoment()
NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
SPELLINGS = [
    "0",
    "1772539200",
    "2026-03-03",
    "2026-03-03T12:00:00Z",
    "2026-03-03t12:00:00z",
    "2026-03-03 12:00:00.5Z",
    "2026-03-03T12:00:00.123456789-08:00",
    "2026-03-03T12:00:00+01:00",
    "2026-03-03T12:00:00 01:00",
    "2016-12-31T23:59:60Z",
    "version:0",
    "version:999999999",
    "position:17",
]
NONE = [
    *("abc", "-1", "1.5", "123456789012", "٣", " 1", "1 "),
    *("version:", "version:-1", "version:1234567890", "Version:1", "version:1a", "version:٣"),
    *("position:", "position:1234567890123456789", "positions:1"),
    *("2026-02-30", "2026-13-01", "2026-3-3", "0000-01-01", "9999-12-31"),
    *("2026-03-03T12:00:00", "2026-03-03T12:00Z", "2026-03-03T24:00:00Z", "2026-03-03T12:00:61Z"),
    *("2026-03-03T12:00:00.Z", "2026-03-03T12:00:00,5Z", "2026-03-03T12:00:00+0100"),
    *("0001-01-01T00:00:00+01:00", f"2026-03-03T12:00:00.{'1' * 30}Z"),
]


def until(text: str) -> Until:
    moment = ALL.read(text, "as_of")
    assert isinstance(moment, Until)
    return moment


@pytest.mark.parametrize(
    ("text", "start", "length"),
    [
        ("1772539200", NOON, timedelta(seconds=1)),
        ("2026-03-03", NOON.replace(hour=0), timedelta(days=1)),
        ("2026-03-03T12:00:00Z", NOON, timedelta(seconds=1)),
        ("2026-03-03T13:00:00+01:00", NOON, timedelta(seconds=1)),
        ("2026-03-03T13:30:00 01:30", NOON, timedelta(seconds=1)),
        ("2026-03-03T04:00:00-08:00", NOON, timedelta(seconds=1)),
        ("2026-03-03T12:00:00.0Z", NOON, timedelta(milliseconds=100)),
        ("2026-03-03T12:00:00.000000Z", NOON, timedelta(microseconds=1)),
        ("2026-03-03T12:00:00.000000999Z", NOON, timedelta(microseconds=1)),
    ],
)
def test_a_time_names_a_stretch_as_long_as_it_is_written_fine(
    text: str, start: datetime, length: timedelta
) -> None:
    assert until(text) == Until(start, start + length)


def test_a_leap_second_ends_with_the_minute() -> None:
    assert until("2016-12-31T23:59:60Z").end == datetime(2017, 1, 1, tzinfo=UTC)


def test_versions_and_positions_are_numbers_from_nothing_on() -> None:
    assert ALL.read("version:3", "as_of") == AtVersion(Version(3))
    assert ALL.read("version:0", "as_of") == AtVersion(NO_VERSION)
    for kind in (ALL, OF_LOG):
        assert kind.read("position:17", "as_of") == AtPosition(Position(17))


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001
def test_the_time_of_an_event_names_its_microsecond(at: datetime) -> None:
    aware = at.replace(tzinfo=timezone(timedelta(hours=5))).astimezone(UTC)
    assert until(spelled_time(aware)) == Until(aware, aware + timedelta(microseconds=1))


@pytest.mark.parametrize("text", NONE)
def test_anything_else_names_no_moment(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        ALL.read(text, "from")
    assert refused.value.param == "from"
    assert refused.value.message.startswith("Invalid from: ")
    assert "version:3 or position:17" in refused.value.message


def test_an_empty_moment_is_refused_as_other_empty_values_are() -> None:
    with pytest.raises(Malformed) as refused:
        ALL.read("", "as_of")
    assert refused.value.reason == "parameter_invalid_empty"


def test_of_all_customers_no_version_is_a_moment() -> None:
    with pytest.raises(Malformed, match="versions count the events of one customer"):
        OF_LOG.read("version:3", "as_of")


@pytest.mark.parametrize("text", SPELLINGS)
def test_the_documented_pattern_takes_what_is_taken(text: str) -> None:
    assert ALL.read(text, "as_of") is not None
    assert re.fullmatch(ALL.pattern, text)
    assert bool(re.fullmatch(OF_LOG.pattern, text)) == (not text.startswith("version"))


def test_a_time_in_the_future_is_refused_but_for_what_clocks_may_be_apart() -> None:
    now = int(NOON.timestamp())
    refuse_future(None, now, "as_of")
    refuse_future(until("2026-03-03"), now, "as_of")
    refuse_future(until(str(now + CLOCKS_APART_MAX_S)), now, "as_of")
    for later in (str(now + CLOCKS_APART_MAX_S + 1), "2026-03-04"):
        with pytest.raises(Malformed, match="Invalid as_of: it lies in the future"):
            refuse_future(until(later), now, "as_of")
