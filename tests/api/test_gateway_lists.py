from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest
from tests.api.listing import ids, list_of, listed, pages_down, pages_up
from tests.support.customers import AT, append, created, deleted, key_of, pending, updated
from tests.support.gateways import Client, Gateway, store_key
from tests.support.projected import Projected, projected_in

from chaching.domain.customer import decide
from chaching.domain.values import Details
from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore

OWN_KEY = "sk_test_lists1234"
OWN_LIVE_KEY = "sk_live_lists1234"
OWN_ACCOUNT = "acct_1"
LAGS = pytest.mark.parametrize("lag", [None, 0, 3], ids=["unprojected", "projected", "behind"])


@pytest.fixture
async def lister(gateway: Gateway, database_url: str) -> Client:
    """A client with the key of the account whose events the tests append themselves."""
    key = await store_key(database_url, OWN_KEY, account=OWN_ACCOUNT)
    return gateway.client.having(key)


@pytest.fixture
async def projected(database_url: str, store: EventStore) -> AsyncGenerator[Projected]:
    async with projected_in(database_url, store) as projected:
        yield projected


async def create_at(store: EventStore, customer_id: str, at: int, details: Details) -> None:
    command = msgspec.structs.replace(created(customer_id, details), at=at)
    event = decide(command, None)
    assert event is not None
    await store.append(pending(event, None))


async def project(projected: Projected, lag: int | None) -> None:
    if lag is not None:
        await projected.but(lag)


# --- Pages --------------------------------------------------------------------------------------


@LAGS
async def test_101_customers_of_one_second_walk_without_repeat_or_gap_in_both_directions(
    lister: Client, store: EventStore, projected: Projected, lag: int | None
) -> None:
    made = [f"cus_{n:03}" for n in range(101)]
    await asyncio.gather(*(append(store, created(customer_id)) for customer_id in made))
    await project(projected, lag)
    newest_first = sorted(made, reverse=True)

    down = await pages_down(lister, "limit=40")
    assert [len(page) for page in down] == [40, 40, 21]
    assert [customer_id for page in down for customer_id in page] == newest_first

    up = await pages_up(lister, "limit=40", newest_first[-1])
    assert [len(page) for page in up] == [40, 40, 20]
    assert [customer_id for page in reversed(up) for customer_id in page] == newest_first[:-1]


@LAGS
async def test_the_newest_come_first_whatever_their_ids(
    lister: Client, store: EventStore, projected: Projected, lag: int | None
) -> None:
    for customer_id, at in (("cus_b", 5), ("cus_z", 1), ("cus_a", 9), ("cus_C", 5), ("cus_c", 5)):
        await create_at(store, customer_id, at, Details())
    await project(projected, lag)
    assert await ids(lister) == ["cus_a", "cus_c", "cus_b", "cus_C", "cus_z"]


async def test_a_list_has_its_keys_in_order_and_the_bytes_of_retrieves(client: Client) -> None:
    assert (await listed(client)).body == list_of([])
    first = await client.create("id=cus_1&name=Zoë&metadata[a]=1")
    second = await client.create("id=cus_2&email=j@x.io")
    answer = await listed(client, "limit=5&created[gt]=0")
    assert (answer.status, answer.body) == (200, list_of([second.body, first.body]))
    more = await listed(client, "limit=1")
    assert more.body == list_of([second.body], has_more=True)


async def test_without_a_limit_ten_are_listed_and_a_limit_is_clamped(
    lister: Client, store: EventStore
) -> None:
    await asyncio.gather(*(append(store, created(f"cus_{n:03}")) for n in range(102)))
    sizes = [len(await ids(lister, query)) for query in ("", "limit=0", "limit=101", "limit=-1")]
    assert sizes == [10, 1, 100, 1]


async def test_has_more_tells_of_the_direction_that_is_walked(
    lister: Client, store: EventStore
) -> None:
    for number in range(5):
        await append(store, created(f"cus_{number}"))

    async def has_more(query: str) -> bool:
        more: bool = (await listed(lister, query)).json["has_more"]
        return more

    assert await has_more("limit=2&starting_after=cus_3") is True
    assert await has_more("limit=3&starting_after=cus_3") is False
    assert await has_more("limit=2&ending_before=cus_1") is True
    assert await has_more("limit=3&ending_before=cus_1") is False
    assert await ids(lister, "limit=2&ending_before=cus_1") == ["cus_3", "cus_2"]
    assert await ids(lister, "ending_before=cus_4") == []
    assert await ids(lister, "starting_after=cus_0") == []


# --- Filters ------------------------------------------------------------------------------------


@LAGS
async def test_an_email_is_compared_exactly(
    lister: Client, store: EventStore, projected: Projected, lag: int | None
) -> None:
    for customer_id, email in (
        ("cus_1", "j@x.io"),
        ("cus_2", "J@x.io"),
        ("cus_3", "j@x.io"),
        ("cus_4", "jj@x.io"),
    ):
        await append(store, created(customer_id, Details(email=email)))
    await append(store, created("cus_5", Details(name="no email")))
    await project(projected, lag)
    assert await ids(lister, "email=j@x.io") == ["cus_3", "cus_1"]
    assert await ids(lister, "email=J@x.io") == ["cus_2"]
    assert await ids(lister, "email=j@x.io&starting_after=cus_2") == ["cus_1"]
    assert await ids(lister, "email=j@x.io&ending_before=cus_2") == ["cus_3"]
    assert await ids(lister, "email=nobody") == []


