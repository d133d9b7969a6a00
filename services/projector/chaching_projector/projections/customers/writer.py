"""Writes a step's rows and parked streams, in the transaction that moves the checkpoint.

Each row must stand at the version before the first event that the step applies to it. Another
version means that an event was skipped or is being applied twice, or that somebody else wrote, and
nothing is written; ``row_versions`` then tells which rows stand elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from chaching.domain.ids import AccountId, CustomerId
from chaching.envelope import Position, StreamKey, Version
from chaching.eventstore.database import KEYED_LOOKUPS, Database, Row, Session
from chaching.eventstore.errors import ValueRefused
from chaching.eventstore.statements import statement
from chaching_projector.projections.customers.rows import CustomerRow
from chaching_projector.projections.customers.steps import OutOfStep, Poison, RowChange

PACKAGE: Final = "chaching_projector.projections.customers"
# The server ends a transaction whose holder is paused inside it, and rows are found by their keys.
SESSION_SETTINGS: Final[Mapping[str, str]] = {
    **KEYED_LOOKUPS,
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "idle_in_transaction_session_timeout": "3000",
}

_INSERT: Final = statement(PACKAGE, "insert_customers")
_UPDATE: Final = statement(PACKAGE, "update_customers")
_VERSIONS: Final = statement(PACKAGE, "row_versions")
_PARK: Final = statement(PACKAGE, "park_streams")
_PARKED: Final = statement(PACKAGE, "parked_streams")
_UNPARK: Final = statement(PACKAGE, "unpark_stream")
_RENEW_SEARCH: Final = statement(PACKAGE, "renew_search")


async def write_rows(session: Session, changes: Sequence[RowChange]) -> None:
    """Write rows, each in the place of the version before it.

    Raises:
        OutOfStep: a row is at another version.
        ValueRefused: PostgreSQL cannot store a value.
        Unavailable: no answer in time.
    """
    new = [change for change in changes if change.before == 0]
    old = [change for change in changes if change.before != 0]
    written = await session.execute(_INSERT, *_columns(new)) if new else 0
    if old:
        befores = [change.before for change in old]
        written += await session.execute(_UPDATE, *_columns(old), befores)
    if written != len(changes):
        raise OutOfStep(f"{len(changes) - written} of {len(changes)} rows are at another version")


async def row_versions(database: Database, keys: Sequence[StreamKey]) -> dict[StreamKey, Version]:
    """Return the versions of the rows that there are; raises Unavailable."""
    rows = await database.fetch(_VERSIONS, *_key_columns(keys))
    return {_key(row): Version(row["version"]) for row in rows}


async def refused_among(database: Database, changes: Sequence[RowChange]) -> RowChange:
    """Return a change that PostgreSQL refuses, found by halving; nothing stays written."""
    while len(changes) > 1:
        half = changes[: len(changes) // 2]
        changes = half if await _is_refused(database, half) else changes[len(half) :]
    return changes[0]


async def park(session: Session, poisons: Sequence[Poison]) -> None:
    if not poisons:
        return
    keys = [poison.key for poison in poisons]
    await session.execute(
        _PARK,
        *_key_columns(keys),
        [poison.version for poison in poisons],
        [poison.position for poison in poisons],
        [poison.reason for poison in poisons],
    )


async def unpark(session: Session, key: StreamKey) -> None:
    """Let a stream go on whose row was just written; searches hear of that by no event."""
    await session.execute(_UNPARK, key.account, key.livemode, key.id)
    await session.execute(_RENEW_SEARCH, key.account, key.livemode, key.id)


async def parked_streams(database: Database) -> list[Poison]:
    """Return all parked streams, the oldest first; raises Unavailable."""
    return [
        Poison(
            key=_key(row),
            version=Version(row["first_version"]),
            position=Position(row["first_position"]),
            reason=row["reason"],
        )
        for row in await database.fetch(_PARKED)
    ]


async def _is_refused(database: Database, changes: Sequence[RowChange]) -> bool:
    try:
        async with database.session() as session:
            await session.execute("BEGIN")
            with suppress(OutOfStep):  # what is refused is refused before rows are counted
                await write_rows(session, changes)
            await session.execute("ROLLBACK")
    except ValueRefused:
        return True
    return False


def _key(row: Row) -> StreamKey:
    return StreamKey(AccountId(row["account"]), row["livemode"], CustomerId(row["id"]))


def _columns(changes: Sequence[RowChange]) -> tuple[list[object], ...]:
    rows: list[CustomerRow] = [change.row for change in changes]
    return (
        *_key_columns([row.key for row in rows]),
        [row.version for row in rows],
        [row.position for row in rows],
        [row.created for row in rows],
        [row.deleted for row in rows],
        [row.email for row in rows],
        [row.name for row in rows],
        [row.phone for row in rows],
        [row.metadata for row in rows],
        [row.test_clock for row in rows],
        [row.body for row in rows],
        [row.attached for row in rows],
    )


def _key_columns(keys: Sequence[StreamKey]) -> tuple[list[object], list[object], list[object]]:
    return [k.account for k in keys], [k.livemode for k in keys], [k.id for k in keys]
