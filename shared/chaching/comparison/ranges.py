"""The whole comparison: cuts the log into ranges of customers and compares them in parallel.

Ranges go to processes, since folding is what takes the time; each opens a session of its own for
each range, so what stops one range stops the comparison. What has no event in the log is looked for
in this process meanwhile (see ``strays``).
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from functools import partial
from typing import Final

import msgspec

from chaching.comparison.folding import Applied, Compared, Difference, Range, RangeComparison
from chaching.comparison.strays import strays
from chaching.domain.ids import CustomerId
from chaching.envelope import Position
from chaching.eventstore.database import KEYED_LOOKUPS, Database
from chaching.eventstore.encryption import Keyring
from chaching.eventstore.past import PastEvents
from chaching.eventstore.selection import LogUnreadable
from chaching.eventstore.statements import statement
from chaching.eventstore.store import EventStore

RANGE_EVENTS: Final = 20_000
NAMED_MAX_DIFFERENCES: Final = 1_000
STATEMENT_TIMEOUT_S: Final = 60.0
SESSIONS_MAX: Final = 2
FIRST_ID: Final = CustomerId("")
LAST_ID: Final = CustomerId("~")  # stands after every id

_MAY_COMPARE: Final = statement("chaching.comparison", "may_compare")
_APPLIED: Final = statement("chaching.comparison", "applied_up_to")


class Progress(msgspec.Struct, kw_only=True):
    """How far the comparison has come; of many differences only the first are kept."""

    position: Position
    events: int = 0
    customers: int = 0
    difference_count: int = 0
    differences: list[Difference] = msgspec.field(default_factory=list[Difference])
    elapsed_s: float = 0.0

    @property
    def events_per_s(self) -> int:
        """Return how many events a second were folded and compared."""
        return round(self.events / self.elapsed_s) if self.elapsed_s else 0

    def add(self, compared: Compared) -> None:
        self.events += compared.events
        self.customers += compared.customers
        self.difference_count += len(compared.differences)
        self.differences += compared.differences
        del self.differences[NAMED_MAX_DIFFERENCES:]


class _Ranges:
    """Cuts the log, from the first id to the last, into ranges of some thousand events."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._past = PastEvents(database, keyring)
        self._after: CustomerId | None = FIRST_ID
        self._turn = asyncio.Lock()

    async def following(self) -> Range | None:
        """Return the next range, None when there is none left; raises Unavailable."""
        async with self._turn:
            if self._after is None:
                return None
            after = self._after
            self._after = await self._past.stream_after(after, RANGE_EVENTS)
            return Range(after, self._after or LAST_ID)


async def compare_all(
    database_url: str,
    keyring: Keyring,
    *,
    workers: int,
    with_values: bool = False,
    told: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """Compare the read model with the log; ``told`` hears of every range that is done.

    With one worker everything happens in this process.

    Raises:
        LogUnreadable: this user may not read all of it, or it is not there.
        Unavailable: the database does not answer.
        WrongMasterKey: the database needs another one.
    """
    started_s = time.monotonic()
    async with _opened(database_url) as database:
        [row] = await database.fetch(_MAY_COMPARE)
        if not row["may"]:
            raise LogUnreadable(
                "this database user may not read the log and all of the read model: use the "
                "owner's URL or the projector's, on a database that is migrated"
            )
        await EventStore(database, keyring).check_master_key()
        [row] = await database.fetch(_APPLIED)
        applied = Applied(Position(row["rows"]), Position(row["entries"]))
        progress = Progress(position=applied.rows)

        def tell(compared: Compared) -> None:
            progress.add(compared)
            progress.elapsed_s = time.monotonic() - started_s
            told(progress)

        compare = partial(compare_range, database_url, keyring, applied, with_values=with_values)
        with _executor(workers) as executor:
            ranges = _Ranges(database, keyring)
            await _all(
                _tell_strays(database, tell),
                *(_work(ranges, compare, executor, tell) for _ in range(workers)),
            )
    return progress


async def compare_range(
    database_url: str,
    keyring: Keyring,
    applied: Applied,
    wanted: Range,
    *,
    with_values: bool,
) -> Compared:
    """Compare one range through sessions of its own; raises Unavailable."""
    async with _opened(database_url) as database:
        comparison = RangeComparison(database, keyring, applied, with_values=with_values)
        return await comparison.compare(wanted)


async def _work(
    ranges: _Ranges,
    compare: Callable[[Range], Coroutine[None, None, Compared]],
    executor: Executor | None,
    tell: Callable[[Compared], None],
) -> None:
    while (wanted := await ranges.following()) is not None:
        if executor is None:
            tell(await compare(wanted))
        else:
            loop = asyncio.get_running_loop()
            tell(await loop.run_in_executor(executor, _run, compare, wanted))


def _run(compare: Callable[[Range], Coroutine[None, None, Compared]], wanted: Range) -> Compared:
    """Compare a range in a process that has no loop."""
    return asyncio.run(compare(wanted))


def _executor(workers: int) -> AbstractContextManager[Executor | None]:
    if workers == 1:
        return nullcontext()
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


async def _all(*work: Coroutine[None, None, None]) -> None:
    """Do all of it; what fails ends the rest and is raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _tell_strays(database: Database, tell: Callable[[Compared], None]) -> None:
    async for found in strays(database):
        tell(Compared(events=0, customers=0, differences=found))


@asynccontextmanager
async def _opened(database_url: str) -> AsyncGenerator[Database]:
    database = Database(
        database_url,
        name="comparison",
        sessions_max=SESSIONS_MAX,
        statement_timeout_s=STATEMENT_TIMEOUT_S,
        settings=KEYED_LOOKUPS,
    )
    await database.open()
    try:
        yield database
    finally:
        await database.close()
