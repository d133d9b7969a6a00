"""What was tampered with is found, and the first bad position is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Final

import msgspec
import pytest
from tests.audit import by_the_document as document
from tests.eventstore.items import append_batch, item
from tests.support.audited import (
    KEY,
    Audited,
    append_events,
    audited_log,
    chance,
    growing_tree,
)
from tests.support.tampering import (
    EVENTS,
    THIEF,
    TREE,
    Manipulation,
    rewrite_and_forget_the_checkpoints,
    rewrite_and_leave_the_checkpoints,
    rewrite_and_sign_with_another_key,
    swap_payloads,
    tampered_with,
)

from chaching.audit import verifying
from chaching.audit.findings import Finding, Verdict
from chaching.audit.notes import Checkpoint, parse_checkpoint
from chaching.audit.verifying import verify
from chaching.audit.witnesses import Kept, Witnesses
from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore

STEPS: Final = (1, 60, 200, 39, 250, 7)
ROUNDS: Final = 2
TRIES: Final = 4
GROWN_EVENTS: Final = 100
GROWTH_LIMIT_S: Final = 30.0
TRUSTED: Final = (KEY.public,)


@asynccontextmanager
async def without_triggers(database: Database) -> AsyncGenerator[None]:
    for table in ("event_store.events", "audit.runs", "audit.nodes", "audit.signed_checkpoints"):
        await database.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
    yield
    for table in ("event_store.events", "audit.runs", "audit.nodes", "audit.signed_checkpoints"):
        await database.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL")


def kept(audited: Audited, number: int = -1) -> Sequence[Kept]:
    return [Kept("kept.txt", audited.signed[number])]


async def first_bad(database: Database, kept: Sequence[Kept] = ()) -> Finding:
    verdict = await verify(database, keys=TRUSTED, kept=kept)
    assert not verdict.is_sound
    assert verdict.first_bad is not None
    return verdict.first_bad


async def test_a_log_that_nobody_touched_is_sound(database: Database, database_url: str) -> None:
    audited = await audited_log(database, database_url, STEPS, chance(1))
    told: list[tuple[int, int]] = []
    verdict = await verify(
        database,
        keys=TRUSTED,
        kept=kept(audited, 2),
        progress=lambda done, of: told.append((done, of)),
    )
    assert msgspec.structs.replace(verdict, elapsed_s=0) == Verdict(
        is_sound=True,
        events=sum(STEPS),
        signed=sum(STEPS),
        hashed=sum(STEPS),
        checkpoints=len(STEPS) + 1,
        signatures_checked=True,
        first_bad=None,
        elapsed_s=0,
    )
    assert told[-1] == (sum(STEPS), sum(STEPS))


async def test_random_manipulations_of_every_kind_are_found_where_they_begin(
    database: Database, database_url: str
) -> None:
    """A short run of what ``make tamper`` does a thousand times."""
    random = Random()  # noqa: S311 - chance, not a secret
    seed = random.getrandbits(32)
    random.seed(seed)
    audited = await audited_log(database, database_url, STEPS, random)
    for manipulation in (*EVENTS, *TREE) * ROUNDS:
        done, verdict = await tampered_with(database, audited, manipulation, random)
        assert done.is_found_by(verdict.first_bad), (seed, done, verdict.first_bad)


async def test_a_long_log_is_verified_in_stretches(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "STRETCH_EVENTS", 64)
    random = chance(2)
    audited = await audited_log(database, database_url, STEPS, random)
    for manipulation in (*EVENTS, *TREE):
        done, verdict = await tampered_with(database, audited, manipulation, random)
        assert done.is_found_by(verdict.first_bad), (done, verdict.first_bad)


# --- What each check is good for ----------------------------------------------------------------


async def tries_missed(
    database: Database, audited: Audited, manipulation: Manipulation, *, keeps: bool = True
) -> int:
    """Try a manipulation some times; return how often it was not found as it should be."""
    random, missed = chance(3), 0
    for _ in range(TRIES):
        done, verdict = await tampered_with(database, audited, manipulation, random, keeps=keeps)
        missed += not done.is_found_by(verdict.first_bad)
    return missed


def find_nothing(*_: object) -> None:
    return


async def test_leaves_that_are_not_compared_leave_the_position_open(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    audited = await audited_log(database, database_url, STEPS, chance(3))
    assert await tries_missed(database, audited, swap_payloads) == 0
    monkeypatch.setattr(verifying, "_compared", find_nothing)
    assert await tries_missed(database, audited, swap_payloads) == TRIES


async def test_roots_that_are_not_compared_let_a_rewritten_log_pass(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = Witnesses.compare

    def take(witnesses: Witnesses, size: int, root: bytes) -> None:
        compare(witnesses, size, root)

    audited = await audited_log(database, database_url, STEPS, chance(3))
    assert await tries_missed(database, audited, rewrite_and_leave_the_checkpoints) == 0
    monkeypatch.setattr(Witnesses, "compare", take)
    assert await tries_missed(database, audited, rewrite_and_leave_the_checkpoints) == TRIES


async def test_signatures_that_are_not_checked_let_a_re_signed_log_pass(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    audited = await audited_log(database, database_url, STEPS, chance(3))
    sign_again = rewrite_and_sign_with_another_key
    assert await tries_missed(database, audited, sign_again, keeps=False) == 0
    monkeypatch.setattr(Witnesses, "_fault", find_nothing)
    assert await tries_missed(database, audited, sign_again, keeps=False) == TRIES


async def test_only_a_checkpoint_kept_elsewhere_contradicts_who_forgets_the_stored_ones(
    database: Database, database_url: str
) -> None:
    audited = await audited_log(database, database_url, STEPS, chance(3))
    forget = rewrite_and_forget_the_checkpoints
    assert await tries_missed(database, audited, forget) == 0
    assert await tries_missed(database, audited, forget, keeps=False) == TRIES


# --- What else is found -------------------------------------------------------------------------


async def test_a_checkpoint_of_another_log_is_told_apart(
    database: Database, database_url: str
) -> None:
    await audited_log(database, database_url, STEPS, chance(4))
    foreign = parse_checkpoint(KEY.sign(Checkpoint(origin="chaching/x", size=1, root=bytes(32))))
    found = await first_bad(database, [Kept("other.txt", foreign)])
    assert found.what == "checkpoint_foreign"
    assert "the checkpoint in other.txt is of another log: chaching/x" in found.message


async def test_a_kept_checkpoint_must_be_signed_by_whom_one_trusts(
    database: Database, database_url: str
) -> None:
    audited = await audited_log(database, database_url, STEPS, chance(5))
    stranger = parse_checkpoint(THIEF.sign(audited.signed[2].checkpoint))
    found = await first_bad(database, [Kept("kept.txt", stranger)])
    assert (found.what, found.position, found.up_to) == ("key_unknown", None, None)
    assert found.message.startswith("the checkpoint in kept.txt is signed by a key that you did")
    assert stranger.signatures[0].key_id.hex() in found.message
    assert (await verify(database, kept=[Kept("kept.txt", stranger)])).is_sound


async def test_a_forged_note_is_named_as_the_note_and_hides_no_damage(
    database: Database, database_url: str
) -> None:
    audited = await audited_log(database, database_url, STEPS, chance(5))
    size = audited.signed[2].checkpoint.size
    note = audited.signed[2].note.replace(f"\n{size}\n", f"\n{size - 1}\n")
    forged = [Kept("kept.txt", parse_checkpoint(note))]
    found = await first_bad(database, forged)
    assert (found.what, found.position, found.up_to) == ("checkpoint_untrusted", None, None)
    assert "the checkpoint in kept.txt is not to be trusted: the signature" in found.message
    await damage(database, sum(STEPS))
    assert (await first_bad(database, forged)).position == sum(STEPS)


async def test_a_key_that_was_not_given_is_told_apart_from_damage(
    database: Database, database_url: str
) -> None:
    audited = await audited_log(database, database_url, STEPS, chance(5))
    verdict = await verify(database, keys=[THIEF.public])
    found = verdict.first_bad
    assert found is not None
    assert (found.what, found.position) == ("key_unknown", 1)
    assert audited.signed[0].signatures[0].key_id.hex() in found.message
    assert (verdict.events, verdict.signed) == (sum(STEPS), 0)
    await damage(database, sum(STEPS))
    found = (await verify(database, keys=[THIEF.public])).first_bad
    assert found is not None
    assert (found.what, found.position) == ("event_changed", sum(STEPS))


async def damage(database: Database, position: int) -> None:
    await database.execute("ALTER TABLE event_store.events DISABLE TRIGGER ALL")
    changed = "UPDATE event_store.events SET payload = '1' WHERE position = $1"
    await database.fetch(changed, position)
    await database.execute("ALTER TABLE event_store.events ENABLE TRIGGER ALL")


async def test_without_a_key_no_signature_counts_as_checked(
    database: Database, database_url: str
) -> None:
    await audited_log(database, database_url, STEPS, chance(6))
    assert not (await verify(database)).signatures_checked


async def test_what_was_never_hashed_is_told_and_sound_while_it_is_new(
    database: Database, database_url: str
) -> None:
    random = chance(7)
    await audited_log(database, database_url, [10], random)
    await append_events(database, 4, random)
    verdict = await verify(database, keys=TRUSTED)
    assert (verdict.is_sound, verdict.events, verdict.hashed, verdict.signed) == (True, 14, 10, 10)
    async with without_triggers(database):
        await database.execute(
            "UPDATE event_store.events SET recorded_at = recorded_at - interval '2 hours' "
            "WHERE position > 10"
        )
    found = await first_bad(database)
    assert (found.what, found.position, found.up_to) == ("not_signed", 11, 14)


async def test_a_log_that_was_never_audited_is_only_sound_while_it_is_new(
    database: Database,
) -> None:
    await append_events(database, 5, chance(8))
    assert (await verify(database, keys=TRUSTED)).is_sound
    async with without_triggers(database):
        await database.execute("UPDATE event_store.events SET recorded_at = '2020-01-01Z'")
    assert (await first_bad(database)).what == "not_signed"


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("ALTER TABLE event_store.events DISABLE TRIGGER ALL", "events_refuse_change"),
        ("DROP TRIGGER nodes_refuse_change ON audit.nodes", "nodes_refuse_change"),
        (
            "ALTER TABLE event_store.events DROP CONSTRAINT events_stream_version_key",
            "events_stream_version_key",
        ),
        ("ALTER TABLE audit.runs ENABLE ROW LEVEL SECURITY", "audit.runs as a plain table"),
        (
            "CREATE RULE hide AS ON UPDATE TO event_store.events DO INSTEAD NOTHING",
            "event_store.events as a plain table",
        ),
    ],
)
async def test_a_guard_that_is_off_is_named(
    database: Database, database_url: str, sql: str, named: str
) -> None:
    await audited_log(database, database_url, [5], chance(9))
    await database.execute(sql)
    found = await first_bad(database)
    assert (found.what, found.position) == ("guard_missing", None)
    assert found.message.endswith(named)


async def test_a_version_that_stands_twice_is_named_where_no_key_forbids_it(
    database: Database,
) -> None:
    await append_batch(database, item("cus_1"), item("cus_2"))
    await append_batch(database, item("cus_1", 1))
    await database.execute(
        "ALTER TABLE event_store.events DROP CONSTRAINT events_stream_version_key"
    )
    await database.execute(
        "INSERT INTO event_store.events SELECT 4, account, livemode, stream, version, "
        "previous_position, 'evt_x', type, schema_version, payload, state, metadata, NULL, "
        "recorded_at FROM event_store.events WHERE position = 3"
    )
    await database.execute("UPDATE event_store.log_head SET position = 4")
    found = await first_bad(database)
    assert (found.what, found.position) == ("event_out_of_order", 4)


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("UPDATE event_store.log_head SET position = position + 1", "log_shortened"),
        ("UPDATE event_store.log_head SET position = position - 1", "event_beyond_head"),
        ("DELETE FROM event_store.log_head", "tree_changed"),
        ("INSERT INTO audit.nodes VALUES (12, 7, sha256('x'))", "tree_changed"),
        ("UPDATE event_store.checkpoints SET position = 3 WHERE name = 'audit'", "tree_changed"),
        ("UPDATE audit.runs SET format = 2", "tree_changed"),
        ("DELETE FROM audit.signed_checkpoints WHERE number = 1", "checkpoint_missing"),
        ("UPDATE audit.signed_checkpoints SET number = 9 WHERE number = 1", "checkpoint_missing"),
    ],
)
async def test_what_does_not_fit_together_is_found(
    database: Database, database_url: str, sql: str, what: str
) -> None:
    await audited_log(database, database_url, [5, 5], chance(10))
    async with without_triggers(database):
        await database.execute(sql)
    assert (await first_bad(database)).what == what


async def test_a_log_that_grows_meanwhile_is_verified_as_far_as_it_went(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "STRETCH_EVENTS", 8)
    random = chance(11)
    stop = asyncio.Event()

    async def grow() -> None:
        async with growing_tree(database_url) as tree:
            while not stop.is_set():
                await append_events(database, 5, random)
                await tree.catch_up()
                await tree.sign()

    growing = asyncio.create_task(grow())
    sizes: list[int] = []
    try:
        async with asyncio.timeout(GROWTH_LIMIT_S):
            while not sizes or sizes[-1] < GROWN_EVENTS:
                verdict = await verify(database, keys=TRUSTED)
                assert verdict.first_bad is None
                sizes.append(verdict.events)
    finally:
        stop.set()
        await growing
    assert sizes == sorted(sizes)


async def test_an_event_that_the_function_stores_is_always_in_order(
    database: Database, database_url: str, store: EventStore
) -> None:
    """The smallest log there is, through the store as the gateway uses it."""
    await append_events(database, 1, chance(12))
    async with growing_tree(database_url) as tree:
        await tree.catch_up()
        signed = await tree.sign()
    assert signed.checkpoint.size == await store.head() == 1
    assert document.opened(signed.note, KEY.public.verifier(signed.checkpoint.origin))[1] == 1
    assert (await verify(database, keys=TRUSTED)).is_sound
