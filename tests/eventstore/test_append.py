from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncGenerator, Iterator

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.eventstore.items import (
    Outcome,
    append_batch,
    appended,
    conflict,
    item,
    key,
    taken,
)
from tests.support.keyrings import KEYRING

from chaching.envelope import START, PendingEvent, Position, RecordedEvent, StreamKey, Version
from chaching.eventstore import store as store_module
from chaching.eventstore.database import Database
from chaching.eventstore.errors import Conflict, PrefixTaken, ValueRefused
from chaching.eventstore.store import Appended, EventStore

HOT_STREAMS = 12
WRITERS = 16
APPENDS_EACH = 80
LIMIT_S = 60.0


# --- Positions and versions ---------------------------------------------------------------------


async def test_positions_and_versions_count_from_one(store: EventStore) -> None:
    assert await store.head() == START
    assert await store.append(item("cus_1")) == Appended(Position(1), Version(1))
    await store.append(item("cus_2"))
    await store.append(item("cus_1", 1))
    await store.append(item("cus_1", 2))
    events = await store.read_all(START)
    assert [(e.position, e.key.id, e.version, e.previous_position) for e in events] == [
        (1, "cus_1", 1, 0),
        (2, "cus_2", 1, 0),
        (3, "cus_1", 2, 1),
        (4, "cus_1", 3, 3),
    ]
    assert await store.head() == 4


async def test_what_is_read_is_what_was_appended_to_the_byte(store: EventStore) -> None:
    payload = '{"b" : 1,\t"a":"\\u00e9 é \\ud83c\\udf89", "a":2}'
    given_item = item("cus_1", payload=payload, prefix="ACME", livemode=True)
    await store.append(given_item)
    [event] = await store.read_stream(key("cus_1", livemode=True))
    assert event.payload == payload
    assert event.metadata == given_item.metadata
    assert event.event_id == given_item.event_id
    assert event.state is None
    assert event.recorded_at.tzinfo is not None


async def test_the_log_is_read_in_ranges(store: EventStore) -> None:
    await asyncio.gather(*(store.append(item(f"cus_{n}")) for n in range(10)))

    async def positions(after: int, limit: int, up_to: int | None = None) -> list[int]:
        last = None if up_to is None else Position(up_to)
        return [e.position for e in await store.read_all(Position(after), limit, up_to=last)]

    assert await positions(0, 4) == [1, 2, 3, 4]
    assert await positions(4, 100) == [5, 6, 7, 8, 9, 10]
    assert await positions(4, 100, 6) == [5, 6]
    assert await positions(4, 1, 6) == [5]
    assert await positions(10, 100) == []


# --- One item never fails its neighbours --------------------------------------------------------


async def a_batch_answers_each_item_on_its_own(database: Database, store: EventStore) -> None:
    first = [item("cus_1", prefix="ACME"), item("cus_2")]
    assert await append_batch(database, *first) == [appended(1, 1), appended(2, 1)]
    outcomes = await append_batch(
        database,
        item("cus_1"),  # behind
        item("cus_3"),  # good
        item("cus_2", 7),  # ahead
        item("cus_4", prefix="ACME"),  # taken
        item("cus_2b", 1),  # nothing there yet
        item("cus_1b", prefix="OTHER"),  # good
        first[0],  # a retry
    )
    assert outcomes == [
        conflict(1),
        appended(3, 1),
        conflict(1),
        taken(0, "cus_1"),
        conflict(0),
        appended(4, 1),
        appended(1, 1, "cus_1"),
    ]
    assert [e.key.id for e in await store.read_all(START)] == ["cus_1", "cus_2", "cus_3", "cus_1b"]


async def test_a_batch_answers_each_item_on_its_own(database: Database, store: EventStore) -> None:
    await a_batch_answers_each_item_on_its_own(database, store)


@pytest.mark.parametrize(
    ("sound", "sabotaged"),
    [
        ("count(*) FILTER (WHERE verdict.is_good AND i.type IS NOT NULL)", "count(*)"),
        ("AND i.current_version = i.expected_version", ""),
        ("j.expected_version + 1,", "j.expected_version + 2,"),
    ],
    ids=["a refused item takes a position", "versions are not compared", "one is left out"],
)
async def test_a_function_that_judges_otherwise_is_found_out(
    database: Database, store: EventStore, sound: str, sabotaged: str
) -> None:
    [row] = await database.fetch(
        "SELECT pg_get_functiondef('event_store.append_events'::regproc) AS source"
    )
    source: str = row["source"]
    assert source.count(sound) == 1
    await database.execute(source.replace(sound, sabotaged))
    with pytest.raises((AssertionError, asyncpg.PostgresError)):
        await a_batch_answers_each_item_on_its_own(database, store)


