"""What a search over HTTP takes and refuses, what it answers, and what it says of itself."""

from __future__ import annotations

from http import HTTPMethod
from typing import Final

import pytest
from tests.api.searching import LAG, URL, add_six, found, ids, search
from tests.support.gateways import ACCOUNT, Client, Gateway, store_key
from tests.support.searchable import Customers, Projector

from chaching.eventstore.database import Database
from chaching_api.reads import search as search_module
from chaching_api.reads import search_sql

UNABLE: Final = "We were unable to parse your search query. "
UNSUPPORTED: Final = (
    "Field `foo` is an unsupported search field for resource `customers`. Supported are "
)
EXPANDABLE: Final = ("data.sources", "data.tax_ids", "data.subscriptions.data.customer")


@pytest.fixture
async def some(customers: Customers, projector: Projector) -> None:
    """Six customers whom searches know."""
    await add_six(customers)
    await projector.project()


# --- The answer ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("some")
async def test_an_answer_has_its_keys_in_order_and_the_objects_of_a_retrieve(
    client: Client,
) -> None:
    answer = await search(client, 'email:"jane.doe@example.com"')
    assert list(answer.json) == ["object", "data", "has_more", "next_page", "url"]
    retrieved = await client.retrieve("cus_jane")
    assert answer.json == {
        "object": "search_result",
        "data": [retrieved.json],
        "has_more": False,
        "next_page": None,
        "url": URL,
    }
    assert retrieved.body in answer.body
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers[LAG] == "0"


@pytest.mark.usefixtures("some")
async def test_the_total_count_stands_before_the_url_when_it_is_expanded(client: Client) -> None:
    answer = await search(client, "created>0", expand="total_count", limit=2)
    keys = ["object", "data", "has_more", "next_page", "total_count", "url"]
    assert list(answer.json) == keys
    assert answer.json["total_count"] == 6
    assert len(answer.json["data"]) == 2
    page = answer.json["next_page"]
    second = await search(client, "created>0", expand="total_count", limit=2, page=page)
    assert second.json["total_count"] == 6


async def test_nobody_is_found_where_nobody_is(client: Client) -> None:
    answer = await search(client, 'email:"nobody@example.com"', expand="total_count")
    assert answer.status == 200
    assert answer.json["data"] == []
    assert answer.json["has_more"] is False
    assert answer.json["next_page"] is None
    assert answer.json["total_count"] == 0
    assert answer.headers[LAG] == "0"


@pytest.mark.usefixtures("some")
async def test_search_is_no_customers_id(client: Client) -> None:
    assert (await search(client, "created>0")).json["object"] == "search_result"
    refused = await client.send(HTTPMethod.GET, URL)
    assert refused.error["message"] == "Missing required param: query."


# --- Parameters ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("some")
async def test_ten_is_the_usual_limit_and_one_to_a_hundred_are_taken(
    client: Client, customers: Customers, projector: Projector
) -> None:
    for n in range(7):
        await customers.add(f"cus_{n}")
    await projector.project()
    assert len(await found(client, "created>0")) == 10
    assert len(await found(client, "created>0", limit=1)) == 1
    assert len(await found(client, "created>0", limit=100)) == 13


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("0", "Invalid integer: 0; must be at least 1"),
        ("-1", "Invalid integer: -1; must be at least 1"),
        ("101", "Invalid integer: 101; must be at most 100"),
        ("abc", "Invalid integer: abc"),
    ],
)
async def test_a_limit_out_of_range_is_refused(client: Client, limit: str, message: str) -> None:
    refused = await search(client, "created>0", limit=limit)
    assert refused.status == 400
    assert refused.fault == {
        "code": "invalid_request",
        "message": message,
        "param": "limit",
        "reason": "parameter_invalid_integer",
        "type": "invalid_request_error",
    }


async def test_a_query_is_required(client: Client) -> None:
    refused = await search(client, limit="abc")
    assert refused.status == 400
    assert refused.fault == {
        "code": "invalid_request",
        "message": "Missing required param: query.",
        "param": "query",
        "reason": "parameter_missing",
        "type": "invalid_request_error",
    }
    assert (await search(client, "")).error["reason"] == "parameter_invalid_empty"
    unknown = await search(client, wat="1", limit="abc")
    assert unknown.error["message"] == "Received unknown parameter: wat"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            'name:"a" AND phone:"b" OR email:"c"',
            UNABLE + "AND and OR cannot be mixed in one query (at character 24).",
        ),
        (
            "foo:1",
            UNSUPPORTED + 'created, email, metadata["key"], name, phone (at character 1).',
        ),
    ],
)
async def test_a_query_that_is_none_is_refused(client: Client, query: str, message: str) -> None:
    refused = await search(client, query)
    assert refused.status == 400
    assert refused.fault == {
        "code": "invalid_request",
        "message": message,
        "param": "query",
        "type": "invalid_request_error",
    }
    assert refused.headers["Stripe-Should-Retry"] == "false"


