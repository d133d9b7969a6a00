"""Answers kept under idempotency keys: with their events or not at all, and found for a day."""

from __future__ import annotations

import asyncio

import pytest
from tests.eventstore.items import (
    answer_alone,
    answered,
    append_batch,
    appended,
    conflict,
    item,
    keeping,
    kept_alone,
    key,
    taken,
)
from tests.support.keyrings import KEYRING

from chaching.eventstore.database import Database
from chaching.eventstore.errors import AlreadyAnswered, Conflict
from chaching.eventstore.store import FORGET_BATCH_MAX_KEYS, EventStore

OLD_AND_YOUNG = """
    INSERT INTO event_store.idempotency_keys
    SELECT 'acct_1', false, 'key_' || n, 'cus_1', sha256('a'), 'req_1', '{}',
           clock_timestamp() - make_interval(hours => CASE WHEN n <= $1 THEN 25 ELSE 23 END)
    FROM generate_series(1, $2::integer) AS n
"""


async def keys_in(database: Database) -> list[str]:
    rows = await database.fetch("SELECT key FROM event_store.idempotency_keys ORDER BY key")
    return [row[0] for row in rows]


async def test_a_key_is_answered_once_and_then_with_what_it_was_answered(
    database: Database,
) -> None:
    first = item("cus_1", kept=keeping("k", answer=b'{"n":1}'))
    again = item("cus_2", kept=keeping("k", answer=b'{"n":2}', request="req_2"))
    assert await append_batch(database, first) == [appended(1, 1)]
    assert await append_batch(database, again) == [answered(0, "req_1", '{"n":1}')]
    [row] = await database.fetch("SELECT count(*), max(position) FROM event_store.events")
    assert tuple(row) == (1, 1)


async def test_a_key_that_was_answered_comes_before_every_other_verdict(
    database: Database,
) -> None:
    await append_batch(database, item("cus_1", prefix="ACME", kept=keeping("k")))
    stale = item("cus_1", kept=keeping("k", request="req_2"))
    claiming = item("cus_2", prefix="ACME", kept=keeping("k", request="req_3"))
    assert await append_batch(database, stale) == [answered(1, "req_1", "{}")]
    [outcome] = await append_batch(database, claiming)
    assert (outcome.outcome, outcome.request_id, outcome.answer) == ("answered", "req_1", "{}")


async def test_what_is_refused_keeps_no_answer(database: Database) -> None:
    await append_batch(database, item("cus_1", prefix="ACME"))
    outcomes = await append_batch(
        database,
        item("cus_1", kept=keeping("stale")),
        item("cus_2", prefix="ACME", kept=keeping("taken")),
        answer_alone("cus_3", 1, keeping("alone")),
        item("cus_4", kept=keeping("good")),
    )
    assert outcomes == [conflict(1), taken(0, "cus_1"), conflict(0), appended(2, 1)]
    assert await keys_in(database) == ["good"]


async def test_an_answer_alone_is_kept_and_takes_no_position(database: Database) -> None:
    outcomes = await append_batch(
        database,
        item("cus_1"),
        answer_alone("cus_2", 0, keeping("k1", answer=b"{}")),
        item("cus_3"),
    )
    assert outcomes == [appended(1, 1), kept_alone(0), appended(2, 1)]
    again = answer_alone("cus_2", 0, keeping("k1", request="req_2"))
    assert await append_batch(database, again) == [answered(0, "req_1", "{}")]


async def test_a_retry_of_the_same_request_finds_what_it_stored(database: Database) -> None:
    event = item("cus_1", kept=keeping("k1"))
    alone = answer_alone("cus_2", 0, keeping("k2"))
    assert await append_batch(database, event, alone) == [appended(1, 1), kept_alone(0)]
    assert await append_batch(database, event, alone) == [appended(1, 1), kept_alone(0)]


async def test_accounts_and_modes_have_keys_of_their_own(database: Database) -> None:
    outcomes = await append_batch(
        database,
        item("cus_1", kept=keeping("k")),
        item("cus_1", kept=keeping("k"), livemode=True),
        item("cus_1", kept=keeping("k"), account="acct_2"),
    )
    assert outcomes == [appended(1, 1), appended(2, 1), appended(3, 1)]