async def test_callers_in_one_group_are_answered_each_on_its_own(store: EventStore) -> None:
    await store.append(item("cus_1", prefix="ACME"))
    answers = await asyncio.gather(
        store.append(item("cus_2")),
        store.append(item("cus_1", 9)),
        store.append(item("cus_3", prefix="ACME")),
        store.append(item("cus_4")),
        return_exceptions=True,
    )
    good_first, behind, refused, good_last = answers
    assert isinstance(good_first, Appended)
    assert isinstance(good_last, Appended)
    assert isinstance(behind, Conflict)
    assert isinstance(refused, PrefixTaken)
    assert refused.holder == "cus_1"
    assert sorted([good_first.position, good_last.position]) == [2, 3]


async def test_a_batch_without_a_good_item_moves_nothing(
    database: Database, store: EventStore
) -> None:
    await append_batch(database, item("cus_1"))
    assert await append_batch(database, item("cus_1"), item("cus_2", 3)) == [
        conflict(1),
        conflict(0),
    ]
    assert await append_batch(database) == []
    assert await store.head() == 1


async def test_who_follows_the_log_is_told_after_the_commit(database: Database) -> None:
    seen: list[int] = []
    store = EventStore(database, KEYRING, appended=lambda: seen.append(len(seen)))
    await store.append(item("cus_1"))
    assert seen == [0]


# --- Invoice prefixes ---------------------------------------------------------------------------


async def test_a_taken_prefix_names_its_holder(database: Database) -> None:
    await append_batch(database, item("cus_1", prefix="ACME"), item("cus_2", prefix="OTHER"))
    assert await append_batch(database, item("cus_3", prefix="ACME")) == [taken(0, "cus_1")]
    assert await append_batch(database, item("cus_2", 1, prefix="ACME")) == [taken(1, "cus_1")]


async def test_a_prefix_stays_taken_after_its_customer_left_it_or_was_deleted(
    database: Database,
) -> None:
    await append_batch(database, item("cus_1", prefix="ACME"))
    await append_batch(database, item("cus_1", 1, prefix="OTHER"))
    deleting = msgspec.structs.replace(item("cus_1", 2), type="CustomerDeleted")
    assert await append_batch(database, deleting) == [appended(3, 3)]
    for prefix in ("ACME", "OTHER"):
        assert await append_batch(database, item("cus_2", prefix=prefix)) == [taken(0, "cus_1")]


async def test_a_customer_comes_back_to_its_own_old_prefix(database: Database) -> None:
    await append_batch(database, item("cus_1", prefix="ACME"))
    await append_batch(database, item("cus_1", 1, prefix="OTHER"))
    [back] = await append_batch(database, item("cus_1", 2, prefix="ACME"))
    assert (back.outcome, back.position, back.version) == ("appended", 3, 3)
    rows = await database.fetch(
        "SELECT position, invoice_prefix FROM event_store.events "
        "WHERE invoice_prefix IS NOT NULL ORDER BY position"
    )
    assert [(row[0], row[1]) for row in rows] == [(1, "ACME"), (2, "OTHER")]


async def test_prefixes_are_taken_in_one_account_and_mode_only(database: Database) -> None:
    outcomes = await append_batch(
        database,
        item("cus_1", prefix="ACME"),
        item("cus_1", prefix="ACME", livemode=True),
        item("cus_1", prefix="ACME", account="acct_2"),
    )
    assert outcomes == [appended(1, 1), appended(2, 1), appended(3, 1)]


async def test_a_stream_that_moved_on_is_a_conflict_also_when_the_prefix_is_taken(
    database: Database,
) -> None:
    await append_batch(database, item("cus_1", prefix="ACME"), item("cus_2"))
    [outcome] = await append_batch(database, item("cus_2", prefix="ACME"))
    assert (outcome.outcome, outcome.version) == ("conflict", 1)


# --- Retries ------------------------------------------------------------------------------------


