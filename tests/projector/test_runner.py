# Faults are planted inside.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs
from tests.support.brokers import OTHER_LOG_ID, UNREACHABLE
from tests.support.customers import (
    append,
    append_customers,
    checkpoint,
    created,
    updated,
    whole_log,
)
from tests.support.keyrings import KEYRING, MASTER_KEY
from tests.support.read_model import CHECKPOINT, assert_read_model_is_the_fold, projected
from tests.support.running import running
from tests.support.waiting import eventually

from chaching.broker.consumer import Batch, Consumer, consuming
from chaching.broker.messages import EventMessage, message_of
from chaching.broker.publisher import publishing
from chaching.domain.ids import CustomerId
from chaching.domain.values import Details
from chaching.envelope import LogId, Position
from chaching.eventstore.database import Database
from chaching.eventstore.doorbell import CHANNEL
from chaching.eventstore.errors import Unavailable
from chaching.eventstore.lease import Lease
from chaching.eventstore.statements import statement
from chaching.eventstore.store import EventStore
from chaching.local.processes import Child
from chaching.local.rabbitmq import PrivateRabbitMQ
from chaching_api.relay import Relay
from chaching_projector import runner
from chaching_projector.projections.customers.projection import (
    PARKED_STREAMS_MAX,
    REPAIRED_ROWS_MAX,
    CustomersProjection,
    TooManyParked,
)
from chaching_projector.projections.customers.steps import OutOfStep
from chaching_projector.runner import Follower, Projector, consume

SILENCE_S = 1.0
NEVER_S = 600.0


