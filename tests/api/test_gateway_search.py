"""Search over HTTP, with the projector's own code at the tests' pace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from http import HTTPMethod
from typing import Any, Final
from urllib.parse import urlencode

import pytest
from tests.support.gateways import Answer, Client, Gateway, store_key
from tests.support.searchable import AT, Customers, Projector, projecting

from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore
from chaching_api.reads import search as search_module
from chaching_api.reads import search_sql

LAG: Final = "Chaching-Projection-Lag"
URL: Final = "/v1/customers/search"
UNABLE: Final = "We were unable to parse your search query. "
UNSUPPORTED: Final = (
    "Field `foo` is an unsupported search field for resource `customers`. Supported are "
)
EXPANDABLE: Final = ("data.sources", "data.tax_ids", "data.subscriptions.data.customer")


@pytest.fixture
async def projector(database_url: str, store: EventStore) -> AsyncGenerator[Projector]:
    async with projecting(database_url, store) as projector:
        yield projector


@pytest.fixture
def customers(store: EventStore) -> Customers:
    """The customers of the account and mode of the client's key."""
    return Customers(store)


@pytest.fixture
async def some(customers: Customers, projector: Projector) -> None:
    """Six customers, created one second after the other, the first one first."""
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
    await projector.project()


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


# --- What clauses find --------------------------------------------------------------------------


CLAUSES: Final[list[tuple[str, list[str]]]] = [
    ('email:"JANE.DOE@example.COM"', ["jane"]),
    ("email:'jane.doe@example.com'", ["jane"]),
    ('email:"jane.doe@example.co"', []),
    ('email:""', []),
    ('name:"STRASSE école"', ["strasse"]),
    ('name~"SSE é"', ["strasse"]),
    ('name~"JAN"', ["clock", "jane"]),
    ('name~"doe@"', []),
    ('email~"example."', ["bob", "strasse", "jane"]),
    ('email~".com"', ["strasse", "jane"]),
    ('email~"@ex"', ["bob", "strasse", "jane"]),
    ('phone~"345"', ["jane"]),
    ("phone~345", ["jane"]),
    ("phone:000", ["odd"]),
    ('phone:"0"', []),
    ('name~"100%"', ["odd"]),
    ('name~"1__"', []),
    ('name~"\\"10"', ["odd"]),
    ("name:'say \"100%\" \\\\_ now'", ["odd"]),
    ('metadata["plan"]:"gold"', ["jane"]),
    ("metadata['plan']:'GOLD'", ["jane"]),
    ('metadata["Plan"]:"gold"', []),
    ('metadata["Plan"]:"OTHER"', ["jane"]),
    ('metadata["plan"]~"old"', ["clock", "jane"]),
    ('metadata["a\\"b\'c\\\\"]:"quoted"', ["jane"]),
    ('metadata["absent"]:"gold"', []),
    ('-name~"jane"', ["odd", "bob", "plain", "strasse"]),
    ('-email:"bob@example.org"', ["odd", "clock", "plain", "strasse", "jane"]),
    ('-metadata["plan"]:"gold"', ["odd", "clock", "bob", "plain", "strasse"]),
    ('-metadata["plan"]~"gold"', ["odd", "bob", "plain", "strasse"]),
    ("email:null", ["odd", "clock", "plain"]),
    ("-email:null", ["bob", "strasse", "jane"]),
    ("name:null", ["plain"]),
    ("phone:null", ["clock", "bob", "plain"]),
    ("-phone:null", ["odd", "strasse", "jane"]),
    ('metadata["plan"]:null', ["odd", "plain", "strasse"]),
    ('-metadata["plan"]:null', ["clock", "bob", "jane"]),
    ('metadata["absent"]:null', ["odd", "clock", "bob", "plain", "strasse", "jane"]),
    (f"created:{AT + 2}", ["plain"]),
    (f"-created:{AT + 2}", ["odd", "clock", "bob", "strasse", "jane"]),
    (f"created>{AT + 3}", ["odd", "clock"]),
    (f"created>={AT + 3}", ["odd", "clock", "bob"]),
    (f"created<{AT + 1}", ["jane"]),
    (f"created<={AT + 1}", ["strasse", "jane"]),
    (f"-created>{AT + 1}", ["strasse", "jane"]),
    (f"-created>={AT + 1}", ["jane"]),
    (f"-created<{AT + 4}", ["odd", "clock"]),
    (f"-created<={AT + 4}", ["odd"]),
    (f"created>{2**63 - 1}", []),
    (f"created<{-(2**63)}", []),
    (f"created>={-(2**63)}", ["odd", "clock", "bob", "plain", "strasse", "jane"]),
    (f"created<={2**63 - 1}", ["odd", "clock", "bob", "plain", "strasse", "jane"]),
]
JOINED: Final[list[tuple[str, list[str]]]] = [
    ('name~"jane" AND metadata["plan"]:"gold"', ["jane"]),
    ('name~"jane" metadata["plan"]:"gold"', ["jane"]),
    ('name~"jane" and -metadata["plan"]:"gold"', ["clock"]),
    (f'email~"example" AND created>{AT} AND created<{AT + 3}', ["strasse"]),
    ('email:null AND name~"jane"', ["clock"]),
    (f"created>{AT + 4} created<{AT}", []),
    (f"created>{AT} -created:{AT + 2} created<={AT + 3} -created<{AT + 1}", ["bob", "strasse"]),
    (f"created:{AT} OR -created<{AT + 5} OR created:{AT + 2}", ["odd", "plain", "jane"]),
    (f"-created:{AT} OR created:{AT + 2}", ["odd", "clock", "bob", "plain", "strasse"]),
    ('name~"jane" AND name~"bob"', []),
    ('name:"bob" OR name:"jane doe"', ["bob", "jane"]),
    ('name:"bob" or phone:null or name:null', ["clock", "bob", "plain"]),
    (f'name:"bob" OR created<{AT + 1}', ["bob", "jane"]),
    ('name:"bob" OR -email:null', ["bob", "strasse", "jane"]),
    ('name:"bob" OR metadata["plan"]:null', ["odd", "bob", "plain", "strasse"]),
    (
        " OR ".join([f'name:"nobody {n}"' for n in range(9)] + ['name:"bob"']),
        ["bob"],
    ),
    (" AND ".join(['name:"bob"'] * 10), ["bob"]),
]


