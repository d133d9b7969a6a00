"""The event store: append and load for the gateway, the log in order for everyone else.

Theory of operation. Appends travel in groups: while one transaction commits, the commands that
arrive wait and leave together in the next (see ``grouping``). One SQL function judges each item
under the lock of the log's head row and gives dense positions to the good ones, so positions are
in commit order and a reader that has seen n knows that n + 1 is next.

What a crash does. Before the commit: nothing is stored, nobody was answered. Between the commit
and the answer: the events are stored; the call is repeated with the same event ids and finds
their positions, so a lost connection neither loses nor doubles an event. After
``append_deadline_s`` without an answer every caller of the group gets OutcomeUnknown.

An answer that is to be kept under an idempotency key is stored in the same transaction as its
event, or alone when nothing changed. So whoever repeats a request finds its answer exactly when
its effect is there. Keys are looked at under the same lock, before versions: of two requests with
one key, on whatever gateways, the second finds what the first was answered.

Personal values are encrypted on their way in and opened on their way out (see ``encryption``). An
event without a data key brings a new one, stored with it, and conflicts if another has by now; a
CustomerErased destroys its customer's in the transaction in which it is stored. Before the first
append the database is asked whether it knows the master key, so that nothing is ever encrypted with
a wrong one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Final

import msgspec

from chaching import envelope
from chaching.domain.customer import Customer
from chaching.domain.ids import AccountId, CustomerId, EventId, RequestId
from chaching.envelope import (
    NO_VERSION,
    LogId,
    PendingAnswer,
    PendingEvent,
    Position,
    RecordedEvent,
    StreamKey,
    Version,
    WrappedKey,
)
from chaching.eventstore.database import STATEMENT_TIMEOUT_S, Database, Row
from chaching.eventstore.encryption import DESTROYED, Encrypted, Keyring, Pending
from chaching.eventstore.errors import (
    AlreadyAnswered,
    Conflict,
    OutcomeUnknown,
    PrefixTaken,
    Unavailable,
    ValueRefused,
    WrongMasterKey,
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
FORGET_BATCH_MAX_KEYS: Final = 1_000

_APPEND: Final = statement("chaching.eventstore", "append_events")
_LOAD_NEWEST: Final = statement("chaching.eventstore", "load_newest")
_READ_LOG: Final = statement("chaching.eventstore", "read_log")
_READ_STREAM: Final = statement("chaching.eventstore", "read_stream")
_FIND_ANSWER: Final = statement("chaching.eventstore", "find_answer")
_FORGET: Final = statement("chaching.eventstore", "forget_idempotency_keys")
_HEAD: Final = statement("chaching.eventstore", "head")
_LOG_ID: Final = statement("chaching.eventstore", "log_id")
_ADMIT: Final = statement("chaching.eventstore", "admit_master_key")
_MISSING: Final = statement("chaching.eventstore", "missing_master_keys")
_PLAIN: Final = statement("chaching.eventstore", "has_plain_events")


class Appended(msgspec.Struct, frozen=True):
    """Where an event now stands, on disk."""

    position: Position
    version: Version


class Kept(msgspec.Struct, frozen=True):
    """The answer to a command that changed nothing is on disk."""


class Loaded(msgspec.Struct, frozen=True):
    """A customer and the version it is at; ``None`` at version 0 when it never existed.

    ``data_key`` is what its values are encrypted with, None when nothing of it is.
    """

    state: Customer | None = None
    version: Version = NO_VERSION
    data_key: WrappedKey | None = None


class EventStore:
    """The log in one database. ``appended`` is called after every commit."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        *,
        appended: Callable[[], None] | None = None,
        append_deadline_s: float = APPEND_DEADLINE_S,
    ) -> None:
        self._database = database
        self.keyring = keyring
        self._is_admitted = False
        self._on_appended = appended
        self._append_deadline_s = append_deadline_s
        self._appends: Group[Encrypted, Appended | Kept] = Group(
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
        """Store one event; when this returns it is on disk, and the answer kept with it.

        Raises:
            AlreadyAnswered: the idempotency key has an answer; nothing is stored.
            Conflict: the stream is not at the expected version, or has a data key by now.
            PrefixTaken: the event's invoice prefix belongs to another customer.
            OutcomeUnknown: no answer within the deadline; the event may or may not be stored.
            Overloaded: too many appends wait; the event is not stored.
            WrongMasterKey: the event cannot be encrypted; it is not stored.
        """
        appended = await self._appends.submit(self.keyring.encrypt(pending))
        assert isinstance(appended, Appended)  # noqa: S101 - what an event is answered with
        return appended

    async def keep(self, pending: PendingAnswer) -> None:
        """Store the answer to a command that changed nothing; raises as ``append`` does."""
        await self._appends.submit(self.keyring.encrypt(pending))

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
        rows = await self._database.fetch(
            _READ_LOG, after, last, limit, READ_BATCH_MAX_BYTES, *_EVERYTHING
        )
        return [recorded_event(row, self.keyring) for row in rows]

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
        return [recorded_event(row, self.keyring) for row in rows]

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

    async def find_answer(self, key: StreamKey, idempotency_key: str) -> AlreadyAnswered | None:
        """Return what an idempotency key was answered with, if it was.

        Raises:
            Unavailable: no answer in time.
        """
        row = await self._database.fetch_row(
            _FIND_ANSWER, key.account, key.livemode, idempotency_key
        )
        return None if row is None else self._already_answered(row, key, idempotency_key)

    async def has_plain_events(self, key: StreamKey) -> bool:
        """Tell whether personal values of a customer were stored before they were encrypted.

        Raises:
            Unavailable: no answer in time.
        """
        [row] = await self._database.fetch(_PLAIN, key.account, key.livemode, key.id)
        found: bool = row["found"]
        return found

    async def check_master_key(self) -> None:
        """See that everything in this database can be opened.

        Raises:
            WrongMasterKey: a master key is missing.
            Unavailable: no answer in time.
        """
        for row in await self._database.fetch(_MISSING, self.keyring.ids):
            raise WrongMasterKey(row["key_id"].hex())

    async def admit_master_key(self) -> None:
        """Check as ``check_master_key`` does, and note what new data keys are wrapped with."""
        await self.check_master_key()
        if not self._is_admitted:
            [row] = await self._database.fetch(_ADMIT, self.keyring.ids)
            if not row["admitted"]:  # another one was noted at the same moment
                await self.check_master_key()
        self._is_admitted = True

    @property
    def is_admitted(self) -> bool:
        """Whether ``admit_master_key`` has gone well."""
        return self._is_admitted

    async def forget_idempotency_keys(self) -> int:
        """Delete a batch of the keys that are older than a day; return how many they were.

        Raises:
            Unavailable: no answer in time.
        """
        [row] = await self._database.fetch(_FORGET, FORGET_BATCH_MAX_KEYS)
        forgotten: int = row["forgotten"]
        return forgotten

    async def drain(self) -> None:
        """Return when no append is waiting or under way."""
        await self._appends.drain()

    async def _append_batch(self, batch: Sequence[Encrypted]) -> list[Appended | Kept | Exception]:
        try:
            rows = await self._append_until_answered([_command(one) for one in batch])
        except ValueRefused as refused:
            return [refused] if len(batch) == 1 else await self._append_each(batch)
        if self._on_appended is not None:
            self._on_appended()
        answers: list[Appended | Kept | Exception] = [Unavailable("no answer for an item")] * len(
            batch
        )
        for row in rows:
            item: int = row["item"] - 1
            try:
                answers[item] = self._append_answer(row, batch[item].pending)
            except (envelope.Undecodable, WrongMasterKey) as error:
                answers[item] = error
        return answers

    async def _append_each(self, batch: Sequence[Encrypted]) -> list[Appended | Kept | Exception]:
        """Append one by one, so that a value that is refused fails nobody else."""
        return [answer for one in batch for answer in await self._append_batch([one])]

    async def _append_until_answered(self, commands: list[tuple[object, ...]]) -> list[Row]:
        started_s = asyncio.get_running_loop().time()
        deadline_s = started_s + self._append_deadline_s
        last_try_ends_s = max(deadline_s, started_s + STATEMENT_TIMEOUT_S)
        while True:
            try:
                with translated():
                    async with asyncio.timeout_at(last_try_ends_s):
                        if not self._is_admitted:
                            await self.admit_master_key()
                        return await self._database.fetch(_APPEND, commands)
            except Unavailable as error:
                if asyncio.get_running_loop().time() + RETRY_PAUSE_S > deadline_s:
                    raise OutcomeUnknown(str(error)) from error
            await asyncio.sleep(RETRY_PAUSE_S)

    async def _load_batch(self, keys: Sequence[StreamKey]) -> list[Loaded | Exception]:
        rows = await self._database.fetch(_LOAD_NEWEST, *key_columns(keys))
        loaded: list[Loaded | Exception] = [Loaded()] * len(keys)
        for row in rows:
            item: int = row["item"] - 1
            loaded[item] = self._loaded(row, keys[item])
        return loaded

    def _loaded(self, row: Row, key: StreamKey) -> Loaded | Exception:
        _, version, event_type, schema_version, payload, state, data_key = row
        try:
            texts = self.keyring.opened(key, version, payload or "", state, data_key)
            customer = envelope.customer_after(event_type, schema_version, *texts)
        except (envelope.Undecodable, WrongMasterKey) as error:
            return error
        return Loaded(customer, Version(version), data_key)

    def _append_answer(self, row: Row, pending: Pending) -> Appended | Kept | Exception:
        match row["outcome"]:
            case "appended":
                return Appended(Position(row["position"]), Version(row["version"]))
            case "kept":
                return Kept()
            case "answered":
                assert pending.kept is not None  # noqa: S101 - it has a key
                return self._already_answered(row, pending.key, pending.kept.idempotency_key)
            case "prefix_taken":
                return PrefixTaken(row["holder"])
            case _:
                return Conflict(f"the stream is at version {row['version']}")

    def _already_answered(
        self, row: Row, asking: StreamKey, idempotency_key: str
    ) -> AlreadyAnswered:
        answered = StreamKey(asking.account, asking.livemode, CustomerId(row["answered_stream"]))
        answer = self.keyring.opened_answer(
            answered, idempotency_key, row["answer"], row["data_key"]
        )
        return AlreadyAnswered(RequestId(row["request_id"]), row["fingerprint"], answer)


def recorded_event(row: Row, keyring: Keyring) -> RecordedEvent:
    """Return a row of event_store.events, with its stream's data key beside it, opened.

    Raises:
        WrongMasterKey: the data key was wrapped with a master key that is not here.
    """
    key = StreamKey(AccountId(row["account"]), row["livemode"], CustomerId(row["stream"]))
    payload, state = keyring.opened(
        key, row["version"], row["payload"], row["state"], row["data_key"]
    )
    return RecordedEvent(
        position=Position(row["position"]),
        key=key,
        version=Version(row["version"]),
        previous_position=Position(row["previous_position"]),
        event_id=EventId(row["event_id"]),
        type=row["type"],
        schema_version=row["schema_version"],
        payload=payload,
        state=state,
        metadata=row["metadata"],
        recorded_at=row["recorded_at"],
        erased=row["data_key"] == DESTROYED,
    )


def _weight(encrypted: Encrypted) -> int:
    pending = encrypted.pending
    answer = 0 if pending.kept is None else len(pending.kept.answer)
    if isinstance(pending, PendingAnswer):
        return answer
    return len(pending.payload) + len(pending.state or "") + answer


def _append_keys(encrypted: Encrypted) -> Sequence[Hashable]:
    """Return what no two items of a batch may share: stream, invoice prefix, idempotency key."""
    pending = encrypted.pending
    key, kept = pending.key, pending.kept
    keys: list[Hashable] = [key]
    if isinstance(pending, PendingEvent) and pending.invoice_prefix is not None:
        keys.append((key.account, key.livemode, pending.invoice_prefix))
    if kept is not None:
        keys.append((key.account, key.livemode, "", kept.idempotency_key))
    return keys


def _command(encrypted: Encrypted) -> tuple[object, ...]:
    """Return an item as the type event_store.command has it."""
    pending = encrypted.pending
    key, kept = pending.key, pending.kept
    event: tuple[object, ...] = _NO_EVENT
    if isinstance(pending, PendingEvent):
        event = (
            pending.event_id,
            pending.type,
            pending.schema_version,
            pending.payload,
            pending.state,
            pending.metadata,
            pending.invoice_prefix,
        )
    answer: tuple[object, ...] = _NO_ANSWER
    if kept is not None:
        answer = (kept.idempotency_key, kept.fingerprint, kept.request_id, kept.answer.decode())
    return (
        key.account,
        key.livemode,
        key.id,
        pending.expected_version,
        *event,
        *answer,
        encrypted.new_data_key,
    )


_EVERYTHING: Final = (None,) * 3
_NO_EVENT: Final = (None,) * 7
_NO_ANSWER: Final = (None,) * 4


def key_columns(keys: Sequence[StreamKey]) -> tuple[list[str], list[bool], list[str]]:
    """Return keys as the arrays that statements take: accounts, modes, streams."""
    return [k.account for k in keys], [k.livemode for k in keys], [k.id for k in keys]
