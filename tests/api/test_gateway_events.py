from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from tests.api.event_listing import events, listed, pages_down, pages_up, retrieved, told
from tests.support.gateways import Client, Gateway, store_key

from chaching.broker.messages import message_of
from chaching.envelope import START
from chaching.eventstore import lookups
from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore
from chaching_api.requests import OWN_VERSION

CREATES_AT_ONCE = 120


# --- The event object ---------------------------------------------------------------------------


async def test_an_event_is_stripes_event_with_the_customer_after_it(client: Client) -> None:
    before_s = int(time.time())
    made = await client.create("name=Jenny&metadata[a]=1&address[city]=Oslo")
    [event] = await events(client)
    assert list(event) == [
        *("id", "object", "api_version", "created", "data", "livemode", "pending_webhooks"),
        *("request", "type"),
    ]
    assert event == {
        "id": event["id"],
        "object": "event",
        "api_version": OWN_VERSION,
        "created": event["created"],
        "data": {"object": made.json},
        "livemode": False,
        "pending_webhooks": 0,
        "request": {"id": made.headers["Request-Id"], "idempotency_key": None},
        "type": "customer.created",
    }
    assert before_s <= event["created"] <= int(time.time())
    assert event["id"].startswith(f"evt_{made.json['id'].removeprefix('cus_')}")
    assert list(event["data"]["object"]) == list(made.json)


async def test_an_update_shows_what_was_before_and_a_deletion_what_there_was(
    client: Client,
) -> None:
    made = await client.create("name=Jenny&metadata[a]=1&address[city]=Oslo")
    customer_id = made.json["id"]
    changed = await client.send(
        "POST",
        f"/v1/customers/{customer_id}",
        "name=Jen&metadata[b]=2&address[line1]=x",
        headers={"Idempotency-Key": "once"},
    )
    gone = await client.delete(customer_id)
    deleted, updated, created = await events(client)
    assert created["data"] == {"object": made.json}
    assert updated["data"] == {
        "object": changed.json,
        "previous_attributes": {
            "address": {"line1": None},
            "metadata": {"b": None},
            "name": "Jenny",
        },
    }
    assert updated["request"] == {
        "id": changed.headers["Request-Id"],
        "idempotency_key": "once",
    }
    assert deleted["data"] == {"object": changed.json}
    assert deleted["request"]["id"] == gone.headers["Request-Id"]
    assert [e["type"] for e in (deleted, updated, created)] == [
        "customer.deleted",
        "customer.updated",
        "customer.created",
    ]


async def test_an_event_says_what_its_message_says_byte_for_byte(
    client: Client, store: EventStore
) -> None:
    await client.create("id=cus_1&name=Zoë&metadata[a]=1&source=src_1&preferred_locales[]=fr")
    await client.update("cus_1", "name=&metadata[a]=&shipping[name]=J&shipping[address][city]=x")
    await client.delete("cus_1")
    messages = [message_of(event) for event in await store.read_all(START)]
    assert len(messages) == 3
    for message in messages:
        answer = await retrieved(client, message.event_id)
        assert answer.status == 200
        assert b'"data":{"object":' + bytes(message.object) in answer.body
        if message.previous_attributes is not None:
            previous = b'"previous_attributes":' + bytes(message.previous_attributes)
            assert previous in answer.body
        assert answer.json["type"] == message.type
        assert answer.json["id"] == message.event_id


async def test_what_changed_nothing_is_no_event(client: Client) -> None:
    await client.create("id=cus_1&name=Jenny")
    await client.update("cus_1", "name=Jenny")
    assert (await client.update("cus_1", "email=5")).status == 400
    assert await told(client) == [("cus_1", "created")]


async def test_a_list_has_its_keys_in_order_and_the_bytes_of_retrieves(client: Client) -> None:
    empty = await listed(client)
    assert empty.body == b'{"object":"list","data":[],"has_more":false,"url":"/v1/events"}'
    for name in ("a", "b", "c"):
        await client.create(f"name={name}")
    answer = await listed(client, "limit=2")
    singles = [(await retrieved(client, e["id"])).body for e in answer.json["data"]]
    assert answer.body == (
        b'{"object":"list","data":[' + b",".join(singles) + b'],"has_more":true,"url":"/v1/events"}'
    )


# --- Filters and pages --------------------------------------------------------------------------


async def five_events(client: Client) -> None:
    await client.create("id=cus_1")
    await client.create("id=cus_2")
    await client.update("cus_1", "name=a")
    await client.delete("cus_2")
    await client.update("cus_1", "name=b")


ALL_FIVE = [
    ("cus_1", "updated"),
    ("cus_2", "deleted"),
    ("cus_1", "updated"),
    ("cus_2", "created"),
    ("cus_1", "created"),
]


