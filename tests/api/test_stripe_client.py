"""The official client of PyPI, unmodified, against a live gateway process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import TypeVar

import pytest
import stripe
from stripe.params import CustomerCreateParams, CustomerUpdateParams
from tests.support.gateways import KEY, GatewayProcess, gateway_process, store_key

T = TypeVar("T")

READER = "rk_test_reader1234"
FULL: CustomerCreateParams = {
    "address": {
        "line1": "123 Main St",
        "line2": "Floor 2",
        "city": "New York",
        "state": "NY",
        "postal_code": "10001",
        "country": "us",
    },
    "description": "Premium plan customer",
    "email": "jane.doe@example.com",
    "metadata": {"plan": "premium", "über": "ÄÖ & = + %"},
    "name": "Jane Doe",
    "payment_method": "pm_card_visa",
    "phone": "+123456789",
    "shipping": {
        "name": "Jane Doe",
        "phone": "+1987654321",
        "address": {"line1": "Dock 4", "city": "Boston", "country": "US"},
    },
    "tax": {"ip_address": "203.0.113.7", "validate_location": "deferred"},
    "balance": -1250,
    "cash_balance": {"settings": {"reconciliation_mode": "manual"}},
    "invoice_prefix": "JANE01",
    "invoice_settings": {
        "default_payment_method": "pm_card_visa",
        "footer": "Thank you",
        "custom_fields": [{"name": "PO", "value": "4711"}],
        "rendering_options": {"amount_tax_display": "include_inclusive_tax"},
    },
    "next_invoice_sequence": 7,
    "preferred_locales": ["fr-CA", "en"],
    "source": "src_123",
    "tax_exempt": "reverse",
    "tax_id_data": [{"type": "eu_vat", "value": "DE123456789"}],
    "test_clock": "clock_123",
    "expand": ["tax_ids"],
}


@pytest.fixture
async def running(database_url: str, tmp_path: Path) -> AsyncGenerator[GatewayProcess]:
    await store_key(database_url, KEY)
    await store_key(database_url, READER, rights=["customers:read"])
    async with gateway_process(database_url, tmp_path / "gateway.log") as gateway:
        yield gateway


@pytest.fixture
def stripe_client(running: GatewayProcess) -> stripe.StripeClient:
    return having(running, KEY)


def having(running: GatewayProcess, key: str) -> stripe.StripeClient:
    return stripe.StripeClient(key, base_addresses={"api": running.url})


async def done(call: Callable[[], T]) -> T:
    """Run one of the client's blocking calls."""
    return await asyncio.to_thread(call)


async def refused(
    call: Callable[[], object], error: type[stripe.StripeError]
) -> stripe.ErrorObject:
    with pytest.raises(stripe.StripeError) as raised:
        await done(call)
    assert type(raised.value) is error
    assert raised.value.request_id is not None
    assert raised.value.error is not None
    return raised.value.error


async def test_a_customer_is_created_with_every_field(stripe_client: stripe.StripeClient) -> None:
    customers = stripe_client.v1.customers
    created = await done(lambda: customers.create(FULL))
    assert type(created) is stripe.Customer
    assert created.id.startswith("cus_")
    assert created.object == "customer"
    assert created.livemode is False
    assert created.delinquent is False
    assert created.currency is None
    assert created.discount is None
    assert isinstance(created.created, int)
    assert created.address is not None
    assert created.address.to_dict() == {
        "city": "New York",
        "country": "US",
        "line1": "123 Main St",
        "line2": "Floor 2",
        "postal_code": "10001",
        "state": "NY",
    }
    assert created.description == "Premium plan customer"
    assert created.email == "jane.doe@example.com"
    assert created.metadata is not None
    assert created.metadata.to_dict() == {"plan": "premium", "über": "ÄÖ & = + %"}
    assert created.name == "Jane Doe"
    assert created.phone == "+123456789"
    assert created.shipping is not None
    assert created.shipping.name == "Jane Doe"
    assert created.shipping.phone == "+1987654321"
    assert created.shipping.address is not None
    assert created.shipping.address.city == "Boston"
    assert created.shipping.address.line2 is None
    assert created.balance == -1250
    assert created.invoice_prefix == "JANE01"
    settings = created.invoice_settings
    assert settings is not None
    assert settings.default_payment_method == "pm_card_visa"
    assert settings.footer == "Thank you"
    assert settings.custom_fields is not None
    assert [(field.name, field.value) for field in settings.custom_fields] == [("PO", "4711")]
    assert settings.rendering_options is not None
    assert settings.rendering_options.amount_tax_display == "include_inclusive_tax"
    assert created.next_invoice_sequence == 7
    assert created.preferred_locales == ["fr-CA", "en"]
    assert created.default_source == "src_123"
    assert created.tax_exempt == "reverse"
    assert created.test_clock == "clock_123"

    retrieved = await done(lambda: customers.retrieve(created.id, {"expand": ["tax_ids"]}))
    assert retrieved.to_dict() == created.to_dict()
    assert retrieved.last_response is not None
    assert retrieved.last_response.request_id is not None