@pytest.mark.usefixtures("some")
async def test_a_clause_finds_whom_it_fits_newest_first(client: Client) -> None:
    for query, names in CLAUSES:
        answer = await search(client, query, expand="total_count")
        assert answer.status == 200, (query, answer)
        assert ids(answer) == names, query
        assert answer.json["total_count"] == len(names), query


@pytest.mark.usefixtures("some")
async def test_joined_clauses_find_all_or_any(client: Client) -> None:
    for query, names in JOINED:
        answer = await search(client, query, expand="total_count")
        assert answer.status == 200, (query, answer)
        assert ids(answer) == names, query
        assert answer.json["total_count"] == len(names), query


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize("probed", [0, 1, 2])
async def test_beyond_the_probe_the_same_customers_are_found(
    client: Client, monkeypatch: pytest.MonkeyPatch, probed: int
) -> None:
    monkeypatch.setattr(search_sql, "PROBED_CUSTOMERS_MAX", probed)
    for query, names in [*CLAUSES, *JOINED]:
        assert await found(client, query) == names, query
        assert await found(client, query, limit=1) == names[:1], query


async def test_what_shares_its_terms_is_not_found_for_that(
    client: Client,
    customers: Customers,
    projector: Projector,
    database: Database,
) -> None:
    await customers.add("cus_abc", name="abcabc")
    await customers.add("cus_xyz", name="xyzxyz")
    await projector.project()
    await database.execute(
        "UPDATE read_model.search_entries SET terms = (SELECT array_agg(t) FROM "
        "(SELECT unnest(e.terms) AS t FROM read_model.search_entries AS e) AS all_terms)"
    )
    for query in ('name:"abcabc"', 'name~"bca"', '-phone:null OR name~"bca"'):
        answer = await search(client, query, expand="total_count")
        assert (ids(answer), answer.json["total_count"]) == (["abc"], 1), query


# --- Who is found -------------------------------------------------------------------------------


