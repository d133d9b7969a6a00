# Faults are planted inside; asyncpg's classes carry no types.
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
import pytest
from tests.databases import administer
from tests.support.brokers import LOG_ID
from tests.support.subscribers import Copy
from tests.support.waiting import LIMIT_S
from tests.support.withholding import wire_to

from chaching.domain.ids import AccountId, CustomerId
from chaching.envelope import Position, StreamKey
from chaching.eventstore.errors import Fenced, Unavailable
from chaching.subscriber import Connection, Inbox, InboxRefused, TransactionEnded, TryLater
from chaching.subscriber.bookmark import Bookmark
from chaching.subscriber.inbox import (
    HandlerFailed,
    Held,
    OpenInbox,
    ParkedEvent,
    Postponed,
    Step,
)

NAME: Final = "crm"
SILENCE_S: Final = 0.3
KEY: Final = StreamKey(AccountId("acct_1"), False, CustomerId("cus_1"))


def at(position: int) -> Bookmark:
    return Bookmark(log_id=LOG_ID, position=Position(position))


def step(start: int, end: int) -> Step:
    return Step(start=Position(start), end=at(end))


def writing(position: int) -> Callable[[Connection], Awaitable[None]]:
    async def write(connection: Connection) -> None:
        await connection.execute(
            "INSERT INTO applied (position, id) VALUES ($1, 'cus_1')", position
        )

    return write


@asynccontextmanager
async def inbox_of(url: str) -> AsyncGenerator[OpenInbox]:
    async with Inbox(url, silence_max_s=SILENCE_S, transaction_max_s=1.0).opened() as inbox:
        await inbox.create()
        yield inbox


@asynccontextmanager
async def held_by(url: str) -> AsyncGenerator[Held]:
    async with inbox_of(url) as inbox, inbox.holding(NAME) as held:
        yield held


async def test_work_and_position_are_committed_together(copy: Copy) -> None:
    async with held_by(copy.url) as held:
        await held.commit(step(0, 7), writing(7))
        assert held.bookmark == at(7)
    assert (await copy.applied(), await copy.position()) == ([7], 7)
    async with held_by(copy.url) as again:
        assert again.bookmark == at(7)
        assert again.was_let_go


async def test_work_that_fails_leaves_neither_work_nor_position(copy: Copy) -> None:
    async def fail(connection: Connection) -> None:
        await writing(7)(connection)
        raise KeyError("cus_1")

    async with held_by(copy.url) as held:
        with pytest.raises(HandlerFailed, match="KeyError"):
            await held.commit(step(0, 7), fail)
        assert (await copy.applied(), await copy.position()) == ([], 0)
        await held.commit(step(0, 7), writing(7))
    assert (await copy.applied(), await copy.position()) == ([7], 7)


async def test_a_failed_statement_whose_error_is_swallowed_does_not_pass_for_done(
    copy: Copy,
) -> None:
    async def swallow(connection: asyncpg.Connection) -> None:
        await writing(7)(connection)
        with pytest.raises(asyncpg.UndefinedTableError):
            await connection.execute("INSERT INTO nowhere VALUES (1)")

    async with held_by(copy.url) as held:
        with pytest.raises(HandlerFailed, match="InFailedSQLTransactionError"):
            await held.commit(step(0, 7), swallow)
    assert (await copy.applied(), await copy.position()) == ([], 0)


async def test_a_cancellation_that_nobody_asked_for_is_the_handlers_failure(copy: Copy) -> None:
    async def wait_for_what_was_cancelled(connection: Connection) -> None:
        await writing(7)(connection)
        gone = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone

    async with held_by(copy.url) as held:
        with pytest.raises(HandlerFailed, match="HandlerCancelled"):
            await held.commit(step(0, 7), wait_for_what_was_cancelled)
        assert (await copy.applied(), await copy.position()) == ([], 0)
        await held.commit(step(0, 7), writing(7))
    assert (await copy.applied(), await copy.position()) == ([7], 7)


async def test_a_handler_that_knows_why_it_was_cancelled_is_waited_for_and_can_be_stopped(
    copy: Copy,
) -> None:
    waits = asyncio.Event()
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def publish(_connection: Connection) -> None:
        waits.set()
        try:
            await answer
        except asyncio.CancelledError:
            # as docs/subscribing.md has it
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise TryLater from None

    async with held_by(copy.url) as held:
        stopped = asyncio.create_task(held.commit(step(0, 7), publish))
        await asyncio.wait_for(waits.wait(), LIMIT_S)
        stopped.cancel()
        await asyncio.wait({stopped}, timeout=LIMIT_S)
        assert stopped.cancelled()
        assert answer.cancelled()
        with pytest.raises(Postponed, match="TryLater"):
            await held.commit(step(0, 7), publish)


