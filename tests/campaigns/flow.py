"""A flow of events: customers that are created, updated and deleted, as long as it runs."""

from __future__ import annotations

import asyncio
import random
from typing import Final

import msgspec
from tests.support.customers import created, deleted, key_of, pending, updated

from chaching.domain.customer import Command, Customer, decide, evolve
from chaching.domain.values import Details
from chaching.envelope import NO_VERSION, Version
from chaching.eventstore.store import EventStore

AT_ONCE_EVENTS: Final = 64
CREATES_SHARE: Final = 0.2
DELETES_SHARE: Final = 0.05


class _Living(msgspec.Struct):
    customer: Customer
    version: Version


class Flow:
    """Appends events through the event store, each decided by the domain."""

    def __init__(self, store: EventStore, *, seed: int) -> None:
        self._store = store
        self._chance = random.Random(seed)  # noqa: S311 - the same flow every time
        self._living: list[_Living] = []
        self._customers = 0
        self.events = 0

    async def append(self, events: int) -> None:
        """Append so many more events; no customer has two of those that travel together."""
        until = self.events + events
        while self.events < until:
            count = min(AT_ONCE_EVENTS, until - self.events)
            old = min(int(count * (1 - CREATES_SHARE)), len(self._living))
            chosen: list[_Living | None] = [*self._chance.sample(self._living, old)]
            chosen += [None] * (count - old)
            await asyncio.gather(*(self._append(one) for one in chosen))
            self.events += count

    async def _append(self, one: _Living | None) -> None:
        command = self._command(one)
        state = None if one is None else one.customer
        version = NO_VERSION if one is None else one.version
        event = decide(command, state)
        assert event is not None
        data_key = None
        if one is not None:
            data_key = (await self._store.load(key_of(one.customer.id))).data_key
        appended = await self._store.append(pending(event, state, version, data_key=data_key))
        if one is None:
            self._living.append(_Living(evolve(None, event), appended.version))
        else:
            one.customer, one.version = evolve(state, event), appended.version

    def _command(self, one: _Living | None) -> Command:
        if one is None:
            self._customers += 1
            return created(f"cus_{self._customers:06}")
        if self._chance.random() < DELETES_SHARE:
            self._living.remove(one)
            return deleted(one.customer.id)
        number = str(one.version)
        return updated(one.customer.id, Details(balance=one.version, metadata={"version": number}))
