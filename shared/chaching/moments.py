"""Moments of the past and points in the log, as people and programs write them: the one parser.

`docs/moments.md` has the table of all spellings. A time names a stretch, as long as it is written
fine: a day, a second, a tenth of one. A moment of the past is the end of it: how things stood then,
so the second in which a customer says that it was created has that customer in it. A part of the
log begins where the stretch of its beginning begins, and ends where the stretch of its end ends.

In a query the ``+`` of an offset arrives as a space if it was not encoded. Nothing else can stand
there, so it is taken for what it was.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, Literal, TypeAlias

import msgspec

from chaching.envelope import Position, Version

MOMENT_CHARACTERS_MAX: Final = 40
MICROSECOND_DIGITS: Final = 6
LAST_SECOND: Final = 59
UNIX_MAX_DIGITS: Final = 12  # the year 9999 ends in them
AGO_MAX_S: Final = 100 * 365 * 24 * 3600
UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}

_DATE: Final = "[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK: Final = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)"
_OFFSET: Final = "[Zz]|[-+ ](?:[01][0-9]|2[0-3]):[0-5][0-9]"
_FRACTION: Final = "[.][0-9]{1,9}"
_UNIX: Final = f"[0-9]{{1,{UNIX_MAX_DIGITS}}}"
_POSITION: Final = "[0-9]{1,18}"
_VERSION: Final = "[0-9]{1,9}"
_TIME: Final = (
    f"(?P<date>{_DATE})(?:[Tt ](?P<clock>{_CLOCK})(?P<fraction>{_FRACTION})?(?P<offset>{_OFFSET}))?"
)
_SPELLED: Final = re.compile(
    f"(?P<bare>{_POSITION})|@(?P<unix>{_UNIX})|position:(?P<position>{_POSITION})|"
    f"version:(?P<version>{_VERSION})|{_TIME}"
)
_AGO: Final = re.compile(r"(?P<count>[0-9]{1,10})(?P<unit>[smhdw])")
_NO_OFFSET: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}[0-9:.]*")
_MILLISECONDS: Final = re.compile(r"@?[0-9]{13}")

# what a bare number, which a time never is, stands for
Bare: TypeAlias = Literal["seconds", "position"]


def _unnamed(pattern: str) -> str:
    """Return a pattern without the names of its groups, which others than Python do not read."""
    return re.sub(r"\?P<\w+>", "?:", pattern)


# for those who describe what is taken; where a bare number is seconds
LOG_PATTERN: Final = f"@?{_UNIX}|position:{_POSITION}|{_unnamed(_TIME)}"
PATTERN: Final = f"{LOG_PATTERN}|version:{_VERSION}"


class AtVersion(msgspec.Struct, frozen=True):
    """Right after the event of one customer that has this version; 0: before the first."""

    version: Version


class AtPosition(msgspec.Struct, frozen=True):
    """Right after the event of the log that has this position; 0: before the first."""

    position: Position


class During(msgspec.Struct, frozen=True):
    """A stretch of time, in UTC; ``end`` is not in it any more."""

    start: datetime
    end: datetime


LogMoment: TypeAlias = AtPosition | During
Moment: TypeAlias = AtVersion | LogMoment


def parse_moment(
    text: str, *, bare: Bare = "seconds", now: datetime | None = None
) -> Moment | None:
    """Return what a text names, None: nothing.

    ``bare`` says what a number alone is. With ``now``, an aware time, ``10m`` and ``2h`` name how
    long before it.
    """
    if len(text) > MOMENT_CHARACTERS_MAX:
        return None
    if now is not None and (ago := _AGO.fullmatch(text)):
        return _before(now, int(ago["count"]) * UNITS_S[ago["unit"]])
    found = _SPELLED.fullmatch(text)
    if found is None:
        return None
    position = found["position"] or (found["bare"] if bare == "position" else None)
    if position or found["version"]:
        return _numbered(position, found["version"])
    try:
        return _stretch(found) if found["date"] else _unix_second(found["unix"] or found["bare"])
    except (ValueError, OverflowError):
        return None


def forms(*, bare: Bare = "seconds", version: bool = False, ago: bool = False) -> str:
    """Return what is taken, as the end of a sentence for a person."""
    numbers = (
        "17 or position:17, unix seconds with an @ as in @1772539200"
        if bare == "position"
        else "unix seconds such as 1772539200 or @1772539200"
    )
    times = "a time such as 2026-03-03T12:00:00Z, a date such as 2026-03-03 (all of it, in UTC)"
    named = [numbers, times, *(["10m, 2h or 3d (ago)"] if ago else [])]
    if version:
        named.append("version:3")
    if bare == "seconds":
        named.append("position:17")
    return f"{', '.join(named[:-1])} or {named[-1]}"


def nearly(text: str) -> str | None:
    """Return what is amiss with a text that names nothing, if that can be told."""
    if _NO_OFFSET.fullmatch(text):
        return "a time has seconds and an offset, as in 2026-03-03T12:00:00Z or …T12:00:00+01:00"
    if _MILLISECONDS.fullmatch(text):
        return "these would be milliseconds; unix seconds have ten digits"
    return None


def _before(now: datetime, ago_s: int) -> During | None:
    if ago_s > AGO_MAX_S:
        return None
    instant = now.astimezone(UTC) - timedelta(seconds=ago_s)
    return During(instant, instant)


def _numbered(position: str | None, version: str) -> Moment:
    return AtPosition(Position(int(position))) if position else AtVersion(Version(int(version)))


def _unix_second(digits: str) -> During:
    if len(digits) > UNIX_MAX_DIGITS:
        raise ValueError("beyond the year 9999")
    start = datetime.fromtimestamp(int(digits), UTC)
    return During(start, start + timedelta(seconds=1))


def _stretch(found: re.Match[str]) -> During:
    if not found["clock"]:
        day = datetime.fromisoformat(found["date"]).replace(tzinfo=UTC)
        return During(day, day + timedelta(days=1))
    hour, minute, second = map(int, found["clock"].split(":"))
    fraction = (found["fraction"] or ".")[1 : MICROSECOND_DIGITS + 1]
    start = datetime.fromisoformat(found["date"]).replace(
        hour=hour,
        minute=minute,
        second=min(second, LAST_SECOND),  # a leap second ends where the one before it does
        microsecond=int(fraction.ljust(MICROSECOND_DIGITS, "0")),
        tzinfo=_offset(found["offset"]),
    )
    length = timedelta(microseconds=10 ** (MICROSECOND_DIGITS - len(fraction)))
    return During(start.astimezone(UTC), (start + length).astimezone(UTC))


def _offset(text: str) -> timezone:
    if text in "Zz":
        return UTC
    east = timedelta(hours=int(text[1:3]), minutes=int(text[4:]))
    return timezone(-east if text[0] == "-" else east)
