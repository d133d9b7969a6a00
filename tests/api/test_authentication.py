from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable
from http import HTTPMethod
from pathlib import Path
from types import ModuleType

import pytest
from tests.support.gateways import (
    ACCOUNT,
    CUSTOMERS,
    KEY,
    Answer,
    Client,
    Gateway,
    connected,
    gateway_process,
    store_key,
)
from tests.support.waiting import LIMIT_S, eventually

from chaching.envelope import START
from chaching.eventstore import store
from chaching.eventstore.api_keys import (
    create_key,
    list_keys,
    revoke_key,
    roll_key,
)
from chaching.eventstore.database import Database
from chaching_api import authentication
from chaching_api.reads import retrieve

REVOKED_WITHIN_S = 5.0
ASKED_BEFORE = 3
RESTRICTED = "rk_test_restricted1234"
LIVE = "sk_live_1234567890"


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


async def asked_with(gateway: Gateway, authorization: str) -> Answer:
    return await gateway.client.having(None).send(
        HTTPMethod.POST, CUSTOMERS, "", headers={"Authorization": authorization}
    )


def refused(answer: Answer) -> dict[str, str]:
    assert answer.status == 401, answer
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert answer.headers["Stripe-Should-Retry"] == "false"
    error: dict[str, str] = answer.error
    assert (error["type"], error["code"]) == ("authentication_error", "authentication_error")
    return error


# --- Ways to present a key ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "authorization",
    [
        f"Bearer {KEY}",
        f"bearer {KEY}",
        f"BEARER   {KEY}  ",
        basic(f"{KEY}:"),
        basic(KEY),
        basic(f"{KEY}:any password"),
        basic(f"{KEY}:").replace("Basic", "basic"),
    ],
)
async def test_a_key_is_taken_as_bearer_and_as_basic(gateway: Gateway, authorization: str) -> None:
    assert (await asked_with(gateway, authorization)).status == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer",
        "Bearer  ",
        KEY,
        f"Digest {KEY}",
        f"Token {KEY}",
        "Basic",
        "Basic !!!",
        basic(":password"),
        "Basic " + base64.b64encode(b"\xff\xfe:").decode(),
    ],
)
async def test_without_a_key_it_is_said_how_to_send_one(
    gateway: Gateway, authorization: str
) -> None:
    error = refused(await asked_with(gateway, authorization))
    assert error["message"].startswith("You did not provide an API key.")
    assert KEY not in error["message"]


async def test_without_the_header_it_is_said_how_to_send_a_key(gateway: Gateway) -> None:
    error = refused(await gateway.client.having(None).create())
    assert error["message"].startswith("You did not provide an API key.")
    assert await gateway.store.head() == START


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("sk_test_wrong1234", "sk_test_*****1234"),
        ("sk_test_abcd", "sk_test_****"),
        ("sk_test_abcde", "sk_test_*bcde"),
        ("rk_live_0123456789", "rk_live_******6789"),
        ("pk_test_0123456789", "pk_test_******6789"),
        ("sk_live_", "sk_live_"),
        ("0123456789", "******6789"),
        ("abcd", "****"),
        (f"{KEY}x", "sk_test_**345x"),
        ("x" * 300, "*" * 251 + "xxxx"),
    ],
)
async def test_a_wrong_key_is_shown_masked(gateway: Gateway, key: str, shown: str) -> None:
    for authorization in (f"Bearer {key}", basic(f"{key}:")):
        error = refused(await asked_with(gateway, authorization))
        assert error["message"] == f"Invalid API Key provided: {shown}"
        assert "reason" not in error


async def test_a_key_is_stored_as_its_hash_only(gateway: Gateway, database: Database) -> None:
    await gateway.client.create()
    rows = await database.fetch("SELECT k::text FROM event_store.api_keys AS k")
    assert len(rows) == 1
    assert KEY not in rows[0][0]


# --- Keys that open nothing any more ------------------------------------------------------------


async def test_an_expired_key_is_refused(gateway: Gateway, database_url: str) -> None:
    key = await store_key(database_url, "sk_test_expired1234", expires_in_s=0)
    error = refused(await gateway.client.having(key).create())
    assert error["message"] == "Expired API Key provided: sk_test_*******1234"
    assert error["reason"] == "api_key_expired"