async def test_a_deleted_customer_is_not_found(
    client: Client, customers: Customers, projector: Projector, database: Database
) -> None:
    await customers.add("cus_gone", name="Jane Doe", email="gone@example.com")
    await customers.add("cus_here", name="Jane Doe")
    await projector.project()
    assert await found(client, 'name:"jane doe"') == ["here", "gone"]
    await customers.delete("cus_gone")
    await projector.project_rows()
    assert await found(client, 'name:"jane doe"') == ["here"]
    await projector.project()
    answer = await search(client, 'name:"jane doe"', expand="total_count")
    assert (ids(answer), answer.json["total_count"]) == (["here"], 1)
    assert await found(client, "email:null") == ["here"]
    left = await database.fetch("SELECT id FROM read_model.search_entries")
    assert [row["id"] for row in left] == ["cus_here"]


async def test_pages_are_full_although_deleted_customers_stand_between(
    client: Client, customers: Customers, projector: Projector
) -> None:
    for n in range(6):
        await customers.add(f"cus_{n}", name="Jane Doe")
    await projector.project()
    for n in (5, 4, 2):
        await customers.delete(f"cus_{n}")
    await projector.project_rows()
    first = await search(client, 'name:"jane doe"', limit=2)
    assert (ids(first), first.json["has_more"]) == (["3", "1"], True)
    rest = await search(client, 'name:"jane doe"', limit=2, page=first.json["next_page"])
    assert (ids(rest), rest.json["has_more"]) == (["0"], False)


async def test_accounts_and_modes_never_find_each_others_customers(
    client: Client, database_url: str, store: EventStore, projector: Projector
) -> None:
    keys = {
        ("acct_a", False): "sk_test_accountA",
        ("acct_a", True): "sk_live_accountA",
        ("acct_b", False): "sk_test_accountB",
        ("acct_b", True): "sk_live_accountB",
    }
    for n, ((account, livemode), key) in enumerate(keys.items()):
        await store_key(database_url, key, account=account)
        await Customers(store, account, livemode=livemode).add(f"cus_{n}", name="Jane Doe")
    await projector.project()
    for n, key in enumerate(keys.values()):
        own = client.having(key)
        for query in ('name:"jane doe"', 'name~"ane"', "created>0", '-name:"x"', "email:null"):
            answer = await search(own, query, expand="total_count")
            assert (ids(answer), answer.json["total_count"]) == ([str(n)], 1), query


async def test_a_page_of_one_account_is_refused_to_another(
    client: Client, customers: Customers, database_url: str, projector: Projector
) -> None:
    await store_key(database_url, "sk_test_other", account="acct_other")
    for n in range(2):
        await customers.add(f"cus_{n}")
    await projector.project()
    page = (await search(client, "created>0", limit=1)).json["next_page"]
    refused = await search(client.having("sk_test_other"), "created>0", page=page)
    assert (refused.status, refused.error["param"]) == (400, "page")


async def test_an_update_changes_by_what_a_customer_is_found(
    client: Client, projector: Projector
) -> None:
    customer = (await client.create("name=Jane&email=a@example.com&metadata[k]=v")).json["id"]
    await projector.project()
    await client.update(customer, "name=Anna&email=&metadata[k]=&metadata[l]=w")
    await projector.project()
    name = customer.removeprefix("cus_")
    for query in ('name:"anna"', "email:null", 'metadata["k"]:null', 'metadata["l"]:"w"'):
        assert await found(client, query) == [name], query
    for query in ('name:"jane"', 'email~"exa"', 'metadata["k"]:"v"'):
        assert await found(client, query) == [], query


async def test_a_value_of_any_characters_is_found(
    client: Client, customers: Customers, projector: Projector
) -> None:
    odd = "\x1e\x1fa'b\"c\\d%_\n\u2028İ\U0001f600é\ufffe"
    await customers.add("cus_odd", name="x" + odd, metadata={odd: odd})
    await projector.project()
    quoted = odd.replace("\\", "\\\\").replace('"', '\\"')
    for query in (f'name~"{quoted}"', f'metadata["{quoted}"]:"{quoted}"'):
        assert await found(client, query) == ["odd"], query


async def test_large_metadata_are_found_by_each_of_its_values(
    client: Client, customers: Customers, projector: Projector
) -> None:
    values = {f"key{n}": f"{n:03}" * 166 for n in range(50)}
    await customers.add("cus_large", metadata=values)
    await projector.project()
    assert await found(client, f'metadata["key49"]:"{values["key49"]}"') == ["large"]
    assert await found(client, f'metadata["key7"]~"{values["key7"][5:]}"') == ["large"]
    assert await found(client, f'metadata["key8"]~"{values["key7"][5:]}"') == []


