"""What the read model holds of nobody: rows, entries, parked streams and renewals without a log.

Each table is walked in the order of its key, and the log is asked about every row of it. An event
comes before what is made from it, so nothing that is under way is taken for a stray.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import msgspec

from chaching.comparison.folding import Difference, Kind
from chaching.domain.ids import AccountId, CustomerId, mode_of
from chaching.envelope import NO_VERSION, Version
from chaching.eventstore.database import Database, Row
from chaching.eventstore.statements import statement

WALKED_MAX_ROWS: Final = 2_000
UNKNOWN: Final = "the log has no such customer"


class _Walk(msgspec.Struct, frozen=True, kw_only=True):
    """A table: the statement that reads on, where it begins, and who of a row is a stray."""

    sql: str
    start: Sequence[Any]
    key: Sequence[str]
    stray: Callable[[Row], Difference | None]


async def strays(database: Database) -> AsyncIterator[list[Difference]]:
    """Yield what is of nobody, in portions; raises Unavailable."""
    for walk in _WALKS:
        after = walk.start
        while rows := await database.fetch(walk.sql, *after, WALKED_MAX_ROWS):
            if found := [one for row in rows if (one := walk.stray(row)) is not None]:
                yield found
            after = [rows[-1][name] for name in walk.key]


def _row_of_nobody(row: Row) -> Difference | None:
    if row["is_known"]:
        return None
    return _difference("row_of_nobody", row, UNKNOWN, Version(row["version"]))


def _entry_of_nobody(row: Row) -> Difference | None:
    if not row["is_known"]:
        return _difference("entry_of_nobody", row, UNKNOWN)
    if row["first_created"] in (None, str(row["created"])):
        return None  # a first event that does not say when is told as broken
    return _difference("entry_of_nobody", row, "the customer was created at another time")


def _parked_wrongly(row: Row) -> Difference | None:
    first = Version(row["first_version"])
    if row["position"] is None:
        detail = "the log has no such event"
    elif row["position"] != row["first_position"]:
        detail = "the event stands at another position"
    elif row["row_version"] != first - 1:
        detail = f"the row stands at version {row['row_version'] or 'none'}"
    else:
        return None
    return _difference("parked_wrongly", row, detail, first)


def _renewal_of_nobody(row: Row) -> Difference | None:
    return None if row["is_known"] else _difference("renewal_of_nobody", row, UNKNOWN)


def _difference(kind: Kind, row: Row, detail: str, version: Version = NO_VERSION) -> Difference:
    return Difference(
        kind=kind,
        account=AccountId(row["account"]),
        mode=mode_of(livemode=row["livemode"]),
        customer=CustomerId(row["id"]),
        version=version,
        detail=detail,
    )


_CUSTOMER: Final = ("account", "livemode", "id")
_NO_CUSTOMER: Final = ("", False, "")
_WALKS: Final = (
    _Walk(
        sql=statement("chaching.comparison", "rows_of_nobody"),
        start=_NO_CUSTOMER,
        key=_CUSTOMER,
        stray=_row_of_nobody,
    ),
    _Walk(
        sql=statement("chaching.comparison", "entries_of_nobody"),
        start=("", False, -(2**63), ""),
        key=("account", "livemode", "created", "id"),
        stray=_entry_of_nobody,
    ),
    _Walk(
        sql=statement("chaching.comparison", "parked_streams"),
        start=_NO_CUSTOMER,
        key=_CUSTOMER,
        stray=_parked_wrongly,
    ),
    _Walk(
        sql=statement("chaching.comparison", "renewals_of_nobody"),
        start=(-(2**63),),
        key=("renewal",),
        stray=_renewal_of_nobody,
    ),
)