async def test_a_query_that_is_too_long_is_refused(client: Client) -> None:
    refused = await search(client, f'name:"{"a" * 5000}"')
    assert refused.status == 400
    assert refused.error["param"] == "query"


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize(
    "path", ["data.sources", "data.tax_ids", "data.subscriptions.data.customer"]
)
async def test_what_a_customer_can_be_expanded_by_is_taken_below_data(
    client: Client, path: str
) -> None:
    assert (await search(client, "created>0", expand=path)).status == 200


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("sources", None),
        ("total", None),
        ("total_count.x", None),
        ("data.subscriptions.data.latest_invoice.customer", "property_expansion_max_depth"),
    ],
)
async def test_what_cannot_be_expanded_is_refused(
    client: Client, path: str, reason: str | None
) -> None:
    refused = await search(client, "created>0", expand=path)
    assert refused.status == 400
    assert refused.error.get("reason") == reason
    assert refused.error["param"] == "expand[0]"


async def test_a_search_needs_a_key_with_the_right_to_read(
    client: Client, database_url: str
) -> None:
    assert (await search(client.having(None), "created>0")).status == 401
    await store_key(database_url, "rk_test_audits", rights=("audit",))
    await store_key(database_url, "rk_test_reads", rights=("customers:read",))
    refused = await search(client.having("rk_test_audits"), "created>0")
    assert refused.status == 403
    assert refused.error["code"] == "more_permissions_required"
    assert (await search(client.having("rk_test_reads"), "created>0")).status == 200


@pytest.mark.parametrize("method", [HTTPMethod.HEAD, HTTPMethod.PUT, HTTPMethod.OPTIONS])
async def test_a_search_with_another_verb_is_unknown(client: Client, method: HTTPMethod) -> None:
    assert (await client.send(method, f"{URL}?query=created%3E0")).status == 404


# --- Lag, time and room -------------------------------------------------------------------------


async def test_the_lag_is_told_in_events_and_goes_away(
    client: Client, projector: Projector
) -> None:
    for n in range(3):
        assert (await client.create(f"name=Jane&id=cus_{n}")).status == 200
    before = await search(client, 'name:"jane"')
    assert (ids(before), before.headers[LAG]) == ([], "3")
    await projector.project_rows()
    between = await search(client, 'name:"jane"')
    assert (ids(between), between.headers[LAG]) == ([], "3")
    await projector.project()
    after = await search(client, 'name:"jane"')
    assert (sorted(ids(after)), after.headers[LAG]) == (["0", "1", "2"], "0")


async def test_the_lag_counts_what_a_parked_customer_holds_back(
    client: Client, projector: Projector, database: Database
) -> None:
    await client.create("name=Jane&id=cus_0")
    await client.update("cus_0", "name=June")
    await client.create("name=Jane&id=cus_1")
    await projector.project()
    await database.execute(
        "INSERT INTO read_model.parked_streams VALUES ($1, false, 'cus_0', 2, 2, 'a test')", ACCOUNT
    )
    assert (await search(client, 'name:"jane"')).headers[LAG] == "1"
    await database.execute("UPDATE read_model.parked_streams SET account = 'acct_other'")
    assert (await search(client, 'name:"jane"')).headers[LAG] == "0"


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the count of every search take for ever."""
    monkeypatch.setattr(
        search_sql,
        "_COUNT",
        "SELECT count(*) AS customers FROM (SELECT 1::bigint AS created FROM pg_sleep(60)) AS s "
        "WHERE ({account}::text, {livemode}::boolean, {created}::bigint, {id}::text, "
        "{oldest}::bigint, {limit}::bigint) IS NOT NULL AND ({conditions})",
    )


@pytest.mark.usefixtures("endless")
async def test_a_search_that_takes_too_long_is_ended_and_says_so(
    client: Client, gateway: Gateway
) -> None:
    refused = await search(client, "created>0", expand="total_count")
    assert refused.status == 503
    assert refused.error["param"] == "query"
    assert refused.error["message"].startswith("This search takes too long and was ended.")
    assert refused.headers["Stripe-Should-Retry"] == "false"
    assert int(refused.headers["Retry-After"]) > 0
    assert (await search(client, "created>0")).status == 200
    rows = await gateway.database.fetch(
        "SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND state = 'active' "
        "AND pid <> pg_backend_pid() AND datname = current_database()"
    )
    assert rows == []


async def test_searches_that_wait_use_up_no_other_sessions(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = (await client.create()).json["id"]
    monkeypatch.setattr(search_module, "SEARCHES_WAITING_MAX", 0)
    refused = await search(client, "created>0")
    assert refused.status == 503
    assert refused.headers["Stripe-Should-Retry"] == "false"
    assert (await client.retrieve(customer)).status == 200
