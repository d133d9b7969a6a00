"""What is said of a customer that is not there: also whether it is in the other mode."""

from __future__ import annotations

from chaching.domain.customer import NoSuchCustomer
from chaching.envelope import StreamKey, Undecodable
from chaching.eventstore.store import EventStore


def other_mode(key: StreamKey) -> StreamKey:
    """Return the same id in the other mode of the account."""
    return StreamKey(key.account, not key.livemode, key.id)


async def missing(store: EventStore, key: StreamKey) -> NoSuchCustomer:
    """Return the refusal for a customer that never was; raises Unavailable."""
    try:
        exists = (await store.load(other_mode(key))).state is not None
    except Undecodable:  # it was there, whatever it was
        exists = True
    return missing_beside(key, exists=exists)


def missing_beside(key: StreamKey, *, exists: bool) -> NoSuchCustomer:
    """Return the refusal; ``exists`` tells whether the other mode has such a customer."""
    return NoSuchCustomer(key.id, similar_in=not key.livemode if exists else None)
