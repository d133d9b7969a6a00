"""A page is a few steps along one index, wherever it begins and whenever its plan was made."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from tests.eventstore.items import ACCOUNT
from tests.eventstore.test_query_plans import nodes

from chaching.eventstore.database import Database, Session
from chaching.eventstore.statements import statement

ROWS: Final = 20_000
EMAILS: Final = 47
PAGE_ROWS: Final = 11
LEFT_OUT_ROWS: Final = 50
# the way down two indices and, at worst, a block of the table for every row
PAGE_BLOCKS: Final = PAGE_ROWS + 10
TAIL_EVENTS: Final = 100

PAGE_TYPES: Final = "text, boolean, text, bigint, text, bigint, text, text[], bigint"
STATEMENTS: Final = {
    "list_from_newest": "customers_created_idx",
    "list_from_oldest": "customers_created_idx",
    "list_email_from_newest": "customers_email_created_idx",
    "list_email_from_oldest": "customers_email_created_idx",
}

# a hundred to a second, every fifth on a clock, every seventh deleted
FILL: Final = """
    INSERT INTO read_model.customers
        (account, livemode, id, version, position, created, deleted, email, test_clock, body,
         attached)
    SELECT $1, false, 'cus_' || lpad(n::text, 6, '0'), 1, n, n / 100, n % 7 = 0,
           CASE WHEN n % 7 > 0 THEN 'e' || n % $4 || '@x.io' END,
           CASE WHEN n % 5 = 0 THEN 'clock_1' END, repeat('x', 500), '{}'
    FROM generate_series($2::bigint + 1, $3::bigint) AS n
"""
LIVING: Final = """
    SELECT id
    FROM read_model.customers
    WHERE test_clock IS NULL AND NOT deleted AND ($1 OR email = 'e3@x.io')
    ORDER BY created, id
"""
FILL_LOG: Final = """
    INSERT INTO event_store.events
    SELECT n, $1, false, 'cus_' || (n + 1) / 2, 2 - n % 2,
           CASE WHEN n % 2 = 1 THEN 0 ELSE n - 1 END, 'evt_' || n, 'CustomerUpdated', 1, '{}',
           '{}', '{}', NULL, now()
    FROM generate_series($2::bigint + 1, $3::bigint) AS n
