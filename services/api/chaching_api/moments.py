"""Moments of the past as parameters: ``as_of``, ``from`` and ``to``. `chaching.moments` reads them.

Where a stretch of time is named, how things stood at its end is meant; as long as it lasts, its
end is now.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from chaching.moments import (
    LOG_PATTERN,
    MOMENT_CHARACTERS_MAX,
    PATTERN,
    AtVersion,
    During,
    LogMoment,
    Moment,
    forms,
    nearly,
    parse_moment,
)
from chaching_api.bodies import Node
from chaching_api.errors import Malformed
from chaching_api.parameter_types import Leaf, filled
from chaching_api.texts import shortened

CLOCKS_APART_MAX_S: Final = 300


class PastMoment(Leaf, frozen=True):
    """A moment of one customer's past, in any spelling."""

    max_length: int = MOMENT_CHARACTERS_MAX
    pattern: str = PATTERN

    def read(self, value: Node, param: str) -> Moment:
        text = filled(value, param)
        moment = parse_moment(text)
        if moment is None:
            raise _invalid(text, param, forms(version=True))
        return moment


class PastLogMoment(Leaf, frozen=True):
    """A moment of the past of all customers, which no version names."""

    max_length: int = MOMENT_CHARACTERS_MAX
    pattern: str = LOG_PATTERN

    def read(self, value: Node, param: str) -> LogMoment:
        text = filled(value, param)
        moment = parse_moment(text)
        if moment is None:
            raise _invalid(text, param, forms())
        if isinstance(moment, AtVersion):
            raise Malformed(
                f"Invalid {param}: versions count the events of one customer; name a time or a "
                "position such as position:17",
                param=param,
            )
        return moment


def refuse_future(moment: Moment | None, at: int, param: str) -> None:
    """Refuse a time that lies after ``at`` (unix seconds), but for what clocks may be apart.

    Raises:
        Malformed: nobody knows how things will stand then.
    """
    if isinstance(moment, During) and moment.start.timestamp() > at + CLOCKS_APART_MAX_S:
        here = datetime.fromtimestamp(at, UTC)
        raise Malformed(
            f"Invalid {param}: it lies in the future; here it is {here:%Y-%m-%dT%H:%M:%SZ}",
            param=param,
        )


def _invalid(text: str, param: str, taken: str) -> Malformed:
    amiss = nearly(text)
    return Malformed(
        f"Invalid {param}: {shortened(text)}; {f'{amiss}; ' if amiss else ''}must be {taken}",
        param=param,
    )
