"""The erasing event and the end of the key are one: both are stored, or neither."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
import pytest
from tests.eventstore.items import append_batch, commands, conflict, item, keeping
from tests.support.customers import append, created, key_of, pending, updated
from tests.support.keyrings import KEYRING, MASTER_KEY, master_key

from chaching.domain.customer import CustomerErased, CustomerUpdated, decide
from chaching.domain.delta import Delta
from chaching.domain.values import Details
from chaching.envelope import (
    START,
    KeptAnswer,
    PendingAnswer,
    PendingEvent,
    Undecodable,
    decode_event,
)
from chaching.eventstore.database import Database
from chaching.eventstore.encryption import DESTROYED, Keyring
from chaching.eventstore.errors import Conflict, WrongMasterKey
from chaching.eventstore.statements import statement
from chaching.eventstore.store import Appended, EventStore, Loaded

APPEND: Final = statement("chaching.eventstore", "append_events")
REWRAP: Final = statement("chaching.eventstore", "rewrap_data_keys")
KEY: Final = key_of("cus_1")
OTHER: Final = Keyring.of(master_key("another master key"))


@pytest.fixture
async def loaded(store: EventStore) -> Loaded:
    """A customer with a name, as it was loaded."""
    await append(store, created("cus_1", Details(name="Jane")))
    return await store.load(KEY)


def erasure(loaded: Loaded) -> PendingEvent:
    event = CustomerErased(erased_at=1)
    return pending(event, loaded.state, loaded.version, data_key=loaded.data_key)


def renaming(loaded: Loaded) -> PendingEvent:
    renamed = Delta(changes={"name": "June"}, previous={"name": "Jane"})
    event = CustomerUpdated(updated=1, personal=renamed)
    return pending(event, loaded.state, loaded.version, data_key=loaded.data_key)


def creation(customer_id: str) -> PendingEvent:
    event = decide(created(customer_id, Details(name="Jane")), None)
    assert event is not None
    return pending(event, None)


async def wrapped(database: Database, stream: str = "cus_1") -> bytes | None:
    row = await database.fetch_row(
        "SELECT wrapped FROM event_store.data_keys WHERE stream = $1", stream
    )
    return None if row is None else row["wrapped"]


async def test_a_transaction_that_is_lost_destroys_nothing(
    database: Database, store: EventStore, loaded: Loaded
) -> None:
    async with database.session() as session:
        await session.execute("BEGIN")
        await append_batch(session, erasure(loaded))
        await session.execute("ROLLBACK")
    assert await wrapped(database) == loaded.data_key
    assert await store.load(KEY) == loaded


async def test_an_erasure_that_comes_too_late_destroys_nothing(
    database: Database, store: EventStore, loaded: Loaded
) -> None:
    await append(store, updated("cus_1", Details(phone="1")))
    assert await append_batch(database, erasure(loaded)) == [conflict(2)]
    assert await wrapped(database) == loaded.data_key


async def test_an_erasure_that_is_sent_again_finds_itself_done(
    database: Database, store: EventStore, loaded: Loaded
) -> None:
    event = erasure(loaded)
    assert await store.append(event) == await store.append(event)
    assert await wrapped(database) == DESTROYED
    assert await store.head() == 2


async def test_an_update_that_was_decided_before_the_erasure_is_refused(
    store: EventStore, loaded: Loaded
) -> None:
    late = renaming(loaded)
    await store.append(erasure(loaded))
    with pytest.raises(Conflict):
        await store.append(late)
    now = await store.load(KEY)
    assert (now.version, now.data_key) == (2, DESTROYED)


async def test_an_erasure_and_another_customers_events_travel_together(
    database: Database, store: EventStore, loaded: Loaded
) -> None:
    await append(store, created("cus_2", Details(name="June")))
    kept = await wrapped(database, "cus_2")
    await append_batch(database, item("cus_3"), erasure(loaded), item("cus_4"))
    assert await wrapped(database) == DESTROYED
    assert await wrapped(database, "cus_2") == kept
    other = await store.load(key_of("cus_2"))
    assert other.state is not None
    assert other.state.personal.name == "June"


async def test_a_create_that_is_sent_again_keeps_its_first_key(
    database: Database, store: EventStore
) -> None:
    event = creation("cus_1")
    encrypted = [KEYRING.encrypt(event) for _ in range(2)]
    for one in encrypted:
        [(*command, _)] = commands(one.pending)
        await database.fetch(APPEND, [(*command, one.new_data_key)])
    assert encrypted[0].new_data_key != encrypted[1].new_data_key
    assert await wrapped(database) == encrypted[0].new_data_key
    [recorded] = await store.read_all(START)
    assert recorded.payload == event.payload


@pytest.mark.parametrize("kept", [None, keeping("key_1")])
async def test_who_had_no_personal_values_is_erased_like_everybody(
    database: Database, store: EventStore, kept: KeptAnswer | None
) -> None:
    await append(store, created("cus_1", Details(balance=1)))
    assert await wrapped(database) is None
    event = msgspec.structs.replace(erasure(await store.load(KEY)), kept=kept)
    position = (await store.append(event)).position
    loaded = await store.load(KEY)
    assert loaded.state is not None
    assert loaded.state.erased
    assert loaded.data_key == DESTROYED
    [row] = await database.fetch("SELECT erased_position FROM event_store.data_keys")
    assert row["erased_position"] == position
    assert all(recorded.erased for recorded in await store.read_stream(KEY))


async def test_of_two_new_keys_of_a_customer_the_later_is_a_conflict_and_fails_nobody_else(
    database: Database, store: EventStore
) -> None:
    await append(store, created("cus_1", Details(balance=1)))
    stale = await store.load(KEY)

    def keeping_alone(key: str) -> PendingAnswer:
        kept = keeping(key, answer=b'{"name":"Jane"}', request=f"req_{key}")
        return PendingAnswer(
            key=KEY, expected_version=stale.version, kept=kept, data_key=stale.data_key
        )

    await store.keep(keeping_alone("first"))
    first = await wrapped(database)
    late, other = await asyncio.gather(
        store.keep(keeping_alone("late")), store.append(creation("cus_2")), return_exceptions=True
    )
    assert isinstance(late, Conflict)
    assert isinstance(other, Appended)
    with pytest.raises(Conflict):
        await store.append(renaming(stale))
    now = await store.load(KEY)
    assert (now.version, now.data_key) == (stale.version, first)


async def test_events_with_a_missing_key_are_undecodable_and_hold_up_nobody(
    database: Database, store: EventStore
) -> None:
    await append(store, created("cus_1", Details(name="Jane")))
    await append(store, created("cus_2", Details(name="June")))
    await database.execute("ALTER TABLE event_store.data_keys DISABLE TRIGGER ALL")
    await database.execute("DELETE FROM event_store.data_keys WHERE stream = 'cus_1'")
    first, second = await store.read_all(START)
    with pytest.raises(Undecodable):
        decode_event(first)
    assert b"June" in msgspec.json.encode(decode_event(second))
    with pytest.raises(Undecodable):
        await store.load(KEY)


async def test_a_key_that_is_destroyed_while_others_are_wrapped_anew_stays_so(
    database: Database, store: EventStore, loaded: Loaded
) -> None:
    assert loaded.data_key is not None
    await store.append(erasure(loaded))
    anew = KEYRING.rewrapped(KEY, loaded.data_key)
    arguments = ([KEY.account], [KEY.livemode], [KEY.id], [loaded.data_key], [anew])
    assert await database.execute(REWRAP, *arguments) == 0
    assert await wrapped(database) == DESTROYED


# --- Master keys --------------------------------------------------------------------------------


async def test_nothing_is_encrypted_with_a_master_key_that_the_database_does_not_know(
    database: Database, store: EventStore
) -> None:
    await append(store, created("cus_1", Details(name="Jane")))
    stranger = EventStore(database, OTHER)
    with pytest.raises(WrongMasterKey, match="needs the key with the id"):
        await stranger.append(creation("cus_2"))
    with pytest.raises(WrongMasterKey):
        await stranger.load(KEY)
    with pytest.raises(WrongMasterKey):
        await stranger.check_master_key()
    assert await stranger.head() == 1


async def test_of_two_processes_with_different_keys_the_second_is_refused(
    database: Database,
) -> None:
    await EventStore(database, KEYRING).admit_master_key()
    with pytest.raises(WrongMasterKey):
        await EventStore(database, OTHER).admit_master_key()
    both = Keyring.of(f"{master_key('next')},{MASTER_KEY}")
    await EventStore(database, both).admit_master_key()
    with pytest.raises(WrongMasterKey):
        await EventStore(database, KEYRING).check_master_key()
