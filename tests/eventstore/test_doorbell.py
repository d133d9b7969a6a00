from __future__ import annotations

import asyncio
import time

from tests.support.running import running
from tests.support.waiting import LIMIT_S, eventually

from chaching.eventstore.database import Database
from chaching.eventstore.doorbell import CHANNEL, DEBOUNCE_S, Doorbell, listening

RINGS = 500
QUIET_S = 0.2


class Count:
    """How often something was called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1

    async def reaches(self, number: int) -> None:
        async def has() -> bool:
            return self.calls >= number

        await eventually(has, f"{number} calls")


async def test_a_ring_wakes_whoever_listens(database: Database) -> None:
    doorbell = Doorbell(database)
    async with (
        running(doorbell.run()),
        listening(database) as first,
        listening(database) as second,
    ):
        started_s = time.monotonic()
        doorbell.ring()
        await asyncio.gather(first.wait(LIMIT_S), second.wait(LIMIT_S))
        assert time.monotonic() - started_s < LIMIT_S / 2


async def test_a_ring_before_the_wait_is_not_lost(database: Database) -> None:
    doorbell = Doorbell(database)
    rung = Count()
    async with (
        running(doorbell.run()),
        listening(database) as listener,
        database.listening(CHANNEL, rung),
    ):
        doorbell.ring()
        await rung.reaches(1)
        started_s = time.monotonic()
        await listener.wait(LIMIT_S)
        assert time.monotonic() - started_s < LIMIT_S / 2


async def test_without_a_ring_the_wait_ends_at_its_limit(database: Database) -> None:
    async with listening(database) as listener:
        started_s = time.monotonic()
        await listener.wait(QUIET_S)
        assert time.monotonic() - started_s >= QUIET_S * 0.9


async def test_each_ring_wakes_once(database: Database) -> None:
    async with listening(database) as listener:
        listener.ring()
        listener.ring()
        await listener.wait(LIMIT_S)
        started_s = time.monotonic()
        await listener.wait(QUIET_S)
        assert time.monotonic() - started_s >= QUIET_S * 0.9


async def test_many_rings_are_few_notifications(database: Database) -> None:
    doorbell = Doorbell(database)
    rung = Count()
    async with running(doorbell.run()), database.listening(CHANNEL, rung):
        started_s = time.monotonic()
        for _ in range(RINGS):
            doorbell.ring()
            await asyncio.sleep(0)
        elapsed_s = time.monotonic() - started_s
        await rung.reaches(1)
        doorbell.ring()
        await rung.reaches(2)
        assert rung.calls <= elapsed_s / DEBOUNCE_S + 3


async def test_a_lost_connection_rings_once_so_that_its_follower_looks_for_itself(
    database: Database,
) -> None:
    async with listening(database) as listener:
        [row] = await database.fetch(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND query LIKE 'LISTEN %'"
        )
        assert row[0] == 1
        started_s = time.monotonic()
        await listener.wait(LIMIT_S)
        assert time.monotonic() - started_s < LIMIT_S / 2


async def test_ringing_goes_on_after_the_database_was_away(database: Database) -> None:
    doorbell = Doorbell(database)
    rung = Count()
    async with running(doorbell.run()), database.listening(CHANNEL, rung):
        doorbell.ring()
        await rung.reaches(1)
        await database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND query NOT LIKE 'LISTEN %'"
        )

        async def rings_again() -> bool:
            doorbell.ring()
            return rung.calls > 1

        await eventually(rings_again, "the doorbell rings again")


async def test_nobody_at_home_is_no_reason_to_fail() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/none", name="tests", sessions_max=1)
    await database.open()
    doorbell = Doorbell(database)
    async with running(doorbell.run()) as work:
        for _ in range(20):
            doorbell.ring()
            await asyncio.sleep(0)
        assert not work.done()
    await database.close()
