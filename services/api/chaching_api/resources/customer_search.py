"""``/v1/customers/search``: the customers that fit a query, newest first.

Searches may trail: every answer says in ``Chaching-Projection-Lag`` by how many events. A total
count is exact up to ``COUNTED_CUSTOMERS_MAX`` and that number beyond it.
"""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from chaching.eventstore.store import EventStore
from chaching_api import parameters
from chaching_api.authentication import Authenticator
from chaching_api.boundary import Answer, bounded
from chaching_api.reads.search import CustomerSearches, Found
from chaching_api.reads.search_sql import Search
from chaching_api.requests import Call, read_call
from chaching_api.resources.elements import elements
from chaching_api.search_page import TOP, page_after, place_of
from chaching_api.search_query import render

READ: Final = "customers:read"
PATH: Final = "/v1/customers/search"
LAG: Final = "Chaching-Projection-Lag"
TOTAL_COUNT: Final = "total_count"


class SearchResult(msgspec.Struct, frozen=True, kw_only=True):
    """A page of customers, in the order of the contract."""

    object: str = "search_result"
    data: list[msgspec.Raw]
    has_more: bool
    next_page: str | None
    total_count: int | UnsetType = UNSET
    url: str = PATH


_encode: Final = msgspec.json.Encoder().encode


class CustomerSearch(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoint; its plain path goes before the one that takes a customer's id."""

    authenticator: Authenticator
    searches: CustomerSearches
    store: EventStore

    def routes(self) -> list[web.RouteDef]:
        return [web.get(PATH, bounded(self.search), allow_head=False)]

    async def search(self, request: web.Request) -> Answer:
        call = await read_call(request, self.authenticator, READ)
        given = parameters.read_search(call.tree)
        search = Search(account=call.key.account, livemode=call.key.livemode, query=given.query)
        name = _name(call, search)
        found = await self.searches.find(
            search,
            after=TOP if given.page is None else place_of(given.page, name),
            limit=given.limit,
            counted=TOTAL_COUNT in given.expand,
        )
        data = await elements(self.store, call, found.customers, given.expand)
        return Answer(body=_body(found, data, name), headers={LAG: f"{found.lag}"})


def _body(found: Found, data: list[msgspec.Raw], name: bytes) -> bytes:
    more = found.following
    return _encode(
        SearchResult(
            data=data,
            has_more=more is not None,
            next_page=None if more is None else page_after(more, name),
            total_count=UNSET if found.total_count is None else found.total_count,
        )
    )


def _name(call: Call, search: Search) -> bytes:
    """Return what tells this search from every other one."""
    return "\0".join([call.key.account, str(call.key.livemode), render(search.query)]).encode()
