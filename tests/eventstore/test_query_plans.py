"""The hot statements look rows up by key and never read a table through, however it was filled."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pytest
from tests.eventstore.items import ACCOUNT, append_batch, commands, item

from chaching.envelope import START
from chaching.eventstore.database import Database, Session
from chaching.eventstore.statements import statement
from chaching.eventstore.store import READ_BATCH_MAX_BYTES, READ_BATCH_MAX_EVENTS
from chaching_projector.projections.customers.writer import PACKAGE, SESSION_SETTINGS

ROWS: Final = 20_000
BATCH: Final = 100
ROWS_A_KEY: Final = 4
LOOKED_PAST: Final = 4
CACHED_AFTER: Final = 8
APPEND: Final = statement("chaching.eventstore", "append_events")
LOAD_NEWEST: Final = statement("chaching.eventstore", "load_newest")
READ_LOG: Final = statement("chaching.eventstore", "read_log")
EVERYTHING: Final = (None, None, None)
READ_OF_CUSTOMER: Final = statement("chaching.eventstore", "read_log_of_customer")
READ_STREAM: Final = statement("chaching.eventstore", "read_stream")
UPDATE_CUSTOMERS: Final = statement(PACKAGE, "update_customers")
RETRIEVE: Final = statement("chaching_api.reads", "retrieve")

FILL: Final = (
    """
    INSERT INTO event_store.events
    SELECT n, $1, false, 'cus_' || (n + 1) / 2, 2 - n % 2,
           CASE WHEN n % 2 = 1 THEN 0 ELSE n - 1 END, 'evt_' || n, 'CustomerUpdated', 1, '{}',
           '{}', '{}', CASE WHEN n % 2 = 1 THEN 'P' || n END, now()
    FROM generate_series($2::bigint + 1, $3::bigint) AS n
    """,
    """
    INSERT INTO read_model.customers
        (account, livemode, id, version, position, created, deleted, body, attached)
    SELECT $1, false, 'cus_' || n, 1, 2 * n - 1, 0, false, '{}', '{}'
    FROM generate_series($2::bigint / 2 + 1, $3::bigint / 2) AS n
    """,
)

READ_SO_FAR: Final = """
    SELECT coalesce(sum(seq_scan), 0)::bigint,
           coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::bigint
    FROM pg_stat_xact_user_tables
    WHERE relid IN ('event_store.events'::regclass, 'read_model.customers'::regclass)
"""


async def fill(database: Database, *, after: int = 0, rows: int = ROWS, analyzed: bool) -> None:
    """Bring the log from so many rows to so many, two to a customer, the first ones projected."""
    for sql in FILL:
        await database.execute(sql, ACCOUNT, after, rows)
    await database.execute("UPDATE event_store.log_head SET position = $1", rows)
    if analyzed:
        await database.execute("ANALYZE event_store.events, read_model.customers")


def streams(count: int = BATCH) -> tuple[list[str], list[bool], list[str]]:
    wanted = [f"cus_{n * 37 % (ROWS // 2)}" for n in range(count)]
    return [ACCOUNT] * count, [False] * count, wanted


async def rows_read(session: Session, sql: str, *arguments: object) -> int:
    """Run a statement; return how many rows of the large tables it looked at, none by a scan."""
    [before] = await session.fetch(READ_SO_FAR)
    await session.fetch(sql, *arguments)
    [after] = await session.fetch(READ_SO_FAR)
    assert after[0] == before[0], f"reads a table through: {sql}"
    rows: int = after[1] - before[1]
    return rows


async def looks_up_by_key(session: Session, name: str) -> None:
    """Run the gateway's hot statements; each may look at a few rows for each key, never at all."""
    for sql in (LOAD_NEWEST, RETRIEVE):
        assert await rows_read(session, sql, *streams()) <= ROWS_A_KEY * BATCH, sql
    fresh = [item(f"cus_{name}{n}", prefix=f"{name}N{n}") for n in range(BATCH)]
    assert await rows_read(session, APPEND, commands(*fresh)) <= ROWS_A_KEY * BATCH


