"""A part of the log is found whole, whatever is asked for, and so is the place of an instant."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import pytest
from tests.support.customers import AT, created, deleted, key_of, pending, updated
from tests.support.keyrings import KEYRING

from chaching.domain.customer import Command, decide, evolve
from chaching.domain.ids import AccountId, CustomerId
from chaching.domain.values import Details
from chaching.envelope import NO_VERSION, START, Position, StreamKey, WrappedKey
from chaching.eventstore import selection as selection_module
from chaching.eventstore.database import Database
from chaching.eventstore.instants import Recorded, positions_before
from chaching.eventstore.selection import (
    EVERYTHING,
    LogUnreadable,
    Selection,
    expect_readable,
    read_selected,
)
from chaching.eventstore.store import EventStore

SHARES: Final = (0.2, 0.5, 0.5, 0.8, 0.9)
MINE = key_of("cus_1")
THEIRS = StreamKey(AccountId("acct_2"), False, CustomerId("cus_1"))
LIVE = StreamKey(AccountId("acct_1"), True, CustomerId("cus_1"))
OTHER = key_of("cus_2")

# the positions 1, 2, 3 … of the log below
HAPPENED: tuple[tuple[StreamKey, Command], ...] = (
    (MINE, created("cus_1")),
    (THEIRS, created("cus_1")),
    (LIVE, created("cus_1")),
    (MINE, updated("cus_1", Details(balance=1))),
    (OTHER, created("cus_2")),
    (LIVE, updated("cus_1", Details(balance=2))),
    (MINE, deleted("cus_1")),
    (OTHER, updated("cus_2", Details(balance=3))),
)


@pytest.fixture
async def log(store: EventStore) -> EventStore:
    """A log with customers of equal ids in two accounts and both modes."""
    states = dict.fromkeys((key for key, _ in HAPPENED))
    versions = dict.fromkeys((key for key, _ in HAPPENED), NO_VERSION)
    data_keys: dict[StreamKey, WrappedKey | None] = {}
    for key, command in HAPPENED:
        event = decide(command, states[key])
        assert event is not None
        stored = pending(event, states[key], versions[key], data_key=data_keys.get(key))
        appended = await store.append(msgspec.structs.replace(stored, key=key))
        data_keys[key] = (await store.load(key)).data_key
        states[key], versions[key] = evolve(states[key], event), appended.version
    return store


async def positions(
    database: Database, selection: Selection, *, after: int = 0, up_to: int, limit: int = 500
) -> list[int]:
    """Read a selection to the end of a range, as its readers do."""
    found: list[int] = []
    at = Position(after)
    while at < up_to:
        selected = await read_selected(database, KEYRING, selection, at, Position(up_to), limit)
        assert at < selected.reached <= up_to
        found += [event.position for event in selected.events]
        at = selected.reached
    return found


SELECTIONS: tuple[tuple[Selection, list[int]], ...] = (
    (EVERYTHING, [1, 2, 3, 4, 5, 6, 7, 8]),
    (Selection(types=("CustomerUpdated",)), [4, 6, 8]),
    (Selection(types=("CustomerCreated", "CustomerDeleted")), [1, 2, 3, 5, 7]),
    (Selection(account=AccountId("acct_2")), [2]),
    (Selection(account=AccountId("acct_1"), livemode=True), [3, 6]),
    (Selection(livemode=False), [1, 2, 4, 5, 7, 8]),
    (Selection(customer=CustomerId("cus_1")), [1, 2, 3, 4, 6, 7]),
    (
        Selection(customer=CustomerId("cus_1"), account=AccountId("acct_1"), livemode=False),
        [1, 4, 7],
    ),
    (Selection(customer=CustomerId("cus_1"), types=("CustomerUpdated",)), [4, 6]),
    (Selection(customer=CustomerId("cus_3")), []),
    (Selection(types=()), []),
)


@pytest.mark.parametrize(("range_max", "limit"), [(20_000, 500), (3, 2), (1, 1)])
async def test_a_selection_is_found_whole_and_in_order(
    database: Database,
    log: EventStore,
    monkeypatch: pytest.MonkeyPatch,
    range_max: int,
    limit: int,
) -> None:
    monkeypatch.setattr(selection_module, "RANGE_MAX_POSITIONS", range_max)
    head = await log.head()
    assert head == len(HAPPENED)
    for selection, wanted in SELECTIONS:
        assert await positions(database, selection, up_to=head, limit=limit) == wanted
        inside = [position for position in wanted if 2 < position <= 6]
        assert await positions(database, selection, after=2, up_to=6, limit=limit) == inside


async def test_large_events_come_in_several_answers(
    database: Database, log: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = await log.head()
    monkeypatch.setattr(selection_module, "READ_BATCH_MAX_BYTES", 1)
    for selection in (EVERYTHING, Selection(customer=CustomerId("cus_2"))):
        first = await read_selected(database, KEYRING, selection, START, head)
        assert len(first.events) == 1
        assert len(await positions(database, selection, up_to=head)) > 1


async def test_an_instant_lies_behind_the_last_event_that_is_older(database: Database) -> None:
    at = datetime.fromtimestamp(AT, UTC)
    seconds = [0, 0, 1, 5, 5, 5, 9]
    for number, second in enumerate(seconds, start=1):
        await database.execute(
            "INSERT INTO event_store.events VALUES "
            "($1, 'acct_1', false, $2, 1, 0, $2, 'CustomerCreated', 1, '{}', NULL, '{}', $2, $3)",
            number,
            f"cus_{number}",
            at + timedelta(seconds=second),
        )
        await database.execute("UPDATE event_store.log_head SET position = $1", number)
        asked = range(-1, 11)
        found = await positions_before(database, [at + timedelta(seconds=s) for s in asked])
        older = [sum(1 for known in seconds[:number] if known < s) for s in asked]
        assert [recorded.position for recorded in found] == older
        assert [recorded.at for recorded in found] == [
            at + timedelta(seconds=seconds[last - 1]) if last else None for last in older
        ]


async def test_an_instant_is_found_wherever_rows_were_taken_out_of_the_log(
    database: Database,
) -> None:
    at = datetime.fromtimestamp(AT, UTC)
    instants = [at + timedelta(seconds=second) for second in range(-1, 16)]
    await database.execute("UPDATE event_store.log_head SET position = 14")
    chance = random.Random(1)  # noqa: S311 - the same again from the same seed
    for kept in [*({n for n in range(1, 15) if chance.random() < share} for share in SHARES), {7}]:
        await database.execute("ALTER TABLE event_store.events DISABLE TRIGGER USER")
        await database.execute("DELETE FROM event_store.events")
        for position in kept:
            await database.execute(
                "INSERT INTO event_store.events VALUES ($1, 'acct_1', false, $2, 1, 0, $2, "
                "'CustomerCreated', 1, '{}', NULL, '{}', $2, $3)",
                position,
                f"cus_{position}",
                at + timedelta(seconds=position),
            )
        found = await positions_before(database, instants)
        assert [recorded.position for recorded in found] == [
            max((p for p in kept if p < second), default=0) for second in range(-1, 16)
        ]


async def test_an_empty_log_has_nothing_before_any_instant(database: Database) -> None:
    ends = (datetime.min, datetime.now(), datetime.max)  # noqa: DTZ005, DTZ901 - made so
    instants = [instant.replace(tzinfo=UTC) for instant in ends]
    assert await positions_before(database, instants) == [Recorded(START, None)] * 3
    assert await positions_before(database, []) == []


@pytest.mark.parametrize("role", ["chaching_gateway", "chaching_relay", "chaching_projector"])
async def test_each_of_the_services_roles_may_read_the_log(
    database_url: str, log: EventStore, role: str
) -> None:
    database = Database(f"{database_url}?role={role}", name="tests", sessions_max=1)
    await database.open()
    try:
        await expect_readable(database)
        assert len(await positions(database, EVERYTHING, up_to=await log.head())) == len(HAPPENED)
        [before] = await positions_before(database, [datetime.fromtimestamp(AT, UTC)])
        assert before.position == START
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("place", "told"),
    [("?role=pg_monitor", "may not read"), ("/postgres", "DATABASE_URL names another one")],
)
async def test_whoever_finds_no_log_is_told_why(database_url: str, place: str, told: str) -> None:
    url = database_url if place.startswith("?") else database_url.rpartition("/")[0]
    database = Database(f"{url}{place}", name="tests", sessions_max=1)
    await database.open()
    try:
        with pytest.raises(LogUnreadable, match=told):
            await expect_readable(database)
    finally:
        await database.close()
