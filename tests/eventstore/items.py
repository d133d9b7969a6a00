"""What the store is given, as small as it can be, and how its function answers a batch."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import msgspec

from chaching.domain.ids import AccountId, CustomerId, EventId
from chaching.envelope import PendingEvent, StreamKey, Version
from chaching.eventstore.database import Database, Session
from chaching.eventstore.statements import statement

ACCOUNT: Final = "acct_1"
APPEND: Final = statement("chaching.eventstore", "append_events")

_numbers = itertools.count(1)


class Outcome(msgspec.Struct, frozen=True):
    """What the append function says of one item."""

    outcome: str
    position: int | None
    version: int
    holder: str | None


def appended(position: int, version: int, holder: str | None = None) -> Outcome:
    return Outcome("appended", position, version, holder)


def conflict(version: int, holder: str | None = None) -> Outcome:
    return Outcome("conflict", None, version, holder)


def taken(version: int, holder: str) -> Outcome:
    return Outcome("prefix_taken", None, version, holder)


def key(stream: str, *, account: str = ACCOUNT, livemode: bool = False) -> StreamKey:
    return StreamKey(AccountId(account), livemode, CustomerId(stream))


def item(
    stream: str,
    expected_version: int = 0,
    *,
    prefix: str | None = None,
    account: str = ACCOUNT,
    livemode: bool = False,
    event_id: str | None = None,
    payload: str = "{}",
) -> PendingEvent:
    """Return an event for a stream at a version; its payload means nothing to the store."""
    return PendingEvent(
        key=key(stream, account=account, livemode=livemode),
        expected_version=Version(expected_version),
        event_id=EventId(event_id or f"evt_{next(_numbers)}"),
        type="CustomerCreated" if expected_version == 0 else "CustomerUpdated",
        payload=payload,
        state=None if expected_version == 0 else "{}",
        metadata='{"request_id":"req_1"}',
        invoice_prefix=prefix,
    )


def columns(items: Sequence[PendingEvent]) -> tuple[list[object], ...]:
    """Return a batch as the arrays that the function takes."""
    return (
        [i.key.account for i in items],
        [i.key.livemode for i in items],
        [i.key.id for i in items],
        [i.expected_version for i in items],
        [i.event_id for i in items],
        [i.type for i in items],
        [i.schema_version for i in items],
        [i.payload for i in items],
        [i.state for i in items],
        [i.metadata for i in items],
        [i.invoice_prefix for i in items],
    )


async def append_batch(database: Database | Session, *items: PendingEvent) -> list[Outcome]:
    """Append items in one call; return what is said of each, in their order."""
    rows = await database.fetch(APPEND, *columns(items))
    assert [row["item"] for row in rows] == list(range(1, len(items) + 1))
    return [Outcome(r["outcome"], r["position"], r["version"], r["holder"]) for r in rows]
