"""The history of a customer over HTTP: what changed, when, who asked and why."""

from __future__ import annotations

import itertools
import re
from http import HTTPMethod
from typing import Final

import pytest
from tests.api.auditing import (
    LIVE_AUDITOR,
    auditor_of,
    diff,
    entries,
    history,
)
from tests.support.gateways import ACCOUNT, CUSTOMERS, KEY, Answer, Client, Gateway, store_key
from tests.support.openapi import undocumented

from chaching.domain.ids import AccountId, CustomerId
from chaching.envelope import START, StreamKey, decode_metadata
from chaching.eventstore.database import Database
from chaching_api.reads import past

ID: Final = "cus_1"
REASON: Final = "Chaching-Reason"
TIME: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
PATHS: Final = {
    "history": "/v1/customers/{customer}/history",
    "diff": "/v1/customers/{customer}/diff",
}


@pytest.fixture
async def auditor(client: Client, database_url: str) -> Client:
    return await auditor_of(client, database_url)


async def given(client: Client, method: str, path: str, form: str, reason: str | None) -> Answer:
    """Send a command, with a reason unless that is None."""
    headers = {} if reason is None else {REASON: reason}
    answer = await client.send(method, CUSTOMERS + path, form, headers=headers)
    assert answer.status == 200, answer
    return answer


async def a_life(client: Client) -> list[Answer]:
    """Create, update and delete a customer; return the answers."""
    return [
        await given(client, "POST", "", f"id={ID}&name=Jane&metadata[plan]=pro", "signed up"),
        await given(client, "POST", f"/{ID}", "name=June&metadata[plan]=&balance=5", None),
        await given(client, "DELETE", f"/{ID}", "", "ticket 4711: asked to leave, früh"),
    ]


# --- What an entry says -------------------------------------------------------------------------


async def test_a_history_tells_what_changed_when_who_and_why_also_after_deletion(
    client: Client, auditor: Client
) -> None:
    created, updated, deleted = await a_life(client)
    answer = await history(auditor, ID)
    assert list(answer.json) == ["object", "data", "has_more", "url"]
    assert answer.json["object"] == "list"
    assert answer.json["has_more"] is False
    assert answer.json["url"] == f"{CUSTOMERS}/{ID}/history"
    first, second, third = answer.json["data"]
    assert re.fullmatch("evt_[0-9A-Za-z]{14}", first.pop("id"))
    assert re.fullmatch(TIME, first.pop("time"))
    key_id = first["who"].pop("key_id")
    assert key_id.startswith("key_")
    prefix = created.json["invoice_prefix"]
    assert first == {
        "object": "history_entry",
        "changes": [
            {"attribute": "balance", "old": None, "new": 0},
            {"attribute": "invoice_prefix", "old": None, "new": prefix},
            {"attribute": "metadata.plan", "old": None, "new": "pro"},
            {"attribute": "name", "old": None, "new": "Jane"},
            {"attribute": "next_invoice_sequence", "old": None, "new": 1},
            {"attribute": "tax_exempt", "old": None, "new": "none"},
        ],
        "customer": ID,
        "livemode": False,
        "position": 1,
        "type": "customer.created",
        "version": 1,
        "who": {
            "client_address": "127.0.0.1",
            "key_kind": "secret",
            "key_name": "the secret key of a test",
        },
        "why": {
            "idempotency_key": None,
            "reason": "signed up",
            "request_id": created.headers["Request-Id"],
        },
    }
    assert second["changes"] == [
        {"attribute": "balance", "old": 0, "new": 5},
        {"attribute": "metadata.plan", "old": "pro", "new": None},
        {"attribute": "name", "old": "Jane", "new": "June"},
    ]
    assert (second["type"], second["why"]["reason"]) == ("customer.updated", None)
    assert second["why"]["request_id"] == updated.headers["Request-Id"]
    assert third["changes"] == [{"attribute": "deleted", "old": None, "new": True}]
    assert (third["type"], third["version"], third["position"]) == ("customer.deleted", 3, 3)
    assert third["why"]["reason"] == "ticket 4711: asked to leave, früh"
    assert third["why"]["request_id"] == deleted.headers["Request-Id"]


async def test_keys_stand_in_the_order_of_the_contract(client: Client, auditor: Client) -> None:
    await a_life(client)
    for entry in await entries(auditor, ID):
        assert list(entry) == ["id", "object", *sorted(entry.keys() - {"id", "object"})]
        for part in (entry["who"], entry["why"]):
            assert list(part) == sorted(part)
        names = [change["attribute"] for change in entry["changes"]]
        assert names == sorted(names)