async def test_metadata_is_merged_unset_and_cleared(stripe_client: stripe.StripeClient) -> None:
    customers = stripe_client.v1.customers
    created = await done(lambda: customers.create({"metadata": {"a": "1", "b": "2"}}))

    async def after(change: CustomerUpdateParams) -> dict[str, str]:
        updated = await done(lambda: customers.update(created.id, change))
        assert updated.metadata is not None
        found: dict[str, str] = updated.metadata.to_dict()
        return found

    assert await after({"metadata": {"b": "3", "c": "4"}}) == {"a": "1", "b": "3", "c": "4"}
    assert await after({"metadata": {"a": ""}}) == {"b": "3", "c": "4"}
    assert await after({"name": "Jane"}) == {"b": "3", "c": "4"}
    assert await after({"metadata": ""}) == {}


async def test_an_update_merges_sets_and_unsets(stripe_client: stripe.StripeClient) -> None:
    customers = stripe_client.v1.customers
    created = await done(lambda: customers.create(FULL))
    changes: CustomerUpdateParams = {
        "address": {"city": "Albany", "line2": ""},
        "email": "",
        "shipping": "",
        "phone": "+49 30 1234",
        "balance": 0,
        "preferred_locales": [],
        "tax_exempt": "",
        "invoice_settings": {"custom_fields": "", "footer": "Bye"},
    }
    updated = await done(lambda: customers.update(created.id, changes))
    assert updated.address is not None
    assert (updated.address.city, updated.address.line1) == ("Albany", "123 Main St")
    assert updated.address.line2 is None
    assert updated.email is None
    assert updated.shipping is None
    assert updated.phone == "+49 30 1234"
    assert updated.balance == 0
    assert updated.tax_exempt == "none"
    assert updated.invoice_settings is not None
    assert updated.invoice_settings.custom_fields is None
    assert updated.invoice_settings.footer == "Bye"
    assert updated.invoice_settings.default_payment_method == "pm_card_visa"
    assert updated["updated"] >= created.created
    assert (await done(lambda: customers.retrieve(created.id))).to_dict() == updated.to_dict()


async def test_a_deleted_customer_is_retrieved_as_a_stub(
    stripe_client: stripe.StripeClient,
) -> None:
    customers = stripe_client.v1.customers
    created = await done(lambda: customers.create({"name": "Jane"}))
    deleted = await done(lambda: customers.delete(created.id))
    assert deleted.deleted is True
    stub = await done(lambda: customers.retrieve(created.id))
    assert stub.to_dict() == {"id": created.id, "object": "customer", "deleted": True}
    error = await refused(
        lambda: customers.update(created.id, {"name": "June"}), stripe.InvalidRequestError
    )
    assert (error.code, error.param) == ("resource_missing", "id")


async def test_the_older_style_of_calls_works_too(running: GatewayProcess) -> None:
    def journey() -> stripe.Customer:
        created = stripe.Customer.create(api_key=KEY, name="Jane")
        stripe.Customer.modify(created.id, api_key=KEY, name="June", metadata={"a": "1"})
        return stripe.Customer.retrieve(created.id, api_key=KEY)

    before = stripe.api_base
    stripe.api_base = running.url
    try:
        retrieved = await done(journey)
    finally:
        stripe.api_base = before
    assert retrieved.name == "June"
    assert retrieved.metadata is not None
    assert retrieved.metadata["a"] == "1"


async def test_a_bad_request_is_an_invalid_request_error(
    stripe_client: stripe.StripeClient,
) -> None:
    customers = stripe_client.v1.customers
    error = await refused(lambda: customers.create({"email": "5"}), stripe.InvalidRequestError)
    assert error.type == "invalid_request_error"
    assert error.code == "invalid_request"
    assert error.param == "email"
    assert error.message == "Invalid email address: 5"


async def test_a_missing_customer_is_an_invalid_request_error(
    stripe_client: stripe.StripeClient,
) -> None:
    customers = stripe_client.v1.customers
    error = await refused(lambda: customers.retrieve("cus_x"), stripe.InvalidRequestError)
    assert (error.code, error.param) == ("resource_missing", "id")
    assert error.message == "No such customer: 'cus_x'"


async def test_a_wrong_key_is_an_authentication_error(running: GatewayProcess) -> None:
    customers = having(running, "sk_test_wrong1234").v1.customers
    error = await refused(lambda: customers.retrieve("cus_x"), stripe.AuthenticationError)
    assert error.message == "Invalid API Key provided: sk_test_*****1234"


async def test_a_missing_right_is_a_permission_error(running: GatewayProcess) -> None:
    customers = having(running, READER).v1.customers
    error = await refused(lambda: customers.create({}), stripe.PermissionError)
    assert error.code == "more_permissions_required"
