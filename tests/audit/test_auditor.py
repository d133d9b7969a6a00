"""The auditor's process: whatever happens to it, the tree is that of the log, and signed."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest
from tests.support.audited import KEY, append_events, audited_log, chance
from tests.support.auditors import IN_A_HURRY, AuditorProcess, auditor_process
from tests.support.keyrings import KEYRING
from tests.support.running import running
from tests.support.waiting import eventually

from chaching.audit.asking import FreshCheckpoints
from chaching.audit.notes import SigningKey, parse_checkpoint
from chaching.audit.stored import newest_checkpoint, tree_end
from chaching.audit.verifying import verify
from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore
from chaching_api.auditor import SIGN_EVERY_S, Auditor

KILLS: Final = 5
BURST_EVENTS: Final = 40
ASK_LIMIT_S: Final = 20.0
ASKED_LIMIT_S: Final = SIGN_EVERY_S * 0.8  # else nobody need have asked
SOON_S: Final = 0.2


async def size(database: Database) -> int:
    return (await tree_end(database)).size


async def signed_size(database: Database) -> int:
    newest = await newest_checkpoint(database)
    return -1 if newest is None else newest.checkpoint.size


async def test_the_tree_is_whole_after_the_auditor_was_killed_at_random(
    database: Database, database_url: str, store: EventStore, tmp_path: Path
) -> None:
    random = chance(1)

    async def append() -> None:
        while True:
            await append_events(database, random.randint(1, BURST_EVENTS), random)
            await asyncio.sleep(0)

    log = tmp_path / "auditor.log"
    async with auditor_process(database_url, log, IN_A_HURRY) as auditor:
        async with running(append()):
            for _ in range(KILLS):
                before = await size(database)
                await eventually(lambda n=before: _grew(database, n), "the tree grows")
                await auditor.kill()
                auditor.start()
        head = await store.head()
        await FreshCheckpoints(database, ask_limit_s=ASK_LIMIT_S).of_size(head)
        verdict = await verify(database, keys=[KEY.public])
    assert (verdict.first_bad, verdict.signed) == (None, head)


async def _grew(database: Database, before: int) -> bool:
    return await size(database) > before


async def test_who_asks_gets_a_checkpoint_of_all_there_is(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    random = chance(2)
    async with auditor_process(database_url, tmp_path / "auditor.log") as auditor:
        await eventually(lambda: _is_signed(database, 0), "the empty log is signed")
        fresh = FreshCheckpoints(database, ask_limit_s=ASKED_LIMIT_S)
        for events in (3, 1, 5):
            await append_events(database, events, random)
            answers = await asyncio.gather(*(fresh.newest() for _ in range(20)))
            assert {a and a.checkpoint.size for a in answers} == {await size(database)}
        lines = auditor.said("checkpoint_signed")
    assert [line["size"] for line in lines] == [0, 3, 4, 9]
    for line in lines:
        signed = parse_checkpoint(line["note"])
        signed.check([KEY.public])
        assert signed.checkpoint.size == line["size"]
        assert signed.checkpoint.root.hex() == line["root_hash"]


async def _is_signed(database: Database, at_least: int) -> bool:
    return await signed_size(database) >= at_least


async def test_without_the_auditor_the_newest_checkpoint_must_do(
    database: Database, database_url: str
) -> None:
    random = chance(3)
    fresh = FreshCheckpoints(database, ask_limit_s=SOON_S)
    assert await fresh.newest() is None
    await audited_log(database, database_url, [4], random)
    await append_events(database, 2, random)
    newest = await fresh.newest()
    assert newest is not None
    assert newest.checkpoint.size == 4


async def test_nobody_need_ask_for_a_checkpoint(database: Database, database_url: str) -> None:
    assert SIGN_EVERY_S <= 60
    random = chance(4)
    async with running(Auditor(database_url, KEY, sign_every_s=SOON_S).run()):
        for events in (3, 2):
            await append_events(database, events, random)
            head = await EventStore(database, KEYRING).head()
            await eventually(lambda n=head: _is_signed(database, n), f"{head} events are signed")
    assert (await verify(database, keys=[KEY.public])).is_sound


async def test_another_auditor_takes_over_from_one_that_is_killed(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        first = AuditorProcess(database_url, tmp_path / "first.log", words=IN_A_HURRY)
        first.start()
        stack.push_async_callback(first.end)
        await eventually(lambda: _is_signed(database, 0), "the first one leads")
        second = auditor_process(database_url, tmp_path / "second.log", IN_A_HURRY)
        await stack.enter_async_context(second)
        await first.kill()
        await append_events(database, 7, chance(5))
        newest = await FreshCheckpoints(database, ask_limit_s=ASK_LIMIT_S).newest()
    assert newest is not None
    assert newest.checkpoint.size == 7
    assert (await verify(database, keys=[KEY.public])).is_sound


async def test_an_auditor_that_finds_a_broken_tree_says_so_and_ends(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await audited_log(database, database_url, [5, 5], chance(6))
    await database.execute("ALTER TABLE audit.runs DISABLE TRIGGER ALL")
    await database.execute("DELETE FROM audit.runs WHERE first_position > 5")
    auditor = AuditorProcess(database_url, tmp_path / "auditor.log")
    auditor.start()
    assert await asyncio.wait_for(auditor.wait(), ASK_LIMIT_S) == 1
    [line] = auditor.said("tree_broken")
    assert line["reason"] == "the tree ends at 5, its follower at 10"
    assert await signed_size(database) == 10


@pytest.mark.parametrize("seed", ["", "no key", "A" * 43])
async def test_an_auditor_without_a_key_does_not_start(
    database_url: str, tmp_path: Path, seed: str
) -> None:
    auditor = AuditorProcess(database_url, tmp_path / "auditor.log", seed=seed)
    auditor.start()
    assert await asyncio.wait_for(auditor.wait(), ASK_LIMIT_S) == 1
    said = auditor.log.read_text()
    assert said.startswith("chaching: AUDIT_SIGNING_KEY is not")
    assert said.count("\n") == 1
    assert not seed or seed not in said


async def test_the_auditor_works_with_the_rights_of_its_role(
    database: Database, database_url: str
) -> None:
    await append_events(database, 300, chance(7))
    key = SigningKey(bytes(range(32)))
    async with running(Auditor(f"{database_url}?role=chaching_auditor", key).run()):
        await eventually(lambda: _is_signed(database, 300), "the log is signed")
    assert (await verify(database, keys=[key.public])).is_sound
