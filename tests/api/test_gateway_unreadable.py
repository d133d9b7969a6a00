"""Who breaks one row of the log hides what stood in it, and nothing else."""

from __future__ import annotations

from http import HTTPMethod
from typing import Any, Final

import pytest
from tests.api import event_listing
from tests.api.auditing import as_of, auditor_of, diff, entries, history
from tests.api.listing import ids, listed
from tests.support.breaking import (
    METADATA,
    PAYLOADS,
    SHAPES,
    STATES,
    break_data_key,
    break_event,
    take_out,
    without,
)
from tests.support.gateways import CUSTOMERS, Answer, Client
from tests.support.openapi import undocumented
from tests.support.projected import projected_in

from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore

ID: Final = "cus_1"
BROKEN: Final = 3  # the position of its second event
HISTORY: Final = "/v1/customers/{customer}/history"
WRITES: Final = (
    ("POST", "", f"id={ID}&email=a@x.io&metadata[a]=b"),
    ("POST", "", "id=cus_2&email=a@x.io"),
    ("POST", f"/{ID}", "name=June"),
    ("POST", f"/{ID}", "balance=5"),
    ("POST", "", "id=cus_3&email=b@x.io"),
    ("DELETE", "/cus_3", ""),
)


@pytest.fixture
async def auditor(client: Client, database_url: str) -> Client:
    return await auditor_of(client, database_url)


@pytest.fixture
async def written(client: Client) -> list[Answer]:
    """Three customers; the answers to what was done to them, in the order of positions."""
    answers = [await client.send(method, CUSTOMERS + path, form) for method, path, form in WRITES]
    assert {answer.status for answer in answers} == {200}
    return answers


# --- History ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("what", [*PAYLOADS, *METADATA])
async def test_a_history_shows_the_other_events_and_what_is_left_of_the_broken_one(
    auditor: Client, database: Database, what: str
) -> None:
    before = await entries(auditor, ID)
    columns = PAYLOADS.get(what) or METADATA[what]
    await break_event(database, BROKEN, **columns)
    answer = await history(auditor, ID)
    assert (answer.status, undocumented("GET", HISTORY, answer)) == (200, [])
    after = answer.json["data"]
    assert without(after, 2) == without(before, 2)
    broken, whole = after[1], before[1]
    for name in ("id", "object", "customer", "livemode", "position", "time", "version"):
        assert broken[name] == whole[name]
    assert broken["type"] == (columns.get("type") or "customer.updated")
    if what in METADATA:
        assert (broken["who"], broken["why"]) == (None, None)
        assert broken["changes"] == whole["changes"]
        assert "the metadata of a CustomerUpdated are broken" in broken["unreadable"]
    else:
        assert (broken["who"], broken["why"]) == (whole["who"], whole["why"])
        assert broken["changes"] is None
        assert broken["unreadable"]


@pytest.mark.usefixtures("written")
async def test_of_an_event_of_which_nothing_can_be_read_both_reasons_are_told(
    auditor: Client, database: Database
) -> None:
    await break_event(database, BROKEN, payload="{}", metadata="{}")
    entry = (await entries(auditor, ID))[1]
    assert (entry["changes"], entry["who"], entry["why"]) == (None, None, None)
    assert "the payload of a CustomerUpdated" in entry["unreadable"]
    assert "the metadata of a CustomerUpdated" in entry["unreadable"]


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("what", STATES)
async def test_a_history_needs_no_state_of_any_event_the_newest_included(
    auditor: Client, database: Database, what: str
) -> None:
    before = (await history(auditor, ID)).body
    for position in (BROKEN, BROKEN + 1):
        await break_event(database, position, **STATES[what])
    answer = await history(auditor, ID)
    assert (answer.status, answer.body) == (200, before)


@pytest.mark.usefixtures("written")
async def test_a_data_key_that_does_not_open_hides_what_it_encrypted_and_no_more(
    auditor: Client, client: Client, database: Database
) -> None:
    before = await entries(auditor, ID)
    await break_data_key(database, ID)
    created, renamed, charged = await entries(auditor, ID)
    assert "the payload of a CustomerCreated is broken" in created["unreadable"]
    assert renamed["changes"] is None
    assert (created["who"], renamed["why"]) == (before[0]["who"], before[1]["why"])
    assert charged == before[2]
    types = [event["type"] for event in await event_listing.events(client)]
    unreadable = "customer.unreadable"
    assert types == [
        *("customer.deleted", "customer.created"),
        *(unreadable, unreadable, "customer.created", unreadable),
    ]


@pytest.mark.usefixtures("written")
async def test_a_history_goes_on_behind_events_that_were_taken_out(
    auditor: Client, client: Client, database: Database
) -> None:
    for number in range(6):
        await client.update(ID, f"balance={10 + number}")
    await take_out(database, 4, 7, 8, 9)
    for query, cursor in (("limit=2", "starting_after"), ("limit=2", "ending_before")):
        found: list[list[int]] = []
        at = "" if cursor == "starting_after" else f"&{cursor}=version:9"
        while True:
            answer = await history(auditor, ID, query + at)
            page = [entry["version"] for entry in answer.json["data"]]
            found.append(page)
            if not answer.json["has_more"]:
                break
            at = f"&{cursor}=version:{page[-1] if cursor == 'starting_after' else page[0]}"
        if cursor == "starting_after":
            assert found == [[1, 2], [7, 8], [9]]
        else:
            assert found == [[7, 8], [1, 2]]


