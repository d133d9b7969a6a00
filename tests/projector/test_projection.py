from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs
from tests.support.customers import (
    append,
    append_customers,
    checkpoint,
    created,
    deleted,
    key_of,
    pending,
    updated,
    whole_log,
)
from tests.support.read_model import CHECKPOINT, assert_read_model_is_the_fold

from chaching.domain.customer import CustomerDeleted
from chaching.domain.values import Details
from chaching.envelope import Position, Version
from chaching.eventstore.database import Database
from chaching.eventstore.errors import Fenced, ValueRefused
from chaching.eventstore.lease import Held, Lease
from chaching.eventstore.store import EventStore
from chaching_projector.projections.customers import projection as projection_module
from chaching_projector.projections.customers.projection import (
    PARKED_STREAMS_MAX,
    REPAIRED_ROWS_MAX,
    CustomersProjection,
    TooManyParked,
)
from chaching_projector.projections.customers.steps import Item, OutOfStep, item_of
from chaching_projector.projections.customers.writer import SESSION_SETTINGS

NUL = "a\0b"


@pytest.fixture
async def own_database(database_url: str) -> AsyncGenerator[Database]:
    """The database as the projector opens it."""
    database = Database(database_url, name="projector", sessions_max=4, settings=SESSION_SETTINGS)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def projection(own_database: Database, store: EventStore) -> CustomersProjection:
    return await projection_in(own_database, store)


async def projection_in(database: Database, store: EventStore) -> CustomersProjection:
    """Take the lease from whoever has it."""
    lease = Lease(database, CHECKPOINT, "tests", silence_max_s=0.0)
    held = await lease.acquire()
    assert held is not None
    projection = CustomersProjection(database, store, lease, held)
    await projection.open()
    return projection


async def items(store: EventStore, after: int = 0) -> list[Item]:
    return [item_of(event) for event in await whole_log(store) if event.position > after]


async def apply_all(
    projection: CustomersProjection, store: EventStore, *, batch_max: int = 50
) -> None:
    found = await items(store, projection.position)
    for start in range(0, len(found), batch_max):
        await projection.apply(found[start : start + batch_max])


def repaired(logged: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, int, int]]:
    """Return whose rows were repaired, each with the versions found, expected and written."""
    return {
        line["customer"]: (line["found"], line["expected"], line["written"])
        for line in logged
        if line["event"] == "row_repaired"
    }


async def parked(database: Database) -> list[str]:
    rows = await database.fetch("SELECT id FROM read_model.parked_streams ORDER BY id")
    return [row["id"] for row in rows]


async def append_undecodable(store: EventStore, customer_id: str) -> None:
    """Append an event of a schema that this code does not know."""
    loaded = await store.load(key_of(customer_id))
    strange = pending(
        CustomerDeleted(deleted_at=1), loaded.state, loaded.version, data_key=loaded.data_key
    )
    await store.append(msgspec.structs.replace(strange, schema_version=99))


@pytest.mark.parametrize("batch_max", [1, 7, 1000])
async def test_the_read_model_is_the_fold_of_the_log(
    database: Database, store: EventStore, projection: CustomersProjection, batch_max: int
) -> None:
    head = await append_customers(store, customers=30, updates=3)
    await apply_all(projection, store, batch_max=batch_max)
    assert await assert_read_model_is_the_fold(database) == 30
    assert await checkpoint(database, CHECKPOINT) == projection.position == head


async def test_a_row_has_the_bytes_of_the_message(
    database: Database, store: EventStore, projection: CustomersProjection
) -> None:
    await append(store, created("cus_1", Details(name="Zoë \N{PARTY POPPER}")))
    await append(store, updated("cus_1", Details(payment_method="pm_1")))
    await apply_all(projection, store)
    [row] = await database.fetch("SELECT body, attached FROM read_model.customers")
    newest = (await items(store))[-1]
    assert not isinstance(newest, projection_module.Poison)
    assert row["body"].encode() == bytes(newest.object)
    assert row["attached"].encode() == bytes(newest.attached)


async def test_a_projector_that_applies_twice_is_caught(
    database: Database, store: EventStore, projection: CustomersProjection
) -> None:
    await append_customers(store, customers=3, updates=2)
    batch = await items(store)
    await projection.apply(batch)
    end = projection.position
    await append(store, created("cus_new"))
    twice = [*batch[-2:], *await items(store, end)]
    with capture_logs() as logged:
        await projection.apply(twice)
    assert repaired(logged)
    assert await checkpoint(database, CHECKPOINT) == end + 1
    assert await assert_read_model_is_the_fold(database) == 4


