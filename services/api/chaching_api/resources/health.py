"""``/healthz``: the process lives. ``/readyz``: its database answers, and fits this process.

It fits with the current schema, and if what is encrypted in it can be opened. Neither asks the
broker: the API is fully up without it.
"""

from __future__ import annotations

import msgspec
from aiohttp import web

from chaching.eventstore.database import Database
from chaching.eventstore.errors import Unavailable, WrongMasterKey
from chaching.eventstore.store import EventStore
from chaching.schema.migrations import is_current
from chaching_api.boundary import bounded


class Health(msgspec.Struct, frozen=True):
    """The two probes."""

    database: Database
    store: EventStore

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/healthz", bounded(self.live), allow_head=False),
            web.get("/readyz", bounded(self.ready), allow_head=False),
        ]

    async def live(self, _request: web.Request) -> bytes:
        return b'{"status":"ok"}'

    async def ready(self, _request: web.Request) -> bytes:
        if not await is_current(self.database):
            raise Unavailable("the schema is not current")
        if not self.store.is_admitted:
            try:
                await self.store.admit_master_key()
            except WrongMasterKey as error:
                raise Unavailable(str(error)) from error
        return b'{"status":"ready"}'
