"""Events are found in a few steps, however many there are and whenever plans were made."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from tests.eventstore.items import ACCOUNT
from tests.eventstore.test_query_plans import nodes, rows_read

from chaching.eventstore.database import Database, Session
from chaching.eventstore.statements import statement

ROWS: Final = 40_500
BLOCK: Final = 1_000
SEALED: Final = ROWS // BLOCK * BLOCK
RARE_ONE_IN: Final = 500
PAGE: Final = 11
WAY_DOWN_PAGES: Final = 3  # of an index, and at worst one of the table for what it leads to
STEPS: Final = 17  # two to the power of it is more than all rows

TYPES: Final = "{CustomerCreated,CustomerUpdated,CustomerDeleted}"
PREPARED: Final = {
    "event_positions_from_newest": "text, boolean, text[], bigint, bigint, bigint, bigint",
    "event_positions_from_oldest": "text, boolean, text[], bigint, bigint, bigint, bigint",
    "events_at": "text, boolean, bigint[], bigint",
    "positions_before": "timestamptz[]",
    "find_events": "text[], boolean[], text[], text[], integer[]",
}
BY_ID: Final = {
    "data_keys_pkey",
    "events_event_id_idx",
    "events_pkey",
    "events_stream_version_key",
}
WALKS: Final = ("event_positions_from_newest", "event_positions_from_oldest")

# an event of the rare account in every RARE_ONE_IN; ten events a second; ids of both kinds
FILL: Final = """
    INSERT INTO event_store.events
    SELECT n, CASE WHEN n % $4 = 0 THEN 'acct_rare' ELSE $1 END, false,
           'cus_' || lpad(n::text, 14, '0'), 1, 0,
           CASE WHEN n % 2 = 0 THEN 'evt_' || n ELSE 'evt_' || lpad(n::text, 14, '0') || 'abcdefg1'
           END,
           (array['CustomerCreated', 'CustomerUpdated', 'CustomerDeleted'])[1 + n % 3], 1,
           '{}', NULL, '{}', NULL, to_timestamp(n / 10)
    FROM generate_series($2::bigint + 1, $3::bigint) AS n
