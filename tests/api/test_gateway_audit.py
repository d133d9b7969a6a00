"""Checkpoints and proofs over HTTP, checked by the second implementation."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

import pytest
from tests.audit import by_the_document as document
from tests.support.audited import KEY as SIGNING_KEY
from tests.support.gateways import ACCOUNT, CUSTOMERS, Client, store_key
from tests.support.openapi import undocumented
from tests.support.running import running
from tests.support.waiting import eventually

from chaching.eventstore.database import Database
from chaching_api.auditor import Auditor

CHECKPOINT: Final = "/v1/audit/checkpoint"
PROOF: Final = "/v1/audit/proof"
CONSISTENCY: Final = "/v1/audit/consistency"
AUDITORS_KEY: Final = "rk_test_auditor"


@pytest.fixture
async def auditing(database_url: str) -> AsyncGenerator[None]:
    """An auditor that runs while the test does."""
    async with running(Auditor(database_url, SIGNING_KEY).run()):
        yield


@pytest.fixture
async def auditor(client: Client, database_url: str, auditing: None) -> Client:
    """A client whose key may audit, on a gateway whose log is audited."""
    assert auditing is None
    await store_key(database_url, AUDITORS_KEY, rights=["audit"])
    return client.having(AUDITORS_KEY)


async def answer(client: Client, path: str, query: str = "") -> dict[str, Any]:
    """Ask until there is an answer, since the auditor may just have started."""
    found = await client.send("GET", path + query)
    while found.status == 503:
        found = await client.send("GET", path + query)
    assert (found.status, undocumented("GET", path, found)) == (200, [])
    return found.json


def opened(note: str) -> tuple[str, int, bytes]:
    return document.opened(note, base64.b64encode(SIGNING_KEY.public.key).decode())


def decoded(hashes: Sequence[str]) -> list[bytes]:
    return [base64.b64decode(each) for each in hashes]


async def test_a_checkpoint_covers_what_was_written_before(client: Client, auditor: Client) -> None:
    for number in range(3):
        assert (await client.create(f"name=Jane {number}")).status == 200
        told = await answer(auditor, CHECKPOINT)
        assert list(told) == ["object", "note", "origin", "root_hash", "size"]
        origin, size, root = opened(told["note"])
        assert (told["origin"], told["size"]) == (origin, size) == (origin, number + 1)
        assert base64.b64decode(told["root_hash"]) == root


async def test_every_event_of_the_account_can_be_proved(client: Client, auditor: Client) -> None:
    made = [(await client.create(f"name=Jane {number}")).json["id"] for number in range(5)]
    await client.update(made[2], "name=June")
    await client.delete(made[0])
    told: dict[str, Any] = {}
    for position in range(1, 8):
        told = await answer(auditor, PROOF, f"?position={position}")
        _, size, root = opened(told["note"])
        leaf = document.leaf(document.entry(told["event"]))
        assert base64.b64decode(told["leaf_hash"]) == leaf
        assert (told["size"], told["index"]) == (size, position - 1)
        hashes = decoded(told["hashes"])
        assert document.root_of_inclusion(leaf, position - 1, size, hashes) == root
        assert told["event"]["position"] == position
    assert (told["event"]["type"], told["event"]["stream"]) == ("CustomerDeleted", made[0])
    updated = (await answer(auditor, PROOF, "?position=6"))["event"]["payload"]
    assert '"personal_names":["name"]' in updated
    assert "June" not in updated


async def test_an_event_can_be_proved_as_soon_as_it_is_written(
    client: Client, auditor: Client
) -> None:
    await answer(auditor, CHECKPOINT)
    await asyncio.gather(*(client.create() for _ in range(20)))
    told = await asyncio.gather(
        *(answer(auditor, PROOF, f"?position={position}") for position in range(1, 21))
    )
    assert {each["event"]["position"] for each in told} == set(range(1, 21))


async def test_every_checkpoint_is_the_beginning_of_every_later_one(
    client: Client, auditor: Client
) -> None:
    kept: list[dict[str, Any]] = []
    for _ in range(3):
        await asyncio.gather(*(client.create() for _ in range(3)))
        kept.append(await answer(auditor, CHECKPOINT))
    for at, older in enumerate(kept):
        for newer in kept[at:]:
            query = f"?from={older['size']}&to={newer['size']}"
            told = await answer(auditor, CONSISTENCY, query)
            assert list(told) == ["object", "from", "hashes", "to"]
            assert document.is_consistent(
                older["size"],
                base64.b64decode(older["root_hash"]),
                newer["size"],
                base64.b64decode(newer["root_hash"]),
                decoded(told["hashes"]),
            )
    assert (await answer(auditor, CONSISTENCY, "?from=0&to=9"))["hashes"] == []


async def test_others_events_cannot_be_proved(
    client: Client, auditor: Client, database_url: str
) -> None:
    other = client.having(await store_key(database_url, "sk_test_other", account="acct_other"))
    live = client.having(await store_key(database_url, "sk_live_own"))
    for each in (client, other, live):
        assert (await each.create()).status == 200
    assert (await answer(auditor, PROOF, "?position=1"))["event"]["account"] == ACCOUNT
    nobodys, others = [await auditor.send("GET", f"{PROOF}?position={n}") for n in (99, 2)]
    assert (nobodys.status, others.status) == (404, 404)
    assert undocumented("GET", PROOF, others) == []
    assert nobodys.fault == {
        "code": "resource_missing",
        "message": "No such event: 'position:99'",
        "param": "position",
        "type": "invalid_request_error",
    }
    assert others.fault == {**nobodys.fault, "message": "No such event: 'position:2'"}
    in_live = await auditor.send("GET", f"{PROOF}?position=3")
    assert in_live.fault["message"] == (
        "No such event: 'position:3'; a similar object exists in live mode, but a test mode key "
        "was used to make this request."
    )


@pytest.mark.parametrize("path", [CHECKPOINT, f"{PROOF}?position=1", f"{CONSISTENCY}?from=0&to=0"])
async def test_a_key_needs_the_right_to_audit(client: Client, database_url: str, path: str) -> None:
    usual = await store_key(
        database_url, "sk_test_usual", rights=["customers:read", "customers:write", "events:read"]
    )
    refused = await client.having(usual).send("GET", path)
    assert (refused.status, refused.error["code"]) == (403, "more_permissions_required")
    assert "'audit' right" in refused.error["message"]
    assert (await client.having(None).send("GET", path)).status == 401


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        (f"{CHECKPOINT}?wat=1", "Received unknown parameter: wat"),
        (PROOF, "Missing required param: position."),
        (f"{PROOF}?position=0", "Invalid integer: 0; must be at least 1"),
        (f"{PROOF}?position=x", "Invalid integer: x"),
        (f"{PROOF}?position={2**63}", f"Invalid integer: {2**63}"),
        (CONSISTENCY, "Missing required param: from."),
        (f"{CONSISTENCY}?from=1", "Missing required param: to."),
        (f"{CONSISTENCY}?from=-1&to=1", "Invalid integer: -1; must be at least 0"),
        (f"{CONSISTENCY}?from=0&to=99", "Invalid integer: 99; must be at most 1"),
        (f"{CONSISTENCY}?from=2&to=1", "Invalid from: 2; it must not be after to, which is 1"),
    ],
)
async def test_a_bad_request_is_refused_by_name(
    client: Client, auditor: Client, path: str, fault: str
) -> None:
    await client.create()
    await answer(auditor, CHECKPOINT)
    refused = await auditor.send("GET", path)
    assert (refused.status, refused.error["message"]) == (400, fault)
    assert undocumented("GET", path.partition("?")[0], refused) == []


async def test_without_an_auditor_what_is_not_signed_is_not_there_yet(
    client: Client, database_url: str
) -> None:
    await store_key(database_url, AUDITORS_KEY, rights=["audit"])
    auditor = client.having(AUDITORS_KEY)
    await client.create()
    refused = await auditor.send("GET", f"{PROOF}?position=1")
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert (await auditor.send("GET", f"{CONSISTENCY}?from=0&to=0")).json["hashes"] == []


async def test_asking_for_proofs_writes_nothing(
    client: Client, auditor: Client, database: Database
) -> None:
    await client.create()
    await answer(auditor, CHECKPOINT)
    for _ in range(3):
        await answer(auditor, CHECKPOINT)
        await answer(auditor, PROOF, "?position=1")
    [row] = await database.fetch("SELECT count(*) FROM audit.signed_checkpoints WHERE size = 1")
    assert row[0] == 1
    assert (await client.send("GET", CUSTOMERS)).status == 200


async def test_a_checkpoint_is_there_even_of_an_empty_log(auditor: Client) -> None:
    async def is_there() -> bool:
        return (await auditor.send("GET", CHECKPOINT)).status == 200

    await eventually(is_there, "the empty log is signed")
    told = await answer(auditor, CHECKPOINT)
    assert opened(told["note"])[1:] == (0, document.root([]))
