"""After an erasure the broker keeps nothing more of the person, and everybody else's messages."""

# Faults are planted inside.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict
from tests.broker.test_broker import created_message, some_messages
from tests.support.brokers import assert_every_event_in_order, history_up_to, subscribed
from tests.support.comparing import LET_CHANGE, damage
from tests.support.customers import append, append_customers, checkpoint, created, updated
from tests.support.keyrings import KEYRING
from tests.support.running import running
from tests.support.waiting import eventually

from chaching.broker import topology
from chaching.broker.errors import BrokerUnavailable, QueueRefuses
from chaching.broker.publisher import Prove, Publisher, feeding, publishing
from chaching.domain.customer import EraseCustomer
from chaching.domain.ids import CustomerId
from chaching.domain.values import Details
from chaching.envelope import LogId, Position, RecordedEvent
from chaching.eventstore.database import Database
from chaching.eventstore.errors import Fenced
from chaching.eventstore.lease import Lease
from chaching.eventstore.store import EventStore
from chaching_api import purging
from chaching_api.purging import Purges
from chaching_api.relay import LEASE_NAME, Leadership, Relay

CANARY = "canary"
BREAK_THIRD = "UPDATE event_store.events SET payload = '{}' WHERE position = 3"
TAKE_OUT = "DELETE FROM event_store.events WHERE position BETWEEN 3 AND 10"
AN_HOUR_S = 3_600.0
MARK = Position(999)


def erasure(customer_id: str) -> EraseCustomer:
    return EraseCustomer(id=CustomerId(customer_id), at=1)


async def planted(store: EventStore) -> Position:
    """Create a customer with a canary among others; return the log's head."""
    await append_customers(store, customers=5, updates=1)
    await append(store, created("cus_1", Details(name=CANARY)))
    await append(store, updated("cus_1", Details(metadata={CANARY: CANARY})))
    return await append_customers(store, customers=5, updates=1, first=10)


async def relayed(database: Database, head: Position) -> None:
    async def is_there() -> bool:
        return await checkpoint(database, LEASE_NAME) >= head

    await eventually(is_there, f"the relay published up to {head}")


async def purged(database: Database, head: Position) -> None:
    async def is_noted() -> bool:
        [row] = await database.fetch("SELECT position FROM event_store.broker_purge")
        return row["position"] >= head

    await eventually(is_noted, f"the purge up to {head} is noted")


