"""Points in the log as a person writes them: a position, an instant, or how long ago."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, TypeAlias

import click
import msgspec

from chaching.envelope import START, Position
from chaching.eventstore.database import Database
from chaching.eventstore.selection import position_at

Point: TypeAlias = Position | datetime

POSITION_MAX_EVENTS: Final = 2**63 - 1
# the year 9999 ends here
UNIX_MAX_S: Final = 253_402_300_799
AGO_MAX_S: Final = 100 * 365 * 24 * 3600
UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}

_NUMBER: Final = re.compile(r"(?P<kind>position:|@|)(?P<number>[0-9]{1,19})")
# as seconds before September 2001, so far likelier a position
_SMALL: Final = re.compile(r"[0-9]{1,9}")
_AGO: Final = re.compile(r"(?P<count>[0-9]{1,10})(?P<unit>[smhdw])")
_Instant: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]


class Points:
    """Reads position:17, @1735786800 (unix seconds) and RFC 3339, as the callback of an option.

    A bare number is a position or unix seconds, then refused where it looks like a position; 10m,
    2h, 3d may stand for how long ago.
    """

    def __init__(self, *, bare: Literal["position", "seconds"], ago: bool = False) -> None:
        """Say what a bare number means, and whether a duration is taken."""
        self._bare_is_position = bare == "position"
        self._ago = ago
        numbers = (
            "17 (a position), @1735786800 (unix seconds)"
            if self._bare_is_position
            else "position:17, 1735786800 (unix seconds)"
        )
        self.forms = f"{numbers}, 2025-01-02T03:00:00Z" + (", 10m or 2h (ago)" if ago else "")

    def __call__(
        self, _context: click.Context, _option: click.Parameter, text: str | None
    ) -> Point | None:
        """Return the position or the instant that a text means."""
        if text is None:
            return None
        if not self._bare_is_position and _SMALL.fullmatch(text):
            raise click.BadParameter(
                f"{text!r} would be unix seconds before 2001: write position:{text}, or @{text}"
            )
        found = self._read(text)
        if found is None:
            raise click.BadParameter(f"{text!r} is none of: {self.forms}")
        return found

    def _read(self, text: str) -> Point | None:
        if number := _NUMBER.fullmatch(text):
            is_position = number["kind"] == "position:" or (
                not number["kind"] and self._bare_is_position
            )
            return (_position if is_position else _unix_instant)(int(number["number"]))
        if self._ago and (ago := _AGO.fullmatch(text)):
            ago_s = int(ago["count"]) * UNITS_S[ago["unit"]]
            return datetime.now(UTC) - timedelta(seconds=ago_s) if ago_s <= AGO_MAX_S else None
        try:
            return msgspec.convert(text, _Instant).astimezone(UTC)
        except (msgspec.ValidationError, OverflowError):
            return None


async def first_from(database: Database, point: Point) -> Position:
    """Return the first position at a point or after it; raises Unavailable."""
    if isinstance(point, datetime):
        return await position_at(database, point)
    return point


async def last_before(database: Database, point: Point) -> Position:
    """Return the position itself, or the last one before an instant; raises Unavailable."""
    if isinstance(point, datetime):
        return Position(await position_at(database, point) - 1)
    return point


def _position(number: int) -> Position | None:
    return Position(number) if START < number <= POSITION_MAX_EVENTS else None


def _unix_instant(unix_s: int) -> datetime | None:
    return datetime.fromtimestamp(unix_s, UTC) if unix_s <= UNIX_MAX_S else None
