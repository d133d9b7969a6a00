"""Customers who can be searched for: appended to the log and projected by the projector's code."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from tests.support.gateways import ACCOUNT

from chaching import envelope
from chaching.domain.customer import Command, CreateCustomer, DeleteCustomer, decide, evolve
from chaching.domain.ids import AccountId, CustomerId, EventId, RequestId
from chaching.domain.search_terms import Searchable, folded, terms_of
from chaching.domain.values import Details
from chaching.envelope import Decided, Metadata, Position, StreamKey
from chaching.eventstore.database import Database
from chaching.eventstore.lease import Lease
from chaching.eventstore.store import READ_BATCH_MAX_EVENTS, EventStore
from chaching_projector.projections.customers.projection import CustomersProjection
from chaching_projector.projections.customers.steps import item_of
from chaching_projector.projections.customers.writer import SESSION_SETTINGS
from chaching_projector.projections.search.projection import SearchProjection

AT: Final = 1_700_000_000
ROWS: Final = "projection.customers"
ENTRIES: Final = "projection.search"

_numbers = itertools.count(1)


class Customers:
    """Writes customers of one account and mode into the log."""

    def __init__(
        self, store: EventStore, account: str = ACCOUNT, *, livemode: bool = False
    ) -> None:
        self._store = store
        self._account = AccountId(account)
        self._livemode = livemode

    async def add(self, customer_id: str, *, at: int = AT, **details: object) -> None:
        await self.tell(
            CreateCustomer(
                id=CustomerId(customer_id),
                livemode=self._livemode,
                at=at,
                invoice_prefix=f"P{next(_numbers)}",
                details=Details(**details),  # pyright: ignore[reportArgumentType]
            )
        )

    async def delete(self, customer_id: str) -> None:
        await self.tell(DeleteCustomer(id=CustomerId(customer_id), at=AT + 1))

    async def tell(self, command: Command) -> None:
        """Decide on the newest state and append the event."""
        key = StreamKey(self._account, self._livemode, command.id)
        loaded = await self._store.load(key)
        event = decide(command, loaded.state)
        assert event is not None, "the command changes nothing"
        [pending] = envelope.encode(
            [
                Decided(
                    key=key,
                    version=loaded.version,
                    event=event,
                    after=evolve(loaded.state, event),
                    event_id=EventId(f"evt_{next(_numbers)}"),
                    metadata=Metadata(request_id=RequestId("req_1")),
                    data_key=loaded.data_key,
                )
            ]
        )
        await self._store.append(pending)


class Projector:
    """Both projections, as far as a test lets them go."""

    def __init__(
        self, store: EventStore, customers: CustomersProjection, entries: SearchProjection
    ) -> None:
        self._store = store
        self.customers = customers
        self.entries = entries

    async def project(self) -> None:
        """Bring rows and entries to the head of the log."""
        await self.project_rows()
        await self.entries.catch_up()

    async def project_rows(self) -> None:
        """Bring the rows to the head of the log, and leave the entries where they are."""
        while events := await self._store.read_all(self.customers.position, READ_BATCH_MAX_EVENTS):
            await self.customers.apply([item_of(event) for event in events])


@asynccontextmanager
async def projecting(database_url: str, store: EventStore) -> AsyncGenerator[Projector]:
    """Hold the projector's leases until the block ends."""
    database = Database(database_url, name="projector", sessions_max=4, settings=SESSION_SETTINGS)
    await database.open()
    try:
        yield await projector_in(database, store)
    finally:
        await database.close()


async def projector_in(database: Database, store: EventStore) -> Projector:
    """Take the leases from whoever has them."""
    rows = Lease(database, ROWS, "tests", silence_max_s=0.0)
    entries = Lease(database, ENTRIES, "tests", silence_max_s=0.0)
    rows_held, entries_held = await rows.acquire(), await entries.acquire()
    assert rows_held is not None
    assert entries_held is not None
    customers = CustomersProjection(database, store, rows, rows_held)
    await customers.open()
    return Projector(store, customers, SearchProjection(database, entries, entries_held))


async def entries_position(database: Database) -> Position:
    [row] = await database.fetch(
        "SELECT position FROM event_store.checkpoints WHERE name = $1", ENTRIES
    )
    return Position(row["position"])


async def assert_entries_are_of_the_rows(database: Database) -> int:
    """Compare every entry with the row that it is made from; return how many there are."""
    rows = await database.fetch(
        "SELECT account, livemode, id, created, email, name, phone, metadata::text AS metadata "
        "FROM read_model.customers WHERE NOT deleted ORDER BY account, livemode, created, id"
    )
    found = await database.fetch(
        "SELECT account, livemode, id, created, email, name, phone, metadata::text AS metadata, "
        "terms FROM read_model.search_entries ORDER BY account, livemode, created, id"
    )
    assert len(found) == len(rows)
    for row, entry in zip(rows, found, strict=True):
        metadata: dict[str, str] = msgspec.json.decode(row["metadata"])
        searchable = folded(row["email"], row["name"], row["phone"], metadata)
        names = ("account", "livemode", "id", "created")
        assert [entry[name] for name in names] == [row[name] for name in names]
        assert searchable == Searchable(
            email=entry["email"],
            name=entry["name"],
            phone=entry["phone"],
            metadata=msgspec.json.decode(entry["metadata"]),
        )
        assert entry["terms"] == terms_of(row["account"], row["livemode"], searchable)
    return len(found)
