"""``GET /v1/customers?as_of=`` answers, byte for byte, what a list answered at that moment."""

from __future__ import annotations

from typing import Final

import pytest
from tests.api.auditing import AUDITOR, LIVE_AUDITOR, auditor_of
from tests.api.listing import ids, listed
from tests.support.gateways import CUSTOMERS, Client, Gateway, store_key
from tests.support.openapi import undocumented
from tests.support.projected import projected_in

from chaching.eventstore.store import EventStore
from chaching_api.reads import lists

HEADER: Final = "Chaching-As-Of"
QUERIES: Final = (
    *("", "limit=1", "email=a@x.io", "test_clock=clock_1", "created[gt]=0"),
    "limit=2&expand[]=data.default_source",
)
WRITES: Final = (
    ("POST", "", "id=cus_a&email=a@x.io&source=tok_visa"),
    ("POST", "", "id=cus_b&email=a@x.io"),
    ("POST", "/cus_a", "email=b@x.io"),
    ("POST", "", "id=cus_c&test_clock=clock_1&email=a@x.io"),
    ("DELETE", "/cus_b", ""),
    ("POST", "/cus_a", "email=a@x.io&name=June"),
    ("DELETE", "/cus_c", ""),
)


@pytest.fixture
async def auditor(client: Client, database_url: str) -> Client:
    return await auditor_of(client, database_url)


async def lists_of_each_position(client: Client) -> list[dict[str, bytes]]:
    """Write, and list after every event of the log."""
    answered: list[dict[str, bytes]] = []
    for method, path, form in WRITES:
        assert (await client.send(method, CUSTOMERS + path, form)).status == 200
        answered.append({query: (await listed(client, query)).body for query in QUERIES})
    return answered


@pytest.mark.parametrize("lag", [None, 0, 3])
async def test_at_every_position_lists_are_as_they_were_answered_then(
    client: Client, auditor: Client, database_url: str, store: EventStore, lag: int | None
) -> None:
    answered = await lists_of_each_position(client)
    if lag is not None:
        async with projected_in(database_url, store) as projected:
            await projected.but(lag)
    for position, lists_of_then in enumerate(answered, start=1):
        for query, body in lists_of_then.items():
            answer = await listed(auditor, f"{query}&as_of=position:{position}")
            assert (answer.status, answer.body) == (200, body), (position, query)
            assert answer.headers[HEADER] == f"position:{position}"
            assert undocumented("GET", CUSTOMERS, answer) == []
    assert await ids(auditor, "as_of=position:0") == []
    assert await ids(auditor, "as_of=0") == []


async def test_a_list_as_of_a_time_names_the_position_it_is_as_of(
    client: Client, auditor: Client
) -> None:
    answered = await lists_of_each_position(client)
    first = await client.having(AUDITOR).send("GET", f"{CUSTOMERS}/cus_b/history")
    created = first.json["data"][0]
    answer = await listed(auditor, f"as_of={created['time']}")
    assert answer.headers[HEADER] == f"position:{created['position']}" == "position:2"
    assert answer.body == answered[1][""]


async def test_pages_of_the_past_walk_on_from_those_who_were_there(
    client: Client, auditor: Client
) -> None:
    for name in "abcd":
        await client.create(f"id=cus_{name}")
    await client.delete("cus_b")
    await client.create("id=cus_e")
    as_of = "as_of=position:4&limit=3"
    assert await ids(auditor, as_of) == ["cus_d", "cus_c", "cus_b"]
    assert await ids(auditor, f"{as_of}&starting_after=cus_b") == ["cus_a"]
    assert await ids(auditor, f"{as_of}&ending_before=cus_b") == ["cus_d", "cus_c"]
    later = await listed(auditor, f"{as_of}&starting_after=cus_e")
    assert (later.status, later.error["code"]) == (400, "resource_missing")
    assert later.error["message"] == "No such customer: 'cus_e'"
    assert await ids(auditor, "as_of=position:5&starting_after=cus_b") == ["cus_a"]


REFUSED: Final = {
    "as_of=version:1": "Invalid as_of: versions count the events of one customer",
    "as_of=position:2": "Invalid as_of: there is no position 2 yet; the newest is 1",
    "as_of=2999-01-01": "Invalid as_of: it lies in the future",
    "as_of=x&limit=x": "Invalid as_of: x; must be",
    "as_of=1&wat=1": "Received unknown parameter: wat",
    "as_of=0&starting_after=cus_a": "No such customer: 'cus_a'",
}


async def test_a_moment_that_is_none_is_refused(client: Client, auditor: Client) -> None:
    await client.create("id=cus_a")
    for query, message in REFUSED.items():
        refused = await listed(auditor, query)
        assert refused.status == 400, query
        assert refused.error["message"].startswith(message)
        assert undocumented("GET", CUSTOMERS, refused) == []


async def test_a_list_that_would_have_gaps_is_told_so_and_may_be_asked_for_later(
    client: Client, auditor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "TAIL_MAX_EVENTS", 1)
    for name in "ab":
        await client.create(f"id=cus_{name}")
    refused = await listed(auditor, "as_of=position:2")
    assert (refused.status, refused.error["code"]) == (503, "server_error")
    assert refused.error["param"] == "as_of"
    assert "1 events are missing" in refused.error["message"]
    assert refused.headers["Stripe-Should-Retry"] == "true"
    assert undocumented("GET", CUSTOMERS, refused) == []


async def test_who_may_audit_sees_own_account_and_mode_only(
    client: Client, gateway: Gateway, database_url: str
) -> None:
    await client.create("id=cus_a")
    rights = ["customers:read", "customers:write"]
    ordinary = client.having(await store_key(database_url, "sk_test_ordinary", rights=rights))
    for query in ("as_of=position:1", "as_of=x", "as_of=1&wat=1"):
        refused = await listed(ordinary, query)
        assert (refused.status, "'audit'" in refused.error["message"]) == (403, True)
    others = [
        await auditor_of(client, database_url, account="acct_other"),
        await auditor_of(client, database_url, key=LIVE_AUDITOR),
    ]
    head = await gateway.store.head()
    for other in others:
        assert await ids(other, f"as_of=position:{head}") == []
        assert (await listed(other, f"as_of=position:{head}&starting_after=cus_a")).status == 400
