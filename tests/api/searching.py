"""Searches as the tests send them, and customers to be found."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPMethod
from typing import Any, Final
from urllib.parse import urlencode

from tests.support.gateways import Answer, Client
from tests.support.searchable import AT, Customers

LAG: Final = "Chaching-Projection-Lag"
URL: Final = "/v1/customers/search"


async def search(client: Client, query: str | None = None, **parameters: str | int) -> Answer:
    given: Mapping[str, str | int] = {
        name.replace("expand", "expand[]"): value for name, value in parameters.items()
    }
    form = urlencode({**({} if query is None else {"query": query}), **given})
    return await client.send(HTTPMethod.GET, f"{URL}?{form}")


async def found(client: Client, query: str, **parameters: str | int) -> list[str]:
    answer = await search(client, query, **parameters)
    assert answer.status == 200, answer
    return ids(answer)


def ids(answer: Answer) -> list[str]:
    data: list[dict[str, Any]] = answer.json["data"]
    return [customer["id"].removeprefix("cus_") for customer in data]


async def add_six(customers: Customers) -> None:
    """Add six customers, created one second after the other, Jane first."""
    await customers.add(
        "cus_jane",
        at=AT,
        name="Jane Doe",
        email="Jane.Doe@Example.com",
        phone="+123456789",
        metadata={"plan": "Gold", "Plan": "other", "a\"b'c\\": "quoted"},
    )
    await customers.add(
        "cus_strasse", at=AT + 1, name="Straße ÉCOLE", email="s@example.com", phone="+49 30 123"
    )
    await customers.add("cus_plain", at=AT + 2)
    await customers.add(
        "cus_bob", at=AT + 3, name="bob", email="bob@example.org", metadata={"plan": "silver"}
    )
    await customers.add(
        "cus_clock",
        at=AT + 4,
        name="Jane on a clock",
        metadata={"plan": "golden"},
        test_clock="clock_1",
    )
    await customers.add("cus_odd", at=AT + 5, name='say "100%" \\_ now', phone="000")