async def test_a_key_in_use_twice_is_told_by_its_kind_and_its_idempotency_key(
    client: Client, auditor: Client, database_url: str
) -> None:
    await client.create(f"id={ID}")
    writer = await store_key(database_url, "rk_test_writer", rights=["customers:write"])
    once = {"Idempotency-Key": "once", REASON: "first"}
    path = f"{CUSTOMERS}/{ID}"
    for reason in ("first", "again"):
        headers = {**once, REASON: reason}
        await client.having(writer).send(HTTPMethod.POST, path, "name=J", headers=headers)
    _, updated = await entries(auditor, ID)
    assert updated["who"]["key_kind"] == "restricted"
    assert updated["why"]["idempotency_key"] == "once"
    assert updated["why"]["reason"] == "first"


async def test_events_from_before_reasons_and_kinds_were_kept_are_told_without(
    client: Client, auditor: Client, database: Database
) -> None:
    await client.create(f"id={ID}")
    await database.execute("ALTER TABLE event_store.events DISABLE TRIGGER events_refuse_change")
    await database.execute(
        """UPDATE event_store.events SET metadata = '{"request_id":"req_old","key_id":"key_old"}'"""
    )
    [entry] = await entries(auditor, ID)
    assert entry["who"] == {
        "client_address": None,
        "key_id": "key_old",
        "key_kind": None,
        "key_name": None,
    }
    assert entry["why"] == {"idempotency_key": None, "reason": None, "request_id": "req_old"}


# --- Reasons ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_reason_that_cannot_be_kept_is_refused_and_nothing_happens(
    client: Client, gateway: Gateway, method: str
) -> None:
    await client.create(f"id={ID}")
    before = await gateway.store.head()
    for reason in ("r" * 501, " ", "", "a\tb", "\N{ZERO WIDTH SPACE}"):
        refused = await client.send(method, f"{CUSTOMERS}/{ID}", "", headers={REASON: reason})
        assert refused.status == 400
        assert refused.fault == {
            "code": "invalid_request",
            "message": "Invalid Chaching-Reason: it must have 1 to 500 printable characters.",
            "type": "invalid_request_error",
        }
    assert await gateway.store.head() == before


async def test_a_reason_is_kept_without_the_space_around_it(
    client: Client, gateway: Gateway
) -> None:
    longest = f"{'r' * 250} {'r' * 249}"
    await given(client, "POST", "", f"id={ID}", f"  {longest} ")
    [event] = await gateway.store.read_stream(stream(ID))
    assert decode_metadata(event).reason == longest


async def test_two_reasons_on_one_command_are_refused(client: Client, gateway: Gateway) -> None:
    head = f"POST {CUSTOMERS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
    reasons = f"{REASON}: a\r\n{REASON}: b\r\nContent-Length: 0\r\n\r\n"
    refused = await client.raw((head + reasons).encode())
    message = refused.error["message"]
    assert (refused.status, message) == (400, "Received Chaching-Reason more than once.")
    assert await gateway.store.head() == START


async def test_a_reason_with_a_retrieve_is_nobodys_business(client: Client) -> None:
    await client.create(f"id={ID}")
    answer = await client.send("GET", f"{CUSTOMERS}/{ID}", headers={REASON: " "})
    assert answer.status == 200


# --- Pages --------------------------------------------------------------------------------------


async def updated_to(client: Client, balance: int) -> None:
    """Create a customer and change its balance so often."""
    await client.create(f"id={ID}")
    for number in range(1, balance + 1):
        await client.update(ID, f"balance={number}")


async def walked(auditor: Client, query: str, *, down: bool) -> list[list[int]]:
    """Walk from one end to the other; return the versions on each page."""
    pages: list[list[int]] = []
    cursor = "" if down else "ending_before=version:8"
    while True:
        answer = await history(auditor, ID, f"{query}&{cursor}")
        data = answer.json["data"]
        pages.append([entry["version"] for entry in data])
        if not answer.json["has_more"]:
            return pages
        cursor = f"starting_after={data[-1]['id']}" if down else f"ending_before={data[0]['id']}"


async def test_a_history_walks_in_pages_both_ways(client: Client, auditor: Client) -> None:
    await updated_to(client, 7)
    assert await walked(auditor, "limit=3", down=True) == [[1, 2, 3], [4, 5, 6], [7, 8]]
    assert await walked(auditor, "limit=3", down=False) == [[5, 6, 7], [2, 3, 4], [1]]
    assert await walked(auditor, "limit=0", down=True) == [[n] for n in range(1, 9)]
    assert await walked(auditor, "limit=101", down=True) == [list(range(1, 9))]
    assert len(await entries(auditor, ID)) == 8