async def test_a_creation_that_is_applied_twice_is_caught(
    database: Database, store: EventStore, projection: CustomersProjection
) -> None:
    await append(store, created("cus_1"))
    await append(store, updated("cus_1", Details(name="Jen")))
    await apply_all(projection, store)
    await append(store, created("cus_2"))
    first, _, new = await items(store)
    with capture_logs() as logged:
        await projection.apply([first, new])
    assert repaired(logged) == {"cus_1": (2, 0, 2)}
    await assert_read_model_is_the_fold(database)


async def test_a_projector_that_skips_an_event_is_caught(
    database: Database, store: EventStore, projection: CustomersProjection
) -> None:
    await append(store, created("cus_1"))
    await append(store, updated("cus_1", Details(name="Jen")))
    await append(store, updated("cus_1", Details(name="Jenny")))
    first, _, third = await items(store)
    await projection.apply([first])
    with capture_logs() as logged:
        await projection.apply([third])
    assert repaired(logged) == {"cus_1": (1, 2, 3)}
    await assert_read_model_is_the_fold(database)


async def test_nothing_is_repaired_where_nothing_is_wrong(
    store: EventStore, projection: CustomersProjection
) -> None:
    await append_customers(store, customers=5, updates=2)
    with capture_logs() as logged:
        await apply_all(projection, store, batch_max=4)
    assert repaired(logged) == {}


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("UPDATE read_model.customers SET version = 7 WHERE id = 'cus_1'", {"cus_1": (7, 1, 2)}),
        ("DELETE FROM read_model.customers WHERE id = 'cus_1'", {"cus_1": (0, 1, 2)}),
        (
            "UPDATE read_model.customers SET id = 'cus_3' WHERE id = 'cus_1'",
            {"cus_1": (0, 1, 2), "cus_3": (1, 0, 1)},
        ),
    ],
)
async def test_rows_at_another_version_are_repaired_and_hold_nobody_up(
    database: Database,
    store: EventStore,
    projection: CustomersProjection,
    fault: str,
    found: dict[str, tuple[int, int, int]],
) -> None:
    await append(store, created("cus_1"))
    await append(store, created("cus_2"))
    await apply_all(projection, store)
    await database.execute(fault)
    await append(store, updated("cus_1", Details(name="Jen")))
    await append(store, updated("cus_2", Details(name="Jenny")))
    await append(store, created("cus_3"))
    with capture_logs() as logged:
        await apply_all(projection, store)
    assert repaired(logged) == found
    assert await assert_read_model_is_the_fold(database) == 3


async def test_a_repair_beside_refused_and_undecodable_events_goes_through(
    database: Database, store: EventStore, projection: CustomersProjection
) -> None:
    await append(store, created("cus_1"))
    await append(store, created("cus_2"))
    await apply_all(projection, store)
    await database.execute("UPDATE read_model.customers SET version = 7")
    await append(store, updated("cus_1", Details(name="Jen")))
    await append_undecodable(store, "cus_1")
    await append(store, updated("cus_2", Details(name=NUL)))
    await append(store, created("cus_3"))
    with capture_logs() as logged:
        await apply_all(projection, store)
    assert repaired(logged) == {"cus_1": (7, 1, 2)}
    assert await parked(database) == ["cus_1", "cus_2"]
    await append(store, updated("cus_2", Details(name="Jenny")))
    await apply_all(projection, store)
    with capture_logs() as logged:
        await projection.retry_parked()
    assert repaired(logged) == {"cus_2": (7, 1, 3)}
    assert await parked(database) == ["cus_1"]


async def test_many_rows_at_another_version_mean_a_bug_and_stop_it(
    database: Database, store: EventStore, projection: CustomersProjection
) -> None:
    for number in range(REPAIRED_ROWS_MAX + 1):
        await append(store, created(f"cus_{number}"))
    await apply_all(projection, store)
    end = projection.position
    await database.execute("UPDATE read_model.customers SET version = 7")
    for number in range(REPAIRED_ROWS_MAX + 1):
        await append(store, updated(f"cus_{number}", Details(name="Jen")))
    with pytest.raises(OutOfStep):
        await apply_all(projection, store)
    assert await checkpoint(database, CHECKPOINT) == end
    await apply_all(projection, store, batch_max=REPAIRED_ROWS_MAX)
    assert await assert_read_model_is_the_fold(database) == REPAIRED_ROWS_MAX + 1


