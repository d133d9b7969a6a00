"""An erased customer whose events could not be applied: the row is emptied all the same."""

from __future__ import annotations

from tests.support.customers import append, created, updated
from tests.support.keyrings import KEYRING
from tests.support.read_model import assert_read_model_is_the_fold, projected
from tests.support.running import running
from tests.support.waiting import eventually

from chaching.domain.customer import EraseCustomer
from chaching.domain.ids import CustomerId
from chaching.domain.values import Details
from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore
from chaching_projector.runner import Projector


async def row(database: Database) -> str:
    rows = await database.fetch("SELECT c::text FROM read_model.customers AS c")
    return "".join(found[0] for found in rows)


async def test_the_row_of_a_parked_customer_who_is_erased_is_emptied(
    database: Database, store: EventStore, database_url: str
) -> None:
    first = await append(store, created("cus_1", Details(name="Jenny")))
    projector = Projector(database_url, keyring=KEYRING, parked_retry_every_s=0.05)
    async with running(projector.run()):
        await eventually(lambda: projected(database, first.position), "the row is there")
        parked = await append(store, updated("cus_1", Details(name="a\0b")))
        await eventually(lambda: projected(database, parked.position), "the customer is parked")
        assert "Jenny" in await row(database)
        await append(store, EraseCustomer(id=CustomerId("cus_1"), at=1))

        async def is_emptied() -> bool:
            return "Jenny" not in await row(database)

        await eventually(is_emptied, "the row is emptied")
    assert await assert_read_model_is_the_fold(database) == 1