async def test_a_version_is_a_cursor_too(client: Client, auditor: Client) -> None:
    await updated_to(client, 7)
    pages: dict[str, tuple[list[int], bool]] = {
        "starting_after=version:2&limit=2": ([3, 4], True),
        "starting_after=version:6": ([7, 8], False),
        "starting_after=version:8": ([], False),
        "ending_before=version:3&limit=2": ([1, 2], False),
        "ending_before=version:4&limit=2": ([2, 3], True),
        "ending_before=version:1": ([], False),
    }
    for query, page in pages.items():
        answer = await history(auditor, ID, query)
        versions = [entry["version"] for entry in answer.json["data"]]
        assert (versions, answer.json["has_more"]) == page, query


async def test_large_events_make_short_pages_that_go_on(
    client: Client, auditor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past, "HISTORY_PAGE_MAX_BYTES", 1)
    monkeypatch.setattr(past, "HISTORY_CHUNK_MAX_EVENTS", 3)
    await updated_to(client, 7)
    assert await walked(auditor, "limit=5", down=True) == [[1, 2, 3], [4, 5, 6], [7, 8]]
    assert await walked(auditor, "limit=5", down=False) == [[5, 6, 7], [2, 3, 4], [1]]


async def test_ids_that_tell_their_version_are_cursors_too(client: Client, auditor: Client) -> None:
    made = [(await client.create()).json["id"] for _ in range(2)]
    for customer_id in made:
        await client.update(customer_id, "balance=1")
    first, second = await entries(auditor, made[0])
    assert len(first["id"]) > len("evt_") + 14
    page = await entries(auditor, made[0], f"starting_after={first['id']}")
    assert [entry["id"] for entry in page] == [second["id"]]
    page = await entries(auditor, made[0], f"ending_before={second['id']}")
    assert [entry["id"] for entry in page] == [first["id"]]
    forged = first["id"][:-2] + "00" + first["id"][-1]
    [other, _] = await entries(auditor, made[1])
    for wrong in (forged, other["id"], first["id"][:-1] + "9"):
        refused = await history(auditor, made[0], f"starting_after={wrong}")
        assert (refused.status, refused.error["param"]) == (400, "starting_after"), wrong


@pytest.mark.parametrize("param", ["starting_after", "ending_before"])
async def test_a_cursor_that_is_no_event_of_the_customer_is_refused(
    client: Client, auditor: Client, param: str
) -> None:
    await updated_to(client, 1)
    await client.create("id=cus_2")
    [elsewhere] = await entries(auditor, "cus_2")
    numbers = ("version:3", "version:0", "version:-1", "version:x", "version:9999999999")
    for cursor in ("evt_none", elsewhere["id"], *numbers):
        refused = await history(auditor, ID, f"{param}={cursor}")
        assert refused.status == 400
        assert refused.fault == {
            "code": "resource_missing",
            "message": f"No such event of this customer: '{cursor}'",
            "param": param,
            "type": "invalid_request_error",
        }


BAD_QUERIES: Final = {
    "limit=x": "Invalid integer: x",
    "wat=1&limit=x": "Received unknown parameter: wat",
    "starting_after=": "You passed an empty string for 'starting_after'.",
    "starting_after=version:1&ending_before=version:1": "You may only specify one of these "
    "parameters: starting_after, ending_before.",
    "expand[]=data": "Received unknown parameter: expand",
}


async def test_a_bad_parameter_is_told_before_anything_of_the_customer(auditor: Client) -> None:
    for query, message in BAD_QUERIES.items():
        refused = await history(auditor, "cus_nobody", query)
        assert (refused.status, refused.error["message"][: len(message)]) == (400, message)
        assert undocumented("GET", PATHS["history"], refused) == []


# --- Differences --------------------------------------------------------------------------------


async def test_a_difference_names_the_leaves_and_both_events(
    client: Client, auditor: Client
) -> None:
    await a_life(client)
    first, second, _ = await entries(auditor, ID)
    answer = await diff(auditor, ID, "from=version:1&to=version:2")
    assert answer.json == {
        "object": "customer_diff",
        "changes": second["changes"],
        "customer": ID,
        "from": {"position": 1, "time": first["time"], "version": 1},
        "livemode": False,
        "to": {"position": 2, "time": second["time"], "version": 2},
    }
    assert list(answer.json) == ["object", *sorted(answer.json.keys() - {"object"})]


MOMENTS: Final = {
    "from=version:0&to=version:1": (0, 1, 6),
    "from=0&to=version:2": (0, 2, 5),
    "from=position:0": (0, 3, 6),
    "from=version:1": (1, 3, 4),
    "from=position:2&to=position:3": (2, 3, 1),
    "from=version:2&to=version:2": (2, 2, 0),
}
NO_MOMENTS: Final = {
    "": ("from", "Missing required param: from."),
    "to=version:1": ("from", "Missing required param: from."),
    "from=x": ("from", "Invalid from: x"),
    "from=version:1&to=": ("to", "You passed an empty string for 'to'."),
    "from=version:2&to=version:1": ("from", "Invalid from: it leads to version 2 of cus_1"),
    "from=version:1&to=0": ("from", "Invalid from: it leads to version 1 of cus_1"),
    "from=version:4": ("from", "Invalid from: cus_1 has no version 4; its newest is 3"),
    "from=0&to=position:4": ("to", "Invalid to: there is no position 4 yet; the newest is 3"),
    "from=0&to=2999-01-01": ("to", "Invalid to: it lies in the future"),
    "from=2999-01-01": ("from", "Invalid from: it lies in the future"),
    "from=0&as_of=0": ("as_of", "Received unknown parameter: as_of"),
}