async def test_an_event_that_the_log_does_not_have_repairs_nothing(
    database: Database, store: EventStore, projection: CustomersProjection
) -> None:
    await append(store, created("cus_1"))
    await apply_all(projection, store)
    [item] = await items(store)
    assert not isinstance(item, projection_module.Poison)
    strange = msgspec.structs.replace(item, version=Version(9), position=Position(2))
    with pytest.raises(OutOfStep, match="the log has no version 9"):
        await projection.apply([strange])
    assert await assert_read_model_is_the_fold(database) == 1


async def test_rows_without_their_checkpoint_are_caught_by_the_comparison(
    database: Database, store: EventStore, projection: CustomersProjection
) -> None:
    await append_customers(store, customers=5, updates=1)
    await apply_all(projection, store)
    await database.execute("UPDATE read_model.customers SET version = version + 1")
    with pytest.raises(AssertionError, match="not the fold"):
        await assert_read_model_is_the_fold(database)


async def test_a_replaced_projector_never_writes(
    database: Database, own_database: Database, store: EventStore, projection: CustomersProjection
) -> None:
    await append(store, created("cus_1"))
    await apply_all(projection, store)
    await append(store, updated("cus_1", Details(name="Jen")))
    late = await items(store, 1)
    await projection_in(own_database, store)
    with pytest.raises(Fenced):
        await projection.apply(late)
    assert await checkpoint(database, CHECKPOINT) == 1
    await assert_read_model_is_the_fold(database)


async def test_a_commit_whose_answer_was_lost_is_not_done_twice(
    database: Database, store: EventStore, own_database: Database
) -> None:
    lease = Lease(own_database, CHECKPOINT, "tests", silence_max_s=0.0)
    held = await lease.acquire()
    assert held is not None
    projection = CustomersProjection(own_database, store, lease, held)
    await append_customers(store, customers=3, updates=1)
    batch = await items(store)
    await projection.apply(batch)
    unaware = CustomersProjection(own_database, store, lease, Held(held.epoch, Position(0)))
    with pytest.raises(Fenced):
        await unaware.apply(batch)
    await assert_read_model_is_the_fold(database)


async def test_an_undecodable_event_parks_its_customer_and_no_other(
    database: Database, store: EventStore, projection: CustomersProjection
) -> None:
    await append(store, created("cus_bad"))
    await append_undecodable(store, "cus_bad")
    head = await append_customers(store, customers=10, updates=1)
    await apply_all(projection, store)
    assert await parked(database) == ["cus_bad"]
    assert await checkpoint(database, CHECKPOINT) == head
    rows = await database.fetch("SELECT id, version FROM read_model.customers")
    assert len(rows) == 11
    assert {row["id"]: row["version"] for row in rows}["cus_bad"] == 1


@pytest.mark.parametrize("neighbours", [0, 1, 40])
async def test_a_value_that_postgresql_refuses_parks_its_customer(
    database: Database, store: EventStore, projection: CustomersProjection, neighbours: int
) -> None:
    await append(store, created("cus_bad", Details(metadata={"key": NUL})))
    head = await append_customers(store, customers=neighbours, updates=1)
    await apply_all(projection, store, batch_max=1000)
    assert await parked(database) == ["cus_bad"]
    assert await checkpoint(database, CHECKPOINT) == head
    [row] = await database.fetch("SELECT count(*) AS rows FROM read_model.customers")
    assert row["rows"] == neighbours


async def test_a_value_that_the_driver_refuses_parks_its_customer(
    database: Database, store: EventStore, projection: CustomersProjection
) -> None:
    bad = created("cus_bad")
    await append(store, msgspec.structs.replace(bad, at=2**63))
    await append(store, created("cus_1"))
    await apply_all(projection, store)
    assert await parked(database) == ["cus_bad"]


async def test_later_events_of_a_parked_customer_wait(
    database: Database, store: EventStore, projection: CustomersProjection
) -> None:
    await append(store, created("cus_bad", Details(name=NUL)))
    await apply_all(projection, store)
    await append(store, updated("cus_bad", Details(email="jenny@example.com")))
    await append(store, created("cus_1"))
    await apply_all(projection, store)
    [row] = await database.fetch("SELECT id, first_version FROM read_model.parked_streams")
    assert (row["id"], row["first_version"]) == ("cus_bad", 1)
    assert projection.position == 3


