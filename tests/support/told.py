"""A log as its messages tell it, made without a database, and what a subscriber's copy must be."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from tests.support.customers import created, deleted, pending, updated

from chaching import envelope
from chaching.broker.messages import EventMessage, message_of
from chaching.domain.customer import Customer, decide, evolve
from chaching.domain.customer_object import DeletedCustomerObject
from chaching.domain.values import Details
from chaching.envelope import NO_VERSION, START, Position, RecordedEvent, StreamKey, Version
from chaching.public_event import CUSTOMER_DELETED

BEGAN: Final = datetime(2024, 1, 1, tzinfo=UTC)
UPDATES_MAX: Final = 6


class _Living(msgspec.Struct):
    customer: Customer
    version: Version
    position: Position
    updates_left: int


def told_log(events: int, *, seed: int = 1) -> list[EventMessage]:
    """Return the messages of a log: customers that are created, updated some times and deleted."""
    chance = random.Random(seed)  # noqa: S311 - the same log every time
    living: list[_Living] = []
    told: list[EventMessage] = []
    while len(told) < events:
        position = Position(len(told) + 1)
        chosen = chance.choice(living) if living and chance.random() > 0.25 else None
        told.append(_next(position, chosen, living))
    return told


def unreadable(message: EventMessage) -> EventMessage:
    """Return the message with a customer that nobody can read."""
    return msgspec.structs.replace(message, object=msgspec.Raw(b'{"id": 7}'))


def expected_copy(told: Sequence[EventMessage]) -> dict[StreamKey, bytes]:
    """Return what a copy must say of each customer after these events."""
    return {message.key: shown(message) for message in told}


def shown(message: EventMessage) -> bytes:
    if message.type == CUSTOMER_DELETED:
        return msgspec.json.encode(DeletedCustomerObject(id=message.key.id))
    return bytes(message.object)


def _next(position: Position, chosen: _Living | None, living: list[_Living]) -> EventMessage:
    if chosen is None:
        command = created(f"cus_{position}")
    elif chosen.updates_left == 0:
        command = deleted(chosen.customer.id)
        living.remove(chosen)
    else:
        details = Details(balance=position, metadata={"position": str(position)})
        command = updated(chosen.customer.id, details)
    state = None if chosen is None else chosen.customer
    event = decide(command, state)
    assert event is not None
    version = NO_VERSION if chosen is None else chosen.version
    stored = pending(event, state, version)
    recorded = RecordedEvent(
        position=position,
        key=stored.key,
        version=Version(version + 1),
        previous_position=START if chosen is None else chosen.position,
        event_id=stored.event_id,
        type=stored.type,
        schema_version=stored.schema_version,
        payload=stored.payload,
        state=stored.state,
        metadata=stored.metadata,
        recorded_at=BEGAN + timedelta(milliseconds=position),
    )
    if chosen is None:
        [after] = envelope.decode_customers([recorded])
        living.append(_Living(after, recorded.version, position, position % UPDATES_MAX))
    else:
        chosen.customer = evolve(state, event)
        chosen.version, chosen.position = recorded.version, position
        chosen.updates_left -= 1
    return message_of(recorded)
