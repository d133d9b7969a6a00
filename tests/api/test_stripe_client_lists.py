"""The official client of PyPI walks lists, unmodified, against a live gateway process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import stripe
from tests.support.gateways import KEY, GatewayProcess, gateway_process, store_key

CUSTOMERS = 25


@pytest.fixture
async def running(database_url: str, tmp_path: Path) -> AsyncGenerator[GatewayProcess]:
    await store_key(database_url, KEY)
    async with gateway_process(database_url, tmp_path / "gateway.log") as gateway:
        yield gateway


@pytest.fixture
async def customers(running: GatewayProcess) -> list[stripe.Customer]:
    """Some customers, the newest first."""
    client = stripe.StripeClient(KEY, base_addresses={"api": running.url})

    def create() -> list[stripe.Customer]:
        made = [
            client.v1.customers.create({"email": f"{number % 2}@x.io"})
            for number in range(CUSTOMERS)
        ]
        return sorted(made, key=lambda one: (one.created, one.id), reverse=True)

    return await asyncio.to_thread(create)


async def test_auto_paging_meets_every_customer_once_in_both_directions(
    running: GatewayProcess, customers: list[stripe.Customer]
) -> None:
    client = stripe.StripeClient(KEY, base_addresses={"api": running.url})

    def walk() -> tuple[list[str], list[str], list[str]]:
        listing = client.v1.customers.list({"limit": 4})
        assert listing.url == "/v1/customers"
        oldest = customers[-1].id
        up = client.v1.customers.list({"limit": 4, "ending_before": oldest})
        by_email = client.v1.customers.list(
            {"limit": 4, "email": "1@x.io", "created": {"gte": customers[-1].created}}
        )
        return (
            [customer.id for customer in listing.auto_paging_iter()],
            [customer.id for customer in up.auto_paging_iter()],
            [customer.id for customer in by_email.auto_paging_iter()],
        )

    down, up, by_email = await asyncio.to_thread(walk)
    ids = [customer.id for customer in customers]
    assert down == ids
    assert up == list(reversed(ids))[1:]
    assert by_email == [customer.id for customer in customers if customer.email == "1@x.io"]


async def test_a_cursor_that_never_existed_is_an_invalid_request_error(
    running: GatewayProcess,
) -> None:
    client = stripe.StripeClient(KEY, base_addresses={"api": running.url})
    with pytest.raises(stripe.InvalidRequestError) as raised:
        await asyncio.to_thread(lambda: client.v1.customers.list({"starting_after": "cus_x"}))
    error = raised.value.error
    assert error is not None
    assert (raised.value.http_status, error.code) == (400, "resource_missing")
    assert error.param == "starting_after"