BY_TYPE = (
    ("", "created updated deleted"),
    ("type=*", "created updated deleted"),
    ("type=customer.*", "created updated deleted"),
    ("type=customer.deleted", "deleted"),
    ("type=*.updated", "updated"),
    ("type=invoice.*", ""),
    ("types[]=customer.deleted&types[]=customer.created", "created deleted"),
    ("types[0]=customer.up*&types[1]=charge.succeeded", "updated"),
    ("delivery_success=true", "created updated deleted"),
    ("delivery_success=false", ""),
)


async def test_events_are_listed_by_type(client: Client) -> None:
    await five_events(client)
    for query, meant in BY_TYPE:
        wanted = [one for one in ALL_FIVE if one[1] in meant.split()]
        assert await told(client, query) == wanted, query


async def test_created_is_a_second_or_a_stretch_with_or_without_its_ends(
    client: Client, database: Database
) -> None:
    for number in range(1, 7):
        await client.create(f"id=cus_{number}")
    await database.execute("ALTER TABLE event_store.events DISABLE TRIGGER events_refuse_change")
    await database.execute(
        "UPDATE event_store.events SET recorded_at = to_timestamp(100 + position + 0.999)"
    )

    async def seconds(query: str) -> str:
        return "".join(
            [customer_id.removeprefix("cus_") for customer_id, _ in await told(client, query)]
        )

    assert await seconds("created=103") == "3"
    assert await seconds("created[gt]=103") == "654"
    assert await seconds("created[gte]=103") == "6543"
    assert await seconds("created[lt]=103") == "21"
    assert await seconds("created[lte]=103") == "321"
    newest, _, _, third, *_ = [event["id"] for event in await events(client)]
    assert await seconds(f"created[gt]=102&created[lte]=105&starting_after={newest}") == "543"
    assert await seconds(f"created[gt]=102&created[lte]=105&ending_before={third}") == "54"
    assert await seconds(f"created[gt]={2**63 - 1}") == ""
    assert await seconds(f"created[gte]={-(2**63)}&created[lte]={2**63 - 1}") == "654321"


async def test_without_a_limit_ten_are_listed_and_a_limit_is_clamped(client: Client) -> None:
    await asyncio.gather(*(client.create() for _ in range(CREATES_AT_ONCE)))
    queries = ("", "limit=0", "limit=101", "limit=-1", "limit=37")
    assert [len(await events(client, query)) for query in queries] == [10, 1, 100, 1, 37]


async def test_pages_walk_without_repeat_or_gap_in_both_directions_while_writes_go_on(
    client: Client,
) -> None:
    await asyncio.gather(*(client.create() for _ in range(101)))
    newest_first = [event_id for page in await pages_down(client, "limit=100") for event_id in page]
    assert len(set(newest_first)) == 101

    down = await pages_down(client, "limit=40", between=client.create)
    assert [len(page) for page in down] == [40, 40, 21]
    assert [event_id for page in down for event_id in page] == newest_first
    down = await pages_down(client, "limit=40", newest_first[0], between=client.create)
    assert [event_id for page in down for event_id in page] == newest_first[1:]

    up = await pages_up(client, "limit=40", newest_first[-1], between=client.create)
    assert [len(page) for page in up] == [40, 40, 26]
    met = [event_id for page in reversed(up) for event_id in page]
    assert len(set(met)) == 106
    assert met[-100:] == newest_first[:-1]


async def test_has_more_tells_of_the_direction_that_is_walked(client: Client) -> None:
    await five_events(client)
    ids = [event["id"] for event in await events(client)]

    async def has_more(query: str) -> bool:
        more: bool = (await listed(client, query)).json["has_more"]
        return more

    assert await has_more(f"limit=2&starting_after={ids[1]}") is True
    assert await has_more(f"limit=3&starting_after={ids[1]}") is False
    assert await has_more(f"limit=2&ending_before={ids[3]}") is True
    assert await has_more(f"limit=3&ending_before={ids[3]}") is False
    assert await events(client, f"starting_after={ids[-1]}") == []
    assert await events(client, f"ending_before={ids[0]}") == []


async def test_a_page_of_very_large_events_ends_early_and_goes_on_where_it_ended(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "PAGE_MAX_BYTES", 100_000)
    large = "&".join([f"metadata[{'k' * 38}{n:02}]={'v' * 500}" for n in range(50)])
    for _ in range(8):
        assert (await client.create(large)).status == 200
    pages = await pages_down(client, "limit=100")
    assert [len(page) for page in pages] == [3, 3, 2]
    assert len({event_id for page in pages for event_id in page}) == 8


# --- Refusals -----------------------------------------------------------------------------------