async def test_the_stream_is_filled_anew_without_the_person(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    role_url = f"{database_url}?role=chaching_relay"
    relay = Relay(role_url, amqp_url, KEYRING, prefix=prefix, purge_after_s=0)
    async with subscribed(amqp_url, prefix) as subscriber, running(relay.run()):
        before = await planted(store)
        await relayed(database, before)
        kept = await history_up_to(amqp_url, prefix, before)
        assert sum(CANARY in body for _, body in kept) == 2
        head = (await append(store, erasure("cus_1"))).position
        await purged(database, head)
        later = (await append(store, created("cus_later"))).position
        await relayed(database, later)
        now = await history_up_to(amqp_url, prefix, later)
        await eventually(lambda: subscriber.has_all_up_to(later), "the subscriber has all")
    assert not any(CANARY in body for _, body in now)
    assert [position for position, _ in now] == list(range(1, later + 1))
    theirs = {position: body for position, body in kept if CANARY not in body}
    assert {position: body for position, body in now if position in theirs} == theirs
    assert_every_event_in_order(subscriber.received, later)
    assert subscriber.positions == list(range(1, later + 1))
    assert subscriber.received[head - 1].type == "customer.erased"
    assert b"null" in bytes(subscriber.received[head - 1].object)


async def test_a_purge_that_was_cut_off_is_done_again(
    database: Database,
    store: EventStore,
    database_url: str,
    amqp_url: str,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    purge, cut = topology.purge, list[str]()

    async def cut_off_once(amqp_url: str, prefix: str) -> None:
        await purge(amqp_url, prefix)
        if not cut:
            cut.append(prefix)
            raise BrokerUnavailable("cut off after the queues were deleted")

    monkeypatch.setattr(topology, "purge", cut_off_once)
    relay = Relay(database_url, amqp_url, KEYRING, prefix=prefix, purge_after_s=0)
    async with running(relay.run()):
        await planted(store)
        head = (await append(store, erasure("cus_1"))).position
        await purged(database, head)
        await relayed(database, head)
        found = await history_up_to(amqp_url, prefix, head)
    assert cut == [prefix]
    assert {position for position, _ in found} == set(range(1, head + 1))
    assert not any(CANARY in body for _, body in found)


async def test_a_purge_that_was_cut_off_while_the_stream_was_filled_is_done_again(
    database: Database,
    store: EventStore,
    database_url: str,
    amqp_url: str,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refill, cut = Purges._refill, list[Position]()

    async def cut_off_once(
        self: Purges, publisher: Publisher, log_id: LogId, published: Position, prove: Prove
    ) -> None:
        if not cut:
            cut.append(published)
            await refill(self, publisher, log_id, Position(published // 2), prove)
            raise BrokerUnavailable("cut off half way")
        await refill(self, publisher, log_id, published, prove)

    monkeypatch.setattr(Purges, "_refill", cut_off_once)
    monkeypatch.setattr(purging, "READ_MAX_EVENTS", 3)
    relay = Relay(database_url, amqp_url, KEYRING, prefix=prefix, purge_after_s=0)
    async with subscribed(amqp_url, prefix) as subscriber, running(relay.run()):
        await relayed(database, await planted(store))
        head = (await append(store, erasure("cus_1"))).position
        await purged(database, head)
        await relayed(database, head)
        await eventually(lambda: subscriber.has_all_up_to(head), "the subscriber has all")
        found = await history_up_to(amqp_url, prefix, head)
    assert cut
    assert [position for position, _ in found] == list(range(1, head + 1))
    assert not any(CANARY in body for _, body in found)
    assert_every_event_in_order(subscriber.received, head)


async def test_an_event_that_was_damaged_since_it_was_published_holds_up_no_purge(
    database: Database,
    store: EventStore,
    database_url: str,
    amqp_url: str,
    prefix: str,
) -> None:
    relay = Relay(database_url, amqp_url, KEYRING, prefix=prefix, purge_after_s=0)
    with capture_logs() as logged:
        async with running(relay.run()):
            await relayed(database, await planted(store))
            await database.execute(LET_CHANGE)
            await damage(database, BREAK_THIRD)
            head = (await append(store, erasure("cus_1"))).position
            await purged(database, head)
            later = (await append(store, created("cus_later"))).position
            await relayed(database, later)
            found = await history_up_to(amqp_url, prefix, later)
    positions = [position for position, _ in found]
    assert positions == [at for at in range(1, later + 1) if at != 3]
    assert not any(CANARY in body for _, body in found)
    [told] = lines_of(logged, "event_left_out")
    assert told["position"] == 3


async def test_events_that_were_taken_out_of_the_log_end_no_filling(
    database: Database,
    store: EventStore,
    database_url: str,
    amqp_url: str,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(purging, "READ_MAX_EVENTS", 3)
    relay = Relay(database_url, amqp_url, KEYRING, prefix=prefix, purge_after_s=0)
    with capture_logs() as logged:
        async with running(relay.run()):
            await relayed(database, await planted(store))
            await database.execute("ALTER TABLE event_store.events DISABLE TRIGGER USER")
            await database.execute(TAKE_OUT)
            head = (await append(store, erasure("cus_1"))).position
            await purged(database, head)
            later = (await append(store, created("cus_later"))).position
            await relayed(database, later)
            found = await history_up_to(amqp_url, prefix, later)
    assert [position for position, _ in found] == [
        at for at in range(1, later + 1) if at not in range(3, 11)
    ]
    assert [line["position"] for line in lines_of(logged, "event_left_out")] == [3, 6, 9]


async def test_dead_letters_that_are_lost_are_told(
    database: Database,
    store: EventStore,
    database_url: str,
    amqp_url: str,
    prefix: str,
) -> None:
    relay = Relay(database_url, amqp_url, KEYRING, prefix=prefix, purge_after_s=0)
    with capture_logs() as logged:
        async with running(relay.run()):
            await relayed(database, await planted(store))
            async with feeding(amqp_url, topology.names_under(prefix).projector_dead) as dead:
                await dead.publish(await store.log_id(), some_messages(2))
                await dead.confirmed_beyond(Position(1))
            await purged(database, (await append(store, erasure("cus_1"))).position)
            later = (await append(store, erasure("cus_000010"))).position
            await purged(database, later)
    assert [line["messages"] for line in lines_of(logged, "dead_letters_lost")] == [2]
    [*_, told] = lines_of(logged, "broker_purged")
    assert told["position"] == later
    assert told["elapsed_s"] > 0


def lines_of(logged: list[EventDict], event: str) -> list[EventDict]:
    return [line for line in logged if line["event"] == event]


async def test_an_erasure_waits_for_company(
    database: Database, store: EventStore, database_url: str, amqp_url: str, prefix: str
) -> None:
    relay = Relay(database_url, amqp_url, KEYRING, prefix=prefix, purge_after_s=AN_HOUR_S)
    async with running(relay.run()):
        await planted(store)
        head = (await append(store, erasure("cus_1"))).position
        await relayed(database, head)
        later = (await append(store, created("cus_later"))).position
        await relayed(database, later)
    [row] = await database.fetch("SELECT position FROM event_store.broker_purge")
    assert row["position"] == 0


async def test_a_purge_whose_messages_the_broker_refuses_is_done_again(
    database: Database,
    store: EventStore,
    database_url: str,
    amqp_url: str,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refill, refused = Purges._refill, list[Position]()

    async def refused_once(
        self: Purges, publisher: Publisher, log_id: LogId, published: Position, prove: Prove
    ) -> None:
        if not refused:
            refused.append(published)
            publisher.failed("the broker answered Basic.Nack", QueueRefuses)
        await refill(self, publisher, log_id, published, prove)

    monkeypatch.setattr(Purges, "_refill", refused_once)
    relay = Relay(database_url, amqp_url, KEYRING, prefix=prefix, purge_after_s=0)
    async with running(relay.run()):
        await relayed(database, await planted(store))
        head = (await append(store, erasure("cus_1"))).position
        await purged(database, head)
        later = (await append(store, created("cus_later"))).position
        await relayed(database, later)
    assert refused


async def test_a_purge_whose_last_messages_the_broker_refuses_is_done_again(
    database: Database,
    store: EventStore,
    database_url: str,
    amqp_url: str,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    confirmed_beyond, refused = Publisher.confirmed_beyond, list[str]()

    async def refused_once(self: Publisher, position: Position) -> Position:
        if not refused and self._exchange == topology.names_under(prefix).history:
            refused.append(prefix)
            self.failed("the broker answered Basic.Nack", QueueRefuses)
            self._check()
        return await confirmed_beyond(self, position)

    monkeypatch.setattr(Publisher, "confirmed_beyond", refused_once)
    relay = Relay(database_url, amqp_url, KEYRING, prefix=prefix, purge_after_s=0)
    async with running(relay.run()):
        await relayed(database, await planted(store))
        head = (await append(store, erasure("cus_1"))).position
        await purged(database, head)
        later = (await append(store, created("cus_later"))).position
        await relayed(database, later)
    assert refused == [prefix]


async def test_a_leader_that_was_stopped_while_it_filled_the_stream_fills_and_notes_no_more(
    database: Database,
    store: EventStore,
    database_url: str,
    amqp_url: str,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    relay = Relay(database_url, amqp_url, KEYRING, prefix=prefix, purge_after_s=AN_HOUR_S)
    async with running(relay.run()):
        await planted(store)
        await relayed(database, (await append(store, erasure("cus_1"))).position)
    stopped = Lease(database, LEASE_NAME, "stopped", silence_max_s=0.0)
    held = await stopped.acquire()
    assert held is not None
    read, reads = Purges._read, list[Position]()

    async def stopped_at_the_third(
        self: Purges, after: Position, up_to: Position
    ) -> list[RecordedEvent]:
        reads.append(after)
        if len(reads) == 3:
            assert await Lease(database, LEASE_NAME, "next", silence_max_s=0.0).acquire()
            leadership._proved_at -= 60
        return await read(self, after, up_to)

    monkeypatch.setattr(Purges, "_read", stopped_at_the_third)
    monkeypatch.setattr(purging, "READ_MAX_EVENTS", 3)
    purges = Purges(database, store, amqp_url, prefix, 0)
    history = topology.names_under(prefix).history
    async with publishing(amqp_url, prefix=prefix) as publisher:
        leadership = Leadership(database, store, stopped, held, publisher, purges)
        with pytest.raises(ExceptionGroup) as raised:
            await leadership._purge(await store.log_id())
    assert raised.group_contains(Fenced)
    async with publishing(amqp_url, prefix=prefix, exchange=history) as publisher:
        await publisher.publish(await store.log_id(), [created_message(MARK)])
        found = await history_up_to(amqp_url, prefix, MARK)
    written = [position for position, _ in found if position != MARK]
    assert written[:3] == [1, 2, 3]
    assert written == list(range(1, len(written) + 1))
    assert len(written) <= 6
    [row] = await database.fetch("SELECT position FROM event_store.broker_purge")
    assert row["position"] == 0