@LAGS
async def test_created_is_a_second_or_a_stretch_with_or_without_its_ends(
    lister: Client, store: EventStore, projected: Projected, lag: int | None
) -> None:
    for second in range(1, 7):
        await create_at(store, f"cus_{second}", second, Details())
    await project(projected, lag)

    async def seconds(query: str) -> str:
        found = await ids(lister, query)
        return "".join(customer_id.removeprefix("cus_") for customer_id in found)

    assert await seconds("created=3") == "3"
    assert await seconds("created[gt]=3") == "654"
    assert await seconds("created[gte]=3") == "6543"
    assert await seconds("created[lt]=3") == "21"
    assert await seconds("created[lte]=3") == "321"
    assert await seconds("created[gt]=2&created[lte]=5&starting_after=cus_5") == "43"
    assert await seconds("created[gt]=2&created[lte]=5&ending_before=cus_4") == "5"
    assert await seconds("created[gt]=2&created[lte]=5&starting_after=cus_1") == ""
    assert await seconds(f"created[gt]={2**63 - 1}") == ""
    assert await seconds(f"created[gte]={-(2**63)}&created[lte]={2**63 - 1}") == "654321"


@LAGS
async def test_customers_on_a_clock_are_listed_only_when_it_is_named(
    lister: Client, store: EventStore, projected: Projected, lag: int | None
) -> None:
    for number, clock in enumerate(("clock_1", "clock_2", "clock_1")):
        details = Details(email="j@x.io", test_clock=clock)
        await append(store, created(f"cus_{number}", details))
    await append(store, created("cus_3", Details(email="j@x.io")))
    await project(projected, lag)
    assert await ids(lister) == ["cus_3"]
    assert await ids(lister, "email=j@x.io") == ["cus_3"]
    assert await ids(lister, "test_clock=clock_1") == ["cus_2", "cus_0"]
    assert await ids(lister, "test_clock=clock_1&email=j@x.io&limit=1") == ["cus_2"]
    assert await ids(lister, "test_clock=clock_1&starting_after=cus_1") == ["cus_0"]
    assert await ids(lister, "test_clock=clock_3") == []


@LAGS
async def test_a_deleted_customer_is_not_listed_and_its_id_goes_on_as_a_cursor(
    lister: Client, store: EventStore, projected: Projected, lag: int | None
) -> None:
    for number in range(5):
        await append(store, created(f"cus_{number}"))
    await append(store, deleted("cus_2"))
    await append(store, updated("cus_4", Details(name="June")))
    await project(projected, lag)
    assert await ids(lister) == ["cus_4", "cus_3", "cus_1", "cus_0"]
    assert await ids(lister, "email=jenny@example.com") == ["cus_4", "cus_3", "cus_1", "cus_0"]
    assert await ids(lister, "starting_after=cus_2") == ["cus_1", "cus_0"]
    assert await ids(lister, "ending_before=cus_2") == ["cus_4", "cus_3"]


# --- Refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("param", ["starting_after", "ending_before"])
async def test_a_cursor_that_never_existed_is_refused(
    gateway: Gateway, database_url: str, param: str
) -> None:
    client = gateway.client
    theirs = client.having(await store_key(database_url, "sk_test_theirs1", account="acct_theirs"))
    live = client.having(await store_key(database_url, "sk_live_1234567890"))
    await theirs.create("id=cus_theirs")
    in_live = (await live.create()).json["id"]
    hint = (
        "; a similar object exists in live mode, but a test mode key was used to make this request."
    )
    for cursor, told in (
        ("cus_x", "'cus_x'"),
        ("cus_theirs", "'cus_theirs'"),
        (in_live, f"'{in_live}'{hint}"),
        ("%20", "' '"),
        ("c" * 300, f"'{'c' * 255}'"),
    ):
        refused = await listed(client, f"{param}={cursor}")
        assert refused.status == 400
        assert refused.headers["Stripe-Should-Retry"] == "false"
        assert refused.fault == {
            "code": "resource_missing",
            "message": f"No such customer: {told}",
            "param": param,
            "type": "invalid_request_error",
        }


@pytest.mark.parametrize(
    ("query", "message", "param"),
    [
        ("limit=abc", "Invalid integer: abc", "limit"),
        ("wat=1&limit=abc", "Received unknown parameter: wat", "wat"),
        ("created[foo]=1", "Received unknown parameter: created[foo]", "created[foo]"),
        ("limit=abc&starting_after=cus_x", "Invalid integer: abc", "limit"),
        ("expand[]=data.foo", "This property cannot be expanded (data.foo).", "expand[0]"),
        ("limit=1&limit=2", "Received parameter more than once: limit", "limit"),
        ("email=a%00", "Invalid character in parameter: email; NUL is not allowed", "email"),
    ],
)
async def test_a_bad_query_is_told_in_the_envelope(
    client: Client, query: str, message: str, param: str
) -> None:
    refused = await listed(client, query)
    assert refused.status == 400
    assert (refused.error["message"], refused.error["param"]) == (message, param)


