"""To look back is a few look-ups by key, however long log, streams and accounts are."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from tests.eventstore.items import ACCOUNT, append_batch, item, key
from tests.eventstore.test_query_plans import nodes, rows_read
from tests.support.breaking import take_out
from tests.support.keyrings import KEYRING

from chaching.envelope import Position
from chaching.eventstore.database import Database, Session
from chaching.eventstore.past import PastEvents
from chaching.eventstore.statements import statement

EVENTS: Final = 20_000
STREAMS: Final = 4
ROWS: Final = 20_000
HALVINGS: Final = 15  # 2 ** 15 is more than the events
BEGIN: Final = datetime(2026, 3, 3, tzinfo=UTC)
NEWEST_AT: Final = statement("chaching.eventstore", "read_newest_at")
POSITIONS_BEFORE: Final = statement("chaching.eventstore", "positions_before")

# four streams that take turns, an event a second
FILL_LOG: Final = """
    INSERT INTO event_store.events
    SELECT n, $1, false, 'cus_' || n % 4, (n + 3) / 4, greatest(0, n - 4), 'evt_' || n,
           CASE WHEN n <= 4 THEN 'CustomerCreated' ELSE 'CustomerUpdated' END, 1, '{}', '{}', '{}',
           NULL, $4::timestamptz + n * interval '1 second'
    FROM generate_series($2::bigint + 1, $3::bigint) AS n
"""
FILL_ROWS: Final = """
    INSERT INTO read_model.customers
        (account, livemode, id, version, position, created, deleted, test_clock, body, attached)
    SELECT $1, false, 'cus_' || lpad(n::text, 6, '0'), 1, n, n / 100, n % 7 = 0,
           CASE WHEN n % 5 = 0 THEN 'clock_1' END, '{}', '{}'
    FROM generate_series($2::bigint + 1, $3::bigint) AS n
