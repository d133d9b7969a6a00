"""What the store is given, as small as it can be, and how its function answers a batch."""

from __future__ import annotations

import itertools
from typing import Final

import msgspec

from chaching.domain.ids import AccountId, CustomerId, EventId, RequestId
from chaching.envelope import KeptAnswer, PendingAnswer, PendingEvent, StreamKey, Version
from chaching.eventstore.database import Database, Session
from chaching.eventstore.statements import statement

ACCOUNT: Final = "acct_1"
FINGERPRINT_BYTES: Final = 32
APPEND: Final = statement("chaching.eventstore", "append_events")

_numbers = itertools.count(1)


class Outcome(msgspec.Struct, frozen=True):
    """What the append function says of one item."""

    outcome: str
    position: int | None
    version: int
    holder: str | None
    request_id: str | None = None
    answer: str | None = None


def appended(position: int, version: int, holder: str | None = None) -> Outcome:
    return Outcome("appended", position, version, holder)


def conflict(version: int, holder: str | None = None) -> Outcome:
    return Outcome("conflict", None, version, holder)


def taken(version: int, holder: str) -> Outcome:
    return Outcome("prefix_taken", None, version, holder)


def kept_alone(version: int) -> Outcome:
    return Outcome("kept", None, version, None)


def answered(version: int, request_id: str, answer: str) -> Outcome:
    return Outcome("answered", None, version, None, request_id, answer)


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
    kept: KeptAnswer | None = None,
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
        kept=kept,
    )


def keeping(
    idempotency_key: str, *, asked: bytes = b"a", answer: bytes = b"{}", request: str = "req_1"
) -> KeptAnswer:
    """Return an answer to be kept under a key; ``asked`` is one byte that stands for a request."""
    return KeptAnswer(
        idempotency_key=idempotency_key,
        fingerprint=asked * FINGERPRINT_BYTES,
        request_id=RequestId(request),
        answer=answer,
    )


def answer_alone(stream: str, expected_version: int, kept: KeptAnswer) -> PendingAnswer:
    return PendingAnswer(key=key(stream), expected_version=Version(expected_version), kept=kept)


def commands(*items: PendingEvent | PendingAnswer) -> list[tuple[object, ...]]:
    """Return a batch as the function takes it."""
    return [_command(item) for item in items]


def _command(item: PendingEvent | PendingAnswer) -> tuple[object, ...]:
    event = item if isinstance(item, PendingEvent) else None
    kept = item.kept
    return (
        item.key.account,
        item.key.livemode,
        item.key.id,
        item.expected_version,
        event and event.event_id,
        event and event.type,
        event and event.schema_version,
        event and event.payload,
        event and event.state,
        event and event.metadata,
        event and event.invoice_prefix,
        kept and kept.idempotency_key,
        kept and kept.fingerprint,
        kept and kept.request_id,
        kept and kept.answer.decode(),
        None,
    )


async def append_batch(
    database: Database | Session, *items: PendingEvent | PendingAnswer
) -> list[Outcome]:
    """Append items in one call; return what is said of each, in their order."""
    rows = await database.fetch(APPEND, commands(*items))
    assert [row["item"] for row in rows] == list(range(1, len(items) + 1))
    names = ("outcome", "position", "version", "holder", "request_id", "answer")
    return [Outcome(*(row[name] for name in names)) for row in rows]
