"""The part of the log that a reader asks for.

A selection is read range by range. A range that is looked through for what few events fit has at
most ``RANGE_MAX_POSITIONS``, so that no statement takes long however rare they are; one customer's
events are found by the index of streams, whatever the range. The reader's place moves with every
answer: behind the last event that came, or, when none came, behind the range.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from chaching.domain.ids import AccountId, CustomerId
from chaching.envelope import START, Position, RecordedEvent
from chaching.eventstore.database import Database
from chaching.eventstore.encryption import Keyring
from chaching.eventstore.statements import statement
from chaching.eventstore.store import READ_BATCH_MAX_BYTES, recorded_event

RANGE_MAX_POSITIONS: Final = 20_000
SELECTED_BATCH_MAX_EVENTS: Final = 500

_READ_LOG: Final = statement("chaching.eventstore", "read_log")
_READ_OF_CUSTOMER: Final = statement("chaching.eventstore", "read_log_of_customer")
_HAS_ACCOUNT: Final = statement("chaching.eventstore", "has_account")
_HEAD: Final = statement("chaching.eventstore", "head")
_MAY_READ_LOG: Final = statement("chaching.eventstore", "may_read_log")


class LogUnreadable(Exception):  # noqa: N818 - says what the log is
    """The database has no log that its user may read; the message is one line for a person."""


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which events a reader wants; None means all. ``types`` are those of the log."""

    types: tuple[str, ...] | None = None
    account: AccountId | None = None
    livemode: bool | None = None
    customer: CustomerId | None = None


EVERYTHING: Final = Selection()


class Selected(msgspec.Struct, frozen=True):
    """Events in order, and the position up to which there is no other one that fits."""

    events: Sequence[RecordedEvent]
    reached: Position


async def expect_readable(database: Database) -> None:
    """Look whether there is a log and whether it may be read.

    Raises:
        LogUnreadable: there is none, or the database's user may not read it.
        Unavailable: no answer in time.
    """
    [row] = await database.fetch(_MAY_READ_LOG)
    if not row["is_there"]:
        raise LogUnreadable(
            "this database has no log: DATABASE_URL names another one than the service's, or "
            "`chaching migrate` was never run on it"
        )
    if not row["may"]:
        raise LogUnreadable("this database user may not read the log: chaching_relay may")


async def has_account(database: Database, account: str, livemode: bool | None = None) -> bool:
    """Tell whether the log has any event of an account, of one mode if that is given.

    It is looked for range by range from the oldest event on, to the end where there is none.

    Raises:
        Unavailable: no answer in time.
    """
    [log] = await database.fetch(_HEAD)
    for after in range(START, log["position"], RANGE_MAX_POSITIONS):
        up_to = min(after + RANGE_MAX_POSITIONS, log["position"])
        [row] = await database.fetch(_HAS_ACCOUNT, after, up_to, account, livemode)
        if row["is_there"]:
            return True
    return False


async def read_selected(
    database: Database,
    keyring: Keyring,
    selection: Selection,
    after: Position,
    up_to: Position,
    limit: int = SELECTED_BATCH_MAX_EVENTS,
) -> Selected:
    """Return the next events of a selection after a position that is before ``up_to``.

    ``up_to`` is at most the head: what is reached there must not fill up later. The events are at
    most ``limit``, and fewer when they are large or rare.

    Raises:
        Unavailable: no answer in time.
    """
    by_customer = selection.customer is not None
    last = up_to if by_customer else min(up_to, Position(after + RANGE_MAX_POSITIONS))
    types = None if selection.types is None else list(selection.types)
    rows = await database.fetch(
        _READ_OF_CUSTOMER if by_customer else _READ_LOG,
        *(after, last, limit, READ_BATCH_MAX_BYTES, types, selection.account, selection.livemode),
        *((selection.customer,) if by_customer else ()),
    )
    events = [recorded_event(row, keyring) for row in rows]
    return Selected(events, events[-1].position if events else last)