async def test_the_same_event_again_finds_its_old_position(
    database: Database, store: EventStore
) -> None:
    batch = [item("cus_1", prefix="ACME"), item("cus_2"), item("cus_3")]
    await append_batch(database, *batch)
    moved_on = [item("cus_1", 1), item("cus_2", 1)]
    await append_batch(database, *moved_on)
    again = await append_batch(database, *batch, item("cus_4"))
    assert [(o.outcome, o.position, o.version) for o in again] == [
        ("appended", 1, 1),
        ("appended", 2, 1),
        ("appended", 3, 1),
        ("appended", 6, 1),
    ]
    assert await store.append(moved_on[0]) == Appended(Position(4), Version(2))
    assert await store.head() == 6


async def test_another_event_for_a_version_that_is_taken_is_a_conflict(
    database: Database,
) -> None:
    first = item("cus_1")
    await append_batch(database, first)
    assert await append_batch(database, item("cus_1", event_id="evt_other")) == [conflict(1)]
    elsewhere = item("cus_2", event_id=first.event_id)
    assert await append_batch(database, elsewhere) == [appended(2, 1)]


# --- The contract within a batch ----------------------------------------------------------------


@pytest.mark.parametrize(
    "batch",
    [
        [item("cus_1"), item("cus_1")],
        [item("cus_1", prefix="ACME"), item("cus_2", prefix="ACME")],
    ],
    ids=["stream", "prefix"],
)
async def test_a_stream_or_a_prefix_twice_in_a_batch_stores_nothing_at_all(
    database: Database, store: EventStore, batch: list[PendingEvent]
) -> None:
    with pytest.raises(asyncpg.UniqueViolationError):
        await append_batch(database, item("cus_0"), *batch)
    assert await store.head() == START
    assert await store.read_all(START) == []


async def test_the_store_never_lets_a_stream_or_a_prefix_travel_twice(store: EventStore) -> None:
    await store.append(item("cus_0"))
    answers = await asyncio.gather(
        *(store.append(item("cus_1", version)) for version in range(5)),
        *(store.append(item(f"cus_new{n}", prefix="ACME")) for n in range(5)),
        return_exceptions=True,
    )
    assert all(isinstance(answer, Appended) for answer in answers[:5])
    assert isinstance(answers[5], Appended)
    assert all(isinstance(answer, PrefixTaken) for answer in answers[6:])


class Log:
    """The append function as a model: what a list, a dictionary and an if can say about it."""

    def __init__(self) -> None:
        self.events: list[PendingEvent] = []
        self.holders: dict[str, str] = {}

    def version_of(self, stream: str) -> int:
        return sum(event.key.id == stream for event in self.events)

    def append(self, batch: list[PendingEvent]) -> Iterator[tuple[str, int | None, int]]:
        before = {event.key.id: self.version_of(event.key.id) for event in batch}
        for event in batch:
            holder = self.holders.get(event.invoice_prefix or "", event.key.id)
            if before[event.key.id] == event.expected_version and holder == event.key.id:
                self.events.append(event)
                if event.invoice_prefix:
                    self.holders[event.invoice_prefix] = event.key.id
                yield "appended", len(self.events), event.expected_version + 1
            elif event.event_id in {stored.event_id for stored in self.events}:
                stored = next(e for e in self.events if e.event_id == event.event_id)
                yield "appended", self.events.index(stored) + 1, event.expected_version + 1
            elif before[event.key.id] != event.expected_version:
                yield "conflict", None, before[event.key.id]
            else:
                yield "prefix_taken", None, before[event.key.id]


def batches() -> st.SearchStrategy[list[tuple[str, int, str | None, bool]]]:
    entry = st.tuples(
        st.sampled_from(["cus_1", "cus_2", "cus_3", "cus_4"]),
        st.integers(-1, 1),
        st.none() | st.sampled_from(["AAA", "BBB"]),
        st.booleans(),
    )
    return st.lists(entry, max_size=4, unique_by=lambda e: e[0])


@given(rounds=st.lists(batches(), min_size=1, max_size=8))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_batches_are_answered_as_the_model_answers_them(
    database_url: str, rounds: list[list[tuple[str, int, str | None, bool]]]
) -> None:
    """Each entry: a stream, how far off its version is, a prefix, whether it repeats an event."""
    account = f"acct_{secrets.token_hex(8)}"  # hypothesis repeats what random gives

    async def compare() -> None:
        database = Database(database_url, name="tests", sessions_max=1)
        await database.open()
        try:
            store, log = EventStore(database, KEYRING), Log()
            base = await store.head()
            for entries in rounds:
                batch = one_each(log, entries, account)
                expected = list(log.append(batch))
                outcomes = await append_batch(database, *batch)
                assert [told(outcome, base) for outcome in outcomes] == expected
            events = await store.read_all(base)
            assert [e.event_id for e in events] == [e.event_id for e in log.events]
            assert await store.head() == base + len(log.events)
        finally:
            await database.close()

    asyncio.run(compare())


