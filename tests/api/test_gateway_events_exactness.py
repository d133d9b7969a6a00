"""A list of events after a write shows it, with no broker and no projector; and nothing else."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
import pytest
from tests.api.event_listing import events, listed
from tests.support.event_logs import (
    ACCOUNTS,
    EVENTS_A_SECOND,
    FIRST_SECOND,
    Happening,
    append_happenings,
    spread_over_time,
    whole_log,
)
from tests.support.gateways import (
    KEY,
    Client,
    Gateway,
    connected,
    gateway_on,
    gateway_process,
    store_key,
)
from tests.support.keyrings import KEYRING
from tests.support.waiting import eventually

from chaching.domain.customer import Customer, evolve
from chaching.domain.customer_object import customer_object
from chaching.envelope import RecordedEvent, StreamKey, decode_event, decode_metadata
from chaching.eventstore.database import Database
from chaching.eventstore.lookups import EventLookups
from chaching.eventstore.store import EventStore

BLOCK: Final = 1_000
QUERIES: Final = 80
PUBLIC: Final = {
    "CustomerCreated": "customer.created",
    "CustomerUpdated": "customer.updated",
    "CustomerDeleted": "customer.deleted",
}
PATTERNS: Final = {
    "*": {"customer.created", "customer.updated", "customer.deleted"},
    "customer.*": {"customer.created", "customer.updated", "customer.deleted"},
    "*.updated": {"customer.updated"},
    "*.c*": {"customer.created"},
    "customer.deleted": {"customer.deleted"},
}


@pytest.fixture
async def gateways(database_url: str) -> AsyncGenerator[list[Gateway]]:
    """Two gateways on one database; no relay, no broker, no projector."""
    await store_key(database_url, KEY)
    async with gateway_on(database_url) as one, gateway_on(database_url) as other:
        yield [one, other]


@pytest.mark.parametrize("sealing", [False, True], ids=["unsealed", "sealed in between"])
async def test_what_one_gateway_wrote_another_lists_at_once(
    gateways: list[Gateway], store: EventStore, database: Database, sealing: bool
) -> None:
    first, second = [gateway.client for gateway in gateways]
    await append_happenings(store, Happening(seed=1), BLOCK - 6)
    sealed = 0
    for turn in range(12):
        writer, reader = (first, second) if turn % 2 else (second, first)
        written = await writer.create(f"name=n{turn}")
        assert written.status == 200
        if sealing:
            sealed += await EventLookups(database, KEYRING).seal()
        for query in ("limit=1", "limit=1&type=customer.created", "limit=1&created[gt]=0"):
            [newest] = await events(reader, query)
            assert newest["data"]["object"] == written.json, query
    assert sealed == sealing


# --- The list is the log, folded ----------------------------------------------------------------


def folded(log: Sequence[RecordedEvent]) -> list[tuple[RecordedEvent, dict[str, Any]]]:
    """Return each event with what the API must answer of it, from the deltas alone."""
    states: dict[StreamKey, Customer] = {}
    found: list[tuple[RecordedEvent, dict[str, Any]]] = []
    for event in log:
        after = states[event.key] = evolve(states.get(event.key), decode_event(event))
        shown = {
            "id": event.event_id,
            "created": int(event.recorded_at.timestamp()),
            "livemode": event.key.livemode,
            "object": msgspec.json.decode(msgspec.json.encode(customer_object(after))),
            "request": decode_metadata(event).request_id,
            "type": PUBLIC[event.type],
        }
        found.append((event, shown))
    return found


def shown(event: dict[str, Any]) -> dict[str, Any]:
    """Return of an answered event what the fold tells too."""
    assert ("previous_attributes" in event["data"]) == (event["type"] == "customer.updated")
    told = {name: event[name] for name in ("id", "created", "livemode", "type")}
    return told | {"object": event["data"]["object"], "request": event["request"]["id"]}


def drawn(chance: random.Random, own: Sequence[tuple[RecordedEvent, Any]]) -> dict[str, str]:
    """Draw a query; its cursor is one of the caller's own events."""
    query: dict[str, str] = {"limit": f"{chance.choice((1, 10, 100))}"}
    if chance.random() < 0.6:
        query["type"] = chance.choice(list(PATTERNS))
    if chance.random() < 0.6:
        cursor = chance.choice(("starting_after", "ending_before"))
        query[cursor] = chance.choice(own)[0].event_id
    if chance.random() < 0.5:
        bound = chance.choice(("gt", "gte", "lt", "lte"))
        second = FIRST_SECOND + chance.randrange(-1, 2 + len(own) // EVENTS_A_SECOND)
        query[f"created[{bound}]"] = f"{second}"
    return query


def is_meant(event: dict[str, Any], query: dict[str, str]) -> bool:
    """Tell whether an event is of the types and the seconds that a query asks for."""
    like = event["type"] in PATTERNS[query.get("type", "*")]
    for name, value in query.items():
        match name:
            case "created[gt]":
                like &= event["created"] > int(value)
            case "created[gte]":
                like &= event["created"] >= int(value)
            case "created[lt]":
                like &= event["created"] < int(value)
            case "created[lte]":
                like &= event["created"] <= int(value)
            case _:
                pass
    return like


def answer_to(
    own: Sequence[tuple[RecordedEvent, dict[str, Any]]], query: dict[str, str]
) -> tuple[list[dict[str, Any]], bool]:
    """Return the events of a page, the newest first, and whether there are more."""
    ids: list[str] = [event.event_id for event, _ in own]
    limit = int(query["limit"])
    if "ending_before" in query:
        newer = [told for _, told in own[ids.index(query["ending_before"]) + 1 :]]
        met = [told for told in newer if is_meant(told, query)]
        return met[:limit][::-1], len(met) > limit
    older = [told for _, told in own[: ids.index(query.get("starting_after", ids[-1])) + 1]]
    if "starting_after" in query:
        older.pop()
    met = [told for told in older[::-1] if is_meant(told, query)]
    return met[:limit], len(met) > limit


@pytest.mark.parametrize("seed", [1, 2])
async def test_for_any_history_a_list_is_the_log_folded(
    gateways: list[Gateway], database_url: str, store: EventStore, database: Database, seed: int
) -> None:
    keys = {
        (ACCOUNTS[0], False): KEY,
        (ACCOUNTS[0], True): await store_key(database_url, "sk_live_ours12345"),
        (ACCOUNTS[1], False): await store_key(
            database_url, "sk_test_theirs1234", account=ACCOUNTS[1]
        ),
    }
    await append_happenings(store, Happening(seed), BLOCK + 300)
    await spread_over_time(database)
    assert await EventLookups(database, KEYRING).seal() == 1
    whole = folded(await whole_log(store))
    chance = random.Random(seed)  # noqa: S311 - the same again from the same seed
    for turn in range(QUERIES):
        whose = chance.choice(list(keys))
        own = [one for one in whole if (one[0].key.account, one[0].key.livemode) == whose]
        query = drawn(chance, own)
        answer = await listed(gateways[turn % 2].client.having(keys[whose]), urlencode(query))
        assert answer.status == 200, query
        found = [shown(event) for event in answer.json["data"]]
        assert (found, answer.json["has_more"]) == answer_to(own, query), query


# --- Sealing ------------------------------------------------------------------------------------


async def test_a_gateway_seals_what_is_complete_by_itself(
    database_url: str, store: EventStore, database: Database, tmp_path: Path
) -> None:
    key = await store_key(database_url, KEY)
    await append_happenings(store, Happening(seed=3), 2 * BLOCK + 1)

    async def is_sealed() -> bool:
        [row] = await database.fetch("SELECT position FROM event_store.seal")
        sealed: int = row["position"]
        return sealed == 2 * BLOCK

    async with gateway_process(database_url, tmp_path / "gateway.log") as gateway:
        await eventually(is_sealed, "both blocks are sealed")
        async with connected(gateway.url, key) as client:
            made = await client.create("name=Jane")
            [newest] = await events(client, "limit=1")
            assert newest["data"]["object"] == made.json
            assert await count_of(client) == len(
                [
                    e
                    for e in await whole_log(store)
                    if e.key.account == ACCOUNTS[0] and not e.key.livemode
                ]
            )


async def count_of(client: Client) -> int:
    """Return how many events a walk through all pages meets."""
    count, cursor = 0, ""
    while True:
        answer = await listed(client, f"limit=100{cursor}")
        found = answer.json["data"]
        count += len(found)
        if not answer.json["has_more"]:
            return count
        cursor = f"&starting_after={found[-1]['id']}"
