"""A command, from the customer as it stands to the event on disk: load, decide, append.

The three steps hold no lock in the store between them. When another command came first, the
append is refused as a conflict, and this one is decided again on the customer as it stands then.
A create is decided on nothing; only if that is wrong is the customer loaded.

Every lost race means that another command to the same customer was stored, so somebody always gets
on. ``ATTEMPTS_MAX`` lies well above how often a command loses in a row by chance: with two gateways
that both change one customer without pause, once in 2 ** ``ATTEMPTS_MAX``.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final

from chaching import envelope
from chaching.domain.customer import (
    Command,
    CreateCustomer,
    Customer,
    InvoicePrefixTaken,
    decide,
    evolve,
)
from chaching.domain.ids import EventId
from chaching.envelope import Decided, Metadata, StreamKey
from chaching.eventstore.errors import Conflict, PrefixTaken
from chaching.eventstore.store import EventStore, Loaded
from chaching_api.errors import LostRace
from chaching_api.fresh import new_id
from chaching_api.turns import Turns

ATTEMPTS_MAX: Final = 50


class Executor:
    """Executes commands against one store."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._turns = Turns()

    async def execute(self, key: StreamKey, command: Command, metadata: Metadata) -> Customer:
        """Carry out a command and return the customer after it, when the event is on disk.

        Raises:
            Rejected: a rule forbids it; nothing happened.
            LostRace: other commands came first ``ATTEMPTS_MAX`` times; nothing happened.
            Unavailable, Overloaded: from the store.
        """
        async with self._turn(key, command):
            loaded = await self._first_look(key, command)
            for _ in range(ATTEMPTS_MAX):
                event = decide(command, loaded.state)
                if event is None and loaded.state is not None:
                    return loaded.state
                assert event is not None  # noqa: S101 - only a customer can already be as asked
                after = evolve(loaded.state, event)
                decided = Decided(
                    key=key,
                    version=loaded.version,
                    event=event,
                    after=after,
                    event_id=EventId(new_id("evt_")),
                    metadata=metadata,
                )
                try:
                    await self._store.append(*envelope.encode([decided]))
                except Conflict:
                    loaded = await self._store.load(key)
                except PrefixTaken as taken:
                    raise InvoicePrefixTaken(taken.holder) from taken
                else:
                    return after
        raise LostRace

    def _turn(self, key: StreamKey, command: Command) -> AbstractAsyncContextManager[None]:
        return nullcontext() if isinstance(command, CreateCustomer) else self._turns.turn(key)

    async def _first_look(self, key: StreamKey, command: Command) -> Loaded:
        return Loaded() if isinstance(command, CreateCustomer) else await self._store.load(key)
