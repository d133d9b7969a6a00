"""Events are shown as they come: each once, in order, whatever happens to the database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.customers import append, append_customers, created
from tests.support.keyrings import KEYRING
from tests.support.running import running
from tests.support.waiting import eventually
from tests.support.withholding import wire_to

from chaching.envelope import START, Position, RecordedEvent
from chaching.eventstore.database import Database
from chaching.eventstore.doorbell import CHANNEL
from chaching.eventstore.errors import Unavailable
from chaching.eventstore.selection import EVERYTHING, SELECTED_BATCH_MAX_EVENTS, Selection
from chaching.eventstore.statements import statement
from chaching.eventstore.store import EventStore
from chaching.following import tail as tail_module
from chaching.following.tail import Tail
from chaching.local.postgres import PrivatePostgres
from chaching.schema.migrations import migrate

NOBODY = "postgresql://nobody@127.0.0.1:1/nothing"


class Screen:
    """What was shown and noted."""

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.notes: list[str] = []
        self.largest = 0
        self.is_watched = True

    def show(self, events: Sequence[RecordedEvent]) -> None:
        self.largest = max(self.largest, len(events))
        self.positions += [event.position for event in events]

    async def shows(self, count: int) -> None:
        async def are_there() -> bool:
            return len(self.positions) >= count

        await eventually(are_there, f"{count} events are shown")


def tail_of(
    database: Database,
    screen: Screen,
    *,
    after: Position = START,
    selection: Selection = EVERYTHING,
    limit: int | None = None,
) -> Tail:
    return Tail(
        database,
        KEYRING,
        selection,
        after,
        show=screen.show,
        note=screen.notes.append,
        is_wanted=lambda: screen.is_watched,
        limit=limit,
    )


async def test_what_is_there_and_what_comes_is_shown_once_in_order(
    database: Database, store: EventStore
) -> None:
    screen = Screen()
    early = await append_customers(store, customers=200, updates=3)
    assert early > SELECTED_BATCH_MAX_EVENTS
    async with running(tail_of(database, screen, after=Position(10)).follow()):
        head = await append_customers(store, customers=50, updates=2, first=1_000)
        await screen.shows(head - 10)
    assert screen.positions == list(range(11, head + 1))
    assert screen.largest <= SELECTED_BATCH_MAX_EVENTS
    assert screen.notes == []


async def test_a_ring_of_the_doorbell_wakes_it(
    database: Database, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_module, "POLL_S", 600.0)
    screen = Screen()
    await append(store, created("cus_1"))
    async with running(tail_of(database, screen).follow()):
        await screen.shows(1)
        await append(store, created("cus_2"))

        async def rings_until_shown() -> bool:
            await database.execute(statement("chaching.eventstore", "ring_doorbell"), CHANNEL)
            return screen.positions == [1, 2]

        await eventually(rings_until_shown, "a ring wakes it")


async def test_a_missed_ring_costs_a_poll(database: Database, store: EventStore) -> None:
    screen = Screen()
    async with running(tail_of(database, screen).follow()):
        for number in range(1, 3):
            await append(store, created(f"cus_{number}"))
            await screen.shows(number)


async def test_a_doorbell_that_is_silent_while_events_come_is_listened_to_anew(
    database: Database, store: EventStore
) -> None:
    screen = Screen()
    async with running(tail_of(database, screen).follow()):
        seen: set[int] = set()

        async def have_listened(count: int) -> bool:
            seen.update(await listeners(database))
            return len(seen) >= count

        await eventually(lambda: have_listened(1), "there is a listener")
        await append(store, created("cus_1"))
        await eventually(lambda: have_listened(2), "there is another listener")
        await screen.shows(1)
    assert screen.positions == [1]


async def listeners(database: Database) -> list[int]:
    """Return the processes of the server that listen for this database's followers."""
    rows = await database.fetch(
        "SELECT pid FROM pg_stat_activity "
        "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
    )
    return [row["pid"] for row in rows]


async def test_it_ends_at_its_limit_and_when_nobody_reads(
    database: Database, store: EventStore
) -> None:
    head = await append_customers(store, customers=20, updates=1)
    limited = Screen()
    await tail_of(database, limited, limit=7).follow()
    assert limited.positions == [1, 2, 3, 4, 5, 6, 7]
    unread = Screen()
    work = asyncio.create_task(tail_of(database, unread).follow())
    await unread.shows(head)
    unread.is_watched = False
    async with asyncio.timeout(10 * tail_module.POLL_S):
        await work


async def test_only_what_is_selected_counts(database: Database, store: EventStore) -> None:
    await append_customers(store, customers=20, updates=1)
    screen = Screen()
    deletions = Selection(types=("CustomerDeleted",))
    await tail_of(database, screen, selection=deletions, limit=2).follow()
    assert len(screen.positions) == 2


async def test_a_database_that_is_away_from_the_beginning_is_an_error() -> None:
    database = Database(NOBODY, name="tests", sessions_max=1)
    await database.open()
    with pytest.raises(Unavailable):
        await tail_of(database, Screen()).follow()
    await database.close()


async def test_a_lost_connection_is_told_once_and_costs_no_event(
    store: EventStore, database_url: str
) -> None:
    screen = Screen()
    await append_customers(store, customers=10, updates=0)
    async with wire_to(database_url) as (wire, url):
        database = Database(url, name="tests", sessions_max=2)
        await database.open()
        async with running(tail_of(database, screen).follow()):
            await screen.shows(10)
            wire.cut()
            head = await append_customers(store, customers=10, updates=0, first=10)

            async def is_noted() -> bool:
                return len(screen.notes) > 0

            await eventually(is_noted, "the loss is noted")
            wire.mend()
            await screen.shows(head)
        await database.close()
    assert screen.positions == list(range(1, head + 1))
    away, back = screen.notes
    assert away.startswith("waiting for the database: ")
    assert back == "the database is back"


async def test_a_killed_database_costs_no_event(tmp_path: Path) -> None:
    server = PrivatePostgres(tmp_path / "postgresql")
    screen = Screen()
    try:
        await server.start()
        await migrate(server.admin_url)
        database = Database(server.admin_url, name="tests", sessions_max=4)
        await database.open()
        store = EventStore(database, KEYRING)
        async with running(tail_of(database, screen).follow()):
            await append_customers(store, customers=10, updates=0)
            await screen.shows(5)
            await server.kill()
            await server.start()
            head = await append_customers(store, customers=10, updates=0, first=10)
            await screen.shows(head)
        await database.close()
        assert screen.positions == list(range(1, head + 1))
    finally:
        await server.stop()
        server.remove()
