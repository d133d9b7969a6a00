"""``/v1/customers/{id}/history`` and ``…/diff``: what auditors read of one customer."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web

from chaching.domain.ids import CustomerId
from chaching.envelope import NO_VERSION
from chaching.eventstore.store import EventStore
from chaching.history import CustomerDiff, HistoryEntry, Stood, diff_of, entry_of
from chaching_api import event_parameters
from chaching_api.authentication import Authenticator
from chaching_api.boundary import bounded
from chaching_api.errors import Malformed
from chaching_api.event_parameters import DiffInput
from chaching_api.moments import refuse_future
from chaching_api.reads.past import Past, customer_of
from chaching_api.requests import AUDIT, Call, customer_id_of, read_call
from chaching_api.resources.missing import missing

HISTORY: Final = "/v1/customers/{customer}/history"
DIFF: Final = "/v1/customers/{customer}/diff"


class _HistoryObject(msgspec.Struct, frozen=True, kw_only=True):
    object: str = "list"
    data: list[HistoryEntry]
    has_more: bool
    url: str


_encode = msgspec.json.Encoder().encode


class CustomerHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoints and what they stand on."""

    authenticator: Authenticator
    past: Past
    store: EventStore

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(HISTORY, bounded(self.history), allow_head=False),
            web.get(DIFF, bounded(self.diff), allow_head=False),
        ]

    async def history(self, request: web.Request) -> bytes:
        call = await read_call(request, self.authenticator, AUDIT)
        wanted = event_parameters.read_history(call.tree)
        refuse_future(wanted.start, call.at, "from")
        refuse_future(wanted.end, call.at, "to")
        key = call.stream(customer_id_of(request))
        page = await self.past.page(key, wanted)
        if page is None:
            raise await missing(self.store, key)
        return _encode(
            _HistoryObject(
                data=[entry_of(event) for event in page.events],
                has_more=page.has_more,
                url=HISTORY.format(customer=key.id),
            )
        )

    async def diff(self, request: web.Request) -> bytes:
        call = await read_call(request, self.authenticator, AUDIT)
        wanted = event_parameters.read_diff(call.tree)
        refuse_future(wanted.start, call.at, "from")
        refuse_future(wanted.end, call.at, "to")
        return _encode(await self._diff(call, customer_id_of(request), wanted))

    async def _diff(self, call: Call, customer_id: CustomerId, wanted: DiffInput) -> CustomerDiff:
        key = call.stream(customer_id)
        start = await self.past.event_at(key, wanted.start, "from")
        end = await self.past.event_at(key, wanted.end, "to")
        if start is not None and (end is None or end.version < start.version):
            raise Malformed(
                f"Invalid from: it leads to version {start.version} of {customer_id}, which is "
                f"newer than where to leads, version {end.version if end else NO_VERSION}",
                param="from",
            )
        if end is None:
            raise await missing(self.store, key)
        stood = Stood(end, customer_of(end, "to"))
        return diff_of(start and Stood(start, customer_of(start, "from")), stood)
