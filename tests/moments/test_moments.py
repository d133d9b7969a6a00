"""A moment in each of its spellings, and what it names, wherever it is asked for."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaching.envelope import NO_VERSION, Position, Version
from chaching.history import spelled_time
from chaching.moments import (
    LOG_PATTERN,
    MOMENT_CHARACTERS_MAX,
    PATTERN,
    AtPosition,
    AtVersion,
    Bare,
    During,
    forms,
    nearly,
    parse_moment,
)

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SPELLINGS = [
    *("0", "1772539200", "@1772539200", "@0", "253402300798"),
    *("2026-03-03", "2026-03-03T12:00:00Z", "2026-03-03t12:00:00z", "2026-03-03 12:00:00.5Z"),
    *("2026-03-03T12:00:00.123456789-08:00", "2026-03-03T12:00:00+01:00"),
    *("2026-03-03T12:00:00 01:00", "2016-12-31T23:59:60Z"),
    *("version:0", "version:999999999", "position:0", "position:17"),
]
NONE = [
    *("", "abc", "-1", "1.5", "1234567890123", "٣", " 1", "1 ", "@", "@-1", "@1.5", "@version:3"),
    *("253402300799", "999999999999", "@1234567890123", "0000000000017"),
    *("version:", "version:-1", "version:1234567890", "Version:1", "version:1a", "version:٣"),
    *("position:", "position:1234567890123456789", "positions:1", "position:@1"),
    *("2026-02-30", "2026-13-01", "2026-3-3", "0000-01-01", "9999-12-31", "2026-03-03Z"),
    *("2026-03-03T12:00:00", "2026-03-03T12:00Z", "2026-03-03T24:00:00Z", "2026-03-03T12:00:61Z"),
    *("2026-03-03T12:00:00.Z", "2026-03-03T12:00:00,5Z", "2026-03-03T12:00:00+0100"),
    *("0001-01-01T00:00:00+01:00", f"2026-03-03T12:00:00.{'1' * 30}Z", "10m", "2h"),
]
offsets = st.integers(-(24 * 60 - 1), 24 * 60 - 1)
instants = st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001 - made aware below
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001 - made aware below
)


def during(text: str, *, bare: Bare = "seconds", now: datetime | None = None) -> During:
    moment = parse_moment(text, bare=bare, now=now)
    assert isinstance(moment, During)
    return moment


@pytest.mark.parametrize(
    ("text", "start", "length"),
    [
        ("1772539200", NOON, SECOND),
        ("@1772539200", NOON, SECOND),
        ("2026-03-03", NOON.replace(hour=0), timedelta(days=1)),
        ("2026-03-03T12:00:00Z", NOON, SECOND),
        ("2026-03-03T13:00:00+01:00", NOON, SECOND),
        ("2026-03-03T13:30:00 01:30", NOON, SECOND),
        ("2026-03-03T04:00:00-08:00", NOON, SECOND),
        ("2026-03-03T12:00:00.0Z", NOON, timedelta(milliseconds=100)),
        ("2026-03-03T12:00:00.000000Z", NOON, timedelta(microseconds=1)),
        ("2026-03-03T12:00:00.000000999Z", NOON, timedelta(microseconds=1)),
    ],
)
def test_a_time_names_a_stretch_as_long_as_it_is_written_fine(
    text: str, start: datetime, length: timedelta
) -> None:
    assert during(text) == During(start, start + length)


def test_a_leap_second_ends_with_the_minute() -> None:
    assert during("2016-12-31T23:59:60Z").end == datetime(2017, 1, 1, tzinfo=UTC)


def test_versions_and_positions_are_numbers_from_nothing_on() -> None:
    assert parse_moment("version:3") == AtVersion(Version(3))
    assert parse_moment("version:0") == AtVersion(NO_VERSION)
    assert parse_moment("position:17") == AtPosition(Position(17))


@given(st.integers(0, 10**12 - 1))
def test_a_number_alone_is_what_the_place_says_and_with_its_mark_the_same_everywhere(
    number: int,
) -> None:
    assert parse_moment(f"{number}", bare="position") == AtPosition(Position(number))
    assert parse_moment(f"{number}") == parse_moment(f"@{number}")
    for marked in (f"@{number}", f"position:{number}"):
        assert parse_moment(marked, bare="position") == parse_moment(marked, bare="seconds")
    assert parse_moment(f"position:{number}") == AtPosition(Position(number))


@given(instants, offsets, st.sampled_from(["seconds", "position"]))
def test_a_time_is_the_same_in_every_offset_and_everywhere(
    at: datetime, offset_min: int, bare: Bare
) -> None:
    at = at.replace(tzinfo=UTC, microsecond=0)
    local = at.astimezone(timezone(timedelta(minutes=offset_min)))
    for text in (local.isoformat(), local.isoformat(sep=" "), f"@{at.timestamp():.0f}"):
        assert during(text, bare=bare) == During(at, at + SECOND)
    assert during(local.isoformat().replace("+", " ")).start == at
    midnight = at.replace(hour=0, minute=0, second=0)
    assert during(f"{at:%Y-%m-%d}", bare=bare) == During(midnight, midnight + timedelta(days=1))


@given(instants)
def test_the_time_of_an_event_names_its_microsecond(at: datetime) -> None:
    aware = at.replace(tzinfo=timezone(timedelta(hours=5))).astimezone(UTC)
    assert during(spelled_time(aware)) == During(aware, aware + timedelta(microseconds=1))


@given(st.integers(0, 5_000), st.sampled_from("smhdw"), instants, offsets)
def test_how_long_ago_is_taken_where_there_is_a_now_and_is_an_instant(
    count: int, unit: str, now: datetime, offset_min: int
) -> None:
    aware = now.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
    unit_s = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}[unit]
    then = aware - timedelta(seconds=count * unit_s)
    assert during(f"{count}{unit}", now=aware) == During(then, then)
    assert parse_moment(f"{count}{unit}") is None


def test_nothing_is_longer_ago_than_a_hundred_years() -> None:
    assert parse_moment("5201w", now=NOON) is not None
    assert parse_moment("5300w", now=NOON) is None
    assert parse_moment("9999999999w", now=NOON) is None


@pytest.mark.parametrize("text", NONE)
def test_anything_else_names_no_moment(text: str) -> None:
    assert parse_moment(text) is None


def test_where_a_number_is_a_position_it_is_no_time() -> None:
    assert parse_moment("1234567890123", bare="position") == AtPosition(Position(1234567890123))
    assert parse_moment("@1234567890123", bare="position") is None


@pytest.mark.parametrize("text", SPELLINGS)
def test_the_documented_pattern_takes_what_is_taken(text: str) -> None:
    assert parse_moment(text) is not None
    assert re.fullmatch(PATTERN, text)
    assert bool(re.fullmatch(LOG_PATTERN, text)) == (not text.startswith("version"))


@given(st.one_of(st.from_regex(PATTERN, fullmatch=True), st.text("0123456789-:T@.Z+v"), st.text()))
def test_the_pattern_takes_everything_that_is_taken_and_nothing_raises(text: str) -> None:
    moment = parse_moment(text)
    if moment is not None:
        assert re.fullmatch(PATTERN, text)
        assert len(text) <= MOMENT_CHARACTERS_MAX
    elif re.fullmatch(PATTERN, text):  # such as the 30th of February
        assert not text.startswith(("position", "version"))


def test_what_is_taken_is_told_with_what_a_number_alone_means() -> None:
    for bare in ("seconds", "position"):
        told = forms(bare=bare, version=True, ago=True)
        for spelling in ("@1772539200", "position:17", "version:3", "2026-03-03", "10m"):
            assert spelling in told
    assert "17 or position:17" in forms(bare="position")
    assert forms().startswith("unix seconds such as 1772539200 or @1772539200")
    assert "version" not in forms()
    assert "ago" not in forms()


@pytest.mark.parametrize(
    ("text", "amiss"),
    [
        ("2026-03-03T12:00:00", "an offset"),
        ("2026-03-03 12:00", "an offset"),
        ("2026-03-03T12:00:00.5", "an offset"),
        ("1772539200000", "milliseconds"),
        ("@1772539200000", "milliseconds"),
    ],
)
def test_a_near_miss_is_told_what_is_amiss(text: str, amiss: str) -> None:
    assert parse_moment(text) is None
    assert amiss in (nearly(text) or "")


def test_what_is_no_near_miss_is_told_nothing_more() -> None:
    for text in ("abc", "2026-03-03", "", "12"):
        assert nearly(text) is None
