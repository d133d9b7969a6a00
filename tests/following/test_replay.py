"""A part of the log goes to one queue: all of it, in order, and nothing to anybody else."""

# Faults are planted inside.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from aio_pika.abc import AbstractIncomingMessage
from tests.support.brokers import UNREACHABLE, messages_in, stranger_at
from tests.support.customers import (
    append,
    append_customers,
    checkpoint,
    created,
    key_of,
    pending,
    whole_log,
)
from tests.support.keyrings import KEYRING
from tests.support.newcomers import channel_of, declared, position_of, read
from tests.support.running import running
from tests.support.waiting import LIMIT_S, eventually
from tests.support.withholding import wire_to

from chaching.broker import publisher as publisher_module
from chaching.broker.connection import connected
from chaching.broker.errors import EntryRefused, QueueMissing
from chaching.broker.publisher import Publisher
from chaching.broker.topology import names_under
from chaching.domain.customer import CustomerDeleted
from chaching.domain.ids import AccountId
from chaching.envelope import Position
from chaching.eventstore.database import Database
from chaching.eventstore.selection import EVERYTHING, Selection
from chaching.eventstore.store import EventStore
from chaching.following.replay import Order, Replay, Stopped
from chaching_api.relay import LEASE_NAME, Relay

SMALL = {"x-queue-type": "quorum", "x-max-length": 10, "x-overflow": "reject-publish"}


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have few messages under way, so that a test can stop a replay in its midst."""
    monkeypatch.setattr(publisher_module, "WINDOW_MAX_MESSAGES", 2)


def order(
    queue: str,
    last: int,
    first: int = 1,
    selection: Selection = EVERYTHING,
    give_up_after_s: float = 60.0,
) -> Order:
    return Order(
        queue=queue,
        selection=selection,
        first=Position(first),
        last=Position(last),
        give_up_after_s=give_up_after_s,
    )


def positions_of(messages: Sequence[AbstractIncomingMessage]) -> list[int]:
    return [position_of(message) for message in messages]


def told_by(message: AbstractIncomingMessage) -> tuple[object, ...]:
    """Return everything that a message says but how it came."""
    return (
        *(message.message_id, message.headers, message.body),
        *(message.content_type, message.delivery_mode),
    )


async def is_waiting(replay: Replay, reason: str) -> None:
    async def waits() -> bool:
        return replay.waiting_for == reason

    await eventually(waits, f"the replay says that {reason}")


async def has_confirmed(replay: Replay, least: int) -> None:
    async def has() -> bool:
        return replay.published >= least

    await eventually(has, f"{least} events are confirmed")


async def test_a_range_of_the_log_comes_in_order(
    database: Database, store: EventStore, amqp_url: str, bare_prefix: str
) -> None:
    head = await append_customers(store, customers=300, updates=3)
    async with declared(amqp_url, bare_prefix):
        replay = Replay(database, KEYRING, amqp_url, order(bare_prefix, first=11, last=head - 5))
        await replay.run()
        assert (replay.position, replay.published) == (head - 5, head - 15)
        messages = await read(amqp_url, bare_prefix, head - 15)
        assert positions_of(messages) == list(range(11, head - 4))


async def test_a_replayed_message_says_what_the_relayed_one_said(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    head = await append_customers(store, customers=10, updates=2)
    queue = f"{prefix}.replayed"
    async with (
        declared(amqp_url, queue),
        running(Relay(database_url, amqp_url, KEYRING, prefix=prefix).run()),
    ):
        await Replay(database, KEYRING, amqp_url, order(queue, head)).run()
        replayed = await read(amqp_url, queue, head)
        relayed = await read(
            amqp_url, names_under(prefix).history, head, **{"x-stream-offset": "first"}
        )
    for one, other in zip(replayed, relayed, strict=True):
        other.headers.pop("x-stream-offset")
        assert told_by(one) == told_by(other)
    assert {message.routing_key for message in replayed} == {queue}


async def test_nobody_else_notices(
    database: Database, store: EventStore, amqp_url: str, prefix: str
) -> None:
    head = await append_customers(store, customers=10, updates=0)
    names, queue = names_under(prefix), f"{prefix}.replayed"
    rows = "SELECT * FROM event_store.checkpoints ORDER BY name"
    before = [tuple(row) for row in await database.fetch(rows)]
    async with declared(amqp_url, queue), connected(amqp_url, name="tests") as connection:
        await Replay(database, KEYRING, amqp_url, order(queue, head)).run()
        assert len(await read(amqp_url, queue, head)) == head
        for other in (names.history, names.projector, names.projector_dead):
            assert await messages_in(connection, other) == 0
    assert [tuple(row) for row in await database.fetch(rows)] == before
    assert await checkpoint(database, LEASE_NAME) == 0


async def test_only_what_is_selected_comes(
    database: Database, store: EventStore, amqp_url: str, bare_prefix: str
) -> None:
    head = await append_customers(store, customers=30, updates=2)
    wanted = [e.position for e in await whole_log(store) if e.type == "CustomerUpdated"]
    async with declared(amqp_url, bare_prefix):
        updates = Selection(types=("CustomerUpdated",), account=AccountId("acct_1"))
        replay = Replay(database, KEYRING, amqp_url, order(bare_prefix, head, selection=updates))
        await replay.run()
        assert (replay.position, replay.published) == (head, 60)
        assert positions_of(await read(amqp_url, bare_prefix, 60)) == wanted
        nothing = Selection(account=AccountId("acct_2"))
        replay = Replay(database, KEYRING, amqp_url, order(bare_prefix, head, selection=nothing))
        await replay.run()
        assert (replay.position, replay.published) == (head, 0)


@pytest.mark.usefixtures("unhurried")
async def test_a_replay_that_was_ended_goes_on_without_a_gap(
    database: Database, store: EventStore, amqp_url: str, bare_prefix: str
) -> None:
    head = await append_customers(store, customers=500, updates=3)
    async with declared(amqp_url, bare_prefix), connected(amqp_url, name="tests") as connection:
        first = 1
        for least in (1, 200, 700):
            replay = Replay(database, KEYRING, amqp_url, order(bare_prefix, head, first))
            async with running(replay.run()):
                await has_confirmed(replay, least)
            assert first <= replay.position <= head
            first = replay.position + 1
        await Replay(database, KEYRING, amqp_url, order(bare_prefix, head, first)).run()
        count = await messages_in(connection, bare_prefix)
        await assert_whole(amqp_url, bare_prefix, count, head)


async def test_a_full_queue_is_waited_for(
    database: Database, store: EventStore, amqp_url: str, bare_prefix: str
) -> None:
    head = await append_customers(store, customers=100, updates=1)
    async with declared(amqp_url, bare_prefix, SMALL) as queue:
        replay = Replay(database, KEYRING, amqp_url, order(bare_prefix, head))
        async with running(replay.run()) as work:
            await is_waiting(replay, "the queue takes no more")
            assert 1 <= replay.position < head
            taken: list[int] = []
            async for message in queue.iterator():
                # as the document says: what is ahead comes again, what is behind is known
                if position_of(message) == len(taken) + 1:
                    taken.append(position_of(message))
                await message.ack()
                if len(taken) == head:
                    break
            await asyncio.wait({work}, timeout=LIMIT_S)
            assert (replay.position, replay.waiting_for) == (head, None)
            assert replay.published == head


async def test_a_queue_that_stays_full_is_given_up(
    database: Database, store: EventStore, amqp_url: str, bare_prefix: str
) -> None:
    head = await append_customers(store, customers=50, updates=0)
    async with declared(amqp_url, bare_prefix, SMALL):
        replay = Replay(database, KEYRING, amqp_url, order(bare_prefix, head, give_up_after_s=0.0))
        with pytest.raises(Stopped, match="the queue takes no more") as told:
            await replay.run()
        assert str(told.value).startswith("gave up after 0 s")
        assert 1 <= replay.position < head
        await assert_what_is_confirmed_is_there(amqp_url, bare_prefix, replay)


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("server", ["the broker", "the database"])
async def test_a_lost_connection_costs_no_event(
    store: EventStore, database_url: str, amqp_url: str, bare_prefix: str, server: str
) -> None:
    head = await append_customers(store, customers=600, updates=3)
    through_wire = {"the broker": amqp_url, "the database": database_url}[server]
    async with (
        declared(amqp_url, bare_prefix),
        connected(amqp_url, name="tests") as connection,
        wire_to(through_wire) as (wire, url),
    ):
        database = Database(
            url if server == "the database" else database_url, name="tests", sessions_max=2
        )
        await database.open()
        broker = url if server == "the broker" else amqp_url
        replay = Replay(database, KEYRING, broker, order(bare_prefix, head))
        async with running(replay.run()) as work:
            await has_confirmed(replay, 300)
            wire.cut()
            await is_waiting(replay, f"{server} does not answer")
            wire.mend()
            await asyncio.wait({work}, timeout=LIMIT_S)
            assert (replay.position, replay.published) == (head, head)
        await database.close()
        count = await messages_in(connection, bare_prefix)
        await assert_whole(amqp_url, bare_prefix, count, head)


async def test_a_queue_that_is_not_there_is_said(
    database: Database, store: EventStore, amqp_url: str, bare_prefix: str
) -> None:
    await append_customers(store, customers=3, updates=0)
    for last in (0, 3):
        with pytest.raises(QueueMissing, match=f"no queue '{bare_prefix}'"):
            await Replay(database, KEYRING, amqp_url, order(bare_prefix, last)).run()
    async with declared(amqp_url, bare_prefix, SMALL) as queue:
        head = await append_customers(store, customers=50, updates=0, first=3)
        replay = Replay(database, KEYRING, amqp_url, order(bare_prefix, head))
        work = asyncio.create_task(replay.run())
        await is_waiting(replay, "the queue takes no more")
        await queue.delete(if_unused=False, if_empty=False)
        with pytest.raises(QueueMissing):
            await asyncio.wait_for(work, LIMIT_S)


async def test_a_queue_that_is_another_connections_own_is_fed_too(
    database: Database, store: EventStore, amqp_url: str
) -> None:
    head = await append_customers(store, customers=20, updates=0)
    async with channel_of(amqp_url) as channel:
        queue = await channel.declare_queue(exclusive=True)
        await Replay(database, KEYRING, amqp_url, order(queue.name, head)).run()
        declared_again = await channel.declare_queue(queue.name, exclusive=True, passive=True)
        assert declared_again.declaration_result.message_count == head


async def test_a_broker_that_is_away_from_the_beginning_is_waited_for(
    database: Database, store: EventStore, amqp_url: str, bare_prefix: str
) -> None:
    head = await append_customers(store, customers=3, updates=0)
    async with declared(amqp_url, bare_prefix), wire_to(amqp_url) as (wire, url):
        wire.cut()
        replay = Replay(database, KEYRING, url, order(bare_prefix, head))
        async with running(replay.run()) as work:
            await is_waiting(replay, "the broker does not answer")
            assert (replay.position, replay.published) == (0, 0)
            wire.mend()
            await asyncio.wait({work}, timeout=LIMIT_S)
            assert (replay.position, replay.published) == (head, head)


async def test_a_broker_that_stays_away_from_the_beginning_is_given_up(
    database: Database, store: EventStore
) -> None:
    head = await append_customers(store, customers=3, updates=0)
    with pytest.raises(Stopped, match="gave up after 0 s: the broker does not answer"):
        await Replay(
            database, KEYRING, UNREACHABLE, order("nowhere", head, give_up_after_s=0.0)
        ).run()


async def test_a_user_whom_the_broker_does_not_let_in_is_said_at_once(
    database: Database, store: EventStore, amqp_url: str
) -> None:
    head = await append_customers(store, customers=3, updates=0)
    with pytest.raises(EntryRefused, match="lets nobody in"):
        await Replay(database, KEYRING, stranger_at(amqp_url), order("nowhere", head)).run()


async def test_an_event_that_cannot_be_decoded_ends_the_replay_before_it(
    database: Database, store: EventStore, amqp_url: str, bare_prefix: str
) -> None:
    await append(store, created("cus_1"))
    loaded = await store.load(key_of("cus_1"))
    deletion = CustomerDeleted(deleted_at=1)
    strange = pending(deletion, loaded.state, loaded.version, data_key=loaded.data_key)
    await store.append(msgspec.structs.replace(strange, schema_version=99))
    await append(store, created("cus_2"))
    async with declared(amqp_url, bare_prefix):
        replay = Replay(database, KEYRING, amqp_url, order(bare_prefix, 3))
        with pytest.raises(Stopped, match="position 2 cannot be read"):
            await replay.run()
        assert replay.position == 1
        await Replay(database, KEYRING, amqp_url, order(bare_prefix, 3, first=3)).run()
        assert positions_of(await read(amqp_url, bare_prefix, 2)) == [1, 3]


async def test_the_relays_role_suffices(
    store: EventStore, database_url: str, amqp_url: str, bare_prefix: str
) -> None:
    head = await append_customers(store, customers=5, updates=1)
    database = Database(f"{database_url}?role=chaching_relay", name="tests", sessions_max=2)
    await database.open()
    async with declared(amqp_url, bare_prefix):
        replay = Replay(database, KEYRING, amqp_url, order(bare_prefix, head))
        await replay.run()
        assert replay.published == head
    await database.close()


async def test_a_replay_that_believes_what_is_not_confirmed_is_caught(
    database: Database,
    store: EventStore,
    amqp_url: str,
    bare_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hopeful(publisher: Publisher) -> Position:
        known = publisher._confirmations
        return known._open[-1] if known._open else known.position

    monkeypatch.setattr(Publisher, "position", property(hopeful))
    head = await append_customers(store, customers=50, updates=0)
    async with declared(amqp_url, bare_prefix, SMALL):
        replay = Replay(database, KEYRING, amqp_url, order(bare_prefix, head, give_up_after_s=0.0))
        with pytest.raises(Stopped):
            await replay.run()
        with pytest.raises(AssertionError, match="is confirmed and not there"):
            await assert_what_is_confirmed_is_there(amqp_url, bare_prefix, replay)


async def assert_what_is_confirmed_is_there(amqp_url: str, queue: str, replay: Replay) -> None:
    async with connected(amqp_url, name="tests") as connection:
        count = await messages_in(connection, queue)
    missing = set(range(1, replay.position + 1)) - set(
        positions_of(await read(amqp_url, queue, count))
    )
    assert not missing, f"{missing} is confirmed and not there"


async def assert_whole(amqp_url: str, queue: str, count: int, head: Position) -> None:
    """Compare what a queue holds with the log: in order, and repeated only at the seams."""
    newest = 0
    for position in positions_of(await read(amqp_url, queue, count)):
        assert position <= newest + 1, f"{newest} was followed by {position}"
        newest = max(newest, position)
    assert newest == head