"""


async def fill(
    database: Database, *, after: int = 0, rows: int = ROWS, emails: int = EMAILS
) -> None:
    await database.execute(FILL, ACCOUNT, after, rows, emails)


async def prepare(session: Session) -> None:
    """Prepare every statement and run it, so that its plan is kept from now on."""
    for name in STATEMENTS:
        types = f"{PAGE_TYPES}, text" if "email" in name else PAGE_TYPES
        sql = statement("chaching_api.reads", name)
        await session.execute(f"PREPARE {name} ({types}) AS {sql}")
        await explained(session, name, after=0, before=1)


async def explained(
    session: Session, name: str, *, after: int, before: int, clock: str = "", left_out: str = "{}"
) -> dict[str, Any]:
    """Run a page; return the plan with what it really read."""
    email = ", 'e3@x.io'" if "email" in name else ""
    [row] = await session.fetch(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE {name} ('{ACCOUNT}', false, '{clock}', "
        f"{after}, 'cus_', {before}, 'cus_', '{left_out}', {PAGE_ROWS}{email})"
    )
    plan: dict[str, Any] = json.loads(row[0])[0]["Plan"]
    return plan


def blocks(plan: dict[str, Any]) -> int:
    read: int = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return read


def check(name: str, plan: dict[str, Any], *, left_out: int = 0) -> None:
    kinds = {node["Node Type"] for node in nodes(plan)}
    assert kinds <= {"Limit", "Index Scan", "Function Scan"}, name
    indices = {node["Index Name"] for node in nodes(plan) if "Index Name" in node}
    assert indices == {STATEMENTS[name]}
    assert plan["Actual Rows"] == PAGE_ROWS, name
    assert blocks(plan) <= PAGE_BLOCKS + left_out, (name, blocks(plan))


async def pages_are_short_walks(session: Session) -> None:
    """From either end, from the middle and up to it, with a clock and without."""
    for name in STATEMENTS:
        for clock in ("", "clock_1"):
            for after, before in ((-1, 10**9), (-1, 100), (100, 10**9), (60, 140)):
                check(name, await explained(session, name, after=after, before=before, clock=clock))


@pytest.mark.parametrize(
    ("rows", "emails"),
    [(0, EMAILS), (2, EMAILS), (60, EMAILS), (300, EMAILS), (300, 1), (5_000, 1), (5_000, EMAILS)],
)
@pytest.mark.parametrize("analyzed", [True, False], ids=["analyzed", "not analyzed"])
async def test_plans_that_were_made_over_few_or_like_customers_serve_many(
    keyed: Database, rows: int, emails: int, analyzed: bool
) -> None:
    await fill(keyed, rows=rows, emails=emails)
    if analyzed:
        await keyed.execute("ANALYZE read_model.customers")
    async with keyed.session() as session:
        await prepare(session)
        await session.execute(FILL, ACCOUNT, rows, ROWS, EMAILS)
        await pages_are_short_walks(session)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (
            "list_from_newest",
            "(c.created, c.id) < ($6, $7)",
            "(c.created < $6 OR c.created = $6 AND c.id < $7)",
        ),
        ("list_from_oldest", "ORDER BY c.created, c.id", "ORDER BY c.created + 0, c.id"),
        ("list_email_from_newest", "c.email COLLATE", "c.email || '' COLLATE"),
    ],
    ids=["not begun at its place", "sorted", "not by email"],
)
async def test_a_page_that_reads_more_is_found_out(
    keyed: Database, name: str, old: str, new: str
) -> None:
    await fill(keyed)
    async with keyed.session() as session:
        await prepare(session)
        sql = statement("chaching_api.reads", name)
        assert sql.count(old) == 1
        types = f"{PAGE_TYPES}, text" if "email" in name else PAGE_TYPES
        await session.execute(f"DEALLOCATE {name}")
        await session.execute(f"PREPARE {name} ({types}) AS {sql.replace(old, new)}")
        with pytest.raises(AssertionError):
            await pages_are_short_walks(session)


async def test_customers_of_the_tail_make_a_page_longer_by_no_more_than_their_number(
    keyed: Database,
) -> None:
    await fill(keyed)
    async with keyed.session() as session:
        await prepare(session)
        for name in STATEMENTS:
            rows = await session.fetch(LIVING, "email" not in name)
            rows = rows[-LEFT_OUT_ROWS:] if "newest" in name else rows[:LEFT_OUT_ROWS]
            assert len(rows) == LEFT_OUT_ROWS
            left_out = "{" + ",".join(row["id"] for row in rows) + "}"
            plan = await explained(session, name, after=-1, before=10**9, left_out=left_out)
            check(name, plan, left_out=LEFT_OUT_ROWS)


# --- The tail -----------------------------------------------------------------------------------


async def tail(session: Session) -> dict[str, Any]:
    [row] = await session.fetch(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
        f"EXECUTE list_tail ('{ACCOUNT}', false, {TAIL_EVENTS}, 1000000)"
    )
    plan: dict[str, Any] = json.loads(row[0])[0]["Plan"]
    return plan


@pytest.mark.parametrize("rows", [0, 2, 60, 300])
@pytest.mark.parametrize("lag", [0, 10, ROWS], ids=lambda lag: f"{lag} behind")
async def test_a_tail_looks_at_its_events_and_no_further(
    keyed: Database, rows: int, lag: int
) -> None:
    async with keyed.session() as session:
        await session.execute(FILL_LOG, ACCOUNT, 0, rows)
        await session.execute("ANALYZE event_store.events")
        await session.execute(
            "PREPARE list_tail (text, boolean, bigint, bigint) AS "
            + statement("chaching_api.reads", "list_tail")
        )
        await tail(session)
        await session.execute(FILL_LOG, ACCOUNT, rows, ROWS)
        await session.execute("UPDATE event_store.log_head SET position = $1", ROWS)
        await session.execute("UPDATE event_store.checkpoints SET position = $1", ROWS - lag)
        await session.execute(
            "INSERT INTO read_model.parked_streams VALUES ($1, false, 'cus_9', 1, 1, 'a test')",
            ACCOUNT,
        )
        plan = await tail(session)
    used = {node["Index Name"] for node in nodes(plan) if node.get("Relation Name") == "events"}
    assert used == {"events_pkey", "events_stream_version_key"}
    assert "Seq Scan" not in {
        node["Node Type"] for node in nodes(plan) if node.get("Relation Name") != "log_head"
    }
    assert plan["Actual Rows"] == 1 + min(lag, TAIL_EVENTS) // 2
    assert blocks(plan) <= 40 + 6 * min(lag, TAIL_EVENTS)
