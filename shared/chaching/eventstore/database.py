"""PostgreSQL as this project uses it: the only module that speaks to asyncpg.

Every wait has a limit: connecting, borrowing a session, each statement. A session whose statement
ran out of time is thrown away, not returned, since the cancel request of the protocol has no
limit of its own. Sessions get their settings when they are opened and keep no locks, so borrowing
one costs nothing. Everything that a lost, stopped, full or silent PostgreSQL raises arrives as
Unavailable.
"""

# asyncpg's classes carry no types; they end in this module.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeArgument=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Protocol, TypeAlias, cast

import asyncpg

from chaching.eventstore.errors import translated

CONNECT_TIMEOUT_S: Final = 3
ACQUIRE_TIMEOUT_S: Final = 3.0
STATEMENT_TIMEOUT_S: Final = 3.0
CLOSE_TIMEOUT_S: Final = 3.0

DriverConnection: TypeAlias = asyncpg.Connection

NO_SETTINGS: Final[Mapping[str, str]] = {}
# For sessions that only look rows up by key: one plan whatever the statistics say, since a plan
# that was cached over empty tables must serve full ones.
KEYED_LOOKUPS: Final[Mapping[str, str]] = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
}


class Row(Protocol):
    """A row of a result: values by column name or place, or all in order."""

    def __getitem__(self, key: str | int, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...


class Session:
    """One connection, for statements that belong together."""

    def __init__(self, connection: asyncpg.pool.PoolConnectionProxy, timeout_s: float) -> None:
        self._connection = connection
        self._timeout_s = timeout_s

    @property
    def connection(self) -> DriverConnection:
        """The driver's connection, for code that is not ours."""
        return cast("DriverConnection", self._connection)

    async def fetch(self, sql: str, *arguments: object) -> list[Row]:
        """Return all rows; raises Unavailable when there is no answer in time."""
        with translated():
            return await self._connection.fetch(sql, *arguments, timeout=self._timeout_s)

    async def execute(self, sql: str, *arguments: object) -> int:
        """Return how many rows the statement touched; raises Unavailable as ``fetch`` does."""
        with translated():
            status: str = await self._connection.execute(sql, *arguments, timeout=self._timeout_s)
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def copy_out(self, sql: str, *arguments: object, take: Callable[[bytes], None]) -> None:
        """Hand a query's rows over in PostgreSQL's binary form, as they come, in bounded memory.

        Raises Unavailable as ``fetch`` does.
        """

        async def taken(copied: bytes) -> None:
            take(copied)

        with translated():
            await self._connection.copy_from_query(
                sql, *arguments, output=taken, format="binary", timeout=self._timeout_s
            )


class Database:
    """A pool of sessions on one database. Opening it does not wait for the server."""

    def __init__(
        self,
        database_url: str,
        *,
        name: str,
        sessions_max: int,
        statement_timeout_s: float = STATEMENT_TIMEOUT_S,
        settings: Mapping[str, str] = NO_SETTINGS,
    ) -> None:
        self._url = database_url
        self._settings = {
            "application_name": f"chaching {name}",
            "jit": "off",
            "statement_timeout": f"{statement_timeout_s * 1000:.0f}",
            **settings,
        }
        self._statement_timeout_s = statement_timeout_s
        self._sessions_max = sessions_max
        self._pool: asyncpg.Pool | None = None

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._sessions_max,
            max_inactive_connection_lifetime=0,
            reset=_keep_session,
            timeout=CONNECT_TIMEOUT_S,
            server_settings=self._settings,
        )

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), CLOSE_TIMEOUT_S)
        except TimeoutError:
            pool.terminate()

    async def fetch(self, sql: str, *arguments: object) -> list[Row]:
        """Return all rows of one statement.

        Raises:
            Unavailable: no session or no answer in time, or the server is away.
        """
        async with self.session() as session:
            return await session.fetch(sql, *arguments)

    async def fetch_row(self, sql: str, *arguments: object) -> Row | None:
        """Return the first row or None; raises Unavailable as ``fetch`` does."""
        rows = await self.fetch(sql, *arguments)
        return rows[0] if rows else None

    async def execute(self, sql: str, *arguments: object) -> int:
        """Return how many rows one statement touched; raises Unavailable as ``fetch`` does."""
        async with self.session() as session:
            return await session.execute(sql, *arguments)

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[Session]:
        """Borrow a session; raises Unavailable when none is to be had in time."""
        assert self._pool is not None, "the database is not open"  # noqa: S101 - a bug, not a state
        with translated():
            connection = await self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S)
        try:
            yield Session(connection, self._statement_timeout_s)
        except BaseException:
            with suppress(asyncpg.InterfaceError):  # the connection is gone already
                connection.terminate()
            raise
        finally:
            await self._pool.release(connection, timeout=CLOSE_TIMEOUT_S)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Session]:
        """Borrow a session inside a transaction: committed at the end, rolled back on errors."""
        async with self.session() as session:
            await session.execute("BEGIN")
            yield session
            await session.execute("COMMIT")

    @asynccontextmanager
    async def lent(self) -> AsyncGenerator[tuple[Session, DriverConnection]]:
        """Borrow a session in a transaction and lend the driver's connection below it to others.

        What the block raises passes as it is, and nothing is committed; Unavailable before it and
        at the commit, which may also raise what a deferred constraint says.
        """
        async with self.session() as session:
            transaction = session.connection.transaction()
            with translated():
                async with asyncio.timeout(self._statement_timeout_s):
                    await transaction.start()
            yield session, session.connection
            with translated():
                async with asyncio.timeout(self._statement_timeout_s):
                    await transaction.commit()

    @asynccontextmanager
    async def listening(self, channel: str, rung: Callable[[], None]) -> AsyncGenerator[None]:
        """Call ``rung`` at every notification on a channel and once when the connection is lost.

        Uses a connection of its own. Raises Unavailable when there is none to be had.
        """
        with translated():
            connection = await asyncpg.connect(
                self._url, timeout=CONNECT_TIMEOUT_S, server_settings=self._settings
            )
        try:
            connection.add_termination_listener(_ignoring_arguments(rung))
            with translated():
                await connection.add_listener(channel, _ignoring_arguments(rung))
            yield
        finally:
            connection.terminate()


def _ignoring_arguments(call: Callable[[], None]) -> Callable[..., None]:
    return lambda *_arguments: call()


async def _keep_session(_connection: object) -> None:
    return


def values(row: Row) -> tuple[Any, ...]:
    """Return all values of a row, in order."""
    return tuple(cast("Iterator[Any]", row))
