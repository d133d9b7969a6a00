"""The customers of a page as lists and searches show them: as they stand there, or expanded.

What shows only when expanded is in the log, so an expanded page loads its customers from there, in
one statement. One that was deleted since the page was read, or whose deletion searches do not know
of yet, is left out; one whose newest event cannot be read is shown as the page has it. So is one of
whom a page of the past can tell nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from chaching.domain.customer import Customer
from chaching.domain.customer_object import render
from chaching.domain.ids import CustomerId
from chaching.envelope import Undecodable
from chaching.eventstore.store import EventStore
from chaching_api.event_object import UnreadableCustomer
from chaching_api.expanding import render_expanded
from chaching_api.reads.walk import Listed
from chaching_api.requests import Call

DATA: Final = "data"

_encode = msgspec.json.Encoder().encode


async def elements(
    store: EventStore, call: Call, page: Sequence[Listed], expand: Sequence[str]
) -> list[msgspec.Raw]:
    """Return the JSON of a page's customers, in order; paths in ``expand`` begin with ``data``.

    Raises:
        Unavailable: no answer in time.
    """
    inner = [path.removeprefix(f"{DATA}.") for path in expand if path.startswith(f"{DATA}.")]
    if not inner:
        return [msgspec.Raw(_plain(listed)) for listed in page]
    contents = await asyncio.gather(*(_loaded(store, call, listed) for listed in page))
    return [
        msgspec.Raw(render_expanded(c, inner) if isinstance(c, Customer) else c)
        for c in contents
        if not (isinstance(c, Customer) and c.deleted)
    ]


async def _loaded(store: EventStore, call: Call, listed: Listed) -> Customer | bytes:
    if isinstance(listed.content, Customer):
        return listed.content
    if isinstance(listed.content, UnreadableCustomer):
        return _encode(listed.content)
    try:
        state = (await store.load(call.stream(CustomerId(listed.place.id)))).state
    except Undecodable:
        return listed.content
    return listed.content if state is None else state


def _plain(listed: Listed) -> bytes:
    match listed.content:
        case Customer() as customer:
            return render(customer)
        case UnreadableCustomer() as unreadable:
            return _encode(unreadable)
        case body:
            return body
