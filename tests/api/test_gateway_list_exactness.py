"""A list after a write shows it, whatever the read model knows; and the check would notice."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Iterator
from importlib.resources import files

import msgspec
import pytest
from tests.api.listing import ids, list_of, listed
from tests.support.gateways import ACCOUNT, Answer, Client, Gateway
from tests.support.projected import Projected, projected_in

from chaching.eventstore.database import Database, Row
from chaching.eventstore.statements import statement
from chaching.eventstore.store import EventStore
from chaching_api.reads import lists

LAG = "Chaching-Projection-Lag"
TAIL = statement("chaching_api.reads", "list_tail")
QUERIES = ("", "email=a@x.io", "email=b@x.io", "test_clock=clock_1", "limit=2", "created[gt]=0")


@pytest.fixture
async def projected(database_url: str, store: EventStore) -> AsyncGenerator[Projected]:
    async with projected_in(database_url, store) as projected:
        yield projected


class Truth:
    """The customers as the answers to the writes said they are."""

    def __init__(self) -> None:
        self._bodies: dict[str, bytes] = {}

    def learn(self, answer: Answer) -> None:
        assert answer.status == 200, answer
        customer = answer.json
        if customer.get("deleted"):
            del self._bodies[customer["id"]]
        else:
            self._bodies[customer["id"]] = answer.body

    def list(self, query: str) -> bytes:
        """Return what a list must answer: filtered, sorted and cut."""
        name, _, value = query.partition("=")
        customers = [msgspec.json.decode(body) for body in self._bodies.values()]
        clock = value if name == "test_clock" else None
        found = [
            customer
            for customer in customers
            if customer["test_clock"] == clock and (name != "email" or customer["email"] == value)
        ]
        found.sort(key=lambda customer: (customer["created"], customer["id"]), reverse=True)
        limit = int(value) if name == "limit" else 10
        bodies = [self._bodies[customer["id"]] for customer in found]
        return list_of(bodies[:limit], has_more=len(bodies) > limit)


def writes(client: Client) -> Iterator[Awaitable[Answer]]:
    for number in range(4):
        yield client.create(f"id=cus_{number}&email=a@x.io&name=n{number}")
    yield client.update("cus_1", "email=b@x.io")
    yield client.create("id=cus_clock&test_clock=clock_1&email=a@x.io")
    yield client.delete("cus_2")
    yield client.update("cus_1", "name=June&email=")
    yield client.update("cus_0", "email=b@x.io")
    yield client.update("cus_0", "email=a@x.io")
    yield client.update("cus_clock", "balance=5")
    yield client.delete("cus_3")
    yield client.create("id=cus_4")
    yield client.delete("cus_clock")


async def every_list_is_exact(client: Client, projected: Projected, *, lag: int | None) -> None:
    """Write and list in turn; the projector stays ``lag`` events behind, None: there is none."""
    truth = Truth()
    for write in writes(client):
        truth.learn(await write)
        if lag is not None:
            await projected.but(lag)
        for query in QUERIES:
            answer = await listed(client, query)
            assert (answer.status, answer.body) == (200, truth.list(query)), query
            assert LAG not in answer.headers


@pytest.mark.parametrize("lag", [None, 0, 1, 2, 5, 8])
async def test_every_list_shows_the_last_write(
    client: Client, projected: Projected, lag: int | None
) -> None:
    await every_list_is_exact(client, projected, lag=lag)


# --- Planted bugs -------------------------------------------------------------------------------


def plant(monkeypatch: pytest.MonkeyPatch, name: str, old: str, new: str) -> None:
    """Put a changed statement in the place of one of the lists' own."""
    sql = (files("chaching_api.reads") / "sql" / f"list_{name}.sql").read_text()
    assert sql.count(old) == 1
    monkeypatch.setattr(lists, f"_{name.upper()}", sql.replace(old, new))


@pytest.mark.parametrize("lag", [None, 1, 2])
async def test_a_list_without_the_tail_is_found_out(
    client: Client, projected: Projected, monkeypatch: pytest.MonkeyPatch, lag: int | None
) -> None:
    plant(monkeypatch, "tail", "WHERE t.position >", "WHERE false AND t.position >")
    with pytest.raises(AssertionError):
        await every_list_is_exact(client, projected, lag=lag)


async def test_a_list_that_shows_rows_of_the_tail_too_is_found_out(
    client: Client, projected: Projected, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, "from_newest", "AND c.id NOT IN", "OR c.id IN")
    with pytest.raises(AssertionError):
        await every_list_is_exact(client, projected, lag=1)


async def test_a_list_that_asks_for_no_row_more_is_found_out(
    client: Client, projected: Projected, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, "from_newest", "LIMIT $9", "LIMIT $9 - 1")
    with pytest.raises(AssertionError):
        await every_list_is_exact(client, projected, lag=0)