async def test_a_new_holder_knows_what_is_parked(
    database: Database, own_database: Database, store: EventStore, projection: CustomersProjection
) -> None:
    await append(store, created("cus_bad", Details(name=NUL)))
    await apply_all(projection, store)
    await append(store, updated("cus_bad", Details(email="jenny@example.com")))
    next_one = await projection_in(own_database, store)
    await apply_all(next_one, store)
    assert await parked(database) == ["cus_bad"]


async def test_a_parked_customer_that_can_be_applied_again_catches_up(
    database: Database, store: EventStore, projection: CustomersProjection
) -> None:
    await append(store, created("cus_bad", Details(name=NUL)))
    await append(store, created("cus_1"))
    await apply_all(projection, store)
    await append(store, updated("cus_bad", Details(name="Jenny")))
    await append(store, updated("cus_bad", Details(email="jenny@example.com")))
    await apply_all(projection, store)
    await append(store, updated("cus_bad", Details(phone="1")))
    await projection.retry_parked()
    assert await parked(database) == []
    await assert_read_model_is_the_fold(database)
    await apply_all(projection, store)
    assert await assert_read_model_is_the_fold(database) == 2


async def test_a_parked_customer_in_its_middle_catches_up_after_repair(
    database: Database,
    store: EventStore,
    projection: CustomersProjection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await append(store, created("cus_bad"))
    await append(store, updated("cus_bad", Details(name="Jen")))
    await append(store, deleted("cus_bad"))

    def broken(_message: object) -> object:
        raise ValueRefused("planted")

    with monkeypatch.context() as patch:
        patch.setattr(projection_module.writer, "_columns", broken)
        await apply_all(projection, store, batch_max=1)
        await projection.retry_parked()
        assert await parked(database) == ["cus_bad"]
    await projection.retry_parked()
    assert await parked(database) == []
    await assert_read_model_is_the_fold(database)


async def test_what_cannot_be_applied_yet_stays_parked(
    database: Database, store: EventStore, projection: CustomersProjection
) -> None:
    await append(store, created("cus_bad"))
    await append_undecodable(store, "cus_bad")
    await apply_all(projection, store)
    await projection.retry_parked()
    assert await parked(database) == ["cus_bad"]


async def test_a_replaced_projector_replays_nothing(
    database: Database, own_database: Database, store: EventStore, projection: CustomersProjection
) -> None:
    await append(store, created("cus_bad", Details(name=NUL)))
    await append(store, updated("cus_bad", Details(name="Jenny")))
    await apply_all(projection, store, batch_max=1)
    await projection_in(own_database, store)
    with pytest.raises(Fenced):
        await projection.retry_parked()
    assert await parked(database) == ["cus_bad"]


async def test_many_parked_customers_mean_a_bug_and_stop_it(
    database: Database, store: EventStore, projection: CustomersProjection
) -> None:
    for number in range(PARKED_STREAMS_MAX + 1):
        await append(store, created(f"cus_{number}", Details(name=NUL)))
    batch = await items(store)
    await projection.apply(batch[:-1])
    with pytest.raises(TooManyParked):
        await projection.apply(batch[-1:])
    assert await checkpoint(database, CHECKPOINT) == PARKED_STREAMS_MAX
    assert len(await parked(database)) == PARKED_STREAMS_MAX


async def test_a_holder_that_is_paused_inside_a_transaction_is_cut_off(
    own_database: Database, store: EventStore
) -> None:
    lease = Lease(own_database, CHECKPOINT, "paused", silence_max_s=0.0)
    held = await lease.acquire()
    assert held is not None
    await append(store, created("cus_1"))

    async def pause_before_the_commit() -> None:
        async with own_database.transaction() as session:
            await session.execute("SET LOCAL idle_in_transaction_session_timeout = 200")
            await lease.advance(held, Position(0), Position(1), within=session)
            replacement.append(await projection_in(own_database, store))
        raise AssertionError("the commit went through")

    replacement: list[CustomersProjection] = []
    # what the driver says depends on whether it has read the server's farewell
    with pytest.raises(
        Exception, match=r"idle-in-tr|does not answer|refuses for now|cannot switch"
    ):
        await pause_before_the_commit()
    await apply_all(replacement[0], store)
    await assert_read_model_is_the_fold(own_database)
