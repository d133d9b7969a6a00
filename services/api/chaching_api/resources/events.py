"""``/v1/events``: what happened to the customers of an account and mode, from the log itself.

Exact at any time, however far relay, broker and projector are behind. Events stay for good, those
of deleted customers too.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Final

import msgspec
from aiohttp import web

from chaching.envelope import Position, RecordedEvent
from chaching.eventstore.lookups import AccountMode, EventLookups, EventPage
from chaching_api import event_parameters
from chaching_api.authentication import Authenticator
from chaching_api.boundary import bounded
from chaching_api.errors import NoSuchCursor, NoSuchEvent
from chaching_api.event_object import render_event
from chaching_api.event_parameters import EVENT_ID_PATTERN, EventListInput
from chaching_api.parameter_tables import Seconds
from chaching_api.reads.event_walk import Stretch, event_walk_of
from chaching_api.requests import Call, read_call

READ: Final = "events:read"
URL: Final = "/v1/events"
SHOWN_ID_CHARACTERS_MAX: Final = 255
RENDERED_AT_ONCE_MAX_EVENTS: Final = 10

_EVENT_ID: Final = re.compile(EVENT_ID_PATTERN)


class _ListObject(msgspec.Struct, frozen=True, kw_only=True):
    object: str = "list"
    data: list[msgspec.Raw]
    has_more: bool
    url: str = URL


_encode = msgspec.json.Encoder().encode


class Events(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoints of the event resource and what they stand on."""

    authenticator: Authenticator
    lookups: EventLookups

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(URL, bounded(self.list), allow_head=False),
            web.get(f"{URL}/{{event}}", bounded(self.retrieve), allow_head=False),
        ]

    async def retrieve(self, request: web.Request) -> bytes:
        call = await read_call(request, self.authenticator, READ)
        event_parameters.read_event_retrieve(call.tree)
        return render_event(await self._find(call, request.match_info["event"]))

    async def list(self, request: web.Request) -> bytes:
        call = await read_call(request, self.authenticator, READ)
        wanted = event_parameters.read_event_list(call.tree)
        cursor = await self._cursor(call, wanted)
        walk = event_walk_of(_whose(call), wanted, cursor, await self._stretch(wanted.created))
        page = EventPage() if walk is None else await self.lookups.page(walk)
        events = page.events if wanted.ending_before is None else page.events[::-1]
        return _encode(_ListObject(data=await _rendered(events), has_more=page.has_more))

    async def _cursor(self, call: Call, wanted: EventListInput) -> Position | None:
        """Return where the event stands that a list is to go on from."""
        if wanted.starting_after is not None:
            return await self._position(call, wanted.starting_after, "starting_after")
        if wanted.ending_before is not None:
            return await self._position(call, wanted.ending_before, "ending_before")
        return None

    async def _position(self, call: Call, event_id: str, param: str) -> Position:
        try:
            return (await self._find(call, event_id)).position
        except NoSuchEvent as missing:
            raise NoSuchCursor(f"{missing}", param=param) from missing

    async def _stretch(self, created: Seconds) -> Stretch:
        """Return where the events of some seconds stand."""
        if created == Seconds():
            return Stretch()
        after, last = await self.lookups.positions_before([created.first, created.last + 1])
        return Stretch(after, Position(last + 1))

    async def _find(self, call: Call, event_id: str) -> RecordedEvent:
        """Return an event of the caller's; raises NoSuchEvent."""
        if _EVENT_ID.fullmatch(event_id) is None:
            raise NoSuchEvent(event_id[:SHOWN_ID_CHARACTERS_MAX])
        account, livemode = _whose(call)
        found = await self.lookups.find((account, livemode), event_id)
        if found is None:
            exists = await self.lookups.find((account, not livemode), event_id) is not None
            raise NoSuchEvent(event_id, similar_in=not livemode if exists else None)
        return found


def _whose(call: Call) -> AccountMode:
    return call.key.account, call.key.livemode


async def _rendered(events: Sequence[RecordedEvent]) -> list[msgspec.Raw]:
    data: list[msgspec.Raw] = []
    for number, event in enumerate(events, start=1):
        data.append(msgspec.Raw(render_event(event)))
        if number % RENDERED_AT_ONCE_MAX_EVENTS == 0:
            await asyncio.sleep(0)  # let other requests in
    return data