async def test_moments_of_a_difference_come_in_every_spelling(
    client: Client, auditor: Client
) -> None:
    await a_life(client)
    for query, (start, end, changed) in MOMENTS.items():
        answer = await diff(auditor, ID, query)
        assert (answer.json["from"]["version"], answer.json["to"]["version"]) == (start, end)
        assert len(answer.json["changes"]) == changed, query
        assert undocumented("GET", PATHS["diff"], answer) == []


async def test_a_difference_between_no_two_moments_is_refused(
    client: Client, auditor: Client
) -> None:
    await a_life(client)
    for query, (param, message) in NO_MOMENTS.items():
        refused = await diff(auditor, ID, query)
        assert (refused.status, refused.error["param"]) == (400, param), query
        assert refused.error["message"].startswith(message)
        assert undocumented("GET", PATHS["diff"], refused) == []


async def test_before_a_customer_was_there_nothing_can_be_compared(
    client: Client, auditor: Client
) -> None:
    await client.create(f"id={ID}")
    refused = await diff(auditor, ID, "from=0&to=1")
    assert (refused.status, refused.error["message"]) == (404, "No such customer: 'cus_1'")


# --- Who may ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["history?limit=1", "diff?from=0"])
async def test_an_ordinary_key_reads_no_history_unless_it_has_the_right(
    client: Client, database_url: str, path: str
) -> None:
    await client.create(f"id={ID}")
    rights = ["customers:read", "customers:write", "events:read"]
    ordinary = await store_key(database_url, "sk_test_ordinary", rights=rights)
    given = await store_key(database_url, "sk_test_given", rights=[*rights, "audit"])
    url = f"{CUSTOMERS}/{ID}/{path}"
    refused = await client.having(ordinary).send("GET", url)
    assert (refused.status, refused.error["code"]) == (403, "more_permissions_required")
    assert "'audit'" in refused.error["message"]
    assert (await client.having(given).send("GET", url)).status == 200
    assert (await client.having(None).send("GET", url)).status == 401
    assert (await client.having(ordinary).send("GET", f"{url}&wat=1")).status == 403


@pytest.mark.parametrize("path", ["history?limit=1", "diff?from=0"])
async def test_nobody_reads_another_accounts_history_or_the_other_modes(
    client: Client, database_url: str, path: str
) -> None:
    await client.create(f"id={ID}")
    url = f"{CUSTOMERS}/{ID}/{path}"
    other = await auditor_of(client, database_url, account="acct_other")
    refused = await other.send("GET", url)
    assert (refused.status, refused.error["message"]) == (404, "No such customer: 'cus_1'")
    assert refused.error["param"] == "id"
    live = await auditor_of(client, database_url, key=LIVE_AUDITOR)
    hinted = await live.send("GET", url)
    assert hinted.status == 404
    assert hinted.error["message"].startswith(
        "No such customer: 'cus_1'; a similar object exists in test mode"
    )


async def test_of_whom_never_was_there_is_no_history(auditor: Client) -> None:
    nobodies = ("cus_nobody", "a%20b", "x" * 256)
    for customer_id, path in itertools.product(nobodies, ("history", "diff?from=0")):
        refused = await auditor.send("GET", f"{CUSTOMERS}/{customer_id}/{path}")
        assert (refused.status, refused.error["code"]) == (404, "resource_missing")


async def test_other_methods_have_no_history(auditor: Client) -> None:
    for method in ("POST", "DELETE", "PUT"):
        refused = await auditor.send(method, f"{CUSTOMERS}/{ID}/history")
        assert (refused.status, refused.error["reason"]) == (404, "url_unknown")


async def test_what_is_answered_to_an_auditor_is_as_documented(
    client: Client, auditor: Client
) -> None:
    await a_life(client)
    for name, query in (("history", "limit=2"), ("history", ""), ("diff", "from=version:0")):
        answer = await auditor.send("GET", f"{CUSTOMERS}/{ID}/{name}?{query}")
        assert (answer.status, undocumented("GET", PATHS[name], answer)) == (200, [])


def stream(customer_id: str) -> StreamKey:
    return StreamKey(AccountId(ACCOUNT), False, CustomerId(customer_id))