async def test_a_database_that_is_not_there_is_named(copy: Copy) -> None:
    with pytest.raises(Unavailable, match='lets nobody in: database "nowhere" does not exist'):
        async with inbox_of(copy.url.replace(copy.name, "nowhere")):
            pass


async def test_a_savepoint_lets_a_statement_fail(copy: Copy) -> None:
    async def try_twice(connection: asyncpg.Connection) -> None:
        with pytest.raises(asyncpg.UndefinedTableError):
            async with connection.transaction():
                await connection.execute("INSERT INTO nowhere VALUES (1)")
        await writing(7)(connection)

    async with held_by(copy.url) as held:
        await held.commit(step(0, 7), try_twice)
    assert (await copy.applied(), await copy.position()) == ([7], 7)


async def test_what_a_deferred_constraint_says_at_the_commit_is_the_handlers_failure(
    copy: Copy,
) -> None:
    await copy.database.execute(
        "CREATE TABLE once (id text, CONSTRAINT one UNIQUE (id) DEFERRABLE INITIALLY DEFERRED)"
    )

    async def twice(connection: Connection) -> None:
        await connection.execute("INSERT INTO once VALUES ('a'), ('a')")

    async with held_by(copy.url) as held:
        with pytest.raises(HandlerFailed, match="UniqueViolationError"):
            await held.commit(step(0, 7), twice)
    assert await copy.position() == 0


async def test_a_handler_that_ends_the_transaction_is_told(copy: Copy) -> None:
    async def commit(connection: Connection) -> None:
        await connection.execute("COMMIT")

    with pytest.raises(ExceptionGroup) as caught:
        async with held_by(copy.url) as held:
            await held.commit(step(0, 7), commit)
    assert caught.group_contains(TransactionEnded, match="leave COMMIT")


