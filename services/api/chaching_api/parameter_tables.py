"""How a table of parameters is read, and what several tables have in common.

Unknown names are refused first, all in one message; then the first fault in the order of the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import UnsetType

from chaching_api.bodies import Tree
from chaching_api.errors import Malformed
from chaching_api.parameter_types import (
    INT64_MAX,
    INT64_MIN,
    Either,
    Fields,
    Integer,
    Parameter,
    Required,
    missing,
    unknown,
    unknown_names,
)

Table: TypeAlias = Mapping[str, Parameter[object]]

TEXT_CHARACTERS_MAX: Final = 5000


class Seconds(msgspec.Struct, frozen=True):
    """A stretch of unix seconds, from the first to the last, both of them inside."""

    first: int = INT64_MIN
    last: int = INT64_MAX


class Created(msgspec.Struct, frozen=True):
    """Bounds in unix seconds, as they are given."""

    gt: int = INT64_MIN - 1
    gte: int = INT64_MIN
    lt: int = INT64_MAX + 1
    lte: int = INT64_MAX


def seconds(created: int | Created | UnsetType) -> Seconds:
    """Return the stretch that a second or bounds mean; everything when none is given."""
    match created:
        case int():
            return Seconds(created, created)
        case Created(gt, gte, lt, lte):
            return Seconds(max(gt + 1, gte), min(lt - 1, lte))
        case _:
            return Seconds()


CREATED: Final = Either(
    Integer(),
    Fields(Created, {"gt": Integer(), "gte": Integer(), "lt": Integer(), "lte": Integer()}),
)


def read(tree: Tree, table: Table) -> dict[str, Any]:
    """Return what is given of a table's parameters.

    Raises:
        Malformed: names the parameter at fault.
    """
    names = list(unknown_names(tree, table))
    if names:
        raise unknown(names)
    given: dict[str, Any] = {}
    for name, parameter in table.items():
        if name in tree:
            given[name] = parameter.read(tree[name], name)
        elif isinstance(parameter, Required):
            raise missing(name)
    return given


def only_one(given: Mapping[str, object], first: str, second: str) -> None:
    """Refuse two parameters that exclude each other; the second is the one at fault."""
    if first in given and second in given:
        raise Malformed(
            f"You may only specify one of these parameters: {first}, {second}.", param=second
        )
