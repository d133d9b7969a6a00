from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncGenerator
from importlib.resources import files
from typing import Final

import msgspec
import pytest
from tests.databases import administer, url_of
from tests.support.event_logs import (
    ACCOUNTS,
    EVENTS_A_SECOND,
    FIRST_SECOND,
    TYPES,
    Happening,
    any_walk,
    append_happenings,
    spread_over_time,
    walked,
    whole_log,
)
from tests.support.keyrings import KEYRING

from chaching.domain.ids import told_by_event_id
from chaching.envelope import Position, RecordedEvent
from chaching.eventstore import lookups
from chaching.eventstore.database import KEYED_LOOKUPS, Database, Row
from chaching.eventstore.errors import Unavailable
from chaching.eventstore.lookups import EventLookups, EventWalk
from chaching.eventstore.statements import statement
from chaching.eventstore.store import EventStore
from chaching.schema import migrations

BLOCK: Final = 1_000
EVENTS: Final = 2 * BLOCK + 150
WALKS: Final = 150
OURS: Final = (ACCOUNTS[0], False)
ALL: Final = EventWalk(
    whose=OURS,
    types=TYPES,
    after=Position(0),
    before=Position(2**63 - 1),
    from_oldest=False,
    limit=100,
)


@pytest.fixture
async def keyed(database_url: str) -> AsyncGenerator[Database]:
    """A database as the gateway opens it."""
    database = Database(database_url, name="tests", sessions_max=4, settings=KEYED_LOOKUPS)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def finding(keyed: Database) -> EventLookups:
    return EventLookups(keyed, KEYRING)


async def sealed_up_to(database: Database) -> int:
    [row] = await database.fetch("SELECT position FROM event_store.seal")
    position: int = row["position"]
    return position


async def seal_to(database: Database, blocks: int) -> None:
    """Seal so many blocks, one at a time."""
    for _ in range(blocks):
        [row] = await database.fetch("SELECT event_store.seal_blocks(1)")
        assert row[0] == 1


# --- Walks --------------------------------------------------------------------------------------


