"""A log that was audited: events of some customers, their tree, and signed checkpoints."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Final

import msgspec
from tests.eventstore.items import append_batch, item, key

from chaching.audit.growing import LEASE_NAME, GrowingTree
from chaching.audit.notes import SignedCheckpoint, SigningKey
from chaching.audit.stored import SESSION_SETTINGS
from chaching.envelope import PendingEvent, StreamKey
from chaching.eventstore.database import Database
from chaching.eventstore.lease import Lease

KEY: Final = SigningKey(bytes(range(32)))
BATCH_MAX_EVENTS: Final = 200
SHARE_OF_UPDATES: Final = 0.3
SHARE_OF_LIVE: Final = 0.5
SHARE_OF_PREFIXES: Final = 0.3
TEXTS: Final = ("", "plain", 'a "quote" and \\', "Jörg Müller", "日本語", " \n\t ", "x" * 3000)
ACCOUNTS: Final = ("acct_1", "acct_2", "acct_3")


def chance(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - chance, not a secret


class Audited(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to verify: how many events, and the checkpoints in the order of signing."""

    events: int
    signed: Sequence[SignedCheckpoint]

    @property
    def sizes(self) -> list[int]:
        return [signed.checkpoint.size for signed in self.signed]


async def append_events(database: Database, events: int, random: Random) -> None:
    """Append events of new and older customers of three accounts in both modes."""
    versions: dict[StreamKey, int] = {}
    left = events
    while left:
        batch: dict[StreamKey, PendingEvent] = {}
        while len(batch) < min(BATCH_MAX_EVENTS, left):
            stream = _stream(versions, random)
            if stream not in batch:
                version = versions.get(stream, 0)
                batch[stream] = _event(stream, version, random)
                versions[stream] = version + 1
        outcomes = await append_batch(database, *batch.values())
        assert {outcome.outcome for outcome in outcomes} == {"appended"}
        left -= len(batch)


def _stream(versions: dict[StreamKey, int], random: Random) -> StreamKey:
    if versions and random.random() < SHARE_OF_UPDATES:
        return random.choice(list(versions))
    return key(
        f"cus_{random.getrandbits(48):x}",
        account=random.choice(ACCOUNTS),
        livemode=random.random() < SHARE_OF_LIVE,
    )


def _event(stream: StreamKey, version: int, random: Random) -> PendingEvent:
    payload = {"n": random.random(), "t": random.choice(TEXTS)}
    return item(
        stream.id,
        version,
        account=stream.account,
        livemode=stream.livemode,
        payload=msgspec.json.encode(payload).decode(),
        prefix=f"P{random.getrandbits(64):x}" if random.random() < SHARE_OF_PREFIXES else None,
    )


@asynccontextmanager
async def growing_tree(
    database_url: str, signing_key: SigningKey = KEY
) -> AsyncGenerator[GrowingTree]:
    """Hold the lease of the auditor for as long as the block runs."""
    database = Database(database_url, name="tests", sessions_max=2, settings=SESSION_SETTINGS)
    await database.open()
    try:
        lease = Lease(database, LEASE_NAME, "the tests")
        held = await lease.acquire()
        assert held is not None
        yield await GrowingTree.open(database, lease, held, signing_key)
        await lease.release(held)
    finally:
        await database.close()


async def audited_log(
    database: Database, database_url: str, steps: Sequence[int], random: Random
) -> Audited:
    """Append events in steps; after each, hash them and sign a checkpoint."""
    signed: list[SignedCheckpoint] = []
    async with growing_tree(database_url) as tree:
        for events in steps:
            await append_events(database, events, random)
            await tree.catch_up()
            signed.append(await tree.sign())
    return Audited(events=sum(steps), signed=signed)
