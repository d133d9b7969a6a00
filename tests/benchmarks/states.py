"""What it costs to know a customer: from the state beside the newest event, or by folding all.

Streams of 1, 5 and 10,000 events; microseconds for one load, and the bytes that a state adds.
"""

import time

import msgspec
from tests.benchmarks.events import ACCOUNT, pending_create
from tests.support.keyrings import KEYRING

from chaching.domain.customer import UpdateCustomer, decide, evolve, fold
from chaching.domain.ids import CustomerId, EventId, RequestId
from chaching.domain.values import Details
from chaching.envelope import (
    Decided,
    Metadata,
    PendingEvent,
    StreamKey,
    Version,
    customer_after,
    decode_event,
    encode,
)
from chaching.eventstore.database import KEYED_LOOKUPS, Database
from chaching.eventstore.store import EventStore

LENGTHS = (1, 5, 10_000)
LOADS = 50


class StateCost(msgspec.Struct, frozen=True, kw_only=True):
    """For one length of stream: µs by the newest event, µs by the fold, bytes of one state."""

    events: int
    newest_us: float
    fold_us: float
    state_bytes: int


async def state_costs(database_url: str) -> list[StateCost]:
    database = Database(database_url, name="bench", sessions_max=4, settings=KEYED_LOOKUPS)
    await database.open()
    store = EventStore(database, KEYRING)
    costs = [await _cost(store, length) for length in LENGTHS]
    await database.close()
    return costs


async def _cost(store: EventStore, length: int) -> StateCost:
    first, *later = events = _stream(length)
    key = first.key
    await store.append(first)
    data_key = (await store.load(key)).data_key
    for event in later:
        await store.append(msgspec.structs.replace(event, data_key=data_key))
    loads = LOADS if length < LENGTHS[-1] else 3
    loaded = await store.load(key)
    started = time.perf_counter()
    for _ in range(loads):
        loaded = await store.load(key)
    newest_s = time.perf_counter() - started
    folded = None
    started = time.perf_counter()
    for _ in range(loads):
        folded = fold([decode_event(r) for r in await store.read_stream(key, limit=length)])
    fold_s = time.perf_counter() - started
    assert folded == loaded.state
    return StateCost(
        events=length,
        newest_us=newest_s / loads * 1e6,
        fold_us=fold_s / loads * 1e6,
        state_bytes=len(events[-1].state or ""),
    )


def _stream(length: int) -> list[PendingEvent]:
    first = pending_create()
    key = StreamKey(ACCOUNT, False, CustomerId(first.key.id))
    state = customer_after(first.type, first.schema_version, first.payload, first.state)
    events = [first]
    for number in range(1, length):
        command = UpdateCustomer(id=key.id, at=number, details=Details(balance=number))
        event = decide(command, state)
        assert event is not None
        state = evolve(state, event)
        decided = Decided(
            key=key,
            version=Version(number),
            event=event,
            after=state,
            event_id=EventId(f"evt_{number}"),
            metadata=Metadata(request_id=RequestId("req_bench")),
        )
        events += encode([decided])
    return events
