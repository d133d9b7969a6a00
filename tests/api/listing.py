"""Lists as the tests of the gateway ask for them, and what they must answer byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPMethod

from tests.support.gateways import CUSTOMERS, Answer, Client


async def listed(client: Client, query: str = "") -> Answer:
    return await client.send(HTTPMethod.GET, f"{CUSTOMERS}?{query}")


async def ids(client: Client, query: str = "") -> list[str]:
    """Return the ids of a page, in order."""
    answer = await listed(client, query)
    assert answer.status == 200, answer
    return [customer["id"] for customer in answer.json["data"]]


def list_of(bodies: Sequence[bytes], *, has_more: bool = False) -> bytes:
    """Return the list object of customers as retrieves answer them."""
    more = b"true" if has_more else b"false"
    return (
        b'{"object":"list","data":[' + b",".join(bodies) + b'],"has_more":' + more
        + b',"url":"/v1/customers"}'
    )  # fmt: skip


async def pages_down(client: Client, query: str) -> list[list[str]]:
    """Walk from the newest to the oldest; return the ids of each page."""
    pages: list[list[str]] = []
    cursor = ""
    while True:
        answer = await listed(client, f"{query}{cursor}")
        assert answer.status == 200, answer
        pages.append([customer["id"] for customer in answer.json["data"]])
        if not answer.json["has_more"]:
            return pages
        cursor = f"&starting_after={pages[-1][-1]}"


async def pages_up(client: Client, query: str, start: str) -> list[list[str]]:
    """Walk from a customer to the newest; return the ids of each page, each the newest first."""
    pages: list[list[str]] = []
    cursor = start
    while True:
        answer = await listed(client, f"{query}&ending_before={cursor}")
        assert answer.status == 200, answer
        pages.append([customer["id"] for customer in answer.json["data"]])
        if not answer.json["has_more"]:
            return pages
        cursor = pages[-1][0]
