"""Moments of the past, as ``as_of``, ``from`` and ``to`` name them.

Unix seconds, a time of RFC 3339, a date (in UTC), ``version:3`` (of one customer) or
``position:17`` (of the log). A time names a stretch, as long as it is written fine: a day, a
second, a tenth of one. What is meant is how things stood at its end, so the second in which a
customer says that it was created has that customer in it. As long as a stretch lasts, its end is
now.

In a query the ``+`` of an offset arrives as a space if it was not encoded. Nothing else can stand
there, so it is taken for what it was.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, TypeAlias

import msgspec

from chaching.envelope import Position, Version
from chaching_api.bodies import Node
from chaching_api.errors import Malformed
from chaching_api.parameter_types import Leaf, filled
from chaching_api.texts import shortened

MOMENT_CHARACTERS_MAX: Final = 40
CLOCKS_APART_MAX_S: Final = 300
MICROSECOND_DIGITS: Final = 6
LAST_SECOND: Final = 59

_DATE: Final = "[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK: Final = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)"
_OFFSET: Final = "[Zz]|[-+ ](?:[01][0-9]|2[0-3]):[0-5][0-9]"
_FRACTION: Final = "[.][0-9]{1,9}"
_VERSION: Final = "version:(?P<version>[0-9]{1,9})"
_OF_LOG: Final = (
    "(?P<unix>[0-9]{1,11})|position:(?P<position>[0-9]{1,18})|"
    f"(?P<date>{_DATE})(?:[Tt ](?P<clock>{_CLOCK})(?P<fraction>{_FRACTION})?(?P<offset>{_OFFSET}))?"
)
_SPELLED: Final = re.compile(f"{_OF_LOG}|{_VERSION}")


def _unnamed(pattern: str) -> str:
    """Return a pattern without the names of its groups, which others than Python do not read."""
    return re.sub(r"\?P<\w+>", "?:", pattern)


class AtVersion(msgspec.Struct, frozen=True):
    """Right after the event of one customer that has this version; 0: before the first."""

    version: Version


class AtPosition(msgspec.Struct, frozen=True):
    """Right after the event of the log that has this position; 0: before the first."""

    position: Position


class Until(msgspec.Struct, frozen=True):
    """When all that was recorded before ``end`` had happened; the stretch began at ``start``."""

    start: datetime
    end: datetime


LogMoment: TypeAlias = AtPosition | Until
Moment: TypeAlias = AtVersion | LogMoment


class PastMoment(Leaf, frozen=True):
    """A moment of one customer's past, in any spelling."""

    max_length: int = MOMENT_CHARACTERS_MAX
    pattern: str = _unnamed(f"{_OF_LOG}|{_VERSION}")

    def read(self, value: Node, param: str) -> Moment:
        text = filled(value, param)
        found = _SPELLED.fullmatch(text) if len(text) <= self.max_length else None
        if found is None:
            raise _invalid(text, param)
        if found["version"]:
            return AtVersion(Version(int(found["version"])))
        if found["position"]:
            return AtPosition(Position(int(found["position"])))
        try:
            return _unix_second(found["unix"]) if found["unix"] else _stretch(found)
        except (ValueError, OverflowError):
            raise _invalid(text, param) from None


class PastLogMoment(Leaf, frozen=True):
    """A moment of the past of all customers, which no version names."""

    max_length: int = MOMENT_CHARACTERS_MAX
    pattern: str = _unnamed(_OF_LOG)

    def read(self, value: Node, param: str) -> LogMoment:
        moment = _PAST_MOMENT.read(value, param)
        if isinstance(moment, AtVersion):
            raise Malformed(
                f"Invalid {param}: versions count the events of one customer; name a time or a "
                "position such as position:17",
                param=param,
            )
        return moment


_PAST_MOMENT: Final = PastMoment()


def refuse_future(moment: Moment | None, at: int, param: str) -> None:
    """Refuse a time that lies after ``at`` (unix seconds), but for what clocks may be apart.

    Raises:
        Malformed: nobody knows how things will stand then.
    """
    if isinstance(moment, Until) and moment.start.timestamp() > at + CLOCKS_APART_MAX_S:
        raise Malformed(f"Invalid {param}: it lies in the future", param=param)


def _unix_second(digits: str) -> Until:
    start = datetime.fromtimestamp(int(digits), UTC)
    return Until(start, start + timedelta(seconds=1))


def _stretch(found: re.Match[str]) -> Until:
    if not found["clock"]:
        day = datetime.fromisoformat(found["date"]).replace(tzinfo=UTC)
        return Until(day, day + timedelta(days=1))
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
    return Until(start.astimezone(UTC), (start + length).astimezone(UTC))


def _offset(text: str) -> timezone:
    if text in "Zz":
        return UTC
    east = timedelta(hours=int(text[1:3]), minutes=int(text[4:]))
    return timezone(-east if text[0] == "-" else east)


def _invalid(text: str, param: str) -> Malformed:
    return Malformed(
        f"Invalid {param}: {shortened(text)}; must be unix seconds, a time such as "
        "2026-03-03T12:00:00Z, a date, version:3 or position:17",
        param=param,
    )