async def cache_plans(session: Session) -> None:
    """Run the statements as often as it takes until their plans are kept."""
    for attempt in range(CACHED_AFTER):
        await looks_up_by_key(session, f"EARLY{attempt}X")


@pytest.mark.parametrize("analyzed", [True, False], ids=["analyzed", "not analyzed"])
async def test_with_many_rows_every_look_up_is_by_key(keyed: Database, analyzed: bool) -> None:
    await fill(keyed, analyzed=analyzed)
    async with keyed.session() as session:
        await cache_plans(session)


async def test_right_after_creation_every_look_up_is_by_key(keyed: Database) -> None:
    async with keyed.session() as session:
        await cache_plans(session)
        await session.execute("ANALYZE")
        await looks_up_by_key(session, "LATER")


@pytest.mark.parametrize("rows", [0, 2, 60, 300])
async def test_plans_that_were_made_over_a_small_log_serve_a_large_one(
    keyed: Database, plain: Database, rows: int
) -> None:
    await fill(plain, rows=rows, analyzed=True)
    async with keyed.session() as session:
        await session.execute("BEGIN")
        await cache_plans(session)
        await session.execute("ROLLBACK")
        await fill(plain, after=rows, analyzed=False)
        await looks_up_by_key(session, "LATER")


async def test_refusals_and_retries_are_looked_up_by_key_too(keyed: Database) -> None:
    await fill(keyed, analyzed=True)
    retried = [item(f"cus_new{n}") for n in range(BATCH)]
    await append_batch(keyed, *retried)
    behind = [item(f"cus_{n + 1}") for n in range(BATCH)]
    refused = [item(f"cus_other{n}", prefix=f"P{2 * n + 1}") for n in range(BATCH)]
    batch = [*retried, *behind, *refused]
    async with keyed.session() as session:
        outcomes = await append_batch(session, *batch)
        read = await rows_read(session, APPEND, commands(*batch))
    assert [outcome.outcome for outcome in outcomes] == [
        *["appended"] * BATCH,
        *["conflict"] * BATCH,
        *["prefix_taken"] * BATCH,
    ]
    assert read <= ROWS_A_KEY * len(batch)


