"""The official client of PyPI reads events, unmodified, against a live gateway process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import stripe
from tests.support.gateways import KEY, GatewayProcess, gateway_process, store_key

CUSTOMERS = 9


@pytest.fixture
async def running(database_url: str, tmp_path: Path) -> AsyncGenerator[GatewayProcess]:
    await store_key(database_url, KEY)
    async with gateway_process(database_url, tmp_path / "gateway.log") as gateway:
        yield gateway


@pytest.fixture
def client_at(running: GatewayProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's module as most programs use it."""
    monkeypatch.setattr(stripe, "api_key", KEY)
    monkeypatch.setattr(stripe, "api_base", running.url)


def told(event: stripe.Event) -> tuple[str, str]:
    return event.data.object["id"], event.type


@pytest.mark.usefixtures("client_at")
async def test_auto_paging_meets_every_event_once_in_both_directions() -> None:
    def scene() -> None:
        made = [stripe.Customer.create(name=f"n{number}") for number in range(CUSTOMERS)]
        wanted = [(customer.id, "customer.created") for customer in made]
        for customer in made[::3]:
            stripe.Customer.modify(customer.id, name="changed")
            wanted.append((customer.id, "customer.updated"))
        stripe.Customer.delete(made[0].id)
        wanted.append((made[0].id, "customer.deleted"))

        down = list(stripe.Event.list(limit=4).auto_paging_iter())
        assert [told(event) for event in down] == wanted[::-1]
        up = stripe.Event.list(limit=4, ending_before=down[-1].id).auto_paging_iter()
        assert [told(event) for event in up] == wanted[1:]
        for pattern in ("*", "customer.*", "customer.up*", "*.deleted"):
            met = stripe.Event.list(limit=2, type=pattern).auto_paging_iter()
            first, _, last = pattern.partition("*")
            assert [told(event) for event in met] == [
                one for one in wanted[::-1] if one[1].startswith(first) and one[1].endswith(last)
            ]
        types = ["customer.updated", "customer.deleted"]
        met = stripe.Event.list(limit=1, types=types).auto_paging_iter()
        assert [told(event) for event in met] == [one for one in wanted[::-1] if one[1] in types]
        assert stripe.Event.retrieve(down[1].id) == down[1]
        previous = down[1].data.previous_attributes
        assert previous is not None
        assert previous.to_dict() == {"name": "n6"}
        assert down[1].request is not None
        assert (down[1].request.id or "").startswith("req_")

    await asyncio.to_thread(scene)


@pytest.mark.usefixtures("client_at")
async def test_an_event_that_never_was_is_an_invalid_request_error() -> None:
    with pytest.raises(stripe.InvalidRequestError) as raised:
        await asyncio.to_thread(lambda: stripe.Event.retrieve("evt_x"))
    assert (raised.value.http_status, raised.value.code) == (404, "resource_missing")
    assert raised.value.user_message == "No such event: 'evt_x'"