async def test_of_many_appends_with_one_key_exactly_one_is_stored(
    database: Database, store: EventStore
) -> None:
    other = EventStore(database, KEYRING)
    results = await asyncio.gather(
        *(
            (store, other)[n % 2].append(
                item(f"cus_{n}", kept=keeping("k", answer=b"%d" % n, request=f"req_{n}"))
            )
            for n in range(40)
        ),
        return_exceptions=True,
    )
    [position] = [n for n, result in enumerate(results) if not isinstance(result, Exception)]
    for n, result in enumerate(results):
        if n != position:
            assert isinstance(result, AlreadyAnswered)
            assert (result.request_id, result.answer) == (f"req_{position}", b"%d" % position)
    assert await store.head() == 1


async def test_the_store_tells_what_a_key_was_answered_with(store: EventStore) -> None:
    assert await store.find_answer(key("cus_1"), "k") is None
    await store.append(item("cus_1", kept=keeping("k", asked=b"q", answer=b'{"a":"\xc3\xa9"}')))
    found = await store.find_answer(key("cus_9"), "k")
    assert found is not None
    assert (found.request_id, found.fingerprint) == ("req_1", b"q" * 32)
    assert found.answer == b'{"a":"\xc3\xa9"}'
    assert await store.find_answer(key("cus_1", livemode=True), "k") is None
    assert await store.find_answer(key("cus_1", account="acct_2"), "k") is None


async def test_an_answer_alone_is_refused_when_the_customer_moved_on(store: EventStore) -> None:
    await store.append(item("cus_1"))
    await store.append(item("cus_1", 1))
    with pytest.raises(Conflict):
        await store.keep(answer_alone("cus_1", 1, keeping("k")))
    await store.keep(answer_alone("cus_1", 2, keeping("k")))
    assert await store.find_answer(key("cus_1"), "k") is not None


async def test_keys_older_than_a_day_are_forgotten_and_younger_ones_never(
    database: Database, store: EventStore
) -> None:
    old = FORGET_BATCH_MAX_KEYS + 5
    await database.execute(OLD_AND_YOUNG, old, old + 7)
    assert await store.forget_idempotency_keys() == FORGET_BATCH_MAX_KEYS
    assert await store.forget_idempotency_keys() == 5
    assert await store.forget_idempotency_keys() == 0
    assert await keys_in(database) == sorted(f"key_{old + n}" for n in range(1, 8))


async def test_gateways_that_forget_at_the_same_time_share_the_work(
    database: Database, store: EventStore
) -> None:
    await database.execute(OLD_AND_YOUNG, 3 * FORGET_BATCH_MAX_KEYS, 3 * FORGET_BATCH_MAX_KEYS)
    counts = await asyncio.gather(*(store.forget_idempotency_keys() for _ in range(4)))
    assert sum(counts) == 3 * FORGET_BATCH_MAX_KEYS
    assert await keys_in(database) == []


async def test_a_key_is_found_by_an_index_whatever_the_size_of_the_table(
    database: Database, store: EventStore
) -> None:
    await database.execute(OLD_AND_YOUNG, 0, 20_000)
    async with database.session() as session:
        await session.execute("SET plan_cache_mode = force_generic_plan")
        [before] = await session.fetch(READ_SO_FAR)
        fresh = [item(f"cus_{n}", kept=keeping(f"fresh_{n}")) for n in range(100)]
        known = [item(f"old_{n}", kept=keeping(f"key_{n + 1}")) for n in range(100)]
        outcomes = await append_batch(session, *fresh, *known)
        [after] = await session.fetch(READ_SO_FAR)
    assert [outcome.outcome for outcome in outcomes] == ["appended"] * 100 + ["answered"] * 100
    assert after["scans"] == before["scans"]
    assert after["rows"] - before["rows"] <= 2 * len(outcomes)
    assert await store.head() == 100


READ_SO_FAR = """
    SELECT coalesce(sum(seq_scan), 0)::bigint AS scans,
           coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::bigint AS rows
    FROM pg_stat_xact_user_tables
    WHERE relid = 'event_store.idempotency_keys'::regclass
"""
