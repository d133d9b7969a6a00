"""Points in the log as options name them: what `chaching.moments` reads, or how long ago."""

import re
from datetime import UTC, datetime
from typing import Any, Final

import click

from chaching.envelope import START, Position
from chaching.eventstore.database import Database
from chaching.eventstore.instants import positions_before
from chaching.local.errors import LocalError
from chaching.moments import AtVersion, Bare, During, LogMoment, forms, nearly, parse_moment

FIRST: Final = Position(START + 1)

# as seconds before September 2001, so far likelier a position
_SMALL: Final = re.compile(r"[0-9]{1,9}")


class Points:
    """Reads a point as the callback of an option.

    A bare number is a position, or unix seconds; then it is refused where it looks like a position.
    """

    def __init__(self, *, bare: Bare, version: bool = False) -> None:
        """Say what a bare number means, and whether a version is taken."""
        self._bare: Bare = bare
        self._takes_versions = version
        self.forms = forms(bare=bare, version=version, ago=True)

    def __call__(self, _context: click.Context, _option: click.Parameter, text: str | None) -> Any:
        """Return the moment that a text means; it is a LogMoment unless versions are taken."""
        if text is None:
            return None
        if self._bare == "seconds" and _SMALL.fullmatch(text):
            raise click.BadParameter(
                f"{text!r} would be unix seconds before 2001: write position:{text}, or @{text}"
            )
        found = parse_moment(text, bare=self._bare, now=datetime.now(UTC))
        if found is None:
            amiss = nearly(text)
            raise click.BadParameter(
                f"{text!r} is none of: {self.forms}{f'; {amiss}' if amiss else ''}"
            )
        if isinstance(found, AtVersion) and not self._takes_versions:
            raise click.BadParameter(
                f"{text!r}: versions count the events of one customer; name a time or a position"
            )
        return found


async def part_between(
    database: Database, first: LogMoment | None, last: LogMoment | None
) -> tuple[Position | None, Position | None]:
    """Return the positions at which a part of the log begins and ends; None: it is not said.

    Raises:
        LocalError: it would end before it begins.
        Unavailable: no answer in time.
    """
    begin = None if first is None else await first_of(database, first)
    end = None if last is None else await last_of(database, last)
    if isinstance(first, During) and isinstance(last, During) and last.end <= first.start:
        raise LocalError("--to is before --from")
    if begin is not None and end is not None and end < begin - 1:
        raise LocalError(f"--to, position {end}, is before --from, position {begin}")
    return begin, end


async def first_of(database: Database, point: LogMoment) -> Position:
    """Return the first position at a point or after its beginning; raises Unavailable."""
    if isinstance(point, During):
        [older] = await positions_before(database, [point.start])
        return Position(older.position + 1)
    return max(point.position, FIRST)


async def last_of(database: Database, point: LogMoment) -> Position:
    """Return the last position at a point or before its end; raises Unavailable."""
    if isinstance(point, During):
        [within] = await positions_before(database, [point.end])
        return within.position
    return point.position