HINT = "; a similar object exists in live mode, but a test mode key was used to make this request."


async def elsewhere(gateway: Gateway, database_url: str) -> list[tuple[str, str]]:
    """Return ids of no event of the caller's, each as a refusal names it."""
    client = gateway.client
    theirs = client.having(await store_key(database_url, "sk_test_theirs1", account="acct_theirs"))
    live = client.having(await store_key(database_url, "sk_live_1234567890"))
    await theirs.create()
    await live.create()
    [in_theirs], [in_live] = await events(theirs), await events(live)
    return [
        ("evt_x", "'evt_x'"),
        (in_theirs["id"], f"'{in_theirs['id']}'"),
        (in_live["id"], f"'{in_live['id']}'{HINT}"),
        ("%20", "' '"),
        ("e" * 300, f"'{'e' * 255}'"),
    ]


async def test_an_event_that_is_not_there_is_404(gateway: Gateway, database_url: str) -> None:
    for event_id, named in await elsewhere(gateway, database_url):
        refused = await retrieved(gateway.client, event_id)
        assert refused.status == 404
        assert refused.headers["Stripe-Should-Retry"] == "false"
        assert refused.fault == {
            "code": "resource_missing",
            "message": f"No such event: {named}",
            "param": "id",
            "type": "invalid_request_error",
        }


@pytest.mark.parametrize("param", ["starting_after", "ending_before"])
async def test_a_cursor_that_is_not_there_is_refused(
    gateway: Gateway, database_url: str, param: str
) -> None:
    for event_id, named in await elsewhere(gateway, database_url):
        refused = await listed(gateway.client, f"{param}={event_id}")
        assert refused.status == 400
        assert refused.fault == {
            "code": "resource_missing",
            "message": f"No such event: {named}",
            "param": param,
            "type": "invalid_request_error",
        }


@pytest.mark.parametrize(
    ("path", "message", "param"),
    [
        ("?limit=abc", "Invalid integer: abc", "limit"),
        ("?wat=1&limit=abc", "Received unknown parameter: wat", "wat"),
        ("?limit=abc&starting_after=evt_x", "Invalid integer: abc", "limit"),
        (
            "?type=a&types[]=b",
            "You may only specify one of these parameters: type, types.",
            "types",
        ),
        ("?expand[]=data.data", "This property cannot be expanded (data.data).", "expand[0]"),
        ("/evt_x?expand[]=data", "This property cannot be expanded (data).", "expand[0]"),
        ("/evt_x?limit=1", "Received unknown parameter: limit", "limit"),
    ],
)
async def test_a_bad_query_is_told_in_the_envelope(
    client: Client, path: str, message: str, param: str
) -> None:
    refused = await client.send("GET", f"/v1/events{path}")
    assert refused.status == 400
    assert (refused.error["message"], refused.error["param"]) == (message, param)


async def test_events_need_a_key_with_the_right_to_read_them(
    gateway: Gateway, database_url: str
) -> None:
    await gateway.client.create()
    [event] = await events(gateway.client)
    reader = await store_key(database_url, "rk_test_events1234", rights=["events:read"])
    other = await store_key(database_url, "rk_test_other12345", rights=["customers:write"])
    for key, status in ((None, 401), (other, 403), (reader, 200)):
        client = gateway.client.having(key)
        assert (await listed(client)).status == status
        assert (await retrieved(client, event["id"])).status == status
    refused = await listed(gateway.client.having(other))
    assert refused.error["code"] == "more_permissions_required"
    assert "'events:read'" in refused.error["message"]


async def test_another_verb_is_an_unknown_url(client: Client) -> None:
    for path in ("/v1/events", "/v1/events/evt_1"):
        for method in ("HEAD", "OPTIONS", "PUT", "DELETE", "POST"):
            assert (await client.send(method, path)).status == 404, (method, path)


# --- Accounts and modes -------------------------------------------------------------------------


async def test_no_account_and_no_mode_sees_anothers_events(
    gateway: Gateway, database_url: str
) -> None:
    keys = {"sk_test_12345": None, "sk_live_1234567890": None, "sk_test_theirs1": "acct_theirs"}
    made: dict[str, list[Any]] = {}
    for key, account in keys.items():
        if account is not None:
            await store_key(database_url, key, account=account)
        elif key != "sk_test_12345":
            await store_key(database_url, key)
        owner = gateway.client.having(key)
        made[key] = [(await owner.create(f"name={n}")).json for n in range(3)][::-1]
    for key, customers in made.items():
        for query in ("", "type=customer.created", "created[gt]=0"):
            found = await events(gateway.client.having(key), query)
            assert [event["data"]["object"] for event in found] == customers
            assert {event["livemode"] for event in found} == {"live" in key}