def one_each(
    log: Log, entries: list[tuple[str, int, str | None, bool]], account: str
) -> list[PendingEvent]:
    batch: list[PendingEvent] = []
    prefixes: set[str] = set()
    for stream, off, wanted, retried in entries:
        prefix = None if wanted in prefixes else wanted
        old = [event for event in log.events if event.key.id == stream]
        event = item(stream, max(0, log.version_of(stream) + off), prefix=prefix, account=account)
        if retried and old:
            event = old[-1]
            if event.invoice_prefix in prefixes:
                continue
        batch.append(event)
        if event.invoice_prefix:
            prefixes.add(event.invoice_prefix)
    return batch


def told(outcome: Outcome, base: int) -> tuple[str, int | None, int]:
    position = None if outcome.position is None else outcome.position - base
    return outcome.outcome, position, outcome.version


# --- Many at once -------------------------------------------------------------------------------


@pytest.fixture
async def two_stores(database_url: str) -> AsyncGenerator[list[EventStore]]:
    """Two stores with pools of their own, as in two gateways."""
    databases = [Database(database_url, name="tests", sessions_max=2) for _ in range(2)]
    for database in databases:
        await database.open()
    yield [EventStore(database, KEYRING) for database in databases]
    for database in databases:
        await database.close()


async def follow(store: EventStore, total: int) -> list[RecordedEvent]:
    """Tail the log from its start until it holds ``total`` events; a gap fails at once."""
    seen: list[RecordedEvent] = []
    while len(seen) < total:
        found = await store.read_all(Position(len(seen)))
        assert [e.position for e in found] == [len(seen) + n + 1 for n in range(len(found))]
        seen.extend(found)
        await store.head()
    return seen


async def write(store: EventStore, writer: int) -> None:
    """Append now to a stream of one's own, now to one that all fight for, until each got in."""
    chance = random.Random(writer)  # noqa: S311 - which stream is next is no secret
    for count in range(APPENDS_EACH):
        if count % 2:
            await store.append(item(f"cus_cold{writer}", count // 2))
            continue
        stream = f"cus_hot{chance.randrange(HOT_STREAMS)}"
        while True:
            events = await store.read_stream(key(stream))
            try:
                await store.append(item(stream, len(events)))
            except Conflict:
                continue
            break


async def test_two_stores_append_without_a_gap_that_a_reader_could_see(
    two_stores: list[EventStore], store: EventStore
) -> None:
    total = WRITERS * APPENDS_EACH
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
        following = tasks.create_task(follow(store, total))
        for writer in range(WRITERS):
            tasks.create_task(write(two_stores[writer % 2], writer))
    events = following.result()
    assert await store.head() == total == len(events)
    at: dict[StreamKey, RecordedEvent] = {}
    for event in events:
        before = at.get(event.key)
        assert event.version == (before.version + 1 if before else 1)
        assert event.previous_position == (before.position if before else START)
        at[event.key] = event
    instants = [event.recorded_at for event in events]
    assert instants == sorted(instants)
    assert len({event.event_id for event in events}) == total


async def test_a_value_that_cannot_be_stored_fails_its_own_item_only(store: EventStore) -> None:
    broken = msgspec.structs.replace(item("cus_broken"), payload="\ud800")
    no_json = msgspec.structs.replace(item("cus_nul"), metadata="no json at all")
    answers = await asyncio.gather(
        store.append(item("cus_good")),
        store.append(broken),
        store.append(no_json),
        store.append(item("cus_as_good")),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [Appended, ValueRefused, ValueRefused, Appended]
    assert await store.head() == 2


async def test_large_events_are_read_a_few_at_a_time(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        await store.append(item(f"cus_{number}"))
    monkeypatch.setattr(store_module, "READ_BATCH_MAX_BYTES", 1)
    assert [event.position for event in await store.read_all(START)] == [1]
    assert [event.position for event in await store.read_all(Position(1))] == [2]
