"""``GET /v1/customers``: the customers of an account and mode, the newest first, page by page.

Also as of a moment of the past.
"""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web

from chaching.domain.customer import Customer, NoSuchCustomer
from chaching.domain.ids import CustomerId
from chaching.envelope import StreamKey, Undecodable, Version
from chaching.eventstore.instants import Recorded
from chaching.eventstore.store import EventStore
from chaching.moments import AtVersion, LogMoment
from chaching_api import parameters
from chaching_api.authentication import Authenticator
from chaching_api.boundary import Answer, bounded
from chaching_api.errors import NoSuchCursor, NotReadable
from chaching_api.moments import refuse_future
from chaching_api.parameters import AS_OF, ListInput
from chaching_api.reads.lists import Lists
from chaching_api.reads.past import Past, customer_of
from chaching_api.reads.past_lists import PastLists
from chaching_api.reads.walk import Place, place_of, walk_of
from chaching_api.requests import (
    AS_OF_HEADER,
    AUDIT,
    ERASED_HEADER,
    SHOWN_ID_CHARACTERS_MAX,
    Call,
    is_customer_id,
    read_call,
)
from chaching_api.resources.elements import elements
from chaching_api.resources.missing import missing_beside, other_mode

READ: Final = "customers:read"
URL: Final = "/v1/customers"
LAG: Final = "Chaching-Projection-Lag"
CREATION: Final = Version(1)


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
    past: Past
    past_lists: PastLists
    store: EventStore

    def routes(self) -> list[web.RouteDef]:
        return [web.get(URL, bounded(self.list), allow_head=False)]

    async def list(self, request: web.Request) -> bytes | Answer:
        call = await read_call(request, self.authenticator, READ, instead={AS_OF: AUDIT})
        wanted = parameters.read_list(call.tree)
        refuse_future(wanted.as_of, call.at, AS_OF)
        if wanted.as_of is not None:
            return await self._as_of(call, wanted, wanted.as_of)
        walk = walk_of(wanted, await self._cursor(call, wanted))
        page = await self.lists.page((call.key.account, call.key.livemode), walk)
        data = await elements(self.store, call, page.customers, wanted.expand)
        body = _encode(_ListObject(data=data, has_more=page.has_more))
        if page.unseen_events:
            return Answer(body=body, headers={LAG: f"{page.unseen_events}"})
        return body

    async def _as_of(self, call: Call, wanted: ListInput, moment: LogMoment) -> Answer:
        """Answer as a list did at a moment; headers say as of where, and who was erased since."""
        then = await self.past.log_at(moment, AS_OF)
        walk = walk_of(wanted, await self._cursor(call, wanted, then))
        page = await self.past_lists.page((call.key.account, call.key.livemode), walk, then)
        data = await elements(self.store, call, page.customers, wanted.expand)
        body = _encode(_ListObject(data=data, has_more=page.has_more))
        headers = {AS_OF_HEADER: f"position:{then.position}"}
        erased = [listed.place.id for listed in page.customers if listed.erased]
        if erased:
            headers[ERASED_HEADER] = ",".join(erased)
        return Answer(body=body, headers=headers)

    async def _cursor(
        self, call: Call, wanted: ListInput, then: Recorded | None = None
    ) -> Place | None:
        """Return where the customer stands, deleted or not, that a list is to go on from."""
        if wanted.starting_after is not None:
            return await self._place(call, wanted.starting_after, "starting_after", then)
        if wanted.ending_before is not None:
            return await self._place(call, wanted.ending_before, "ending_before", then)
        return None

    async def _place(self, call: Call, text: str, param: str, then: Recorded | None) -> Place:
        if not is_customer_id(text):
            raise _no_such_cursor(NoSuchCustomer(text[:SHOWN_ID_CHARACTERS_MAX]), param)
        key = call.stream(CustomerId(text))
        state = await self._state(key, then, param)
        if state is None:
            exists = await self._state(other_mode(key), then, param) is not None
            raise _no_such_cursor(missing_beside(key, exists=exists), param)
        return place_of(state)

    async def _state(self, key: StreamKey, then: Recorded | None, param: str) -> Customer | None:
        if then is None:
            return (await self.store.load(key)).state
        event = await self.past.newest_at(key, then.position)
        if event is None:
            return None
        try:
            return customer_of(event, param)
        except NotReadable:  # where it stands in lists never changed, so any other event tells it
            return await self._state_of_another_time(key, param)

    async def _state_of_another_time(self, key: StreamKey, param: str) -> Customer | None:
        try:
            return (await self.store.load(key)).state
        except Undecodable:
            event = await self.past.event_at(key, AtVersion(CREATION), param)
            return None if event is None else customer_of(event, param)


def _no_such_cursor(missing: NoSuchCustomer, param: str) -> NoSuchCursor:
    return NoSuchCursor(f"{missing}", param=param)