async def test_a_list_needs_a_key_with_the_right_to_read(
    gateway: Gateway, database_url: str
) -> None:
    reader = await store_key(database_url, "rk_test_reader1234", rights=["customers:read"])
    powerless = await store_key(database_url, "rk_test_nothing123", rights=[])
    assert (await listed(gateway.client.having(None))).status == 401
    assert (await listed(gateway.client.having(powerless))).status == 403
    assert (await listed(gateway.client.having(reader))).status == 200


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"])
async def test_another_verb_on_the_list_is_an_unknown_url(client: Client, method: str) -> None:
    answer = await client.send(method, "/v1/customers")
    assert answer.status == 404


# --- Accounts and modes -------------------------------------------------------------------------


@LAGS
async def test_no_account_and_no_mode_sees_anothers_customers(
    gateway: Gateway, database_url: str, projected: Projected, lag: int | None
) -> None:
    keys = {
        "sk_test_12345": None,
        "sk_live_1234567890": None,
        "sk_test_theirs1": "acct_theirs",
        "sk_live_theirs1": "acct_theirs",
    }
    made: dict[str, list[bytes]] = {}
    for key, account in keys.items():
        if account is not None:
            await store_key(database_url, key, account=account)
        elif key != "sk_test_12345":
            await store_key(database_url, key)
        owner = gateway.client.having(key)
        answers = [await owner.create("email=same@x.io") for _ in range(3)]
        made[key] = [answer.body for answer in answers]
    await project(projected, lag)
    for key, bodies in made.items():
        newest_first = sorted(
            bodies, key=lambda body: (created_of(body), id_of(body)), reverse=True
        )
        for query in ("", "email=same@x.io", "created[gt]=0"):
            answer = await listed(gateway.client.having(key), query)
            assert answer.body == list_of(newest_first), (key, query)


def id_of(body: bytes) -> str:
    customer_id: str = msgspec.json.decode(body)["id"]
    return customer_id


def created_of(body: bytes) -> int:
    second: int = msgspec.json.decode(body)["created"]
    return second


# --- Many at once -------------------------------------------------------------------------------


async def test_lists_that_wait_together_each_get_their_own(
    gateway: Gateway, database_url: str, store: EventStore, database: Database
) -> None:
    key = await store_key(database_url, OWN_KEY, account=OWN_ACCOUNT)
    other = await store_key(database_url, "sk_test_other1234", account="acct_other")
    await asyncio.gather(*(append(store, created(f"cus_{n:02}")) for n in range(30)))
    assert (await store.load(key_of("cus_00"))).version == 1
    lister, stranger = gateway.client.having(key), gateway.client.having(other)
    await stranger.create("id=cus_29")
    wanted = [(lister, f"limit=1&created={AT}&starting_after=cus_{n:02}") for n in range(1, 30)]
    strange = [(stranger, "limit=3")] * 30
    found = await asyncio.gather(*(ids(client, query) for client, query in [*wanted, *strange]))
    assert found == [[f"cus_{n - 1:02}"] for n in range(1, 30)] + [["cus_29"]] * 30
    assert len(await database.fetch("SELECT 1 FROM read_model.customers")) == 0


# --- expand -------------------------------------------------------------------------------------


@LAGS
async def test_what_is_attached_to_the_customers_of_a_page_is_shown_when_expanded(
    lister: Client, store: EventStore, projected: Projected, lag: int | None
) -> None:
    for number in (1, 2):
        details = Details(source=f"src_{number}", payment_method=f"pm_{number}")
        await append(store, created(f"cus_{number}", details))
    await project(projected, lag)
    answer = await listed(lister, "expand[]=data.default_source&expand[]=data.sources")
    plain = await listed(lister)
    assert [customer["default_source"] for customer in plain.json["data"]] == ["src_2", "src_1"]
    for number, customer, unexpanded in zip(
        (2, 1), answer.json["data"], plain.json["data"], strict=True
    ):
        source: dict[str, Any] = {
            "id": f"src_{number}",
            "object": "source",
            "customer": f"cus_{number}",
            "metadata": {},
        }
        assert customer["default_source"] == source
        assert customer["sources"]["data"] == [source]
        added = {"default_source": unexpanded["default_source"]}
        assert {k: v for k, v in customer.items() if k != "sources"} | added == unexpanded
    assert answer.json | {"data": []} == plain.json | {"data": []}


async def test_a_customer_deleted_while_its_page_is_expanded_is_left_out(
    lister: Client, store: EventStore, projected: Projected, database: Database
) -> None:
    await append(store, created("cus_1", Details(name="Jane", source="src_1")))
    await projected.but(0)
    await append(store, deleted("cus_1"))
    # as a page that was read before the deletion, whose customer is loaded after it
    await database.execute("UPDATE event_store.checkpoints SET position = 2")
    answer = await listed(lister, "expand[]=data.default_source")
    assert answer.json["data"] == []