"""


async def fill_log(database: Database, *, after: int = 0, events: int = EVENTS) -> None:
    await database.execute(FILL_LOG, ACCOUNT, after, events, BEGIN)
    await database.execute("UPDATE event_store.log_head SET position = $1", events)


def streams() -> tuple[list[str], list[bool], list[str]]:
    return [ACCOUNT] * STREAMS, [False] * STREAMS, [f"cus_{n}" for n in range(STREAMS)]


async def looks_back_by_key(session: Session, events: int) -> None:
    for position in (0, 1, events // 3, events):
        read = await rows_read(session, NEWEST_AT, *streams(), position)
        assert read <= STREAMS * (HALVINGS + 4), position
    for seconds in (-1, 0, events // 3, 10 * events):
        instant = BEGIN + timedelta(seconds=seconds)
        assert await rows_read(session, POSITIONS_BEFORE, [instant]) <= HALVINGS + 4, seconds


@pytest.mark.parametrize("planned_over", [0, 8, 300])
async def test_looking_back_halves_streams_and_log_whenever_its_plan_was_made(
    keyed: Database, planned_over: int
) -> None:
    await fill_log(keyed, events=planned_over)
    await keyed.execute("ANALYZE event_store.events")
    async with keyed.session() as session:
        await session.execute("BEGIN")
        await looks_back_by_key(session, planned_over)
        await session.execute("COMMIT")
    await fill_log(keyed, after=planned_over)
    async with keyed.session() as session:
        await session.execute("BEGIN")
        await looks_back_by_key(session, EVENTS)
        await session.execute("ROLLBACK")


async def test_every_position_and_time_of_a_log_leads_to_the_right_event(keyed: Database) -> None:
    events = 41
    await fill_log(keyed, events=events)
    store = PastEvents(keyed, KEYRING)
    keys = [key(f"cus_{n}") for n in range(STREAMS)]
    for position in range(events + 1):
        found = await store.read_newest_at(keys, Position(position))
        expected = [p for p in range(position - STREAMS + 1, position + 1) if p > 0]
        assert sorted(event.position for event in found) == expected
        at = BEGIN + timedelta(seconds=position)
        assert (await store.newest_before(at)).position == max(0, position - 1)
        within = await store.newest_before(at + timedelta(microseconds=1))
        assert (within.position, within.at) == (position, at if position else None)
    assert (await store.newest_before(BEGIN + timedelta(days=1))).position == events


async def test_a_customers_newest_event_is_found_wherever_others_were_taken_out(
    keyed: Database,
) -> None:
    events, chance = 41, random.Random(2)  # noqa: S311 - the same again from the same seed
    await fill_log(keyed, events=events)
    store = PastEvents(keyed, KEYRING)
    keys = [key(f"cus_{n}") for n in range(STREAMS)]
    there = list(range(1, events + 1))
    while there:
        for position in range(events + 1):
            found = await store.read_newest_at(keys, Position(position))
            known = [p for p in there if p <= position]
            newest = {p % STREAMS: p for p in known}
            assert sorted(event.position for event in found) == sorted(newest.values())
        gone = chance.sample(there, min(7, len(there)))
        await take_out(keyed, *gone)
        there = [p for p in there if p not in gone]


async def test_an_empty_log_stands_at_nothing_at_any_time(database: Database) -> None:
    store = PastEvents(database, KEYRING)
    assert (await store.newest_before(BEGIN)).position == 0
    assert await store.read_newest_at([key("cus_1")], Position(5)) == []


async def test_an_event_is_found_in_its_own_stream_only(database: Database) -> None:
    store = PastEvents(database, KEYRING)
    await append_batch(database, item("cus_1", event_id="evt_a"), item("cus_2", event_id="evt_b"))
    await append_batch(database, item("cus_1", 1, event_id="evt_c"))
    await append_batch(database, item("cus_1", livemode=True, event_id="evt_d"))
    found = [await store.find_version(key("cus_1"), f"evt_{letter}") for letter in "abcde"]
    assert found == [1, None, 2, None, None]
    assert await store.find_version(key("cus_1", account="acct_2"), "evt_a") is None


# --- Places -------------------------------------------------------------------------------------


async def places(session: Session, way: str, *, after: int, before: int) -> dict[str, Any]:
    """Run a stretch of ten; return the plan with what it really read."""
    [row] = await session.fetch(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE past_{way} "
        f"('{ACCOUNT}', false, {after}, 'cus_', {before}, 'cus_', 10, {EVENTS})"
    )
    plan: dict[str, Any] = json.loads(row[0])[0]["Plan"]
    return plan


@pytest.mark.parametrize("rows", [0, 2, 300])
async def test_a_stretch_of_places_is_a_few_steps_along_two_indices(
    keyed: Database, rows: int
) -> None:
    await keyed.execute(FILL_ROWS, ACCOUNT, 0, rows)
    await keyed.execute("ANALYZE read_model.customers")
    async with keyed.session() as session:
        for way in ("newest", "oldest"):
            await session.execute(
                f"PREPARE past_{way} (text, boolean, bigint, text, bigint, text, bigint, bigint) "
                "AS " + statement("chaching_api.reads", f"past_places_from_{way}")
            )
            await places(session, way, after=0, before=1)
        await session.execute(FILL_ROWS, ACCOUNT, rows, ROWS)
        for way in ("newest", "oldest"):
            for after, before in ((-1, 10**9), (-1, 100), (100, 10**9), (60, 140)):
                plan = await places(session, way, after=after, before=before)
                used = {node["Index Name"] for node in nodes(plan) if "Index Name" in node}
                assert {"customers_created_idx", "customers_past_idx"} <= used
                assert used <= {
                    "customers_created_idx",
                    "customers_past_idx",
                    "events_stream_version_key",
                }
                read = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
                assert (plan["Actual Rows"], read <= 100) == (10, True), read
