"""After an erasure the broker keeps nothing more of the person, and everybody else's messages."""

# Faults are planted inside.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import pytest
from tests.support.brokers import assert_every_event_in_order, history_up_to, subscribed
from tests.support.customers import append, append_customers, checkpoint, created, updated
from tests.support.keyrings import KEYRING
from tests.support.running import running
from tests.support.waiting import eventually

from chaching.broker import topology
from chaching.broker.errors import BrokerUnavailable
from chaching.domain.customer import EraseCustomer
from chaching.domain.ids import CustomerId
from chaching.domain.values import Details
from chaching.envelope import Position
from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore
from chaching_api.relay import LEASE_NAME, Relay

CANARY = "canary"
AN_HOUR_S = 3_600.0


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
