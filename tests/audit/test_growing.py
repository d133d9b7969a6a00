"""The tree is that of the log, in whatever steps it grew, and signs nothing that contradicts it."""

from __future__ import annotations

from typing import Final

import pytest
from tests.audit import by_the_document as document
from tests.support.audited import KEY, append_events, audited_log, chance, growing_tree

from chaching.audit.growing import LEASE_NAME, RUN_MAX_EVENTS, GrowingTree
from chaching.audit.hashing import EMPTY_ROOT
from chaching.audit.notes import SigningKey
from chaching.audit.stored import (
    SESSION_SETTINGS,
    TreeBroken,
    copy_rows,
    cut_hashes,
    newest_checkpoint,
    proofs,
    tree_end,
)
from chaching.audit.tree import consistency_spans, inclusion_spans
from chaching.audit.verifying import verify
from chaching.eventstore.database import Database
from chaching.eventstore.errors import Fenced
from chaching.eventstore.lease import Lease

OTHER: Final = SigningKey(bytes(range(50, 82)))
STEPS: Final = (1, 3, 252, 256, 1, 300)
CHANGE_LAST_LEAF: Final = """
    UPDATE audit.runs SET leaf_hashes =
        overlay(leaf_hashes PLACING sha256('x') FROM octet_length(leaf_hashes) - 31)
"""
SCANNED: Final = "SELECT sum(seq_scan) FROM pg_stat_xact_user_tables WHERE schemaname = 'audit'"


async def leaves_of(database: Database) -> list[bytes]:
    """Return the leaves as the document has them, from the log."""
    entries: list[bytes] = []
    async with database.session() as session:
        await copy_rows(session, 0, 2**62, lambda rows: entries.extend(r.entry for r in rows))
    return [document.leaf(entry) for entry in entries]


async def test_the_stored_tree_is_the_documents_after_every_step(
    database: Database, database_url: str
) -> None:
    random, leaves = chance(1), list[bytes]()
    async with growing_tree(database_url) as tree:
        for events in STEPS:
            await append_events(database, events, random)
            await tree.catch_up()
            signed = await tree.sign()
            leaves = await leaves_of(database)
            assert tree.size == signed.checkpoint.size == len(leaves)
            assert signed.checkpoint.root == document.root(leaves)
    rows = await database.fetch("SELECT leaf_hashes FROM audit.runs ORDER BY first_position")
    assert [leaf for row in rows for leaf in cut_hashes(row[0])] == leaves
    end = await tree_end(database)
    assert (end.size, end.chain) == (sum(STEPS), document.links(leaves)[-1])
    for level, number, found in await database.fetch("SELECT * FROM audit.nodes"):
        assert found == document.root(leaves[number << level :][: 1 << level])
    [row] = await database.fetch("SELECT count(*) FROM audit.nodes")
    assert row[0] == 3 + 1  # three blocks, two of them under a node


async def test_proofs_from_the_store_are_the_documents(
    database: Database, database_url: str
) -> None:
    await audited_log(database, database_url, STEPS, chance(2))
    leaves, random = await leaves_of(database), chance(3)
    sizes = sorted(random.sample(range(1, len(leaves) + 1), 12))
    pairs = [(random.randrange(size), size) for size in sizes]
    found = await proofs(database, [inclusion_spans(index, size) for index, size in pairs])
    assert found == [document.inclusion(index, leaves[:size]) for index, size in pairs]
    pairs = [(random.randrange(size), size) for size in sizes]
    found = await proofs(database, [consistency_spans(smaller, size) for smaller, size in pairs])
    assert found == [document.consistency(smaller, leaves[:size]) for smaller, size in pairs]


async def test_a_long_log_is_hashed_in_runs_of_bounded_length(
    database: Database, database_url: str
) -> None:
    await append_events(database, RUN_MAX_EVENTS + 5, chance(4))
    async with growing_tree(database_url) as tree:
        await tree.catch_up()
    rows = await database.fetch("SELECT octet_length(leaf_hashes) / 32 FROM audit.runs ORDER BY 1")
    assert [row[0] for row in rows] == [5, RUN_MAX_EVENTS]


async def test_the_next_holder_goes_on_where_the_last_one_ended(
    database: Database, database_url: str
) -> None:
    random = chance(5)
    for events in STEPS:
        await append_events(database, events, random)
        async with growing_tree(database_url) as tree:
            await tree.catch_up()
            await tree.sign()
    assert (await verify(database, keys=[KEY.public])).is_sound


async def test_an_empty_log_can_be_signed(database: Database, database_url: str) -> None:
    async with growing_tree(database_url) as tree:
        await tree.catch_up()
        assert not tree.is_signed
        signed = await tree.sign()
        assert tree.is_signed
        assert (signed.checkpoint.size, signed.checkpoint.root) == (0, EMPTY_ROOT)
    verdict = await verify(database, keys=[KEY.public])
    assert (verdict.first_bad, verdict.events, verdict.checkpoints) == (None, 0, 1)


