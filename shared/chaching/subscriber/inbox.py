"""The inbox: where a subscriber stands, in the transaction of the work that it stands for.

Theory of operation. In the subscriber's own database one row a subscriber holds the position up to
which everything is done. A step is one transaction: first it moves the position, from where it must
stand and in the name of the epoch of whoever may move it, which locks the row; then the handler
works on the same connection; then both are committed, or neither. So a crash at any instant, a
commit whose answer is lost, and messages that come again change nothing twice and leave nothing
out: exactly once in effect. What the handler does outside of this connection is not covered.

One process at a time holds the right to move, by a lease in the same row (as the service's own
``chaching.eventstore.lease``): whoever holds it renews it every fifth of ``silence_max_s``; after
that silence another may take it, under a new epoch. A step of an epoch that is over finds no row to
move, before any work, and raises Fenced. The server ends a transaction of a process that is paused
inside it, after ``transaction_max_s``.

What a handler raises is judged when the transaction is over: a server that is away, or a lost race,
is ``Unavailable`` and not held against the event; anything else is ``HandlerFailed``. A statement
that failed and whose error the handler swallowed would make PostgreSQL roll back at the commit
without a word, so the transaction is asked whether it is sound before it is committed.

Before an event that is suspected of ending the process is tried, its try is counted in the row, in
a transaction of its own, so that the count outlives the process. A try that turns out to have
waited for a server is taken back, so that only those count that ended the process or failed.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib.resources import files
from typing import Final, TypeAlias

import msgspec

from chaching.domain.ids import AccountId, CustomerId
from chaching.envelope import LogId, Position, StreamKey
from chaching.eventstore.database import Database, DriverConnection, Row, Session
from chaching.eventstore.errors import Fenced, Unavailable, is_outage
from chaching.eventstore.statements import statement
from chaching.runtime.logs import logger
from chaching.subscriber.bookmark import Bookmark
from chaching.subscriber.errors import InboxRefused, Stopped, TransactionEnded, TryLater
from chaching.subscriber.urls import database_url as checked_url

TRANSACTION_MAX_S: Final = 30.0
SILENCE_MAX_S: Final = 5.0
RENEWALS_PER_LEASE: Final = 5
ASK_EVERY_S: Final = 0.5
SESSIONS_MAX: Final = 2
CREATION_LOCK: Final = 0x696E626F  # "inbo"
REFUSED_SQLSTATE: Final = "42501"
PACKAGE: Final = "chaching.subscriber"

_EXISTS: Final = statement(PACKAGE, "inbox_exists")
_ENROL: Final = statement(PACKAGE, "enrol")
_HOLD: Final = statement(PACKAGE, "hold")
_RENEW: Final = statement(PACKAGE, "renew")
_LET_GO: Final = statement(PACKAGE, "let_go")
_MOVE: Final = statement(PACKAGE, "move")
_STAND: Final = statement(PACKAGE, "stand")
_COUNT_TRY: Final = statement(PACKAGE, "count_try")
_TAKE_BACK_TRY: Final = statement(PACKAGE, "take_back_try")
_PARK: Final = statement(PACKAGE, "park")
_UNPARK: Final = statement(PACKAGE, "unpark")
_PARKED: Final = statement(PACKAGE, "parked")
# refused by a transaction in which a statement failed
_SOUND: Final = "SELECT"

Work: TypeAlias = Callable[[DriverConnection], Awaitable[None]]


class HandlerFailed(Exception):  # noqa: N818 - says what happened
    """The handler raised, or what it wrote cannot be committed; nothing of the step is done."""

    def __init__(self, error: Exception) -> None:
        super().__init__(type(error).__name__)
        self.error = error


class HandlerCancelled(Exception):  # noqa: N818 - says what happened
    """The handler let a cancellation through that nobody had asked this process for."""


class Postponed(Unavailable):
    """The handler waits for a server, or lost a race; nothing of the step is done."""


class ParkedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that stands in the parked queue, and why, without anything personal."""

    position: Position
    key: StreamKey
    reason: str


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """From which position to which bookmark, and what is parked on the way or parked no more."""

    start: Position
    end: Bookmark
    park: Sequence[ParkedEvent] = ()
    unpark: Position | None = None