@pytest.mark.parametrize(
    "error",
    [
        TryLater(),
        ConnectionRefusedError(),
        asyncpg.SerializationError("lost"),
        asyncpg.DeadlockDetectedError("lost"),
        asyncpg.TooManyConnectionsError("full"),
        ExceptionGroup("two", [ValueError(), asyncpg.AdminShutdownError("stopped")]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_server_that_is_away_is_not_held_against_the_event(
    copy: Copy, error: Exception
) -> None:
    async def fail(_connection: Connection) -> None:
        raise error

    async with held_by(copy.url) as held:
        with pytest.raises(Unavailable):
            await held.commit(step(0, 7), fail)
        assert not await held.is_done(step(0, 7))
        await held.commit(step(0, 7), writing(7))
    assert (await copy.applied(), await copy.position()) == ([7], 7)


async def test_a_session_that_is_ended_under_a_handler_is_not_held_against_the_event(
    copy: Copy,
) -> None:
    async def lose(connection: Connection) -> None:
        await writing(7)(connection)
        await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    async with held_by(copy.url) as held:
        with pytest.raises(Unavailable):
            await held.commit(step(0, 7), lose)
        assert not await held.is_done(step(0, 7))
        await held.commit(step(0, 7), writing(7))
    assert (await copy.applied(), await copy.position()) == ([7], 7)


async def test_a_commit_whose_answer_is_lost_is_found_to_be_done(copy: Copy) -> None:
    async with wire_to(copy.url) as (wire, url), held_by(url) as held:

        async def lose_answer(connection: Connection) -> None:
            await writing(7)(connection)
            wire.withhold_after(b"COMMIT")

        with pytest.raises(Unavailable):
            await held.commit(step(0, 7), lose_answer)
        wire.pass_on()
        assert await held.is_done(step(0, 7))
        assert held.bookmark == at(7)
    assert (await copy.applied(), await copy.position()) == ([7], 7)


async def test_a_handler_that_takes_too_long_fails(copy: Copy) -> None:
    async def sleep(connection: Connection) -> None:
        await connection.execute("SELECT pg_sleep(60)")

    async with held_by(copy.url) as held:
        with pytest.raises(HandlerFailed):
            await held.commit(step(0, 7), sleep)
    assert await copy.position() == 0


async def test_one_holds_and_the_next_takes_over_when_it_lets_go(copy: Copy) -> None:
    async with inbox_of(copy.url) as inbox, inbox_of(copy.url) as other:
        async with inbox.holding(NAME) as held:
            waiting = asyncio.create_task(other._acquired(NAME))
            for position in range(1, 4):
                await asyncio.sleep(0)
                await held.commit(step(position - 1, position), writing(position))
            assert not waiting.done()
        taken = await waiting
        assert taken.bookmark == at(3)


async def test_whoever_was_replaced_commits_nothing_any_more(copy: Copy) -> None:
    async with inbox_of(copy.url) as inbox:
        first = await inbox._acquired(NAME)
        second = await inbox._acquired(NAME)
        assert not second.was_let_go
        with pytest.raises(Fenced):
            await first.commit(step(0, 7), writing(7))
        with pytest.raises(Fenced):
            await first.count_try(Position(1))
        with pytest.raises(Fenced):
            await first.renew()
        await first.let_go()
        await second.commit(step(0, 7), writing(8))
    assert (await copy.applied(), await copy.position()) == ([8], 7)


async def test_a_holder_that_renews_is_not_replaced(copy: Copy) -> None:
    async with inbox_of(copy.url) as inbox, inbox.holding(NAME):
        waiting = asyncio.create_task(inbox._acquired(NAME))
        done, _ = await asyncio.wait({waiting}, timeout=SILENCE_S * 4)
        assert not done
        waiting.cancel()


async def test_a_holder_whose_step_takes_long_is_not_replaced(copy: Copy) -> None:
    async with inbox_of(copy.url) as inbox, inbox_of(copy.url) as other:
        held = await inbox._acquired(NAME)
        waiting = asyncio.create_task(other._acquired(NAME))

        async def work(connection: Connection) -> None:
            await writing(7)(connection)
            done, _ = await asyncio.wait({waiting}, timeout=SILENCE_S * 3)
            assert not done

        await held.commit(step(0, 7), work)
        waiting.cancel()
    assert await copy.applied() == [7]


async def test_tries_are_counted_across_processes_until_something_is_done(copy: Copy) -> None:
    async with held_by(copy.url) as held:
        assert [await held.count_try(Position(4)) for _ in range(2)] == [1, 2]
    async with held_by(copy.url) as held:
        assert await held.count_try(Position(4)) == 3
        assert await held.count_try(Position(5)) == 1
        await held.commit(step(0, 4), writing(4))
        assert await held.count_try(Position(5)) == 1


async def test_what_is_parked_is_known_to_the_next_process(copy: Copy) -> None:
    parked = [
        ParkedEvent(position=Position(position), key=KEY, reason="KeyError") for position in (3, 5)
    ]
    async with held_by(copy.url) as held:
        await held.commit(Step(start=Position(0), end=at(5), park=parked), writing(5))
    async with held_by(copy.url) as held:
        assert (len(held.parked), held.parked.first_of(KEY)) == (2, 3)
        await held.commit(Step(start=Position(5), end=at(5), unpark=Position(3)), writing(3))
        assert held.parked.first_of(KEY) == 5
    async with held_by(copy.url) as held:
        assert (Position(3) in held.parked, Position(5) in held.parked) == (False, True)


async def test_the_inbox_can_be_made_by_many_at_once(copy: Copy) -> None:
    async with inbox_of(copy.url) as inbox:
        await copy.database.execute("DROP SCHEMA chaching_inbox CASCADE")
        await asyncio.gather(*(inbox.create() for _ in range(2)))
        async with inbox.holding(NAME) as held:
            assert held.bookmark.position == 0


async def test_a_role_that_may_not_make_the_inbox_is_told_what_to_do(copy: Copy) -> None:
    role = f"subscriber_{copy.name}"
    await administer(copy.url, f"CREATE ROLE {role}")
    try:
        async with Inbox(f"{copy.url}?role={role}").opened() as inbox:
            with pytest.raises(InboxRefused, match="owner"):
                await inbox.create()
    finally:
        await administer(copy.url, f"DROP ROLE {role}")


async def test_a_role_needs_no_more_than_the_guide_grants(copy: Copy) -> None:
    role = f"subscriber_{copy.name}"
    async with inbox_of(copy.url):
        await administer(copy.url, f"CREATE ROLE {role}")
    try:
        for right in (
            "USAGE ON SCHEMA chaching_inbox",
            "INSERT ON applied",
            "USAGE ON SEQUENCE applied_turn_seq",
        ):
            await administer(copy.url, f"GRANT {right} TO {role}")
        async with Inbox(f"{copy.url}?role={role}").opened() as inbox:
            with pytest.raises(InboxRefused, match="owner"):
                async with inbox.holding(NAME):
                    pass
        await administer(
            copy.url,
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA chaching_inbox "
            f"TO {role}",
        )
        async with held_by(f"{copy.url}?role={role}") as held:
            await held.commit(step(0, 7), writing(7))
    finally:
        await administer(copy.url, f"DROP OWNED BY {role}")
        await administer(copy.url, f"DROP ROLE {role}")
    assert await copy.applied() == [7]
