"""Replaying the log into an empty read model gives the rows that it had, byte for byte."""

from __future__ import annotations

import random
from typing import Final

import msgspec
import pytest
from tests.support.customers import append_customers
from tests.support.projected import projected_in
from tests.support.replays import emptied, replayed, rows_of

from chaching.broker.messages import EventMessage
from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore
from chaching_projector.projections.customers import steps
from chaching_projector.projections.customers.rows import CustomerRow

CUSTOMERS: Final = 120
STEPS_MAX_EVENTS: Final = 40


async def project_in_small_steps(database_url: str, store: EventStore) -> None:
    """Apply the log as a projector does that comes along with it, a few events at a time."""
    chance = random.Random(3)  # noqa: S311 - no secret
    head = await store.head()
    async with projected_in(database_url, store) as projected:
        while projected.position < head:
            step = chance.randint(1, STEPS_MAX_EVENTS)
            await projected.up_to(min(head, projected.position + step))


async def test_a_replay_into_an_empty_read_model_gives_the_same_bytes(
    database_url: str, database: Database, store: EventStore
) -> None:
    await append_customers(store, customers=CUSTOMERS, updates=3)
    await project_in_small_steps(database_url, store)
    rows = await rows_of(database)
    assert len(rows) == CUSTOMERS
    await emptied(database)
    assert await rows_of(database) == []
    assert await replayed(database_url, store) == await store.head()
    assert await rows_of(database) == rows


async def test_a_replay_that_leaves_something_out_is_found_out(
    database_url: str, database: Database, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append_customers(store, customers=10, updates=1)
    await project_in_small_steps(database_url, store)
    rows = await rows_of(database)
    await emptied(database)
    row_of = steps.row_of

    def forgetful(message: EventMessage) -> CustomerRow:
        return msgspec.structs.replace(row_of(message), name=None)

    monkeypatch.setattr(steps, "row_of", forgetful)
    await replayed(database_url, store)
    assert await rows_of(database) != rows
