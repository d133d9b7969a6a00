"""A retrieve as of a moment answers, byte for byte, what a retrieve answered at that moment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec
import pytest
from tests.api.auditing import LIVE_AUDITOR, as_of, auditor_of, entries
from tests.support.breaking import take_out
from tests.support.gateways import CUSTOMERS, Answer, Client, store_key
from tests.support.openapi import undocumented

from chaching.eventstore.database import Database

ID: Final = "cus_1"
CUSTOMER: Final = "/v1/customers/{customer}"
EXPANDED: Final = "expand[]=tax_ids&expand[]=default_source"
HEADER: Final = "Chaching-As-Of"
WRITES: Final = (
    (
        "POST",
        CUSTOMERS,
        f"id={ID}&name=Jane&tax_id_data[0][type]=eu_vat&tax_id_data[0][value]=DE123456789",
    ),
    ("POST", f"{CUSTOMERS}/{ID}", "name=June&metadata[a]=1&source=tok_visa"),
    ("POST", CUSTOMERS, "id=cus_other"),
    ("POST", f"{CUSTOMERS}/{ID}", "address[city]=Paris&name="),
    ("DELETE", f"{CUSTOMERS}/{ID}", ""),
)


class Moment(msgspec.Struct, frozen=True):
    """A position of the log and what retrieves answered there, plain and expanded."""

    position: int
    plain: Answer
    expanded: Answer


@pytest.fixture
async def auditor(client: Client, database_url: str) -> Client:
    return await auditor_of(client, database_url)


async def a_life(client: Client) -> list[Moment]:
    """Change a customer, and retrieve it after every event of the log."""
    moments: list[Moment] = []
    for position, (method, path, form) in enumerate(WRITES, start=1):
        assert (await client.send(method, path, form)).status == 200
        plain = await client.retrieve(ID)
        expanded = await client.retrieve(f"{ID}?{EXPANDED}")
        moments.append(Moment(position, plain, expanded))
    return moments


async def test_at_every_position_the_customer_is_as_it_was_retrieved_then(
    client: Client, auditor: Client
) -> None:
    for moment in await a_life(client):
        spelled = f"position:{moment.position}"
        answer = await as_of(auditor, ID, spelled)
        assert (answer.status, answer.body) == (200, moment.plain.body)
        assert undocumented("GET", CUSTOMER, answer) == []
        expanded = await as_of(auditor, ID, spelled, f"&{EXPANDED}")
        assert (expanded.status, expanded.body) == (200, moment.expanded.body)


async def test_at_every_version_and_time_of_its_history_it_is_as_it_was_retrieved_then(
    client: Client, auditor: Client
) -> None:
    moments = await a_life(client)
    told = await entries(auditor, ID)
    assert [entry["position"] for entry in told] == [1, 2, 4, 5]
    for entry in told:
        position: int = entry["position"]
        then = moments[position - 1].plain.body
        for spelled in (f"version:{entry['version']}", entry["time"]):
            answer = await as_of(auditor, ID, spelled)
            assert (answer.status, answer.body) == (200, then), spelled
            assert answer.headers[HEADER] == f"version:{entry['version']}"


async def test_the_answer_names_the_version_that_it_shows(client: Client, auditor: Client) -> None:
    await a_life(client)
    between = await as_of(auditor, ID, "position:3")
    assert between.headers[HEADER] == "version:2"
    again = await as_of(auditor, ID, between.headers[HEADER])
    assert again.body == between.body
    assert HEADER not in (await client.retrieve(ID)).headers


async def move(database: Database, position: int, to: str) -> None:
    """Give an event of the log another time."""
    await database.execute("ALTER TABLE event_store.events DISABLE TRIGGER events_refuse_change")
    await database.execute(
        "UPDATE event_store.events SET recorded_at = $2 WHERE position = $1",
        position,
        datetime.fromisoformat(to),
    )


async def test_a_time_means_the_end_of_what_it_names(
    client: Client, auditor: Client, database: Database
) -> None:
    moments = await a_life(client)
    times = ["03T10:00:00", "03T12:00:00", "03T12:00:00.500", "03T12:00:01", "04T00:00:00"]
    for position, time in enumerate(times, start=1):
        await move(database, position, f"2024-03-{time}+00:00")
    shown = {
        "2024-03-02": None,
        "2024-03-03T09:59:59Z": None,
        "2024-03-03T09:59:59.999999Z": None,
        "2024-03-03T10:00:00Z": 1,
        "1709460000": 1,
        "2024-03-03T11:59:59Z": 1,
        "2024-03-03T12:00:00.499999Z": 2,
        "2024-03-03T12:00:00Z": 2,
        "2024-03-03T13:00:00+01:00": 2,
        "2024-03-03T13:00:00 01:00": 2,
        "2024-03-03T12:00:01Z": 4,
        "2024-03-03": 4,
        "1709510399": 4,
        "2024-03-04": 5,
        "2024-03-04T00:00:00Z": 5,
        "1709510400": 5,
    }
    first = "; its first event is of 2024-03-03T10:00:00.000000Z, position 1"
    for spelled, position in shown.items():
        answer = await as_of(auditor, ID, spelled)
        if position is None:
            told: str = answer.error["message"]
            assert (answer.status, told.endswith(first)) == (404, True)
            assert told.startswith("No such customer: 'cus_1' before 2024-03-03T")
        else:
            assert answer.body == moments[position - 1].plain.body, spelled


async def test_a_stretch_that_lasts_ends_now(client: Client, auditor: Client) -> None:
    newest = (await a_life(client))[-1]
    now = datetime.now(UTC)
    for spelled in (f"{now:%Y-%m-%d}", f"{int(now.timestamp()) + 60}"):
        assert (await as_of(auditor, ID, spelled)).body == newest.plain.body


async def test_before_its_creation_there_is_no_such_customer(
    client: Client, auditor: Client
) -> None:
    await client.create("id=cus_0")
    await client.create(f"id={ID}")
    time = (await entries(auditor, ID))[0]["time"]
    for spelled, then in {
        "version:0": "at version 0",
        "position:0": "at position 0",
        "position:1": "at position 1",
        "0": "before 1970-01-01T00:00:01.000000Z",
        "2001-01-01": "before 2001-01-02T00:00:00.000000Z",
    }.items():
        refused = await as_of(auditor, ID, spelled)
        assert (refused.status, refused.error["param"]) == (404, "id")
        assert refused.error["message"] == (
            f"No such customer: 'cus_1' {then}; its first event is of {time}, position 2"
        )
        assert HEADER not in refused.headers


async def test_a_position_that_was_taken_out_is_told_from_one_that_is_not_yet(
    client: Client, auditor: Client, database: Database
) -> None:
    await a_life(client)
    await take_out(database, 3)
    refused = await as_of(auditor, ID, "position:3")
    assert (refused.status, refused.error["message"]) == (
        400,
        "Invalid as_of: the event at position 3 was taken out of the log",
    )


REFUSED: Final = {
    "as_of=version:5": "Invalid as_of: cus_1 has no version 5; its newest is 4",
    "as_of=position:6": "Invalid as_of: there is no position 6 yet; the newest is 5",
    "as_of=2999-01-01": "Invalid as_of: it lies in the future",
    "as_of=99999999999": "Invalid as_of: it lies in the future",
    "as_of=yesterday": "Invalid as_of: yesterday; must be unix seconds",
    "as_of=": "You passed an empty string for 'as_of'.",
    "as_of[a]=1": "Invalid string: as_of must be a single value",
    "as_of=x&wat=1": "Received unknown parameter: wat",
    "as_of=x&expand[]=foo": "Invalid as_of: x; must be",
    "as_of=1&as_of=2": "Received parameter more than once: as_of",
}


async def test_a_moment_that_is_none_is_refused(client: Client, auditor: Client) -> None:
    await a_life(client)
    for query, message in REFUSED.items():
        refused = await auditor.send("GET", f"{CUSTOMERS}/{ID}?{query}")
        assert refused.status == 400, query
        assert refused.error["message"].startswith(message), refused
        assert undocumented("GET", CUSTOMER, refused) == []
    nobody = await as_of(auditor, "cus_nobody", "version:5")
    assert nobody.status == 404


# --- Who may ------------------------------------------------------------------------------------


async def test_to_look_back_a_key_needs_the_right_to_audit_and_no_other(
    client: Client, auditor: Client, database_url: str
) -> None:
    await client.create(f"id={ID}")
    rights = ["customers:read", "customers:write"]
    ordinary = client.having(await store_key(database_url, "sk_test_ordinary", rights=rights))
    for query in ("as_of=version:1", "as_of=x", "as_of[a]=1", "as_of=1&wat=1"):
        refused = await ordinary.send("GET", f"{CUSTOMERS}/{ID}?{query}")
        assert (refused.status, refused.error["code"]) == (403, "more_permissions_required")
        assert "'audit'" in refused.error["message"]
    hidden = await ordinary.send("GET", f"{CUSTOMERS}/{ID}", "as_of=version:1")
    assert hidden.status == 403
    encoded = await ordinary.send("GET", f"{CUSTOMERS}/{ID}?%61s_of=version:1")
    assert encoded.status == 403
    assert (await as_of(auditor, ID, "version:1")).status == 200
    plain = await auditor.retrieve(ID)
    assert (plain.status, "'customers:read'" in plain.error["message"]) == (403, True)


async def test_nobody_looks_back_at_another_accounts_customer_or_at_the_other_modes(
    client: Client, database_url: str
) -> None:
    await client.create(f"id={ID}")
    other = await auditor_of(client, database_url, account="acct_other")
    live = await auditor_of(client, database_url, key=LIVE_AUDITOR)
    for spelled in ("version:1", "position:1", f"{datetime.now(UTC):%Y-%m-%d}"):
        hidden = await as_of(other, ID, spelled)
        assert (hidden.status, hidden.error["message"]) == (404, "No such customer: 'cus_1'")
        hinted = await as_of(live, ID, spelled)
        assert hinted.status == 404
        assert "a similar object exists in test mode" in hinted.error["message"]
    before = await as_of(live, ID, "position:0")
    assert (before.status, before.error["message"]) == (404, "No such customer: 'cus_1'")