async def every_walk_is_exact(finding: EventLookups, log: list[RecordedEvent], seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same again from the same seed
    for _ in range(WALKS):
        walk = any_walk(chance, len(log))
        page = await finding.page(walk)
        assert (list(page.events), page.has_more) == walked(log, walk), walk


@pytest.mark.parametrize("sealed", [0, 1, 2])
async def test_a_walk_finds_what_a_look_at_the_whole_log_finds(
    finding: EventLookups, keyed: Database, store: EventStore, sealed: int
) -> None:
    await append_happenings(store, Happening(seed=sealed), EVENTS)
    await seal_to(keyed, sealed)
    log = await whole_log(store)
    assert {event.type for event in log} == set(TYPES)
    await every_walk_is_exact(finding, log, seed=sealed)
    assert await sealed_up_to(keyed) == sealed * BLOCK


BUGS: Final = (
    ("e.position > greatest", "false AND e.position > greatest"),
    ("AND beyond.type = ANY ($3)", ""),
    ("AND beyond.livemode = $2", ""),
    ("AND b.livemode = $2", ""),
    ("beyond.account = $1", "$1 = $1"),
    ("b.account = $1", "$1 = $1"),
    ("greatest($4::bigint, $7)", "greatest($4::bigint, $7 - 1000)"),
    ("BETWEEN $4 / 1000 AND", "BETWEEN $4 / 1000 + 1 AND"),
    ("AND 1000 * counted.block + o.place < $5", ""),
    ("< $6 + 1000\n", "< 1\n"),
    ("AND ($5 - 2) / 1000", "AND ($5 - 1000) / 1000"),
)


async def test_a_walk_that_looks_elsewhere_is_found_out(
    finding: EventLookups, keyed: Database, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append_happenings(store, Happening(seed=3), EVENTS)
    await seal_to(keyed, 2)
    log = await whole_log(store)
    unnoticed: list[str] = []
    for old, new in BUGS:
        for name in ("newest", "oldest"):
            path = files("chaching.eventstore") / "sql" / f"event_positions_from_{name}.sql"
            sql = path.read_text()
            assert sql.count(old) == 1
            monkeypatch.setattr(lookups, f"_FROM_{name.upper()}", sql.replace(old, new))
        try:
            await every_walk_is_exact(finding, log, seed=3)
        except AssertionError:
            continue
        unnoticed.append(f"{new} instead of {old}")
    assert unnoticed == []


async def test_pages_of_large_events_end_early_and_leave_nothing_out(
    finding: EventLookups, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append_happenings(store, Happening(seed=4), 60)
    log = [event for event in await whole_log(store) if event.key.account == ACCOUNTS[0]]
    log = [event for event in log if not event.key.livemode]
    bytes_of = [len(event.payload) + len(event.state or "") for event in log]
    monkeypatch.setattr(lookups, "PAGE_MAX_BYTES", 3 * max(bytes_of))
    pages = [await finding.page(ALL)]
    while pages[-1].has_more:
        assert len(pages[-1].events) >= 3
        last = pages[-1].events[-1].position
        pages.append(await finding.page(msgspec.structs.replace(ALL, before=last)))
    assert [event for page in pages for event in page.events] == log[::-1]
    assert len(pages) > 3
    monkeypatch.setattr(lookups, "PAGE_MAX_BYTES", 1)
    page = await finding.page(ALL)
    assert (page.events, page.has_more) == ((log[-1],), True)


# --- Blocks -------------------------------------------------------------------------------------


async def test_only_blocks_that_cannot_change_any_more_are_sealed(
    finding: EventLookups, keyed: Database, store: EventStore
) -> None:
    happening = Happening(seed=5)
    await append_happenings(store, happening, BLOCK - 1)
    assert (await finding.seal(), await sealed_up_to(keyed)) == (0, 0)
    await append_happenings(store, happening, 1)
    assert (await finding.seal(), await sealed_up_to(keyed)) == (1, BLOCK)
    await append_happenings(store, happening, 2 * BLOCK)
    assert (await finding.seal(), await sealed_up_to(keyed)) == (2, 3 * BLOCK)
    rows = await keyed.fetch(
        "SELECT account, livemode, type, 1000 * block + o.place AS position "
        "FROM event_store.event_blocks CROSS JOIN unnest(offsets) AS o (place)"
    )
    assert {tuple(row) for row in rows} == {
        (event.key.account, event.key.livemode, event.type, event.position)
        for event in await whole_log(store)
    }
    assert len(rows) == 3 * BLOCK


async def test_gateways_that_seal_at_the_same_time_seal_each_block_once(
    finding: EventLookups, keyed: Database, store: EventStore
) -> None:
    await append_happenings(store, Happening(seed=6), 2 * BLOCK)
    sealed = await asyncio.gather(*(finding.seal() for _ in range(4)))
    assert sorted(sealed) == [0, 0, 0, 2]
    assert await sealed_up_to(keyed) == 2 * BLOCK


async def test_where_nothing_is_to_be_sealed_nothing_is_written(
    finding: EventLookups, keyed: Database, store: EventStore
) -> None:
    await append_happenings(store, Happening(seed=7), BLOCK + 1)
    assert await finding.seal() == 1
    row_of = "SELECT s.xmin::text, s.xmax::text, s.ctid::text FROM event_store.seal AS s"
    before = [tuple(row) for row in await keyed.fetch(row_of)]
    assert await finding.seal() == 0
    assert [tuple(row) for row in await keyed.fetch(row_of)] == before


async def test_a_walk_that_finds_too_much_unsealed_seals_first(
    finding: EventLookups, keyed: Database, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "UNSEALED_MAX_EVENTS", BLOCK)
    await append_happenings(store, Happening(seed=8), EVENTS)
    page = await finding.page(ALL)
    assert (list(page.events), page.has_more) == walked(await whole_log(store), ALL)
    assert await sealed_up_to(keyed) == 2 * BLOCK


async def test_when_sealing_does_not_get_on_a_walk_is_refused_for_now(
    keyed: Database, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "UNSEALED_MAX_EVENTS", 10)
    finding = EventLookups(keyed, KEYRING)
    await append_happenings(store, Happening(seed=9), 11)
    with pytest.raises(Unavailable, match="not sealed"):
        await finding.page(ALL)
    monkeypatch.setattr(lookups, "UNSEALED_MAX_EVENTS", 11)
    assert (await finding.page(ALL)).events


async def test_what_is_sealed_between_two_looks_is_found_once(
    finding: EventLookups, keyed: Database, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append_happenings(store, Happening(seed=10), EVENTS)
    fetch, asked = Database.fetch, statement("chaching.eventstore", "sealed")

    async def sealing(self: Database, sql: str, *arguments: object) -> list[Row]:
        rows = await fetch(self, sql, *arguments)
        if sql == asked:
            await seal_to(keyed, 2)
        return rows

    monkeypatch.setattr(Database, "fetch", sealing)
    page = await finding.page(ALL)
    monkeypatch.undo()
    assert (list(page.events), page.has_more) == walked(await whole_log(store), ALL)
    assert await sealed_up_to(keyed) == 2 * BLOCK


# --- By id --------------------------------------------------------------------------------------


async def test_every_event_is_found_by_its_id_in_its_own_account_and_mode_only(
    finding: EventLookups, store: EventStore
) -> None:
    await append_happenings(store, Happening(seed=11), 120)
    log = await whole_log(store)
    assert {told_by_event_id(event.event_id) is None for event in log} == {True, False}
    places = [(account, livemode) for account in ACCOUNTS for livemode in (False, True)]
    for whose in places:
        found = await asyncio.gather(*(finding.find(whose, event.event_id) for event in log))
        assert found == [
            event if (event.key.account, event.key.livemode) == whose else None for event in log
        ]


async def test_an_id_that_tells_the_place_of_another_event_is_nobodys(
    finding: EventLookups, store: EventStore
) -> None:
    await append_happenings(store, Happening(seed=12), 50)
    log = await whole_log(store)
    event = next(event for event in log if told_by_event_id(event.event_id))
    whose = (event.key.account, event.key.livemode)
    for forged in (
        f"{event.event_id[:18]}zzzzzzz{event.event_id[25:]}",
        f"{event.event_id}0",
        event.event_id[:18],
        "evt_none",
        f"evt_{'0' * 14}{'0' * 7}{'z' * 6}",
    ):
        assert await finding.find(whose, forged) is None
    assert await finding.find(whose, event.event_id) == event


# --- By time ------------------------------------------------------------------------------------


async def test_a_second_is_found_by_halving(
    finding: EventLookups, store: EventStore, database: Database
) -> None:
    assert await finding.positions_before([0, FIRST_SECOND]) == [0, 0]
    await append_happenings(store, Happening(seed=13), 100)
    await spread_over_time(database)
    log = await whole_log(store)
    seconds = [*range(FIRST_SECOND - 2, FIRST_SECOND + 100 // EVENTS_A_SECOND + 3)]
    seconds += [-(2**63), 0, 2**63]
    assert await finding.positions_before(seconds) == [
        sum(event.recorded_at.timestamp() < second for event in log) for second in seconds
    ]


# --- A log from before --------------------------------------------------------------------------


@pytest.fixture
async def old_url(database_admin_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[str]:
    """A database as it was before events could be found, with a log of more than a block."""
    name = f"old_{secrets.token_hex(6)}"
    await administer(database_admin_url, f"CREATE DATABASE {name}")
    url = url_of(database_admin_url, name)
    brought = migrations.migrations()
    monkeypatch.setattr(migrations, "migrations", lambda: brought[:8])
    await migrations.migrate(url)
    monkeypatch.undo()
    database = Database(url, name="tests", sessions_max=1)
    await database.open()
    await database.execute(OLD_EVENTS, *OURS, BLOCK + 5)
    await database.execute("UPDATE event_store.log_head SET position = $1", BLOCK + 5)
    await database.close()
    yield url
    await administer(database_admin_url, f"DROP DATABASE {name} WITH (FORCE)")


OLD_EVENTS: Final = """
    INSERT INTO event_store.events
    SELECT n, $1, $2, 'cus_' || lpad(n::text, 14, '0'), 1, 0, 'evt_' || lpad(n::text, 14, '0'),
           'CustomerCreated', 1, '{}', NULL, '{}', NULL, now()
    FROM generate_series(1, $3::bigint) AS n
"""
BEFOREHAND: Final = """
    CREATE INDEX CONCURRENTLY events_event_id_idx ON event_store.events (event_id)
        WHERE octet_length(event_id) < 26
"""


@pytest.mark.parametrize("beforehand", [False, True], ids=["at once", "index beforehand"])
async def test_the_events_of_a_log_from_before_are_found_like_all_others(
    old_url: str, beforehand: bool
) -> None:
    if beforehand:
        await administer(old_url, BEFOREHAND)
    await migrations.migrate(old_url)
    database = Database(old_url, name="tests", sessions_max=2, settings=KEYED_LOOKUPS)
    await database.open()
    finding = EventLookups(database, KEYRING)
    for sealed in (0, 1):
        await seal_to(database, sealed)
        page = await finding.page(ALL)
        assert [event.position for event in page.events] == list(range(BLOCK + 5, BLOCK - 95, -1))
        old = await finding.find(OURS, "evt_00000000000777")
        assert old is not None
        assert old.position == 777
    await database.close()
