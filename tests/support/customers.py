"""Events as tests need them: decided by the domain and appended to the log."""

from __future__ import annotations

import asyncio
import itertools
from typing import Final

from chaching import envelope
from chaching.domain.customer import (
    Command,
    CreateCustomer,
    Customer,
    DeleteCustomer,
    EraseCustomer,
    Event,
    UpdateCustomer,
    decide,
    evolve,
)
from chaching.domain.ids import AccountId, CustomerId, EventId, RequestId
from chaching.domain.values import Details
from chaching.envelope import (
    NO_VERSION,
    START,
    Decided,
    Metadata,
    PendingEvent,
    Position,
    RecordedEvent,
    StreamKey,
    Version,
    WrappedKey,
)
from chaching.eventstore.database import Database
from chaching.eventstore.store import Appended, EventStore

ACCOUNT: Final = AccountId("acct_1")
AT: Final = 1_700_000_000
PARALLEL_MAX: Final = 256

_numbers = itertools.count(1)


def key_of(customer_id: str, account: AccountId = ACCOUNT) -> StreamKey:
    return StreamKey(account, False, CustomerId(customer_id))


def created(customer_id: str, details: Details | None = None) -> CreateCustomer:
    return CreateCustomer(
        id=CustomerId(customer_id),
        livemode=False,
        at=AT,
        invoice_prefix=f"P{next(_numbers)}",
        details=details or Details(name="Jenny Rosen", email="jenny@example.com"),
    )


def updated(customer_id: str, details: Details) -> UpdateCustomer:
    return UpdateCustomer(id=CustomerId(customer_id), at=AT + 1, details=details)


def deleted(customer_id: str) -> DeleteCustomer:
    return DeleteCustomer(id=CustomerId(customer_id), at=AT + 2)


def erased(customer_id: str) -> EraseCustomer:
    return EraseCustomer(id=CustomerId(customer_id), at=AT + 3, reason="request")


async def append(store: EventStore, command: Command) -> Appended:
    """Decide on the newest state and store the event."""
    loaded = await store.load(key_of(command.id))
    event = decide(command, loaded.state)
    assert event is not None, "the command changes nothing"
    return await store.append(
        pending(event, loaded.state, loaded.version, data_key=loaded.data_key)
    )


def pending(
    event: Event,
    state: Customer | None,
    version: Version = NO_VERSION,
    traceparent: str | None = None,
    data_key: WrappedKey | None = None,
) -> PendingEvent:
    """Return an event as the store appends it, after a state at a version."""
    after = evolve(state, event)
    [encoded] = envelope.encode(
        [
            Decided(
                key=key_of(after.id),
                version=version,
                event=event,
                after=after,
                event_id=EventId(f"evt_{next(_numbers)}"),
                metadata=Metadata(request_id=RequestId("req_1"), traceparent=traceparent),
                data_key=data_key,
            )
        ]
    )
    return encoded


async def append_customers(
    store: EventStore, *, customers: int, updates: int, first: int = 0
) -> Position:
    """Create customers, update each some times and delete every tenth; return the log's head."""
    room = asyncio.Semaphore(PARALLEL_MAX)

    async def live(number: int) -> None:
        customer_id = f"cus_{number:06}"
        async with room:
            await append(store, created(customer_id))
            for count in range(updates):
                details = Details(balance=count + 1, metadata={"count": str(count)})
                await append(store, updated(customer_id, details))
            if number % 10 == 0:
                await append(store, deleted(customer_id))

    await asyncio.gather(*(live(number) for number in range(first, first + customers)))
    return await store.head()


async def whole_log(store: EventStore) -> list[RecordedEvent]:
    """Return every event of the log, in order."""
    events: list[RecordedEvent] = []
    while found := await store.read_all(events[-1].position if events else START):
        events.extend(found)
    return events


async def checkpoint(database: Database, name: str) -> Position:
    """Return where a follower of the log stands."""
    [row] = await database.fetch(
        "SELECT position FROM event_store.checkpoints WHERE name = $1", name
    )
    return Position(row["position"])
