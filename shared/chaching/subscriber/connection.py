"""What a handler's connection can do, with types; it is asyncpg's own, which can do more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from chaching.eventstore.database import Row


class Connection(Protocol):
    """A connection of asyncpg in the transaction of a step."""

    async def execute(self, query: str, *args: Any) -> str:
        """Run a statement; return its tag, such as ``INSERT 0 1``."""
        ...

    async def executemany(self, command: str, args: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each tuple of arguments."""
        ...

    async def fetch(self, query: str, *args: Any) -> list[Row]:
        """Return all rows."""
        ...

    async def fetchrow(self, query: str, *args: Any) -> Row | None:
        """Return the first row, if there is one."""
        ...

    async def fetchval(self, query: str, *args: Any) -> Any:
        """Return the first value of the first row, or None."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        """Return a savepoint, so that a statement may fail and the step go on."""
        ...