# --- Pages --------------------------------------------------------------------------------------


@pytest.mark.parametrize("probed", [1, 30, search_sql.PROBED_CUSTOMERS_MAX])
@pytest.mark.parametrize("query", ['name:"jane"', "created>0", '-name:"bob"'])
async def test_customers_of_one_second_come_in_pages_without_a_repeat(
    client: Client,
    customers: Customers,
    projector: Projector,
    monkeypatch: pytest.MonkeyPatch,
    probed: int,
    query: str,
) -> None:
    monkeypatch.setattr(search_sql, "PROBED_CUSTOMERS_MAX", probed)
    await asyncio.gather(*(customers.add(f"cus_{n:03}", name="Jane") for n in range(101)))
    await projector.project()
    seen: list[str] = []
    sizes: list[int] = []
    parameters: dict[str, str | int] = {"limit": 40}
    while True:
        answer = await search(client, query, **parameters)
        seen += ids(answer)
        sizes.append(len(ids(answer)))
        if not answer.json["has_more"]:
            assert answer.json["next_page"] is None
            break
        parameters["page"] = answer.json["next_page"]
    assert sizes == [40, 40, 21]
    assert seen == [f"{n:03}" for n in reversed(range(101))]


async def test_a_page_goes_on_where_it_was_whatever_was_created_and_deleted(
    client: Client, customers: Customers, projector: Projector
) -> None:
    for n in range(5):
        await customers.add(f"cus_{n}", at=AT + n)
    await projector.project()
    first = await search(client, "created>0", limit=2)
    assert ids(first) == ["4", "3"]
    await customers.add("cus_new", at=AT + 9)
    await customers.delete("cus_3")
    await projector.project()
    rest = await search(client, "created>0", page=first.json["next_page"])
    assert ids(rest) == ["2", "1", "0"]


@pytest.mark.usefixtures("some")
async def test_a_page_is_the_same_for_other_spellings_and_limits_of_its_query(
    client: Client,
) -> None:
    page = (await search(client, 'email~"example" AND name~"jane"', limit=1)).json["next_page"]
    assert page is None
    page = (await search(client, "email~'example'", limit=1)).json["next_page"]
    assert await found(client, ' email ~ "example" ', limit=5, page=page) == ["strasse", "jane"]


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize("query", ['email~"exampl"', '-email~"example"', "created>0", "email:null"])
async def test_a_page_of_another_query_is_refused(client: Client, query: str) -> None:
    page = (await search(client, 'email~"example"', limit=1)).json["next_page"]
    refused = await search(client, query, page=page)
    assert refused.status == 400
    assert refused.error["param"] == "page"
    assert refused.error["message"] == "Invalid page: it belongs to another search."


@pytest.mark.usefixtures("some")
async def test_a_broken_page_is_refused(client: Client) -> None:
    page: str = (await search(client, "created>0", limit=1)).json["next_page"]
    for broken in ("x", "é", "%%%", "cus_jane", page[:-2], page[2:], page + "AAAA", "A" * 4000):
        refused = await search(client, "created>0", page=broken)
        assert refused.status == 400, broken
        assert refused.error["code"] == "invalid_request"
        assert refused.error["param"] == "page"
        assert refused.error["message"].startswith("Invalid page: ")
    assert (await search(client, "created>0", page="")).error["reason"] == "parameter_invalid_empty"


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
    assert refused.error == {
        "code": "invalid_request",
        "message": message,
        "param": "limit",
        "reason": "parameter_invalid_integer",
        "type": "invalid_request_error",
    }


async def test_a_query_is_required(client: Client) -> None:
    refused = await search(client, limit="abc")
    assert refused.status == 400
    assert refused.error == {
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
    assert refused.error == {
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


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the count of every search take for ever."""
    monkeypatch.setattr(
        search_sql,
        "_COUNT",
        "SELECT count(*) AS customers FROM (SELECT 1::bigint AS created FROM pg_sleep(60)) AS s "
        "WHERE ({account}::text, {livemode}::boolean, {created}::bigint, {id}::text, "
        "{oldest}::bigint) IS NOT NULL AND ({conditions})",
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