"""


async def fill(session: Session, *, after: int = 0, rows: int = ROWS) -> None:
    """Bring the log from so many events to so many, and seal all that is complete."""
    await session.execute(FILL, ACCOUNT, after, rows, RARE_ONE_IN)
    await session.execute("UPDATE event_store.log_head SET position = $1", rows)
    await session.fetch("SELECT event_store.seal_blocks(1000)")


async def prepare(session: Session) -> None:
    """Prepare every statement and run it, so that its plan is kept from now on."""
    for name, types in PREPARED.items():
        sql = statement("chaching.eventstore", name)
        await session.execute(f"PREPARE {name} ({types}) AS {sql}")
    for name in WALKS:
        await walked(session, name)
    await found(session)
    await read(session)
    await halved(session)


async def explained(session: Session, call: str) -> dict[str, Any]:
    """Run a prepared statement; return its plan with what it really read."""
    [row] = await session.fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE {call}")
    plan: dict[str, Any] = json.loads(row[0])[0]["Plan"]
    return plan


def pages(plan: dict[str, Any]) -> int:
    read: int = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return read


def looked_at(plan: dict[str, Any], relation: str) -> int:
    """Return how many rows of a table were looked at, those that did not fit among them."""
    return sum(
        node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
        for node in nodes(plan)
        if node.get("Relation Name") == relation
    )


def used(plan: dict[str, Any]) -> set[str]:
    """Return the indices of a plan, which reads no table through."""
    kinds = {node["Node Type"] for node in nodes(plan) if "Relation Name" in node}
    assert kinds <= {"Index Scan", "Index Only Scan"}, plan
    return {node["Index Name"] for node in nodes(plan) if "Index Name" in node}


async def walked(
    session: Session,
    name: str,
    *,
    account: str = ACCOUNT,
    types: str = TYPES,
    after: int = 0,
    before: int = 2**63 - 1,
    sealed: int = SEALED,
) -> dict[str, Any]:
    arguments = f"'{account}', false, '{types}', {after}, {before}, {PAGE}, {sealed}"
    return await explained(session, f"{name} ({arguments})")


async def found(session: Session) -> dict[str, Any]:
    """Look for an event by an id that tells its place, and for one by an id that does not."""
    told, plain = f"evt_{12_345:014}abcdefg1", "evt_23456"
    return await explained(
        session,
        f"find_events ('{{{ACCOUNT},{ACCOUNT}}}', '{{f,f}}', '{{{told},{plain}}}', "
        f"'{{cus_{12_345:014},NULL}}', '{{1,NULL}}')",
    )


async def read(session: Session) -> dict[str, Any]:
    positions = ",".join(f"{ROWS - 1 - 1000 * n}" for n in range(PAGE))
    return await explained(session, f"events_at ('{ACCOUNT}', false, '{{{positions}}}', 1000000)")


async def halved(session: Session) -> dict[str, Any]:
    return await explained(session, f"positions_before (array[to_timestamp({ROWS // 30})])")


async def a_page_is_short(session: Session, name: str) -> None:
    """From either end, in the middle, up to an edge; for many events and for few of a kind."""
    for account in (ACCOUNT, "acct_rare"):
        for types in (TYPES, "{CustomerDeleted}"):
            for after, before in (
                (0, 2**63 - 1),
                (0, 30_500),
                (10_250, 2**63 - 1),
                (9_999, 30_002),
            ):
                plan = await walked(
                    session, name, account=account, types=types, after=after, before=before
                )
                assert used(plan) == {"events_pkey", "event_blocks_pkey"}
                assert plan["Actual Rows"] == PAGE, (account, types, after, before)
                assert looked_at(plan, "event_blocks") <= types.count("C") * (PAGE + 1)
                assert looked_at(plan, "events") <= ROWS - SEALED


async def every_look_up_is_short(session: Session) -> None:
    for name in WALKS:
        await a_page_is_short(session, name)
    by_id = await found(session)
    assert by_id["Actual Rows"] == 2
    assert used(by_id) == BY_ID
    assert looked_at(by_id, "events") <= 4
    assert pages(by_id) <= 6 * (WAY_DOWN_PAGES + 1)
    at = await read(session)
    assert at["Actual Rows"] == PAGE
    assert used(at) == {"events_pkey", "data_keys_pkey"}
    assert pages(at) <= 2 * PAGE * (WAY_DOWN_PAGES + 1)
    by_time = await halved(session)
    assert by_time["Actual Rows"] == 1
    assert "events_pkey" in used_with_head(by_time)
    assert looked_at(by_time, "events") <= STEPS
    assert pages(by_time) <= STEPS * (WAY_DOWN_PAGES + 1) + 1


def used_with_head(plan: dict[str, Any]) -> set[str]:
    """Return the indices of a plan that reads no table through but the one row of the head."""
    through = {
        node["Relation Name"] for node in nodes(plan) if node["Node Type"].endswith("Seq Scan")
    }
    assert through <= {"log_head"}
    return {node["Index Name"] for node in nodes(plan) if "Index Name" in node}


@pytest.mark.parametrize("rows", [0, 300, 5_500])
@pytest.mark.parametrize("analyzed", [True, False], ids=["analyzed", "not analyzed"])
async def test_plans_that_were_made_over_a_small_log_serve_a_large_one(
    keyed: Database, rows: int, analyzed: bool
) -> None:
    async with keyed.session() as session:
        await fill(session, rows=rows)
        if analyzed:
            await session.execute("ANALYZE event_store.events, event_store.event_blocks")
        await prepare(session)
        await fill(session, after=rows)
        await every_look_up_is_short(session)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT $6 + 1", "LIMIT $6 + 100000"),
        ("AND b.type = wanted.type", "AND b.type || '' = wanted.type"),
        ("e.position > greatest($4::bigint, $7)", "e.position > $4::bigint"),
    ],
    ids=["all blocks", "not by type", "all of the log"],
)
async def test_a_walk_that_reads_more_is_found_out(keyed: Database, old: str, new: str) -> None:
    async with keyed.session() as session:
        await fill(session)
        await prepare(session)
        for name in WALKS:
            sql = statement("chaching.eventstore", name)
            assert sql.count(old) == 1
            await session.execute(f"DEALLOCATE {name}")
            await session.execute(f"PREPARE {name} ({PREPARED[name]}) AS {sql.replace(old, new)}")
            with pytest.raises(AssertionError):
                await a_page_is_short(session, name)


@pytest.mark.parametrize("rows", [0, 300])
async def test_a_block_is_sealed_by_looking_at_its_own_events_only(
    keyed: Database, rows: int
) -> None:
    async with keyed.session() as session:
        await fill(session, rows=rows)
        await session.execute(FILL, ACCOUNT, rows, ROWS, RARE_ONE_IN)
        await session.execute("UPDATE event_store.log_head SET position = $1", ROWS)
        seal = statement("chaching.eventstore", "seal_blocks")
        assert await rows_read(session, seal, 1) <= BLOCK + 1
        assert await rows_read(session, seal, 5) <= 5 * BLOCK + 1
