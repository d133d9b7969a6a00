"""Random logs of several accounts and modes, and what a list of their events must answer.

Nobody in them has a personal value, so they can be appended without the data keys of customers.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Final

from chaching import envelope
from chaching.domain.customer import (
    CreateCustomer,
    Customer,
    DeleteCustomer,
    UpdateCustomer,
    decide,
    evolve,
)
from chaching.domain.ids import AccountId, CustomerId, KeyId, RequestId
from chaching.domain.values import Details
from chaching.envelope import START, Decided, Metadata, PendingEvent, RecordedEvent, StreamKey
from chaching.eventstore.database import Database
from chaching.eventstore.lookups import AccountMode, EventWalk
from chaching.eventstore.store import EventStore
from chaching_api.fresh import new_event_id, new_id

ACCOUNTS: Final = (AccountId("acct_local"), AccountId("acct_theirs"))
CUSTOMERS: Final = 12
EVENTS_A_SECOND: Final = 7
FIRST_SECOND: Final = 1_700_000_000
TYPES: Final = ("CustomerCreated", "CustomerUpdated", "CustomerDeleted")


class Happening:
    """Draws what happens next to some customers; most is updates of the first account's."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - the same again from the same seed
        self._states: dict[StreamKey, tuple[int, Customer | None]] = {}
        self._numbers = 0

    def next(self) -> PendingEvent:
        key = self._key()
        version, state = self._states.get(key, (0, None))
        event = decide(self._command(key, state), state)
        assert event is not None
        after = evolve(state, event)
        self._states[key] = (version + 1, after)
        decided = Decided(
            key=key,
            version=envelope.Version(version),
            event=event,
            after=after,
            event_id=new_event_id(key.id, version + 1),
            metadata=Metadata(request_id=RequestId(new_id("req_")), key_id=KeyId("key_1")),
        )
        [pending] = envelope.encode([decided])
        return pending

    def _key(self) -> StreamKey:
        """Return a customer that lives or is to be made; every other id is a chosen one."""
        chance = self._chance
        while True:
            account, livemode = chance.choice((ACCOUNTS[0], *ACCOUNTS)), chance.random() < 0.2
            number = chance.randrange(CUSTOMERS)
            made = f"cus_{number:014}" if number % 2 else f"cus_chosen_{number}"
            key = StreamKey(account, livemode, CustomerId(made))
            _, state = self._states.get(key, (0, None))
            if state is None or not state.deleted:
                return key

    def _command(
        self, key: StreamKey, state: Customer | None
    ) -> CreateCustomer | UpdateCustomer | DeleteCustomer:
        self._numbers += 1
        if state is None:
            return CreateCustomer(
                id=key.id,
                livemode=key.livemode,
                at=FIRST_SECOND,
                invoice_prefix=f"P{self._numbers}",
                details=Details(balance=self._numbers),
            )
        if self._chance.random() < 0.002:
            return DeleteCustomer(id=key.id, at=FIRST_SECOND)
        details = Details(balance=self._numbers)
        return UpdateCustomer(id=key.id, at=FIRST_SECOND, details=details)


async def append_happenings(store: EventStore, happening: Happening, events: int) -> None:
    """Append so many events; customers are many at a time, and each one's in order."""
    await asyncio.gather(*(store.append(happening.next()) for _ in range(events)))


async def spread_over_time(database: Database) -> None:
    """Let ``EVENTS_A_SECOND`` have happened in each second from ``FIRST_SECOND`` on."""
    await database.execute("ALTER TABLE event_store.events DISABLE TRIGGER events_refuse_change")
    await database.execute(
        "UPDATE event_store.events SET recorded_at = to_timestamp($1 + position / $2)",
        float(FIRST_SECOND),
        EVENTS_A_SECOND,
    )
    await database.execute("ALTER TABLE event_store.events ENABLE TRIGGER events_refuse_change")


async def whole_log(store: EventStore) -> list[RecordedEvent]:
    events: list[RecordedEvent] = []
    while found := await store.read_all(events[-1].position if events else START):
        events.extend(found)
    return events


def walked(log: Sequence[RecordedEvent], walk: EventWalk) -> tuple[list[RecordedEvent], bool]:
    """Return what a walk must find, in its order, and whether it could go on."""
    met = [
        event
        for event in log
        if (event.key.account, event.key.livemode) == walk.whose
        and event.type in walk.types
        and walk.after < event.position < walk.before
    ]
    if not walk.from_oldest:
        met.reverse()
    return met[: walk.limit], len(met) > walk.limit


def any_walk(chance: random.Random, events: int) -> EventWalk:
    """Draw a walk through a log of so many events."""
    whose: AccountMode = (chance.choice(ACCOUNTS), chance.random() < 0.3)
    after = chance.choice((0, chance.randrange(events + 2)))
    before = chance.choice((2**63 - 1, chance.randrange(events + 2)))
    return EventWalk(
        whose=whose,
        types=tuple(chance.sample(TYPES, chance.randint(1, len(TYPES)))),
        after=envelope.Position(after),
        before=envelope.Position(before),
        from_oldest=chance.random() < 0.5,
        limit=chance.choice((1, 10, 100, chance.randint(1, 100))),
    )
