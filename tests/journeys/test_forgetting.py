"""A hundred values of one person: found wherever one looks, and after the erasure nowhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator
from http import HTTPMethod
from pathlib import Path
from typing import Final

import pytest
from tests.support.acknowledged import assert_log_is_dense
from tests.support.brokers import history_up_to
from tests.support.canaries import Canaries, logged, purged, told_by_commands
from tests.support.gateways import ACCOUNT, CUSTOMERS, Client, store_key
from tests.support.keyrings import KEYRING
from tests.support.read_model import assert_read_model_is_the_fold
from tests.support.service import Service, service
from tests.support.stored import dump_of, files_with, found_in
from tests.support.waiting import eventually

from chaching.broker import topology
from chaching.domain.ids import AccountId, CustomerId
from chaching.envelope import Position, StreamKey, decode_metadata
from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore

ID: Final = "cus_forgotten"
CANARIES: Final = 100
ERASER: Final = "sk_test_eraser"
STUB: Final = {"id": ID, "object": "customer", "deleted": True, "erased": True}
COMMANDS: Final = (
    f"audit replay {ID} --format json",
    "events tail --since position:1 --no-follow --format json",
)
PROOFS: Final = ("audit verify", f"audit export --account {ACCOUNT} --mode test")
CREATE_KEY: Final = "the-key-of-the-create"
UPDATE_KEY: Final = "the-key-of-the-update"
BYTES: Final = """
    SELECT payload::text, state::text, metadata::text FROM event_store.events
    WHERE position <= $1 ORDER BY position
"""


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncGenerator[Service]:
    async with service(tmp_path, PURGE_AFTER_S="0") as running_service:
        yield running_service


async def said(client: Client, requests: dict[str, str]) -> str:
    """Return everything that the API answers about the customer."""
    expanded = "&".join(f"expand[]={name}" for name in ("tax", "tax_ids", "sources"))
    reads = [
        f"{CUSTOMERS}/{ID}",
        f"{CUSTOMERS}/{ID}?{expanded}",
        CUSTOMERS,
        f"{CUSTOMERS}/search?query=created>0",
    ]
    answers = [await client.send(HTTPMethod.GET, path) for path in reads]
    for key, form in requests.items():
        path = CUSTOMERS if key == CREATE_KEY else f"{CUSTOMERS}/{ID}"
        again = await client.send(HTTPMethod.POST, path, form, headers={"Idempotency-Key": key})
        assert again.headers["Idempotent-Replayed"] == "true", again
        answers.append(again)
    assert {answer.status for answer in answers} == {200}
    return "\n".join(answer.body.decode() for answer in answers)


async def looked_back(client: Client) -> dict[str, str]:
    """Return what is answered about the past of the customer, by what was asked."""
    expanded = "&".join(f"expand[]={name}" for name in ("tax", "tax_ids"))
    asked = {
        "history": [f"{CUSTOMERS}/{ID}/history?limit=100"],
        "as of": [f"{CUSTOMERS}/{ID}?as_of=version:{n}&{expanded}" for n in (1, 2)],
        "list as of": [f"{CUSTOMERS}?as_of=position:{n}" for n in (1, 2)],
        "difference": [f"{CUSTOMERS}/{ID}/diff?from=version:{n}&to=version:2" for n in (0, 1)],
        "events": ["/v1/events?limit=100"],
    }
    said: dict[str, str] = {}
    for what, paths in asked.items():
        answers = [await client.send(HTTPMethod.GET, path) for path in paths]
        assert {answer.status for answer in answers} == {200}, answers
        said[what] = "\n".join(answer.body.decode() for answer in answers)
    return said


async def history(whole: Service, head: int) -> str:
    """Return all bodies that the stream for new subscribers keeps."""
    kept = await history_up_to(whole.rabbitmq.url, topology.PREFIX, Position(head))
    return "\n".join(body for _, body in kept)


async def digest(database: Database, head: int) -> str:
    """Return the hash of the exact bytes of the log up to a position."""
    rows = await database.fetch(BYTES, head)
    return hashlib.sha256(json.dumps([list(row) for row in rows]).encode()).hexdigest()


async def who_and_when(database: Database) -> list[tuple[int, str, str | None]]:
    """Return of each event of the customer its version, its type and who asked for it."""
    key = StreamKey(AccountId(ACCOUNT), False, CustomerId(ID))
    events = await EventStore(database, KEYRING).read_stream(key)
    return [(event.version, event.type, decode_metadata(event).actor) for event in events]


@pytest.mark.timeout(180)
async def test_a_hundred_canaries_are_found_everywhere_and_after_the_erasure_nowhere(
    whole: Service,
) -> None:
    canaries = Canaries()
    requests = {CREATE_KEY: f"id={ID}&{canaries.form(1)}&expand[]=tax"}
    requests[UPDATE_KEY] = f"{canaries.form(2)}&expand[]=tax"
    planted = canaries.planted
    assert len(set(planted)) >= CANARIES
    await store_key(whole.postgres.admin_url, ERASER, rights=("*",))
    async with whole.client() as anybody, whole.database() as database:
        client = anybody.having(ERASER)
        for key, form in requests.items():
            path = CUSTOMERS if key == CREATE_KEY else f"{CUSTOMERS}/{ID}"
            await client.send(HTTPMethod.POST, path, form, headers={"Idempotency-Key": key})
        await client.create("name=somebody else")
        await whole.settled(database)
        log_before = await digest(database, 3)

        answered = found_in(await said(client, requests), planted)
        streamed = found_in(await history(whole, 3), planted)
        on_disk = set[str]().union(*files_with(whole.folder / "rabbitmq", planted).values())
        assert answered == streamed == on_disk == set(planted)
        past = await looked_back(client)
        assert found_in(past["history"], planted) == set(planted)
        assert found_in(past["as of"], planted) == set(planted)
        shown = past | await told_by_commands(whole, COMMANDS)
        for what, text in shown.items():
            assert len(found_in(text, planted)) >= len(planted) // 3, what
        dumped = found_in(await dump_of(database, whole.postgres.admin_url), planted)
        assert dumped > set(planted[len(planted) // 2 + 2 :])  # what the read model shows
        assert not logged(whole, planted)

        erased = await client.send(HTTPMethod.POST, f"{CUSTOMERS}/{ID}/erase", "reason=request")
        assert erased.json == STUB
        await whole.settled(database)
        await eventually(lambda: purged(database, 4), "the broker is purged")
        await whole.rabbitmq.stop()  # in good order, which rolls its write-ahead log over
        await whole.rabbitmq.start()
        await client.create("name=somebody later")
        await whole.settled(database)

        assert not found_in(await said(client, requests), planted)
        shown = await looked_back(client) | await told_by_commands(whole, COMMANDS)
        proofs = await told_by_commands(whole, PROOFS)
        for what, text in (shown | proofs).items():
            assert ID in text or what in proofs, what
            assert not found_in(text, planted), what
        assert ID in proofs[PROOFS[1]]
        assert not found_in(await history(whole, 5), planted)
        assert not found_in(await dump_of(database, whole.postgres.admin_url), planted)
        assert files_with(whole.folder / "rabbitmq", planted) == {}
        assert not logged(whole, planted)
        assert await assert_log_is_dense(database) == 5
        assert await digest(database, 3) == log_before
        assert await assert_read_model_is_the_fold(database) == 3
        actor = "the secret key of a test"
        assert await who_and_when(database) == [
            (1, "CustomerCreated", actor),
            (2, "CustomerUpdated", actor),
            (3, "CustomerErased", actor),
        ]
