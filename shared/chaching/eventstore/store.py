"""The event store: append and load for the gateway, the log in order for everyone else.

Theory of operation. Appends travel in groups: while one transaction commits, the commands that
arrive wait and leave together in the next (see ``grouping``). One SQL function judges each item
under the lock of the log's head row and gives dense positions to the good ones, so positions are
in commit order and a reader that has seen n knows that n + 1 is next.

What a crash does. Before the commit: nothing is stored, nobody was answered. Between the commit
and the answer: the events are stored; the call is repeated with the same event ids and finds
their positions, so a lost connection neither loses nor doubles an event. After
``append_deadline_s`` without an answer every caller of the group gets Unavailable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Final

import msgspec

from chaching import envelope
from chaching.domain.customer import Customer
from chaching.domain.ids import AccountId, CustomerId, EventId
from chaching.envelope import (
    NO_VERSION,
    LogId,
    PendingEvent,
    Position,
    RecordedEvent,
    StreamKey,
    Version,
)
from chaching.eventstore.database import STATEMENT_TIMEOUT_S, Database, Row
from chaching.eventstore.errors import (
    Conflict,
    PrefixTaken,
    Unavailable,
    ValueRefused,
    translated,
)
from chaching.eventstore.grouping import Group
from chaching.eventstore.statements import statement

APPEND_DEADLINE_S: Final = 6.0
RETRY_PAUSE_S: Final = 0.1
# one is on its way while the other commits; more would only make the groups smaller
APPENDS_IN_FLIGHT_MAX: Final = 2
LOADS_IN_FLIGHT_MAX: Final = 2
READ_BATCH_MAX_EVENTS: Final = 2_000
READ_BATCH_MAX_BYTES: Final = 16 * 1024 * 1024
APPEND_BATCH_MAX_CHARACTERS: Final = 4 * 1024 * 1024

_APPEND: Final = statement("chaching.eventstore", "append_events")
_LOAD_NEWEST: Final = statement("chaching.eventstore", "load_newest")
_READ_ALL: Final = statement("chaching.eventstore", "read_all")
_READ_STREAM: Final = statement("chaching.eventstore", "read_stream")
_HEAD: Final = statement("chaching.eventstore", "head")
_LOG_ID: Final = statement("chaching.eventstore", "log_id")


class Appended(msgspec.Struct, frozen=True):
    """Where an event now stands, on disk."""

    position: Position
    version: Version


class Loaded(msgspec.Struct, frozen=True):
    """A customer and the version it is at; ``None`` at version 0 when it never existed."""

    state: Customer | None = None
    version: Version = NO_VERSION


class EventStore:
    """The log in one database. ``appended`` is called after every commit."""

    def __init__(
        self,
        database: Database,
        *,
        appended: Callable[[], None] | None = None,
        append_deadline_s: float = APPEND_DEADLINE_S,
    ) -> None:
        self._database = database
        self._on_appended = appended
        self._append_deadline_s = append_deadline_s
        self._appends: Group[PendingEvent, Appended] = Group(
            self._append_batch,
            keys=_append_keys,
            weigh=_weight,
            weight_max=APPEND_BATCH_MAX_CHARACTERS,
            in_flight_max=APPENDS_IN_FLIGHT_MAX,
            outages=(Unavailable,),
        )
        self._loads: Group[StreamKey, Loaded] = Group(
            self._load_batch, in_flight_max=LOADS_IN_FLIGHT_MAX, outages=(Unavailable,)
        )

    async def append(self, pending: PendingEvent) -> Appended:
        """Store one event; when this returns it is on disk.

        Raises:
            Conflict: the stream is not at the expected version.
            PrefixTaken: the event's invoice prefix belongs to another customer.
            Unavailable: no answer within the deadline; the event may or may not be stored.
            Overloaded: too many appends wait; the event is not stored.
        """
        return await self._appends.submit(pending)

    async def load(self, key: StreamKey) -> Loaded:
        """Return a customer as its newest event left it.

        Raises:
            Unavailable: no answer in time.
        """
        return await self._loads.submit(key)

    async def read_all(
        self, after: Position, limit: int = READ_BATCH_MAX_EVENTS, *, up_to: Position | None = None
    ) -> list[RecordedEvent]:
        """Return at most ``limit`` events after a position, in order, without gaps.

        They are fewer when they are large: none is begun after ``READ_BATCH_MAX_BYTES``.

        Raises:
            Unavailable: no answer in time.
        """
        last = after + limit if up_to is None else up_to
        rows = await self._database.fetch(_READ_ALL, after, last, limit, READ_BATCH_MAX_BYTES)
        return [recorded_event(row) for row in rows]

    async def read_stream(
        self, key: StreamKey, after: Version = NO_VERSION, limit: int = READ_BATCH_MAX_EVENTS
    ) -> list[RecordedEvent]:
        """Return at most ``limit`` events of one customer after a version, in order.

        Raises:
            Unavailable: no answer in time.
        """
        rows = await self._database.fetch(
            _READ_STREAM, key.account, key.livemode, key.id, after, limit
        )
        return [recorded_event(row) for row in rows]

    async def head(self) -> Position:
        """Return the position of the newest event, 0 for an empty log.

        Raises:
            Unavailable: no answer in time.
        """
        [row] = await self._database.fetch(_HEAD)
        return Position(row["position"])

    async def log_id(self) -> LogId:
        """Return what tells this log from every other one.

        Raises:
            Unavailable: no answer in time.
        """
        [row] = await self._database.fetch(_LOG_ID)
        return LogId(row["log_id"])

    async def drain(self) -> None:
        """Return when no append is waiting or under way."""
        await self._appends.drain()

    async def _append_batch(self, batch: Sequence[PendingEvent]) -> list[Appended | Exception]:
        try:
            rows = await self._append_until_answered(_append_arguments(batch))
        except ValueRefused as refused:
            return [refused] if len(batch) == 1 else await self._append_each(batch)
        if self._on_appended is not None:
            self._on_appended()
        answers: list[Appended | Exception] = [Unavailable("no answer for an item")] * len(batch)
        for row in rows:
            answers[row["item"] - 1] = _append_answer(row)
        return answers

    async def _append_each(self, batch: Sequence[PendingEvent]) -> list[Appended | Exception]:
        """Append one by one, so that a value that is refused fails nobody else."""
        return [answer for one in batch for answer in await self._append_batch([one])]

    async def _append_until_answered(self, arguments: tuple[list[object], ...]) -> list[Row]:
        started_s = asyncio.get_running_loop().time()
        deadline_s = started_s + self._append_deadline_s
        last_try_ends_s = max(deadline_s, started_s + STATEMENT_TIMEOUT_S)
        while True:
            try:
                with translated():
                    async with asyncio.timeout_at(last_try_ends_s):
                        return await self._database.fetch(_APPEND, *arguments)
            except Unavailable:
                if asyncio.get_running_loop().time() + RETRY_PAUSE_S > deadline_s:
                    raise
            await asyncio.sleep(RETRY_PAUSE_S)

    async def _load_batch(self, keys: Sequence[StreamKey]) -> list[Loaded | Exception]:
        rows = await self._database.fetch(_LOAD_NEWEST, *_key_columns(keys))
        loaded: list[Loaded | Exception] = [Loaded()] * len(keys)
        for item, version, event_type, schema_version, payload, state in rows:
            loaded[item - 1] = _loaded(version, event_type, schema_version, payload, state)
        return loaded


def recorded_event(row: Row) -> RecordedEvent:
    """Return a row of event_store.events as a RecordedEvent."""
    return RecordedEvent(
        position=Position(row["position"]),
        key=StreamKey(AccountId(row["account"]), row["livemode"], CustomerId(row["stream"])),
        version=Version(row["version"]),
        previous_position=Position(row["previous_position"]),
        event_id=EventId(row["event_id"]),
        type=row["type"],
        schema_version=row["schema_version"],
        payload=row["payload"],
        state=row["state"],
        metadata=row["metadata"],
        recorded_at=row["recorded_at"],
    )


def _weight(pending: PendingEvent) -> int:
    return len(pending.payload) + len(pending.state or "")


def _append_keys(pending: PendingEvent) -> Sequence[Hashable]:
    key = pending.key
    if pending.invoice_prefix is None:
        return (key,)
    return (key, (key.account, key.livemode, pending.invoice_prefix))


def _append_arguments(batch: Sequence[PendingEvent]) -> tuple[list[object], ...]:
    return (
        [p.key.account for p in batch],
        [p.key.livemode for p in batch],
        [p.key.id for p in batch],
        [p.expected_version for p in batch],
        [p.event_id for p in batch],
        [p.type for p in batch],
        [p.schema_version for p in batch],
        [p.payload for p in batch],
        [p.state for p in batch],
        [p.metadata for p in batch],
        [p.invoice_prefix for p in batch],
    )


def _append_answer(row: Row) -> Appended | Exception:
    match row["outcome"]:
        case "appended":
            return Appended(Position(row["position"]), Version(row["version"]))
        case "prefix_taken":
            return PrefixTaken(row["holder"])
        case _:
            return Conflict(f"the stream is at version {row['version']}")


def _loaded(
    version: int, event_type: str, schema_version: int, payload: str, state: str | None
) -> Loaded | Exception:
    try:
        customer = envelope.customer_after(event_type, schema_version, payload, state)
    except envelope.Undecodable as error:
        return error
    return Loaded(customer, Version(version))


def _key_columns(keys: Sequence[StreamKey]) -> tuple[list[str], list[bool], list[str]]:
    return [k.account for k in keys], [k.livemode for k in keys], [k.id for k in keys]
