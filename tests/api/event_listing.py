"""Events as the tests of the gateway ask for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPMethod
from typing import Any, Final, TypeAlias

from tests.support.gateways import Answer, Client

EVENTS: Final = "/v1/events"


async def listed(client: Client, query: str = "") -> Answer:
    return await client.send(HTTPMethod.GET, f"{EVENTS}?{query}")


async def events(client: Client, query: str = "") -> list[dict[str, Any]]:
    """Return the events of a page, in order."""
    answer = await listed(client, query)
    assert answer.status == 200, answer
    found: list[dict[str, Any]] = answer.json["data"]
    return found


async def told(client: Client, query: str = "") -> list[tuple[str, str]]:
    """Return of each event of a page its customer and what happened to it."""
    return [
        (event["data"]["object"]["id"], event["type"].removeprefix("customer."))
        for event in await events(client, query)
    ]


async def retrieved(client: Client, event_id: str, query: str = "") -> Answer:
    return await client.send(HTTPMethod.GET, f"{EVENTS}/{event_id}{query}")


async def nothing() -> None:
    """What happens between two pages if nothing is said."""


Between: TypeAlias = Callable[[], Awaitable[object]]


async def pages_down(
    client: Client, query: str, start: str = "", between: Between = nothing
) -> list[list[str]]:
    """Walk to the oldest, from the newest or from an event; return the ids of each page."""
    pages: list[list[str]] = []
    cursor = f"&starting_after={start}" if start else ""
    while True:
        answer = await listed(client, f"{query}{cursor}")
        pages.append([event["id"] for event in answer.json["data"]])
        if not answer.json["has_more"]:
            return pages
        cursor = f"&starting_after={pages[-1][-1]}"
        await between()


async def pages_up(
    client: Client, query: str, start: str, between: Between = nothing
) -> list[list[str]]:
    """Walk from an event to the newest; return the ids of each page, each the newest first."""
    pages: list[list[str]] = []
    cursor = start
    while True:
        answer = await listed(client, f"{query}&ending_before={cursor}")
        pages.append([event["id"] for event in answer.json["data"]])
        if not answer.json["has_more"]:
            return pages
        cursor = pages[-1][0]
        await between()
