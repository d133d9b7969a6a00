"""A retrieve after a write shows it, whatever the read model knows; and the check would notice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from importlib.resources import files

import pytest
from tests.support.gateways import ACCOUNT, Answer, Client, Gateway

from chaching.domain.customer_object import render
from chaching.domain.ids import AccountId, CustomerId
from chaching.envelope import StreamKey, customer_after
from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore
from chaching_api.reads import retrieve

ID = "cus_1"
KEY = StreamKey(AccountId(ACCOUNT), False, CustomerId(ID))
UPDATES = ("name=June", "metadata[a]=&metadata[b]=2", "address[city]=X&email=j@x.io", "balance=7")

PUT_ROW = """
    INSERT INTO read_model.customers
        (account, livemode, id, version, position, created, deleted, body, attached)
    VALUES ($1, $2, $3, $4, $5, 0, $6, $7, '{}')
    ON CONFLICT ON CONSTRAINT customers_pkey
    DO UPDATE SET version = $4, position = $5, deleted = $6, body = $7
"""


class Projected:
    """Puts into the read model what a projector would have put there by some version."""

    def __init__(self, database: Database, store: EventStore) -> None:
        self._database = database
        self._store = store

    async def up_to(self, version: int) -> None:
        """Bring the customer's row to a version, if it ever had that."""
        for event in await self._store.read_stream(KEY):
            if event.version == version:
                after = customer_after(event.type, event.schema_version, event.payload, event.state)
                await self.put(version, event.position, render(after), deleted=after.deleted)

    async def put(self, version: int, position: int, body: bytes, *, deleted: bool = False) -> None:
        await self._database.execute(
            PUT_ROW, ACCOUNT, KEY.livemode, ID, version, position, deleted, body.decode()
        )


@pytest.fixture
def projected(database: Database, store: EventStore) -> Projected:
    return Projected(database, store)


async def every_retrieve_is_exact(client: Client, projected: Projected, *, lag: int | None) -> None:
    """Write and retrieve in turn; the row stays ``lag`` versions behind, None: there is none."""
    for version, write in enumerate(writes(client), start=1):
        written = await write
        assert written.status == 200, written
        if lag is not None:
            await projected.up_to(version - lag)
        read = await client.retrieve(ID)
        assert (read.status, read.body) == (200, written.body), version


def writes(client: Client) -> Iterator[Awaitable[Answer]]:
    yield client.create(f"id={ID}&name=Jane&metadata[a]=1")
    for form in UPDATES:
        yield client.update(ID, form)
    yield client.delete(ID)


@pytest.mark.parametrize("lag", [None, 0, 1, 2, 4])
async def test_every_retrieve_shows_the_last_write(
    client: Client, projected: Projected, lag: int | None
) -> None:
    await every_retrieve_is_exact(client, projected, lag=lag)


@pytest.mark.parametrize("lag", [None, 1, 2])
async def test_a_retrieve_without_the_tail_is_found_out(
    client: Client, projected: Projected, monkeypatch: pytest.MonkeyPatch, lag: int | None
) -> None:
    sql = (files("chaching_api.reads") / "sql" / "retrieve.sql").read_text()
    tail = "WHERE e.account = wanted.account"
    assert sql.count(tail) == 1
    sabotaged = sql.replace(tail, "WHERE false AND e.account = wanted.account")
    monkeypatch.setattr(retrieve, "_RETRIEVE", sabotaged)
    with pytest.raises(AssertionError):
        await every_retrieve_is_exact(client, projected, lag=lag)


async def test_a_retrieve_that_trusts_an_old_row_is_found_out(
    client: Client, projected: Projected, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = (files("chaching_api.reads") / "sql" / "retrieve.sql").read_text()
    condition = "e.version > coalesce(applied.version, 0)"
    assert sql.count(condition) == 1
    monkeypatch.setattr(retrieve, "_RETRIEVE", sql.replace(condition, "applied.version IS NULL"))
    with pytest.raises(AssertionError):
        await every_retrieve_is_exact(client, projected, lag=1)


async def test_a_row_that_is_up_to_date_is_answered_as_it_stands(
    client: Client, projected: Projected
) -> None:
    await client.create(f"id={ID}")
    await projected.put(1, 1, b'{"as": "it stands"}')
    assert (await client.retrieve(ID)).body == b'{"as": "it stands"}'


async def test_a_customer_whose_newest_event_cannot_be_read_fails_alone(
    gateway: Gateway, database: Database
) -> None:
    client = gateway.client
    await client.create("id=cus_broken")
    whole = await client.create("id=cus_whole")
    await database.execute("ALTER TABLE event_store.events DISABLE TRIGGER events_refuse_change")
    await database.execute(
        "UPDATE event_store.events SET schema_version = 99 WHERE stream = 'cus_broken'"
    )
    broken, read = await asyncio.gather(client.retrieve("cus_broken"), client.retrieve("cus_whole"))
    assert broken.status == 500
    assert broken.error["code"] == "server_error"
    assert (read.status, read.body) == (200, whole.body)


async def test_retrieves_that_travel_together_each_get_their_own(client: Client) -> None:
    created = await asyncio.gather(*(client.create(f"id=cus_{n}&name=n{n}") for n in range(60)))
    wanted = [f"cus_{n % 70}" for n in range(140)]
    read = await asyncio.gather(*(client.retrieve(customer_id) for customer_id in wanted))
    for number, answer in enumerate(read):
        if number % 70 < 60:
            assert answer.body == created[number % 70].body
        else:
            assert answer.status == 404