@pytest.mark.parametrize("analyzed", [True, False], ids=["analyzed", "not analyzed"])
async def test_the_log_is_read_in_ranges_without_looking_further(
    plain: Database, analyzed: bool
) -> None:
    await fill(plain, analyzed=analyzed)
    stream = (ACCOUNT, False, "cus_7", 0, READ_BATCH_MAX_EVENTS)
    async with plain.session() as session:
        for after in (START, ROWS // 2, ROWS - 1, ROWS):
            last = after + READ_BATCH_MAX_EVENTS
            limits = (READ_BATCH_MAX_EVENTS, READ_BATCH_MAX_BYTES)
            arguments = (after, last, *limits, *EVERYTHING)
            there = min(READ_BATCH_MAX_EVENTS, ROWS - after)
            assert await rows_read(session, READ_LOG, *arguments) <= there + LOOKED_PAST
            assert await rows_read(session, READ_STREAM, *stream) <= 4


@pytest.mark.parametrize("analyzed", [True, False], ids=["analyzed", "not analyzed"])
async def test_a_selection_is_read_in_ranges_and_a_customers_events_by_its_stream(
    plain: Database, analyzed: bool
) -> None:
    await fill(plain, analyzed=analyzed)
    few = (None, "acct_none", None)
    limits = (READ_BATCH_MAX_EVENTS, READ_BATCH_MAX_BYTES)
    async with plain.session() as session:
        for after in [START, ROWS // 2, ROWS - 1] * CACHED_AFTER:
            last = after + READ_BATCH_MAX_EVENTS
            there = min(READ_BATCH_MAX_EVENTS, ROWS - after)
            for asked in (EVERYTHING, few):
                arguments = (after, last, *limits, *asked)
                assert await rows_read(session, READ_LOG, *arguments) <= there + LOOKED_PAST
        for number in range(1, CACHED_AFTER + 1):
            arguments = (START, ROWS, *limits, None, ACCOUNT, False, f"cus_{number}")
            assert await rows_read(session, READ_OF_CUSTOMER, *arguments) <= 2 * ROWS_A_KEY


@pytest.mark.parametrize("rows", [0, 2, 60, 300])
async def test_the_projectors_plans_made_over_a_small_read_model_serve_a_large_one(
    database_url: str, plain: Database, rows: int
) -> None:
    await fill(plain, rows=rows, analyzed=True)
    projector = Database(database_url, name="tests", sessions_max=1, settings=SESSION_SETTINGS)
    await projector.open()
    try:
        async with projector.session() as session:
            await session.execute("BEGIN")
            for _ in range(CACHED_AFTER):
                await rows_read(session, UPDATE_CUSTOMERS, *rewritten())
            await session.execute("ROLLBACK")
            await fill(plain, after=rows, analyzed=False)
            await session.execute("BEGIN")
            assert await rows_read(session, UPDATE_CUSTOMERS, *rewritten()) <= ROWS_A_KEY * BATCH
            await session.execute("ROLLBACK")
    finally:
        await projector.close()


def rewritten() -> tuple[list[object], ...]:
    """Return the arguments that write the rows of some customers anew."""
    accounts, livemodes, ids = streams()

    def same(value: object) -> list[object]:
        return [value] * BATCH

    return (
        [*accounts],
        [*livemodes],
        [*ids],
        *(same(2), same(9), same(0), same(False), same("e"), same("n"), same("p")),
        *(same("{}"), same(None), same("{}"), same("{}"), same(1)),
    )


# --- What EXPLAIN says --------------------------------------------------------------------------


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def plan_of(database: Database, sql: str, types: str, literals: str) -> list[dict[str, Any]]:
    """Return the nodes of the plan that a session caches for a statement."""
    async with database.session() as session:
        await session.execute(f"PREPARE hot ({types}) AS {sql}")
        [row] = await session.fetch(f"EXPLAIN (FORMAT JSON) EXECUTE hot ({literals})")
        await session.execute("DEALLOCATE hot")
    return list(nodes(json.loads(row[0])[0]["Plan"]))


def read_by(plan: Sequence[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(node["Node Type"], node["Relation Name"]) for node in plan if "Relation Name" in node}


@pytest.mark.parametrize("filled", [True, False], ids=["filled", "empty"])
async def test_the_plans_of_the_gateways_look_ups_name_the_keys_indices(
    keyed: Database, filled: bool
) -> None:
    if filled:
        await fill(keyed, analyzed=True)
    types, literals = "text[], boolean[], text[]", "'{acct_1}', '{f}', '{cus_7}'"
    newest = await plan_of(keyed, LOAD_NEWEST, types, literals)
    log = {("Index Scan", "events"), ("Index Scan", "data_keys")}
    assert read_by(newest) == log
    retrieved = await plan_of(keyed, RETRIEVE, types, literals)
    assert read_by(retrieved) == {*log, ("Index Scan", "customers")}
    used = {node["Index Name"] for node in [*newest, *retrieved] if "Index Name" in node}
    assert used == {"events_stream_version_key", "customers_pkey", "data_keys_pkey"}


async def test_the_plan_of_reading_the_log_neither_sorts_nor_reads_it_through(
    plain: Database,
) -> None:
    await fill(plain, analyzed=True)
    plan = await plan_of(
        plain,
        READ_LOG,
        "bigint, bigint, bigint, bigint, text[], text, boolean",
        "5000, 7000, 2000, 16000000, NULL, NULL, NULL",
    )
    assert read_by(plan) == {("Index Scan", "events"), ("Index Scan", "data_keys")}
    used = {node["Index Name"] for node in plan if "Index Name" in node}
    assert used == {"events_pkey", "data_keys_pkey"}
    assert "Sort" not in {node["Node Type"] for node in plan}