# --- Events -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("what", [*PAYLOADS, *METADATA, *STATES, *SHAPES])
async def test_a_list_of_events_shows_the_others_and_that_one_is_unreadable(
    client: Client, database: Database, what: str
) -> None:
    before = await event_listing.events(client)
    columns = {**PAYLOADS, **METADATA, **STATES, **SHAPES}[what]
    await break_event(database, BROKEN, **columns)
    answer = await event_listing.listed(client)
    assert (answer.status, undocumented("GET", event_listing.EVENTS, answer)) == (200, [])
    whole = before[-BROKEN]
    others = [event for event in before if event["id"] != whole["id"]]
    assert [event for event in answer.json["data"] if event["id"] != whole["id"]] == others
    broken = (await event_listing.retrieved(client, whole["id"])).json
    assert broken == {
        **whole,
        "type": "customer.unreadable",
        "request": None if what in METADATA else whole["request"],
        "data": {
            "object": {
                "id": ID,
                "object": "customer",
                "unreadable": broken["data"]["object"]["unreadable"],
            }
        },
    }
    told = broken["data"]["object"]["unreadable"]
    assert told.startswith(f"what is stored with its version 2, position {BROKEN}, cannot be read:")
    if "type" not in columns:  # a kind that is not known is in no list by kinds
        assert answer.json["data"][-BROKEN] == broken
        named = await event_listing.events(client, "type=customer.updated")
        assert broken in named


# --- As of a moment -----------------------------------------------------------------------------


def is_told(answer: Answer, param: str, version: int, position: int) -> bool:
    """Tell whether an answer says in the contract's form what cannot be read."""
    error: dict[str, Any] = answer.json["error"]
    return (
        (answer.status, error["type"], error["code"]) == (500, "api_error", "server_error")
        and error["param"] == param
        and f"version {version}, position {position}, cannot be read (" in error["message"]
        and answer.headers["Stripe-Should-Retry"] == "false"
    )


@pytest.mark.parametrize("what", STATES)
async def test_a_moment_that_needs_the_broken_event_is_refused_with_what_is_broken(
    auditor: Client, database: Database, written: list[Answer], what: str
) -> None:
    await break_event(database, BROKEN, **STATES[what])
    refused = await as_of(auditor, ID, "version:2")
    assert is_told(refused, "as_of", 2, BROKEN)
    assert undocumented("GET", "/v1/customers/{customer}", refused) == []
    for version, position in ((1, 1), (3, 4)):
        answer = await as_of(auditor, ID, f"version:{version}")
        assert (answer.status, answer.body) == (200, written[position - 1].body)
    assert is_told(await diff(auditor, ID, "from=version:1&to=version:2"), "to", 2, BROKEN)
    assert is_told(await diff(auditor, ID, "from=version:2"), "from", 2, BROKEN)
    around = await diff(auditor, ID, "from=version:1&to=version:3")
    assert [change["attribute"] for change in around.json["changes"]] == ["balance", "name"]


async def test_a_payload_that_cannot_be_read_hides_no_state(
    auditor: Client, database: Database, written: list[Answer]
) -> None:
    await break_event(database, BROKEN, payload="{}")
    answer = await as_of(auditor, ID, "version:2")
    assert (answer.status, answer.body) == (200, written[BROKEN - 1].body)


@pytest.mark.usefixtures("written")
async def test_a_list_of_then_shows_the_others_and_that_one_is_there(
    auditor: Client, database: Database, database_url: str, store: EventStore
) -> None:
    async with projected_in(database_url, store) as projected:
        await projected.but(0)
    moment = f"as_of=position:{BROKEN}"
    before = (await listed(auditor, moment)).json["data"]
    await break_event(database, BROKEN, state="{}")
    answer = await listed(auditor, moment)
    assert (answer.status, undocumented("GET", CUSTOMERS, answer)) == (200, [])
    after = answer.json["data"]
    assert [customer["id"] for customer in after] == [customer["id"] for customer in before]
    for was, now in zip(before, after, strict=True):
        assert (now == was) == (now["id"] != ID)
    [stub] = [customer for customer in after if customer["id"] == ID]
    assert list(stub) == ["id", "object", "unreadable"]
    assert f"version 2, position {BROKEN}" in stub["unreadable"]
    expanded = await listed(auditor, f"{moment}&expand[]=data.sources")
    assert stub in expanded.json["data"]
    assert await ids(auditor, f"{moment}&email=nobody@x.io") == [ID]
    assert stub not in (await listed(auditor, f"as_of=position:{BROKEN + 1}")).json["data"]


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("broken", [(BROKEN,), (BROKEN, BROKEN + 1)], ids=["then", "then and now"])
async def test_one_pages_past_a_customer_that_cannot_be_read(
    auditor: Client,
    database: Database,
    database_url: str,
    store: EventStore,
    broken: tuple[int, ...],
) -> None:
    async with projected_in(database_url, store) as projected:
        await projected.but(0)
    moment = f"as_of=position:{BROKEN}&limit=1"
    [first] = await ids(auditor, moment)
    for position in broken:
        await break_event(database, position, state="{}")
    [second] = await ids(auditor, f"{moment}&starting_after={first}")
    assert {first, second} == {ID, "cus_2"}
    assert await ids(auditor, f"{moment}&starting_after={second}") == []
    assert await ids(auditor, f"{moment}&ending_before={second}") == [first]


# --- Now ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("written")
async def test_a_customer_that_cannot_be_read_now_is_refused_with_a_reason(
    client: Client, database: Database
) -> None:
    await break_event(database, BROKEN + 1, state="{}")
    for method, form in ((HTTPMethod.GET, None), (HTTPMethod.POST, "name=Jane")):
        answer = await client.send(method, f"{CUSTOMERS}/{ID}", form)
        assert (answer.status, answer.json["error"]["code"]) == (500, "server_error")
        assert "what is stored cannot be read" in answer.json["error"]["message"]
    assert (await client.send(HTTPMethod.GET, f"{CUSTOMERS}/cus_2")).status == 200