@pytest.fixture
def no_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave only the queue to bring events, once the projector has begun."""
    monkeypatch.setattr(runner, "STALL_MAX_S", NEVER_S)


async def arrived(database: Database, head: Position) -> None:
    await eventually(lambda: projected(database, head), f"the read model is at {head}")


async def publish_all(
    amqp_url: str, prefix: str, log_id: LogId, batch: Sequence[EventMessage]
) -> None:
    async with publishing(amqp_url, prefix=prefix) as publisher:
        await publisher.publish(log_id, batch)

        async def is_confirmed() -> bool:
            return publisher._confirmations.in_flight == 0

        await eventually(is_confirmed, "everything is confirmed")


async def all_messages(store: EventStore) -> list[EventMessage]:
    return [message_of(event) for event in await whole_log(store)]


async def begun(database: Database) -> None:
    """Wait until a projector holds the lease and consumes."""

    async def is_held() -> bool:
        return await epoch(database) >= 1

    await eventually(is_held, "a projector holds the lease")


async def epoch(database: Database) -> int:
    rows = await database.fetch(
        "SELECT epoch FROM event_store.checkpoints WHERE name = $1", CHECKPOINT
    )
    return rows[0]["epoch"]


async def test_without_a_broker_the_log_is_followed_by_itself(
    database: Database, store: EventStore, database_url: str
) -> None:
    head = await append_customers(store, customers=40, updates=3)
    async with running(Projector(database_url, keyring=KEYRING).run()):
        await arrived(database, head)
        await append(store, created("cus_later"))
        await arrived(database, Position(head + 1))
    assert await assert_read_model_is_the_fold(database) == 41


async def test_without_a_broker_a_ring_is_enough(
    database: Database, store: EventStore, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "POLL_S", NEVER_S)
    await append(store, created("cus_1"))
    async with running(Projector(database_url, keyring=KEYRING).run()):
        await arrived(database, Position(1))
        await append(store, created("cus_2"))

        async def rings_until_projected() -> bool:
            await database.execute(statement("chaching.eventstore", "ring_doorbell"), CHANNEL)
            return await projected(database, Position(2))

        await eventually(rings_until_projected, "a ring wakes the projector")


@pytest.mark.usefixtures("no_watch")
async def test_events_come_through_the_broker(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    async with (
        running(Relay(database_url, amqp_url, KEYRING, prefix=prefix).run()),
        running(Projector(database_url, amqp_url, keyring=KEYRING, prefix=prefix).run()),
    ):
        await begun(database)
        head = await append_customers(store, customers=80, updates=3)
        await arrived(database, head)
    assert await assert_read_model_is_the_fold(database) == 80


@pytest.mark.usefixtures("no_watch")
async def test_repeated_and_shuffled_messages_are_applied_once_and_in_order(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    async with running(Projector(database_url, amqp_url, keyring=KEYRING, prefix=prefix).run()):
        await begun(database)
        head = await append_customers(store, customers=40, updates=3)
        deliveries = [message for message in await all_messages(store) for _ in range(3)]
        random.shuffle(deliveries)
        with capture_logs() as logged:
            await publish_all(amqp_url, prefix, await store.log_id(), deliveries)
            await arrived(database, head)
    assert "row_repaired" not in [line["event"] for line in logged]
    await assert_read_model_is_the_fold(database)


async def test_lost_messages_are_read_from_the_log(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    async with running(Projector(database_url, amqp_url, keyring=KEYRING, prefix=prefix).run()):
        await begun(database)
        head = await append_customers(store, customers=40, updates=3)
        await publish_all(
            amqp_url, prefix, await store.log_id(), (await all_messages(store))[:-5:3]
        )
        await arrived(database, head)
    await assert_read_model_is_the_fold(database)


async def test_a_broker_that_is_away_from_the_start_delays_the_read_model_only(
    database: Database, store: EventStore, database_url: str
) -> None:
    async with running(Projector(database_url, UNREACHABLE, keyring=KEYRING).run()):
        head = await append_customers(store, customers=30, updates=2)
        await arrived(database, head)
    await assert_read_model_is_the_fold(database)


async def test_a_broker_that_lost_everything_delays_the_read_model_only(
    database: Database, store: EventStore, database_url: str, tmp_path: Path
) -> None:
    broker = PrivateRabbitMQ(tmp_path / "rabbitmq")
    await broker.start()
    try:
        head = await append_customers(store, customers=30, updates=2)
        async with running(Relay(database_url, broker.url, KEYRING).run()):

            async def is_published() -> bool:
                return await checkpoint(database, "relay") >= head

            await eventually(is_published, "the relay published everything")
            await broker.kill()
            await broker.wipe()
            async with running(Projector(database_url, broker.url, keyring=KEYRING).run()):
                await arrived(database, head)
                await broker.start()
                head = await append_customers(store, customers=30, updates=1, first=30)
                await arrived(database, head)
                await eventually(is_published, "the relay published again")
        assert await assert_read_model_is_the_fold(database) == 60
    finally:
        await broker.kill()


@pytest.mark.usefixtures("no_watch")
async def test_a_message_that_the_log_does_not_know_is_dropped(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    async with running(Projector(database_url, amqp_url, keyring=KEYRING, prefix=prefix).run()):
        await begun(database)
        await append(store, created("cus_1"))
        [message] = await all_messages(store)
        strange = msgspec.structs.replace(message, position=Position(1000))
        with capture_logs() as logged:
            await publish_all(amqp_url, prefix, await store.log_id(), [strange, message])
            await arrived(database, Position(1))

            async def is_told() -> bool:
                return "message_unknown" in [line["event"] for line in logged]

            await eventually(is_told, "the unknown message is logged")
    await assert_read_model_is_the_fold(database)


@pytest.mark.usefixtures("no_watch")
async def test_a_message_of_another_log_is_never_applied(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    await append(store, created("cus_1"))
    async with running(Projector(database_url, amqp_url, keyring=KEYRING, prefix=prefix).run()):
        await arrived(database, Position(1))
        [message] = await all_messages(store)
        ghosts = [ghost(message, position) for position in (2, 3)]
        with capture_logs() as logged:
            await publish_all(amqp_url, prefix, OTHER_LOG_ID, ghosts)
            await append(store, created("cus_2"))
            truth = (await all_messages(store))[1:]
            await publish_all(amqp_url, prefix, await store.log_id(), truth)
            await arrived(database, Position(2))
    refused = [line for line in logged if line["event"] == "message_refused"]
    assert sum(line["messages"] for line in refused) == 2
    assert {line["reason"] for line in refused} == {
        f"a message of another log: urn:uuid:{OTHER_LOG_ID}"
    }
    assert await assert_read_model_is_the_fold(database) == 2


def ghost(message: EventMessage, position: int) -> EventMessage:
    """What another log says about the next position."""
    key = msgspec.structs.replace(message.key, id=CustomerId(f"cus_ghost_{position}"))
    return msgspec.structs.replace(message, key=key, position=Position(position))


class CrashError(Exception):
    """Planted between the arrival of a batch and its commit."""


async def consume_with_a_crash(
    database: Database,
    store: EventStore,
    amqp_url: str,
    prefix: str,
    consume: Callable[[Consumer, Follower], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> int:
    """Crash before the commit; return how many messages come again."""
    await append_customers(store, customers=10, updates=0)
    await publish_all(amqp_url, prefix, await store.log_id(), await all_messages(store))
    lease = Lease(database, CHECKPOINT, "tests", silence_max_s=0.0)
    held = await lease.acquire()
    assert held is not None
    projection = CustomersProjection(database, store, lease, held)

    async def crash(_items: object) -> None:
        raise CrashError

    monkeypatch.setattr(projection, "apply", crash)
    async with consuming(amqp_url, await store.log_id(), prefix=prefix) as consumer:
        with pytest.raises(CrashError):
            await consume(consumer, Follower(store, projection))
        await publish_all(amqp_url, prefix, await store.log_id(), (await all_messages(store))[:1])
    async with consuming(amqp_url, await store.log_id(), prefix=prefix) as consumer:
        return len((await consumer.batch()).messages)


async def test_a_crash_before_the_commit_brings_the_messages_again(
    database: Database,
    store: EventStore,
    amqp_url: str,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    again = await consume_with_a_crash(database, store, amqp_url, prefix, consume, monkeypatch)
    assert again > 1


async def test_acknowledging_before_the_commit_is_caught(
    database: Database,
    store: EventStore,
    amqp_url: str,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def acknowledge_first(consumer: Consumer, follower: Follower) -> None:
        seen = 0
        batches: list[Batch] = []
        while seen < 11:
            batches.append(await consumer.batch())
            await consumer.acknowledge(batches[-1])
            seen += len(batches[-1].messages)
        await follower.take(batches[0].messages)

    await append(store, created("cus_first"))
    again = await consume_with_a_crash(
        database, store, amqp_url, prefix, acknowledge_first, monkeypatch
    )
    assert again == 1


async def test_a_database_that_is_away_is_waited_for(
    database: Database,
    store: EventStore,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    head = await append_customers(store, customers=10, updates=1)
    advance, failures = Lease.advance, iter(range(3))

    async def advance_at_last(*arguments: object, **named: object) -> None:
        if next(failures, None) is not None:
            raise Unavailable("planted")
        await advance(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Lease, "advance", advance_at_last)
    async with running(Projector(database_url, keyring=KEYRING).run()):
        await arrived(database, head)
    await assert_read_model_is_the_fold(database)
    assert await epoch(database) == 1


async def test_another_projector_takes_over_from_one_that_vanished(
    database: Database, store: EventStore, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as second:
        await append(store, created("cus_1"))
        with monkeypatch.context() as patch:
            patch.setattr(Lease, "release", _vanish)
            async with running(
                Projector(database_url, keyring=KEYRING, silence_max_s=SILENCE_S).run()
            ):
                await arrived(database, Position(1))
                standby = Projector(database_url, keyring=KEYRING, silence_max_s=SILENCE_S)
                await second.enter_async_context(running(standby.run()))
        await append(store, created("cus_2"))
        await arrived(database, Position(2))
    assert await assert_read_model_is_the_fold(database) == 2


async def test_many_parked_customers_end_the_projector(
    store: EventStore, database_url: str
) -> None:
    for number in range(PARKED_STREAMS_MAX + 1):
        await append(store, created(f"cus_{number}", Details(name="a\0b")))
    with pytest.raises(ExceptionGroup) as raised:
        await Projector(database_url, keyring=KEYRING).run()
    assert raised.group_contains(TooManyParked)


async def test_many_rows_at_another_version_end_the_projector(
    database: Database, store: EventStore, database_url: str
) -> None:
    for number in range(REPAIRED_ROWS_MAX + 1):
        await append(store, created(f"cus_{number}"))
    async with running(Projector(database_url, keyring=KEYRING).run()):
        await arrived(database, Position(REPAIRED_ROWS_MAX + 1))
    await database.execute("UPDATE read_model.customers SET version = 7")
    for number in range(REPAIRED_ROWS_MAX + 1):
        await append(store, updated(f"cus_{number}", Details(name="Jen")))
    with pytest.raises(ExceptionGroup) as raised:
        await Projector(database_url, keyring=KEYRING).run()
    assert raised.group_contains(OutOfStep)


async def test_a_parked_customer_is_tried_again_and_again(
    database: Database, store: EventStore, database_url: str
) -> None:
    await append(store, created("cus_1", Details(name="a\0b")))
    async with running(Projector(database_url, keyring=KEYRING, parked_retry_every_s=0.05).run()):
        await arrived(database, Position(1))
        await append(store, updated("cus_1", Details(name="Jenny")))

        async def is_unparked() -> bool:
            return not await database.fetch("SELECT FROM read_model.parked_streams")

        await eventually(is_unparked, "the customer goes on")
        await arrived(database, Position(2))
    assert await assert_read_model_is_the_fold(database) == 1


def process(log: Path, database_url: str) -> Child:
    return Child.spawn(
        "projector",
        [sys.executable, "-m", "chaching_projector"],
        env={"DATABASE_URL": database_url, "MASTER_KEY": MASTER_KEY, "PATH": "/usr/bin:/bin"},
        log=log,
    )


async def test_sigterm_ends_the_process_in_order(
    database: Database, store: EventStore, database_url: str, tmp_path: Path
) -> None:
    await append(store, created("cus_1"))
    child = process(tmp_path / "log", database_url)
    try:
        await arrived(database, Position(1))
        child.send(signal.SIGTERM)
        child.send(signal.SIGTERM)

        async def has_ended() -> bool:
            return child.exit_code is not None

        await eventually(has_ended, "the process has ended")
        assert child.exit_code == 0, child.log.read_text()
        [row] = await database.fetch(
            "SELECT holder FROM event_store.checkpoints WHERE name = $1", CHECKPOINT
        )
        assert row["holder"] is None
    finally:
        await child.end(signal.SIGKILL, 5.0)


async def test_a_paused_process_is_replaced_and_never_writes_again(
    database: Database, store: EventStore, database_url: str, tmp_path: Path
) -> None:
    await append(store, created("cus_1"))
    child = process(tmp_path / "log", database_url)
    try:
        await arrived(database, Position(1))
        child.send(signal.SIGSTOP)
        async with running(Projector(database_url, keyring=KEYRING, silence_max_s=SILENCE_S).run()):
            head = await append_customers(store, customers=20, updates=2)
            await arrived(database, head)
            taken = await epoch(database)
            child.send(signal.SIGCONT)

            async def is_fenced() -> bool:
                return "taken over" in child.log.read_text()

            head = await append_customers(store, customers=5, updates=2, first=20)
            await eventually(is_fenced, "the paused process has noticed")
            await arrived(database, head)
            assert await epoch(database) == taken
    finally:
        await child.end(signal.SIGTERM, 5.0)
    assert await assert_read_model_is_the_fold(database) == 26


async def test_the_projector_needs_no_more_than_its_role(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    head = await append_customers(store, customers=10, updates=2)
    await append(store, created("cus_bad", Details(name="a\0b")))
    role_url = f"{database_url}?role=chaching_projector"
    projector = Projector(
        role_url, amqp_url, keyring=KEYRING, prefix=prefix, parked_retry_every_s=0.05
    )
    async with running(projector.run()):
        await arrived(database, Position(head + 1))
        await append(store, updated("cus_bad", Details(name="Jenny")))
        await arrived(database, Position(head + 2))

        async def is_whole() -> bool:
            return not await database.fetch("SELECT FROM read_model.parked_streams")

        await eventually(is_whole, "the parked customer goes on")
    assert await assert_read_model_is_the_fold(database) == 11


async def _vanish(_lease: Lease, _held: object) -> None:
    return