async def test_what_is_signed_must_be_signed_anew_after_growth_or_with_another_key(
    database: Database, database_url: str
) -> None:
    await audited_log(database, database_url, [5], chance(6))
    async with growing_tree(database_url) as tree:
        assert tree.is_signed
        await append_events(database, 1, chance(7))
        await tree.catch_up()
        assert not tree.is_signed
        await tree.sign()
    async with growing_tree(database_url, OTHER) as tree:
        assert not tree.is_signed
        await tree.sign()
        assert tree.is_signed
    assert (await verify(database, keys=[KEY.public, OTHER.public])).is_sound
    assert not (await verify(database, keys=[OTHER.public])).is_sound


async def test_a_log_with_a_new_id_gets_checkpoints_of_its_own(
    database: Database, database_url: str
) -> None:
    await audited_log(database, database_url, [5], chance(8))
    await database.execute("UPDATE event_store.log_head SET log_id = gen_random_uuid()")
    async with growing_tree(database_url) as tree:
        assert not tree.is_signed
        signed = await tree.sign()
    rows = await database.fetch("SELECT note FROM audit.signed_checkpoints ORDER BY number")
    assert [row[0].split("\n")[0] == signed.checkpoint.origin for row in rows] == [False, True]
    assert (await verify(database, keys=[KEY.public])).is_sound


async def test_a_holder_that_was_replaced_neither_stores_nor_signs(database: Database) -> None:
    await append_events(database, 3, chance(9))
    lease = Lease(database, LEASE_NAME, "first", silence_max_s=0)
    held = await lease.acquire()
    assert held is not None
    first = await GrowingTree.open(database, lease, held, KEY)
    lease = Lease(database, LEASE_NAME, "second", silence_max_s=0)
    held = await lease.acquire()
    assert held is not None
    second = await GrowingTree.open(database, lease, held, KEY)
    with pytest.raises(Fenced):
        await first.catch_up()
    await second.catch_up()
    with pytest.raises(Fenced):
        await first.sign()
    assert (await tree_end(database)).size == 3
    assert await newest_checkpoint(database) is None


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("UPDATE event_store.checkpoints SET position = 7 WHERE name = 'audit'", "follower at 7"),
        ("DELETE FROM audit.runs WHERE first_position > 5", "the tree ends at 5"),
        (CHANGE_LAST_LEAF, "not what was signed"),
        ("UPDATE audit.nodes SET hash = sha256('x') WHERE level = 9", "not what was signed"),
        ("DELETE FROM audit.nodes", "a stored node is missing"),
        ("UPDATE audit.signed_checkpoints SET note = 'x'", "is not one"),
        (
            "UPDATE audit.signed_checkpoints SET note = replace(note, E'\\n600\\n', E'\\n599\\n')",
            "signature of .* is wrong",
        ),
    ],
)
async def test_a_tree_that_was_tampered_with_is_not_built_upon(
    database: Database, database_url: str, sql: str, says: str
) -> None:
    # 777: its last block is not complete, so that its leaves are needed
    await audited_log(database, database_url, [5, 595 if "600" in sql else 772], chance(10))
    async with database.session() as session:
        await session.execute("SET session_replication_role = replica")
        assert await session.execute(sql)
        await session.execute("RESET session_replication_role")
    with pytest.raises(TreeBroken, match=says):
        async with growing_tree(database_url):
            pass


async def test_a_gap_in_the_log_stops_the_tree(database: Database, database_url: str) -> None:
    await append_events(database, 10, chance(11))
    await database.execute("ALTER TABLE event_store.events DISABLE TRIGGER ALL")
    await database.execute("DELETE FROM event_store.events WHERE position = 10")
    async with growing_tree(database_url) as tree:
        with pytest.raises(TreeBroken, match="position 10 is not in the log"):
            await tree.catch_up()
    await database.execute("DELETE FROM event_store.events WHERE position = 4")
    async with growing_tree(database_url) as tree:
        with pytest.raises(TreeBroken, match="position 4 is not in the log"):
            await tree.catch_up()
    assert (await tree_end(database)).size == 0


async def test_proofs_read_no_table_through(database: Database, database_url: str) -> None:
    await audited_log(database, database_url, STEPS, chance(12))
    await database.execute("ANALYZE audit.runs, audit.nodes")
    keyed = Database(database_url, name="tests", sessions_max=1, settings=SESSION_SETTINGS)
    await keyed.open()
    async with keyed.session() as session:
        await session.execute("BEGIN")
        [before] = await session.fetch(SCANNED)
        for index in (0, 400, 812):
            await proofs(session, [inclusion_spans(index, 813), consistency_spans(5, 813)])
        await tree_end(session)
        await newest_checkpoint(session)
        [after] = await session.fetch(SCANNED)
        await session.execute("ROLLBACK")
    await keyed.close()
    assert after[0] == before[0]