async def test_a_key_that_expires_later_opens_until_then(
    gateway: Gateway, database_url: str
) -> None:
    key = await store_key(database_url, "sk_test_expires1234", expires_in_s=600)
    assert (await gateway.client.having(key).create()).status == 200


async def test_a_publishable_key_is_refused(gateway: Gateway, database_url: str) -> None:
    key = await store_key(database_url, "pk_test_published1234")
    error = refused(await gateway.client.having(key).create())
    assert error["reason"] == "secret_key_required"
    assert "publishable" in error["message"]


async def test_a_publishable_key_is_refused_whatever_rights_it_has(
    gateway: Gateway, database_url: str
) -> None:
    key = await store_key(database_url, "pk_test_almighty1234", rights=["*"])
    assert refused(await gateway.client.having(key).create())["reason"] == "secret_key_required"


async def revoke_every_key(database_url: str) -> None:
    for key in await list_keys(database_url):
        await revoke_key(database_url, key.key_id)


async def test_a_revoked_key_stops_opening_when_its_trust_ends(
    gateway: Gateway, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert authentication.FRESH_S < authentication.TRUSTED_MAX_S < REVOKED_WITHIN_S
    assert (await gateway.client.create()).status == 200
    await revoke_every_key(database_url)
    monkeypatch.setattr(authentication, "TRUSTED_MAX_S", 0.0)
    error = refused(await gateway.client.create())
    assert error["message"] == "Invalid API Key provided: sk_test_*2345"


async def test_a_busy_key_is_looked_up_again_while_it_is_used(
    gateway: Gateway, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "FRESH_S", 0.0)
    monkeypatch.setattr(authentication, "TRUSTED_MAX_S", 3600.0)
    assert (await gateway.client.create()).status == 200
    await revoke_every_key(database_url)

    async def is_refused() -> bool:
        return (await gateway.client.create()).status == 401

    await eventually(is_refused, "the revoked key is refused")


async def test_a_key_that_was_asked_for_before_it_existed_opens_at_once(
    gateway: Gateway, database_url: str
) -> None:
    newcomer = gateway.client.having("sk_test_newcomer")
    for _ in range(ASKED_BEFORE):
        refused(await newcomer.create())
    await store_key(database_url, "sk_test_newcomer")
    assert (await newcomer.create()).status == 200


@pytest.mark.parametrize("end", ["revoked", "rolled"])
async def test_a_key_that_ends_while_it_is_in_use_is_refused_everywhere_within_five_seconds(
    database_url: str, tmp_path: Path, end: str
) -> None:
    issued = await create_key(database_url, account=ACCOUNT, mode="test", kind="secret")
    async with (
        gateway_process(database_url, tmp_path / "one.log") as one,
        gateway_process(database_url, tmp_path / "two.log") as two,
        connected(one.url, issued.key) as first,
        connected(two.url, issued.key) as second,
    ):
        clients = (first, second)
        for client in clients:
            assert (await client.create()).status == 200
        uses = [asyncio.create_task(_used_until_refused(client)) for client in clients]
        successor = issued.key
        if end == "rolled":
            successor = (await roll_key(database_url, issued.key_id)).key
        else:
            await revoke_key(database_url, issued.key_id)
        ended_s = time.monotonic()
        for refused_s, answer in await asyncio.gather(*uses):
            assert refused_s - ended_s <= REVOKED_WITHIN_S
            error = refused(answer)
            assert error.get("reason") == ("api_key_expired" if end == "rolled" else None)
        for client in clients:
            refused(await client.create())
            opens = await client.having(successor).create()
            assert opens.status == (200 if end == "rolled" else 401)


async def _used_until_refused(client: Client) -> tuple[float, Answer]:
    """Use a key without pause; return the instant at which it was refused, and how."""
    async with asyncio.timeout(LIMIT_S):
        while (answer := await client.retrieve("cus_nobody")).status == 404:
            pass
    return time.monotonic(), answer


# --- Rights -------------------------------------------------------------------------------------


async def test_a_restricted_key_opens_what_it_has_the_right_to(
    gateway: Gateway, database_url: str
) -> None:
    created = await gateway.client.create("id=cus_1")
    reader = gateway.client.having(
        await store_key(database_url, RESTRICTED, rights=["customers:read"])
    )
    assert (await reader.retrieve("cus_1")).body == created.body
    for answer in (
        await reader.create(),
        await reader.update("cus_1", "name=J"),
        await reader.delete("cus_1"),
    ):
        assert answer.status == 403
        assert answer.error["code"] == "more_permissions_required"
        assert answer.error["type"] == "invalid_request_error"
        assert "'customers:write'" in answer.error["message"]
    assert await gateway.store.head() == 1


async def test_a_key_that_may_write_may_read(gateway: Gateway, database_url: str) -> None:
    writer = gateway.client.having(
        await store_key(database_url, RESTRICTED, rights=["customers:write"])
    )
    assert (await writer.create("id=cus_1")).status == 200
    assert (await writer.retrieve("cus_1")).status == 200


async def test_a_key_without_any_right_opens_nothing_not_even_the_lack_of_a_customer(
    gateway: Gateway, database_url: str
) -> None:
    powerless = gateway.client.having(await store_key(database_url, RESTRICTED, rights=[]))
    assert (await powerless.retrieve("cus_nobody")).status == 403
    assert (await powerless.create("wat=1")).status == 403


# --- Modes and accounts -------------------------------------------------------------------------


async def the_other_mode_is_hinted_at(gateway: Gateway, database_url: str) -> None:
    test, live = gateway.client, gateway.client.having(await store_key(database_url, LIVE))
    in_test = (await test.create()).json["id"]
    in_live = (await live.create()).json["id"]
    head = await gateway.store.head()
    for asking, customer_id, there, here in (
        (live, in_test, "test", "live"),
        (test, in_live, "live", "test"),
    ):
        for answer in (
            await asking.retrieve(customer_id),
            await asking.update(customer_id, "name=J"),
            await asking.delete(customer_id),
        ):
            assert answer.status == 404
            assert answer.error["code"] == "resource_missing"
            assert answer.error["param"] == "id"
            assert answer.error["message"] == (
                f"No such customer: '{customer_id}'; a similar object exists in {there} mode, "
                f"but a {here} mode key was used to make this request."
            )
    assert await gateway.store.head() == head


async def test_an_object_of_the_other_mode_is_hinted_at(
    gateway: Gateway, database_url: str
) -> None:
    await the_other_mode_is_hinted_at(gateway, database_url)


async def another_account_sees_nothing(gateway: Gateway, database_url: str) -> None:
    strangers = [
        gateway.client.having(await store_key(database_url, "sk_test_stranger", account="acct_2")),
        gateway.client.having(await store_key(database_url, LIVE, account="acct_2")),
        gateway.client.having(
            await store_key(database_url, "sk_test_lookalike", account=ACCOUNT.upper())
        ),
    ]
    created = await gateway.client.create("id=cus_1&name=Jane&invoice_prefix=ACME")
    for stranger in strangers:
        for answer in (
            await stranger.retrieve("cus_1"),
            await stranger.update("cus_1", "name=Mine"),
            await stranger.delete("cus_1"),
        ):
            assert answer.status == 404
            assert answer.error["message"] == "No such customer: 'cus_1'"
        assert (await stranger.create("invoice_prefix=ACME&name=Theirs")).status == 200
    theirs = await strangers[0].create("id=cus_1&name=Theirs")
    assert (theirs.status, theirs.json["name"]) == (200, "Theirs")
    await strangers[0].delete("cus_1")
    assert (await gateway.client.retrieve("cus_1")).body == created.body


async def test_another_account_sees_nothing_and_is_told_nothing(
    gateway: Gateway, database_url: str
) -> None:
    await another_account_sees_nothing(gateway, database_url)


@pytest.mark.parametrize("module", [retrieve, store], ids=["retrieves", "commands"])
@pytest.mark.parametrize(
    ("condition", "check"),
    [
        ("e.account = wanted.account", another_account_sees_nothing),
        ("e.livemode = wanted.livemode", the_other_mode_is_hinted_at),
    ],
    ids=["account", "mode"],
)
async def test_a_look_up_that_leaves_out_account_or_mode_is_found_out(
    gateway: Gateway,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    condition: str,
    check: Callable[[Gateway, str], Awaitable[None]],
) -> None:
    name = "_RETRIEVE" if module is retrieve else "_LOAD_NEWEST"
    sql: str = vars(module)[name]
    assert sql.count(condition) == 1
    monkeypatch.setattr(module, name, sql.replace(condition, "true"))
    with pytest.raises(AssertionError):
        await check(gateway, database_url)
