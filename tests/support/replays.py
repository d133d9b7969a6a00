"""The read model emptied, and filled again from the log by the projector's own code."""

from __future__ import annotations

from chaching.envelope import Position
from chaching.eventstore.database import Database
from chaching.eventstore.lease import Lease
from chaching.eventstore.store import EventStore
from chaching_projector.projections.customers.projection import CustomersProjection
from chaching_projector.projections.customers.writer import SESSION_SETTINGS
from chaching_projector.runner import LEASE_NAME, Follower

SESSIONS_MAX = 2


async def rows_of(database: Database) -> list[str]:
    """Return every row of the read model as PostgreSQL spells it, in the order of the key."""
    rows = await database.fetch(
        "SELECT c::text FROM read_model.customers AS c ORDER BY account, livemode, id"
    )
    return [row[0] for row in rows]


async def emptied(database: Database) -> None:
    """Forget every row, and that anything was ever applied."""
    await database.execute("TRUNCATE read_model.customers")
    await database.execute(
        "UPDATE event_store.checkpoints SET position = 0 WHERE name = $1", LEASE_NAME
    )


async def replayed(database_url: str, store: EventStore) -> Position:
    """Follow the log from the checkpoint to its head, as a projector does that begins anew."""
    database = Database(
        database_url, name="projector", sessions_max=SESSIONS_MAX, settings=SESSION_SETTINGS
    )
    await database.open()
    try:
        lease = Lease(database, LEASE_NAME, "replay", silence_max_s=0.0)
        held = await lease.acquire()
        assert held is not None
        projection = CustomersProjection(database, store, lease, held)
        await projection.open()
        follower = Follower(store, projection)
        await follower.catch_up()
        return follower.position
    finally:
        await database.close()