class Parked:
    """Which events are parked; the same as in the database while the lease is held."""

    def __init__(self) -> None:
        self._keys: dict[Position, StreamKey] = {}
        self._positions: dict[StreamKey, set[Position]] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, position: Position) -> bool:
        return position in self._keys

    def key_of(self, position: Position) -> StreamKey | None:
        """Return whose event is parked at a position, if one is."""
        return self._keys.get(position)

    def first_of(self, key: StreamKey) -> Position | None:
        """Return the first parked position of a customer, if any is parked."""
        return min(self._positions.get(key, ()), default=None)

    def add(self, position: Position, key: StreamKey) -> None:
        self._keys[position] = key
        self._positions.setdefault(key, set()).add(position)

    def remove(self, position: Position) -> None:
        key = self._keys.pop(position)
        self._positions[key].discard(position)
        if not self._positions[key]:
            del self._positions[key]


class Held:
    """The right to move one subscriber's position; use it from one task at a time."""

    def __init__(self, database: Database, name: str, row: Row, transaction_max_s: float) -> None:
        self._database = database
        self._name = name
        self._epoch: int = row["epoch"]
        self._transaction_max_s = transaction_max_s
        self.was_let_go: bool = row["was_let_go"]
        self.bookmark = Bookmark(
            log_id=None if row["log_id"] is None else LogId(row["log_id"]),
            position=Position(row["position"]),
            time=row["event_time"],
        )
        self.parked = Parked()

    async def open(self) -> None:
        """Read what is parked; raises Unavailable."""
        for row in await self._database.fetch(_PARKED, self._name):
            key = StreamKey(
                AccountId(row["account"]), row["livemode"], CustomerId(row["customer_id"])
            )
            self.parked.add(Position(row["position"]), key)

    async def commit(self, step: Step, work: Work) -> None:
        """Do a step as a whole or not at all.

        Raises:
            HandlerFailed: the work failed; nothing is done.
            Postponed: the work waits for a server; nothing is done.
            Unavailable: the database is away; whether the step is done says ``is_done``.
            Fenced: another holds the right now; nothing is done.
            TransactionEnded: the handler ended the transaction.
        """
        try:
            async with self._database.lent() as (session, connection):
                await self._move(session, step)
                await self._try(connection, work)
                await session.execute(_SOUND)
        except (HandlerFailed, Unavailable, Fenced, Stopped):
            raise
        except Exception as error:
            if is_outage(error):
                raise Postponed(f"the work lost a race: {type(error).__name__}") from error
            raise HandlerFailed(error) from error
        self._is_at(step)

    async def is_done(self, step: Step) -> bool:
        """Say, after Unavailable, whether a step was committed.

        Raises:
            Unavailable: no answer in time.
            Fenced: another holds the right now, or the step does not move the position.
        """
        row = await self._database.fetch_row(_STAND, self._name)
        position = None if row is None or row["epoch"] != self._epoch else row["position"]
        if step.start == step.end.position or position not in {step.start, step.end.position}:
            raise self._fenced()
        if position == step.start:
            return False
        self._is_at(step)
        return True

    async def count_try(self, position: Position) -> int:
        """Count a try of the event at a position before it is made; return which one it is.

        Raises:
            Unavailable: no answer in time.
            Fenced: another holds the right now.
        """
        row = await self._database.fetch_row(_COUNT_TRY, self._name, self._epoch, position)
        if row is None:
            raise self._fenced()
        tries: int = row["tries"]
        return tries

    async def take_back_try(self, position: Position) -> None:
        """Count the last try of the event at a position no more; raises Unavailable.

        Harmless when the epoch is over.
        """
        await self._database.execute(_TAKE_BACK_TRY, self._name, self._epoch, position)

    async def renew(self) -> None:
        """Say that the holder is alive; raises Fenced when the epoch is over, or Unavailable."""
        if not await self._database.execute(_RENEW, self._name, self._epoch):
            raise self._fenced()

    async def let_go(self) -> None:
        """Leave the position to whoever asks next; harmless when the epoch is over."""
        with suppress(Unavailable):
            await self._database.execute(_LET_GO, self._name, self._epoch)

    def _is_at(self, step: Step) -> None:
        self.bookmark = step.end
        for event in step.park:
            self.parked.add(event.position, event.key)
        if step.unpark is not None:
            self.parked.remove(step.unpark)

    async def _move(self, session: Session, step: Step) -> None:
        end = step.end
        moved = await session.execute(
            _MOVE, self._name, self._epoch, step.start, end.log_id, end.position, end.time
        )
        if not moved:
            raise self._fenced()
        if step.park:
            await session.execute(_PARK, self._name, *_columns(step.park))
        if step.unpark is not None:
            await session.execute(_UNPARK, self._name, step.unpark)

    async def _try(self, connection: DriverConnection, work: Work) -> None:
        try:
            async with asyncio.timeout(self._transaction_max_s):
                await work(connection)
        except Stopped:
            raise
        except asyncio.CancelledError:
            if _is_asked_to_stop():
                raise
            raise HandlerFailed(HandlerCancelled()) from None
        except Exception as error:
            if isinstance(error, TryLater) or is_outage(error) or connection.is_closed():
                raise Postponed(f"the handler waits: {type(error).__name__}") from error
            raise HandlerFailed(error) from error
        if not connection.is_in_transaction():
            raise TransactionEnded(
                f"the handler of {self._name} ended the transaction that it works in: it must "
                "leave COMMIT and ROLLBACK to the library (savepoints are fine)"
            )

    def _fenced(self) -> Fenced:
        return Fenced(f"the position of {self._name} was taken over, or is in doubt")