# --- A projector that moves while a list is read ------------------------------------------------


@pytest.mark.parametrize("query", QUERIES)
async def test_a_projector_that_moves_between_tail_and_page_loses_and_doubles_nobody(
    client: Client, projected: Projected, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    truth = Truth()
    for write in writes(client):
        truth.learn(await write)
    await projected.up_to(5)
    fetch = Database.fetch
    moved: list[str] = []

    async def moving(self: Database, sql: str, *arguments: object) -> list[Row]:
        rows = await fetch(self, sql, *arguments)
        if sql == TAIL:
            moved.append(sql)
            await projected.but()
        return rows

    monkeypatch.setattr(Database, "fetch", moving)
    assert (await listed(client, query)).body == truth.list(query)
    assert moved == [TAIL]


# --- Parked and unreadable ----------------------------------------------------------------------


async def park(database: Database, customer_id: str) -> None:
    """Park a customer as the projector does it, whose events are all before the checkpoint."""
    await database.execute(
        "INSERT INTO read_model.parked_streams VALUES ($1, false, $2, 1, 1, 'a test')",
        ACCOUNT,
        customer_id,
    )


async def make_unreadable(database: Database, customer_id: str) -> None:
    """Give the customer's newest event a schema that nobody knows."""
    await database.execute("ALTER TABLE event_store.events DISABLE TRIGGER events_refuse_change")
    await database.execute(
        """
        UPDATE event_store.events AS e
        SET schema_version = 99
        WHERE e.stream = $1
          AND e.version = (SELECT max(n.version) FROM event_store.events AS n WHERE n.stream = $1)
        """,
        customer_id,
    )


async def test_a_parked_customer_is_listed_as_its_newest_event_left_it(
    gateway: Gateway, database: Database, projected: Projected
) -> None:
    client = gateway.client
    for number in range(3):
        await client.create(f"id=cus_{number}&email=a@x.io")
    await projected.but()
    await park(database, "cus_0")
    await park(database, "cus_1")
    changed = await client.update("cus_0", "email=b@x.io")
    await client.delete("cus_1")
    await projected_past(database, gateway.store)
    assert await ids(client, "email=a@x.io") == ["cus_2"]
    answer = await listed(client, "email=b@x.io")
    assert answer.body == list_of([changed.body])
    assert LAG not in answer.headers


async def projected_past(database: Database, store: EventStore) -> None:
    """Move the checkpoint to the head, as a projector does that sets those events aside."""
    await database.execute(
        "UPDATE event_store.checkpoints SET position = $1 WHERE name = 'projection.customers'",
        await store.head(),
    )


@pytest.mark.parametrize("applied", [False, True], ids=["beyond the checkpoint", "parked"])
async def test_a_customer_whose_newest_event_cannot_be_read_is_listed_as_it_was_and_it_is_told(
    gateway: Gateway, database: Database, projected: Projected, applied: bool
) -> None:
    client = gateway.client
    before = await client.create("id=cus_0&name=before")
    await projected.but()
    await client.update("cus_0", "name=after")
    await make_unreadable(database, "cus_0")
    other = await client.create("id=cus_1")
    if applied:
        await projected.but()
    answer = await listed(client)
    assert answer.body == list_of([other.body, before.body])
    assert answer.headers[LAG] == "1"


# --- Longer tails than are read -----------------------------------------------------------------


async def test_a_tail_beyond_the_limit_is_told_and_its_newest_events_are_shown(
    client: Client, projected: Projected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "TAIL_MAX_EVENTS", 3)
    for number in range(5):
        await client.create(f"id=cus_{number}")
    within = await listed(client, "limit=3")
    assert within.headers[LAG] == "2"
    assert await ids(client) == ["cus_4", "cus_3", "cus_2"]
    await projected.up_to(1)
    assert (await listed(client)).headers[LAG] == "1"
    await client.update("cus_0", "name=June")
    behind = await listed(client)
    assert behind.headers[LAG] == "2"
    shown = {customer["id"]: customer["name"] for customer in behind.json["data"]}
    assert shown == {"cus_4": None, "cus_3": None, "cus_0": "June"}
    await projected.but(3)
    exact = await listed(client)
    assert LAG not in exact.headers
    assert len(exact.json["data"]) == 5


async def test_a_tail_of_more_bytes_than_are_read_is_told(
    client: Client, projected: Projected, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        await client.create(f"id=cus_{number}&description={'d' * 3000}")
    monkeypatch.setattr(lists, "TAIL_MAX_BYTES", 5000)
    answer = await listed(client)
    assert [customer["id"] for customer in answer.json["data"]] == ["cus_3", "cus_2"]
    assert answer.headers[LAG] == "2"
    await projected.up_to(2)
    exact = await listed(client)
    assert len(exact.json["data"]) == 4
    assert LAG not in exact.headers
