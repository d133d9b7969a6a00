"""The Stripe CLI, unmodified, against the whole service.

The CLI ends with 0 on most errors of the API, so what it prints is looked at. It is kept from the
network by a proxy that nobody listens at: a proxy is asked for every address but loopback.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from tests.clients.runners import Ended, run_program, stripe_cli
from tests.clients.service import OfficialService
from tests.support.waiting import eventually

FIXTURES: Final = Path(__file__).with_name("fixtures.json")


class Cli(msgspec.Struct, frozen=True, kw_only=True):
    """The CLI as it is for someone who has just installed it, with the key of an account."""

    service: OfficialService
    home: Path

    async def run(self, *words: str, key: str = "secret") -> Ended:
        environment = {
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home),
            "HTTPS_PROXY": self.service.addresses["nowhere"],
            "STRIPE_CLI_TELEMETRY_OPTOUT": "1",
        }
        options = ("--api-base", self.service.url, "--api-key", self.service.keys["cli"][key])
        return await run_program([str(stripe_cli()), *words, *options], environment)

    async def customers(self, *words: str, key: str = "secret") -> dict[str, Any]:
        """Run a command on customers; return the JSON that it prints."""
        return await self.printed("customers", *words, key=key)

    async def printed(self, *words: str, key: str = "secret") -> dict[str, Any]:
        """Run a command; return the JSON that it prints."""
        ended = await self.run(*words, key=key)
        assert ended.exit_code == 0, ended
        found: dict[str, Any] = json.loads(ended.out[ended.out.index("{") :])
        return found


@pytest.fixture
def cli(official_service: OfficialService, tmp_path: Path) -> Cli:
    return Cli(service=official_service, home=tmp_path)


async def test_a_customer_is_created_retrieved_updated_and_deleted(cli: Cli) -> None:
    created = await cli.customers(
        *("create", "--name", "Jane Doe", "--email", "jane@example.com", "--phone", "+123456789"),
        *("--address.line1", "123 Main St", "--shipping.name", "Jane"),
        *("-d", "shipping[address][city]=Boston", "-d", "metadata[plan]=premium"),
        *("-d", "preferred_locales[0]=fr-CA", "-d", "invoice_settings[footer]=Thanks & bye"),
    )
    assert created["name"] == "Jane Doe"
    assert created["phone"] == "+123456789"
    assert created["address"]["line1"] == "123 Main St"
    assert created["shipping"]["address"]["city"] == "Boston"
    assert created["metadata"] == {"plan": "premium"}
    assert created["preferred_locales"] == ["fr-CA"]
    assert created["invoice_settings"]["footer"] == "Thanks & bye"
    assert await cli.customers("retrieve", created["id"]) == created

    updated = await cli.customers(
        *("update", created["id"], "--email", "june@example.com", "--balance", "-500"),
        *("-d", "metadata[plan]=", "-d", "metadata[a]=1", "-d", "address="),
    )
    assert updated["email"] == "june@example.com"
    assert updated["balance"] == -500
    assert updated["metadata"] == {"a": "1"}
    assert updated["address"] is None
    assert updated["name"] == "Jane Doe"

    stub = {"id": created["id"], "object": "customer", "deleted": True}
    assert await cli.customers("delete", created["id"], "--confirm") == stub
    assert await cli.customers("retrieve", created["id"]) == stub


async def test_events_are_listed_and_retrieved(cli: Cli) -> None:
    created = await cli.customers("create", "--name", "Jane")
    await cli.customers("update", created["id"], "--name", "June")
    page = await cli.printed("events", "list", "--limit", "2", "-d", "type=customer.*")
    updated, made = page["data"]
    assert made["data"] == {"object": created}
    assert updated["data"]["previous_attributes"] == {"name": "Jane"}
    assert await cli.printed("events", "retrieve", updated["id"]) == updated


async def test_customers_are_listed(cli: Cli) -> None:
    email = "listed@example.com"
    ids = [(await cli.customers("create", "--email", email))["id"] for _ in range(3)]
    page = await cli.customers("list", "--email", email, "--limit", "2", "-d", "created[gte]=1")
    assert (page["object"], page["has_more"], page["url"]) == ("list", True, "/v1/customers")
    rest = await cli.customers("list", "--email", email, "--starting-after", page["data"][-1]["id"])
    assert rest["has_more"] is False
    assert [one["id"] for one in [*page["data"], *rest["data"]]] == ids[::-1]


async def test_customers_are_searched(cli: Cli) -> None:
    created = await cli.customers("create", "--email", "searched@example.com")
    found: dict[str, Any] = {}

    async def is_found() -> bool:
        query = "email:'searched@example.com'"
        found.update(await cli.customers("search", "--query", query, "-d", "expand[]=total_count"))
        return found["total_count"] > 0

    await eventually(is_found, "the search finds the customer")
    assert found["object"] == "search_result"
    assert found["data"] == [created]


async def test_what_is_attached_is_expanded(cli: Cli) -> None:
    created = await cli.customers(
        *("create", "-d", "tax_id_data[0][type]=eu_vat", "-d", "tax_id_data[0][value]=DE123456789"),
        *("--expand", "tax_ids"),
    )
    [tax_id] = created["tax_ids"]["data"]
    assert (tax_id["type"], tax_id["value"]) == ("eu_vat", "DE123456789")
    again = await cli.customers("retrieve", created["id"], "--expand", "tax_ids")
    assert again["tax_ids"] == created["tax_ids"]


async def test_a_key_of_the_callers_own_is_answered_once(cli: Cli) -> None:
    first = await cli.customers("create", "--name", "Once", "--idempotency", "cli-once")
    again = await cli.run(
        "customers", "create", "--name", "Once", "--idempotency", "cli-once", "--show-headers"
    )
    assert json.loads(again.out) == first
    assert "< Idempotency-Key: cli-once" in again.err
    other = await cli.customers("create", "--name", "Twice", "--idempotency", "cli-once")
    assert other["error"]["type"] == "idempotency_error"


async def test_errors_are_shown_as_they_come(cli: Cli) -> None:
    missing = await cli.customers("retrieve", "cus_x")
    assert missing["error"]["code"] == "resource_missing"
    bad = await cli.customers("create", "--email", "5")
    assert (bad["error"]["param"], bad["error"]["reason"]) == ("email", "email_invalid")
    forbidden = await cli.customers("create", "--name", "Jane", key="restricted")
    assert forbidden["error"]["code"] == "more_permissions_required"


async def test_a_key_that_opens_nothing_ends_the_cli_with_an_error(cli: Cli) -> None:
    ended = await cli.run("customers", "retrieve", "cus_x", key="expired")
    assert ended.exit_code == 1
    assert '"reason":"api_key_expired"' in ended.err
    failed = await cli.run("trigger", "customer.created", key="expired")
    assert failed.exit_code == 1
    assert "Trigger failed" in failed.err


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("customer.created", {"description": "(created by Stripe CLI)", "metadata": {}}),
        ("customer.updated", {"metadata": {"foo": "bar"}}),
        ("customer.deleted", {"deleted": True}),
    ],
)
async def test_the_events_of_a_customer_are_triggered(
    cli: Cli, event: str, expected: dict[str, object]
) -> None:
    customer_id = event.replace(".", "_")
    ended = await cli.run("trigger", event, "--add", f"customer:id={customer_id}")
    assert ended.exit_code == 0, ended
    assert "Trigger succeeded!" in ended.out
    seen = await cli.customers("retrieve", customer_id)
    assert {name: seen[name] for name in expected} == expected


async def test_fixtures_create_update_and_delete_what_they_refer_to(cli: Cli) -> None:
    ended = await cli.run("fixtures", str(FIXTURES))
    assert ended.exit_code == 0, ended
    assert ended.out.count("Running fixture for:") == 6
    kept = await cli.customers("retrieve", "cus_fixture_kept")
    assert kept["name"] == "Kept"
    assert kept["email"] == "fixture@example.com"
    assert kept["description"] == "Next to Gone"
    assert kept["metadata"] == {"plan": "premium", "neighbour": "cus_fixture_gone"}
    assert kept["address"]["country"] == "US"
    assert kept["preferred_locales"] == ["fr-CA", "en"]
    assert kept["invoice_settings"]["custom_fields"] == [{"name": "PO", "value": "4711"}]
    assert kept["balance"] == -5
    gone = await cli.customers("retrieve", "cus_fixture_gone")
    assert gone["deleted"] is True
