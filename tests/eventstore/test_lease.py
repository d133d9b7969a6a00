from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from tests.support.waiting import LIMIT_S, eventually

from chaching.envelope import START, Position
from chaching.eventstore import lease
from chaching.eventstore.database import Database
from chaching.eventstore.errors import Fenced, Unavailable
from chaching.eventstore.lease import Held, Lease

NAME = "relay"
FOR_EVER_S = 3600.0


@pytest.fixture
def first(database: Database) -> Lease:
    return Lease(database, NAME, "first", silence_max_s=FOR_EVER_S)


@pytest.fixture
def second(database: Database) -> Lease:
    return Lease(database, NAME, "second", silence_max_s=FOR_EVER_S)


def impatient(database: Database) -> Lease:
    """Somebody for whom every holder has been silent for too long."""
    return Lease(database, NAME, "impatient", silence_max_s=0.0)


async def taken(lease: Lease) -> Held:
    held = await lease.acquire()
    assert held is not None
    return held


async def checkpoint(database: Database) -> tuple[int, int, str | None]:
    [row] = await database.fetch(
        "SELECT position, epoch, holder FROM event_store.checkpoints WHERE name = $1", NAME
    )
    return row[0], row[1], row[2]


async def test_a_free_lease_is_taken_with_the_checkpoint_as_it_stands(
    first: Lease, database: Database
) -> None:
    assert await taken(first) == Held(1, START)
    assert await checkpoint(database) == (0, 1, "first")


async def test_one_holds_it_and_the_others_wait(first: Lease, second: Lease) -> None:
    await taken(first)
    assert await second.acquire() is None
    assert await first.acquire() is None


async def test_of_many_that_ask_at_once_one_gets_it(database: Database) -> None:
    asking = [Lease(database, NAME, f"holder {n}", silence_max_s=FOR_EVER_S) for n in range(12)]
    answers = await asyncio.gather(*(lease.acquire() for lease in asking))
    assert [held for held in answers if held is not None] == [Held(1, START)]


async def test_a_released_lease_is_free_at_once_with_the_checkpoint_where_it_was_left(
    first: Lease, second: Lease
) -> None:
    held = await taken(first)
    await first.advance(held, START, Position(7))
    await first.release(held)
    assert await taken(second) == Held(2, Position(7))


async def test_a_silent_holder_is_replaced_and_fenced(first: Lease, database: Database) -> None:
    old = await taken(first)
    new = await taken(impatient(database))
    assert new.epoch == old.epoch + 1
    with pytest.raises(Fenced):
        await first.advance(old, START, Position(1))
    with pytest.raises(Fenced):
        await first.renew(old)
    await first.release(old)  # harmless
    assert await checkpoint(database) == (0, new.epoch, "impatient")


async def test_a_holder_that_renews_is_not_replaced(first: Lease, database: Database) -> None:
    held = await taken(first)
    await database.execute(
        "UPDATE event_store.checkpoints SET renewed_at = now() - interval '2 h' WHERE name = $1",
        NAME,
    )
    patient = Lease(database, NAME, "patient", silence_max_s=FOR_EVER_S)
    await first.renew(held)
    assert await patient.acquire() is None


async def test_moving_the_checkpoint_renews_too(first: Lease, database: Database) -> None:
    held = await taken(first)
    await database.execute(
        "UPDATE event_store.checkpoints SET renewed_at = now() - interval '2 h' WHERE name = $1",
        NAME,
    )
    await first.advance(held, START, Position(1))
    assert await Lease(database, NAME, "patient", silence_max_s=FOR_EVER_S).acquire() is None


@pytest.mark.parametrize(("start", "end"), [(1, 2), (0, -1), (6, 9), (5, 4)])
async def test_a_checkpoint_moves_only_forward_and_only_from_where_it_stands(
    first: Lease, database: Database, start: int, end: int
) -> None:
    held = await taken(first)
    await first.advance(held, START, Position(5))
    with pytest.raises(Fenced):
        await first.advance(held, Position(start), Position(end))
    assert (await checkpoint(database))[0] == 5


async def test_a_move_stands_and_falls_with_its_transaction(
    first: Lease, database: Database
) -> None:
    held = await taken(first)
    with suppress(ZeroDivisionError):
        async with database.transaction() as session:
            await first.advance(held, START, Position(3), within=session)
            raise ZeroDivisionError
    assert (await checkpoint(database))[0] == 0
    async with database.transaction() as session:
        await first.advance(held, START, Position(3), within=session)
    assert (await checkpoint(database))[0] == 3


async def test_leases_on_other_checkpoints_are_their_own(database: Database, first: Lease) -> None:
    await taken(first)
    other = Lease(database, "projection.customers", "first")
    assert await taken(other) == Held(1, START)


async def test_a_lease_on_a_checkpoint_that_does_not_exist_is_never_had(
    database: Database,
) -> None:
    assert await Lease(database, "nothing", "first").acquire() is None


# --- Holding ------------------------------------------------------------------------------------


async def test_holding_lets_go_at_the_end(first: Lease, second: Lease) -> None:
    async with first.holding() as held:
        assert held == Held(1, START)
        assert await second.acquire() is None
    assert await taken(second) == Held(2, START)


async def test_holding_waits_until_the_lease_is_free(
    first: Lease, second: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "ASK_EVERY_S", 0.01)
    held = await taken(first)

    async def hold() -> Held:
        async with second.holding() as held:
            return held

    waiting = asyncio.create_task(hold())
    await first.advance(held, START, Position(4))
    assert not waiting.done()
    await first.release(held)
    async with asyncio.timeout(LIMIT_S):
        assert await waiting == Held(2, Position(4))


async def test_holding_renews_for_as_long_as_the_block_runs(
    first: Lease, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_EVERY_S", 0.01)

    async def renewed_at() -> object:
        [row] = await database.fetch(
            "SELECT renewed_at FROM event_store.checkpoints WHERE name = $1", NAME
        )
        return row[0]

    async with first.holding():
        before = await renewed_at()

        async def is_later() -> bool:
            return await renewed_at() != before

        await eventually(is_later, "the lease is renewed")


async def test_the_block_ends_when_another_took_over(
    first: Lease, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_EVERY_S", 0.01)

    async def hold() -> None:
        async with asyncio.timeout(LIMIT_S), first.holding():
            await taken(impatient(database))
            await asyncio.get_running_loop().create_future()

    with pytest.raises(ExceptionGroup) as raised:
        await hold()
    assert raised.group_contains(Fenced)
    assert await checkpoint(database) == (0, 2, "impatient")


async def test_what_the_block_raises_lets_go_too(first: Lease, second: Lease) -> None:
    async def hold() -> None:
        async with first.holding():
            raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as raised:
        await hold()
    assert raised.group_contains(ZeroDivisionError)
    assert await taken(second) == Held(2, START)


async def test_the_limits_leave_room_for_lost_renewals() -> None:
    assert 3 * lease.RENEW_EVERY_S <= lease.SILENCE_MAX_S


async def test_without_a_database_there_is_no_lease() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/none", name="tests", sessions_max=1)
    await database.open()
    away = Lease(database, NAME, "first")
    with pytest.raises(Unavailable):
        await away.acquire()
    await away.release(Held(1, START))  # harmless
    await database.close()
