"""The projector's own code as far as a test lets it go: rows, checkpoint and parked streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from chaching.envelope import Position
from chaching.eventstore.database import Database
from chaching.eventstore.lease import Lease
from chaching.eventstore.store import EventStore
from chaching_projector.projections.customers.projection import CustomersProjection
from chaching_projector.projections.customers.steps import item_of
from chaching_projector.projections.customers.writer import SESSION_SETTINGS

CHECKPOINT: Final = "projection.customers"


class Projected:
    """Applies the log up to a position, and no further."""

    def __init__(self, store: EventStore, projection: CustomersProjection) -> None:
        self._store = store
        self._projection = projection

    @property
    def position(self) -> Position:
        return self._projection.position

    async def up_to(self, position: int) -> None:
        while (after := self._projection.position) < position:
            events = await self._store.read_all(after, up_to=Position(position))
            await self._projection.apply([item_of(event) for event in events])

    async def but(self, lag: int = 0) -> None:
        """Apply the log but for its last events."""
        await self.up_to(await self._store.head() - lag)


@asynccontextmanager
async def projected_in(database_url: str, store: EventStore) -> AsyncGenerator[Projected]:
    """Hold the projector's lease until the block ends."""
    database = Database(database_url, name="projector", sessions_max=2, settings=SESSION_SETTINGS)
    await database.open()
    try:
        lease = Lease(database, CHECKPOINT, "tests", silence_max_s=0.0)
        held = await lease.acquire()
        assert held is not None
        projection = CustomersProjection(database, store, lease, held)
        await projection.open()
        yield Projected(store, projection)
    finally:
        await database.close()
