"""PostgreSQL killed, gone and silent under load: nothing acknowledged is lost, all goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Generator
from contextlib import asynccontextmanager

import pytest
from tests.eventstore.items import item, key
from tests.support.keyrings import KEYRING
from tests.support.waiting import LIMIT_S, eventually

from chaching.envelope import START, PendingEvent
from chaching.eventstore.database import ACQUIRE_TIMEOUT_S, STATEMENT_TIMEOUT_S, Database
from chaching.eventstore.errors import Unavailable
from chaching.eventstore.grouping import BATCH_MAX_ITEMS
from chaching.eventstore.store import APPEND_DEADLINE_S, Appended, EventStore
from chaching.local.postgres import PrivatePostgres
from chaching.schema.migrations import migrate

WRITERS = 24
APPENDS_BEFORE = 300
APPENDS_AFTER = 300
SHORT_DEADLINE_S = 1.0
LOADS = 8 * BATCH_MAX_ITEMS
# a machine that is busy may be late; a read waits for a session and for its statement
LATE_S = 2.0
READ_LIMIT_S = ACQUIRE_TIMEOUT_S + STATEMENT_TIMEOUT_S


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[PrivatePostgres]:
    """A server of this module's own, to be killed."""
    server = PrivatePostgres(tmp_path_factory.mktemp("outage") / "postgresql")
    asyncio.run(server.start())
    asyncio.run(migrate(server.admin_url))
    yield server
    asyncio.run(server.stop())
    server.remove()


@asynccontextmanager
async def store_on(
    server: PrivatePostgres, append_deadline_s: float = APPEND_DEADLINE_S
) -> AsyncGenerator[EventStore]:
    database = Database(server.admin_url, name="tests", sessions_max=4)
    await database.open()
    try:
        yield EventStore(database, KEYRING, append_deadline_s=append_deadline_s)
    finally:
        await database.close()


class Writers:
    """Each appends to a stream of its own and remembers what was acknowledged."""

    def __init__(self, store: EventStore, name: str) -> None:
        self._store = store
        self._name = name
        self._stopping = False
        self.acknowledged: list[tuple[PendingEvent, Appended]] = []
        self.unavailable = 0

    async def write(self, writer: int) -> None:
        version = 0
        while not self._stopping:
            event = item(f"cus_{self._name}{writer}", version)
            self.acknowledged.append((event, await self._append(event)))
            version += 1

    async def _append(self, event: PendingEvent) -> Appended:
        """Append as a caller does who must know: repeat the same event until there is an answer."""
        while True:
            try:
                return await self._store.append(event)
            except Unavailable:
                self.unavailable += 1

    async def have(self, count: int) -> None:
        async def holds() -> bool:
            return len(self.acknowledged) >= count

        await eventually(holds, f"{count} appends are acknowledged")

    def stop(self) -> None:
        self._stopping = True


async def check_log(store: EventStore, writers: Writers) -> None:
    """The log is dense, has everything acknowledged where it was said, and has it once."""
    events = [*await store.read_all(START, 100_000)]
    assert [event.position for event in events] == list(range(1, len(events) + 1))
    assert len({event.event_id for event in events}) == len(events)
    for event, stored in writers.acknowledged:
        found = events[stored.position - 1]
        assert (found.key, found.version, found.event_id) == (
            event.key,
            stored.version,
            event.event_id,
        )
    own = {event.key for event, _ in writers.acknowledged}
    assert sum(event.key in own for event in events) == len(writers.acknowledged)


@pytest.mark.parametrize("append_deadline_s", [APPEND_DEADLINE_S, 0.0], ids=["waiting", "refusing"])
async def test_a_kill_under_load_loses_and_doubles_nothing(
    server: PrivatePostgres, append_deadline_s: float
) -> None:
    async with store_on(server, append_deadline_s) as store:
        writers = Writers(store, f"kill{append_deadline_s:.0f}_")
        async with asyncio.timeout(2 * LIMIT_S), asyncio.TaskGroup() as tasks:
            for writer in range(WRITERS):
                tasks.create_task(writers.write(writer))
            await writers.have(APPENDS_BEFORE)
            await server.kill()
            await server.start()
            await writers.have(len(writers.acknowledged) + APPENDS_AFTER)
            writers.stop()
        await check_log(store, writers)
        if append_deadline_s == 0:
            assert writers.unavailable > 0


async def test_while_it_stays_away_callers_are_told_within_the_deadline(
    server: PrivatePostgres,
) -> None:
    async with store_on(server) as store:
        await store.append(item("cus_away"))
        await server.kill()
        try:
            await all_unavailable(store, APPEND_DEADLINE_S)
        finally:
            await server.start()
        assert (await store.append(item("cus_away", 1))).version == 2


async def test_while_it_is_silent_callers_are_told_within_the_deadline(
    server: PrivatePostgres,
) -> None:
    async with store_on(server, SHORT_DEADLINE_S) as store:
        await store.append(item("cus_silent"))
        server.pause()
        try:
            await all_unavailable(store, SHORT_DEADLINE_S)
        finally:
            server.resume()

        async def answers() -> bool:
            try:
                return (await store.load(key("cus_nobody"))).version == 0
            except Unavailable:
                return False

        await eventually(answers, "the store answers again")
        events = await store.read_all(START, 100_000)
        assert [event.position for event in events] == list(range(1, len(events) + 1))


async def all_unavailable(store: EventStore, deadline_s: float) -> None:
    """Whatever is asked, together: the answer is Unavailable and comes in time."""
    calls: list[Awaitable[object]] = [
        store.append(item("cus_new")),
        store.append(item("cus_other", prefix="AWAY")),
        store.load(key("cus_away")),
        store.read_all(START),
        store.read_stream(key("cus_away")),
        store.head(),
        # more than leave in one go: those who wait are told as well
        *(store.load(key(f"cus_{number}")) for number in range(LOADS)),
    ]
    started_s = time.monotonic()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in answers), answers
    assert time.monotonic() - started_s < max(deadline_s, READ_LIMIT_S) + LATE_S


async def test_a_store_whose_database_was_never_there_is_unavailable() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/none", name="tests", sessions_max=1)
    await database.open()
    try:
        store = EventStore(database, KEYRING, append_deadline_s=0)
        with pytest.raises(Unavailable):
            await store.append(item("cus_1"))
        with pytest.raises(Unavailable):
            await store.load(key("cus_1"))
    finally:
        await database.close()
