"""Promise 5, as a check: the read model is the fold of the log.

The expected rows come from the deltas alone, folded with the domain's own ``evolve``; neither the
state beside an event nor any code of the projector has a part in them.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from tests.support.customers import checkpoint, whole_log
from tests.support.keyrings import KEYRING

from chaching import envelope
from chaching.domain.customer import Customer, evolve
from chaching.domain.customer_object import render
from chaching.envelope import Position, StreamKey, Version
from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore

CHECKPOINT = "projection.customers"


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """A row as it must be."""

    version: int
    position: int
    created: int
    deleted: bool
    email: str | None
    name: str | None
    phone: str | None
    metadata: dict[str, str] | None
    test_clock: str | None
    body: bytes


async def assert_read_model_is_the_fold(database: Database) -> int:
    """Compare every row with the fold of its stream up to the checkpoint; return how many."""
    at = await checkpoint(database, CHECKPOINT)
    expected = await _expected(EventStore(database, KEYRING), at)
    found = await _found(database)
    missing = expected.keys() - found.keys()
    assert not missing, f"{len(missing)} customers have no row, such as {min(missing)}"
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        assert found[key] == row, f"the row of {key} is not the fold of its events"
    return len(expected)


async def projected(database: Database, position: Position) -> bool:
    """Say whether the read model has come as far as a position."""
    return await checkpoint(database, CHECKPOINT) >= position


async def _expected(store: EventStore, at: Position) -> dict[StreamKey, Expected]:
    states: dict[StreamKey, tuple[Customer, Version, Position]] = {}
    for recorded in await whole_log(store):
        if recorded.position > at:
            break
        before = states.get(recorded.key)
        after = evolve(before and before[0], envelope.decode_event(recorded))
        states[recorded.key] = after, recorded.version, recorded.position
    return {key: _row(*state) for key, state in states.items()}


def _row(customer: Customer, version: Version, position: Position) -> Expected:
    personal = None if customer.deleted else customer.personal
    return Expected(
        version=version,
        position=position,
        created=customer.created,
        deleted=customer.deleted,
        email=personal and personal.email,
        name=personal and personal.name,
        phone=personal and personal.phone,
        metadata=personal and personal.metadata,
        test_clock=customer.commercial.test_clock,
        body=render(customer),
    )


async def _found(database: Database) -> Mapping[StreamKey, Expected]:
    rows = await database.fetch("SELECT * FROM read_model.customers")
    return {
        StreamKey(row["account"], row["livemode"], row["id"]): Expected(
            version=row["version"],
            position=row["position"],
            created=row["created"],
            deleted=row["deleted"],
            email=row["email"],
            name=row["name"],
            phone=row["phone"],
            metadata=row["metadata"] and msgspec.json.decode(row["metadata"]),
            test_clock=row["test_clock"],
            body=row["body"].encode(),
        )
        for row in rows
    }