class Inbox:
    """The inbox in a PostgreSQL of the subscriber's, made for ``Subscription.run``.

    ``transaction_max_s`` seconds are what one step may take, all calls of the handler in it
    together; ``silence_max_s`` seconds after its last sign of life another process may take over.
    Several subscriptions may share one: each run opens sessions of its own.

    Raises:
        ValueError: the URL cannot be that of a PostgreSQL.
    """

    def __init__(
        self,
        database_url: str,
        *,
        transaction_max_s: float = TRANSACTION_MAX_S,
        silence_max_s: float = SILENCE_MAX_S,
    ) -> None:
        self._database_url = checked_url(database_url)
        self._transaction_max_s = transaction_max_s
        self._silence_max_s = silence_max_s

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[OpenInbox]:
        """Open the database, without waiting for it, and close it at the end."""
        limit_s = self._transaction_max_s
        database = Database(
            self._database_url,
            name="subscriber",
            sessions_max=SESSIONS_MAX,
            statement_timeout_s=limit_s,
            settings={"idle_in_transaction_session_timeout": f"{limit_s * 1000:.0f}"},
        )
        await database.open()
        try:
            yield OpenInbox(database, limit_s, self._silence_max_s)
        finally:
            await database.close()


class OpenInbox:
    """The inbox while one run has it open."""

    def __init__(self, database: Database, transaction_max_s: float, silence_max_s: float) -> None:
        self._database = database
        self._transaction_max_s = transaction_max_s
        self._silence_max_s = silence_max_s

    async def create(self) -> None:
        """Make the inbox in the database unless it is there.

        Raises:
            InboxRefused: this role may not make it.
            Unavailable: no answer in time.
        """
        [row] = await self._database.fetch(_EXISTS)
        if row["is_there"]:
            return
        with _allowed():
            async with self._database.transaction() as session:
                await session.execute("SELECT pg_advisory_xact_lock($1)", CREATION_LOCK)
                await session.execute(schema())

    @asynccontextmanager
    async def holding(self, name: str) -> AsyncGenerator[Held]:
        """Wait until a subscriber's position is in hand, keep it while the block runs, let go.

        Raises:
            Fenced: another took over while the block ran (wrapped in an ExceptionGroup).
            InboxRefused: this role may not use the inbox.
            Unavailable: the database is away.
        """
        with _allowed():
            held = await self._acquired(name)
        try:
            await held.open()
            async with asyncio.TaskGroup() as tasks:
                renewal = tasks.create_task(self._keep_renewing(held))
                yield held
                renewal.cancel()
        finally:
            await held.let_go()

    async def _acquired(self, name: str) -> Held:
        holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        await self._database.execute(_ENROL, name)
        stands_by = False
        while True:
            row = await self._database.fetch_row(_HOLD, name, holder, self._silence_max_s)
            if row is not None:
                return Held(self._database, name, row, self._transaction_max_s)
            if not stands_by:
                stands_by = True
                logger().info("subscriber_stood_by", queue=name)
            await asyncio.sleep(min(ASK_EVERY_S, self._silence_max_s))

    async def _keep_renewing(self, held: Held) -> None:
        while True:
            await asyncio.sleep(self._silence_max_s / RENEWALS_PER_LEASE)
            with suppress(Unavailable):
                await held.renew()


@contextmanager
def _allowed() -> Generator[None]:
    try:
        yield
    except Exception as error:
        if getattr(error, "sqlstate", None) == REFUSED_SQLSTATE:
            raise InboxRefused(
                "this role may not make or use the schema chaching_inbox: let the database's owner "
                "make it and grant the role its tables, see docs/subscribing.md"
            ) from error
        raise


def _is_asked_to_stop() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def schema() -> str:
    """Return the SQL that makes the inbox."""
    return (files(PACKAGE) / "schema" / "inbox.sql").read_text()


def _columns(events: Sequence[ParkedEvent]) -> tuple[list[object], ...]:
    return (
        [event.position for event in events],
        [event.key.account for event in events],
        [event.key.livemode for event in events],
        [event.key.id for event in events],
        [event.reason for event in events],
    )
