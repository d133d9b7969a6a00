"""``GET /v1/customers``: the customers of an account and mode, the newest first, page by page."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web

from chaching.domain.customer import NoSuchCustomer
from chaching.domain.ids import CustomerId
from chaching.envelope import StreamKey
from chaching.eventstore.store import EventStore
from chaching_api import parameters
from chaching_api.authentication import Authenticator
from chaching_api.boundary import Answer, bounded
from chaching_api.errors import NoSuchCursor
from chaching_api.parameters import ListInput
from chaching_api.reads.lists import Lists
from chaching_api.reads.walk import Place, place_of, walk_of
from chaching_api.requests import Call, is_customer_id, read_call
from chaching_api.resources.elements import elements

READ: Final = "customers:read"
URL: Final = "/v1/customers"
LAG: Final = "Chaching-Projection-Lag"
SHOWN_ID_CHARACTERS_MAX: Final = 255


class _ListObject(msgspec.Struct, frozen=True, kw_only=True):
    object: str = "list"
    data: list[msgspec.Raw]
    has_more: bool
    url: str = URL


_encode = msgspec.json.Encoder().encode


class CustomerLists(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoint that lists customers and what it stands on."""

    authenticator: Authenticator
    lists: Lists
    store: EventStore

    def routes(self) -> list[web.RouteDef]:
        return [web.get(URL, bounded(self.list), allow_head=False)]

    async def list(self, request: web.Request) -> bytes | Answer:
        call = await read_call(request, self.authenticator, READ)
        wanted = parameters.read_list(call.tree)
        walk = walk_of(wanted, await self._cursor(call, wanted))
        page = await self.lists.page((call.key.account, call.key.livemode), walk)
        data = await elements(self.store, call, page.customers, wanted.expand)
        body = _encode(_ListObject(data=data, has_more=page.has_more))
        if page.unseen_events:
            return Answer(body=body, headers={LAG: f"{page.unseen_events}"})
        return body

    async def _cursor(self, call: Call, wanted: ListInput) -> Place | None:
        """Return where the customer stands, deleted or not, that a list is to go on from."""
        if wanted.starting_after is not None:
            return await self._place(call, wanted.starting_after, "starting_after")
        if wanted.ending_before is not None:
            return await self._place(call, wanted.ending_before, "ending_before")
        return None

    async def _place(self, call: Call, text: str, param: str) -> Place:
        if not is_customer_id(text):
            raise _no_such_cursor(NoSuchCustomer(text[:SHOWN_ID_CHARACTERS_MAX]), param)
        key = call.stream(CustomerId(text))
        state = (await self.store.load(key)).state
        if state is None:
            raise _no_such_cursor(await self._missing(key), param)
        return place_of(state)

    async def _missing(self, key: StreamKey) -> NoSuchCustomer:
        other = StreamKey(key.account, not key.livemode, key.id)
        exists = (await self.store.load(other)).state is not None
        return NoSuchCustomer(key.id, similar_in=other.livemode if exists else None)


def _no_such_cursor(missing: NoSuchCustomer, param: str) -> NoSuchCursor:
    return NoSuchCursor(f"{missing}", param=param)
