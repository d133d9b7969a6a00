"""Whom a search over HTTP finds, and on which page."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest
from tests.api.searching import add_six, found, ids, search
from tests.support.gateways import Client, store_key
from tests.support.searchable import AT, Customers, Projector

from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore
from chaching_api.reads import search_sql


@pytest.fixture
async def some(customers: Customers, projector: Projector) -> None:
    """Six customers whom searches know."""
    await add_six(customers)
    await projector.project()


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
