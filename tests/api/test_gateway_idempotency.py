"""Exactly one effect and one answer for each idempotency key, whatever happens in between."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping
from http import HTTPMethod
from pathlib import Path

import aiohttp
import msgspec
import pytest
from tests.support.gateways import (
    CUSTOMERS,
    KEY,
    Answer,
    Client,
    Gateway,
    connected,
    gateway_process,
    serving,
    store_key,
)
from tests.support.keyrings import KEYRING
from tests.support.running import running
from tests.support.waiting import eventually
from tests.support.withholding import wire_to

from chaching.envelope import START, PendingEvent
from chaching.eventstore.database import Database
from chaching.eventstore.store import Appended, EventStore

REQUESTS = 50
KILLED = "the-key-of-a-request-whose-gateway-is-killed"
LIVE_KEY = "sk_live_12345"
OTHER_ACCOUNTS_KEY = "sk_test_other"


async def post(
    client: Client, form: str, key: str, path: str = CUSTOMERS, **headers: str
) -> Answer:
    sent = {"Idempotency-Key": key, **headers}
    return await client.send(HTTPMethod.POST, path, form, headers=sent)


def is_replay(answer: Answer, first: Answer) -> bool:
    """Tell whether an answer is the first one again, under a request id of its own."""
    assert answer.headers["Request-Id"] != first.headers["Request-Id"]
    marks: Mapping[str, str] = {
        "Idempotent-Replayed": "true",
        "Original-Request": first.headers["Request-Id"],
    }
    return (answer.status, answer.body) == (200, first.body) and all(
        answer.headers.get(name) == value for name, value in marks.items()
    )


async def test_the_same_request_with_the_same_key_gets_the_first_answer_again(
    gateway: Gateway,
) -> None:
    client = gateway.client
    first = await post(client, "name=Jane&balance=5", "k1")
    assert first.status == 200
    assert "Idempotent-Replayed" not in first.headers
    assert "Original-Request" not in first.headers
    await client.update(first.json["id"], "name=June")
    for form in ("name=Jane&balance=5", "balance=5&name=Jane", "name=J%61ne&balance=5"):
        again = await post(client, form, "k1")
        assert is_replay(again, first)
        assert again.headers["Idempotency-Key"] == "k1"
    assert await gateway.store.head() == 2


async def test_form_and_json_of_the_same_content_are_the_same_request(gateway: Gateway) -> None:
    client = gateway.client
    first = await post(client, "name=Jane&metadata[a]=1&preferred_locales[]=fr", "k1")
    again = await client.send(
        HTTPMethod.POST,
        CUSTOMERS,
        json.dumps({"preferred_locales": ["fr"], "metadata": {"a": 1}, "name": "Jane"}),
        content_type="application/json",
        headers={"Idempotency-Key": "k1"},
    )
    assert is_replay(again, first)


async def test_an_update_is_replayed_after_the_customer_moved_on(gateway: Gateway) -> None:
    client = gateway.client
    customer_id = (await client.create("balance=0")).json["id"]
    url = f"{CUSTOMERS}/{customer_id}"
    first = await post(client, "balance=1", "k1", url)
    await client.update(customer_id, "balance=2")
    assert is_replay(await post(client, "balance=1", "k1", url), first)
    assert (await client.retrieve(customer_id)).json["balance"] == 2
    assert await gateway.store.head() == 3


async def test_an_update_that_changed_nothing_is_kept_under_its_key_too(
    gateway: Gateway,
) -> None:
    client = gateway.client
    customer_id = (await client.create("balance=1")).json["id"]
    url = f"{CUSTOMERS}/{customer_id}"
    first = await post(client, "balance=1", "k1", url)
    assert "updated" not in first.json
    await client.update(customer_id, "balance=2")
    assert is_replay(await post(client, "balance=1", "k1", url), first)
    mismatch = await post(client, "balance=3", "k1", url)
    assert mismatch.error["type"] == "idempotency_error"
    assert await gateway.store.head() == 2


async def test_what_now_forbids_a_request_does_not_hide_that_it_was_answered(
    gateway: Gateway,
) -> None:
    client = gateway.client
    created = await post(client, "id=cus_1&invoice_prefix=ACME", "k1")
    updated = await post(client, "name=Jane", "k2", f"{CUSTOMERS}/cus_1")
    assert is_replay(await post(client, "id=cus_1&invoice_prefix=ACME", "k1"), created)
    await client.delete("cus_1")
    assert is_replay(await post(client, "name=Jane", "k2", f"{CUSTOMERS}/cus_1"), updated)
    assert is_replay(await post(client, "id=cus_1&invoice_prefix=ACME", "k1"), created)
    assert (await client.retrieve("cus_1")).json["deleted"] is True


@pytest.mark.parametrize(
    ("form", "path"),
    [
        ("name=June", CUSTOMERS),
        ("name=Jane&name2=", CUSTOMERS),
        ("", CUSTOMERS),
        ("name=Jane&expand[]=tax", CUSTOMERS),
        ("name=Jane", f"{CUSTOMERS}/cus_1"),
        ("name=Jane", f"{CUSTOMERS}/cus_gone"),
        ("name=Jane", f"{CUSTOMERS}/cus_2"),
    ],
)
async def test_another_request_with_a_used_key_is_refused_and_changes_nothing(
    gateway: Gateway, form: str, path: str
) -> None:
    client = gateway.client
    await client.create("id=cus_1")
    await client.create("id=cus_gone")
    await client.delete("cus_gone")
    await post(client, "name=Jane", "k1")
    head = await gateway.store.head()
    answer = await post(client, form, "k1", path)
    assert answer.status == 400
    if "name2" not in form:  # an unknown parameter is told before any key is looked at
        assert answer.error["type"] == "idempotency_error"
        assert "'k1'" in answer.error["message"]
        assert answer.headers["Stripe-Should-Retry"] == "false"
    assert await gateway.store.head() == head


async def test_refusals_are_not_stored(gateway: Gateway) -> None:
    client = gateway.client
    await client.create("id=cus_1&invoice_prefix=ACME")
    refusals = [
        await post(client, "email=no", "k1"),
        await post(client, "name=Jane", "k1", f"{CUSTOMERS}/cus_none"),
        await post(client, "id=cus_1", "k1"),
        await post(client, "invoice_prefix=ACME", "k1"),
        await post(client.having("sk_test_wrong"), "name=Jane", "k1"),
        await post(client, "nope=1", "k1"),
    ]
    assert [refusal.status for refusal in refusals] == [400, 404, 400, 400, 401, 400]
    first = await post(client, "name=Jane", "k1")
    assert first.status == 200
    assert "Idempotent-Replayed" not in first.headers


async def test_accounts_and_modes_do_not_share_keys(gateway: Gateway, database_url: str) -> None:
    await store_key(database_url, LIVE_KEY)
    await store_key(database_url, OTHER_ACCOUNTS_KEY, account="acct_other")
    client = gateway.client
    first = await post(client, "name=Jane", "k1")
    for key in (LIVE_KEY, OTHER_ACCOUNTS_KEY):
        other = await post(client.having(key), "name=June", "k1")
        assert other.status == 200
        assert other.json["id"] != first.json["id"]
    assert await gateway.store.head() == 3


async def test_delete_and_get_take_no_key(gateway: Gateway) -> None:
    client = gateway.client
    await client.create("id=cus_1")
    url = f"{CUSTOMERS}/cus_1"
    headers = {"Idempotency-Key": "k1"}
    first = await client.send(HTTPMethod.DELETE, url, headers=headers)
    again = await client.send(HTTPMethod.DELETE, url, headers=headers)
    assert (first.status, again.status) == (200, 404)
    read = await client.send(HTTPMethod.GET, url, headers=headers)
    assert read.json["deleted"] is True
    assert (await post(client, "name=Jane", "k1")).status == 200


async def test_a_request_without_a_key_is_done_each_time(gateway: Gateway) -> None:
    first, second = await gateway.client.create("name=J"), await gateway.client.create("name=J")
    assert first.json["id"] != second.json["id"]


async def test_what_was_expanded_is_replayed_as_it_was(gateway: Gateway) -> None:
    client = gateway.client
    form = "source=tok_visa&expand[]=default_source"
    first = await post(client, form, "k1")
    assert first.json["default_source"]["object"] == "card"
    assert is_replay(await post(client, form, "k1"), first)


async def many_at_once_have_one_effect_and_one_answer(
    clients: list[Client], store: EventStore
) -> None:
    turns = itertools.cycle(clients)
    creates = await asyncio.gather(*(post(next(turns), "name=Jane", "k1") for _ in range(REQUESTS)))
    path = f"{CUSTOMERS}/{creates[0].json['id']}"
    updates = await asyncio.gather(
        *(post(next(turns), "balance=1", "k2", path) for _ in range(REQUESTS))
    )
    for answers in (creates, updates):
        firsts = [answer for answer in answers if "Idempotent-Replayed" not in answer.headers]
        assert [answer.status for answer in firsts] == [200]
        assert all(is_replay(answer, firsts[0]) for answer in answers if answer is not firsts[0])
    events = await store.read_all(START)
    assert [event.type for event in events] == ["CustomerCreated", "CustomerUpdated"]


async def test_many_at_once_on_two_gateways_have_one_effect_and_one_answer(
    database_url: str, store: EventStore, tmp_path: Path
) -> None:
    await store_key(database_url, KEY)
    async with (
        gateway_process(database_url, tmp_path / "1.log") as first,
        gateway_process(database_url, tmp_path / "2.log") as second,
        connected(first.url) as client,
        connected(second.url) as other,
    ):
        await many_at_once_have_one_effect_and_one_answer([client, other], store)


class ForgetfulStore(EventStore):
    """Stores events and forgets what they were answered with."""

    async def append(self, pending: PendingEvent) -> Appended:
        return await super().append(msgspec.structs.replace(pending, kept=None))


async def test_an_event_that_is_stored_without_its_answer_is_found_out(
    database_url: str, database: Database
) -> None:
    await store_key(database_url, KEY)
    store = ForgetfulStore(database, KEYRING)
    async with serving(database, store) as client:
        with pytest.raises(AssertionError):
            await many_at_once_have_one_effect_and_one_answer([client], store)


@pytest.mark.parametrize("request_form", ["name=Jane", "balance=7"], ids=["create", "update"])
async def test_a_gateway_killed_between_commit_and_answer_leaves_the_answer_for_the_retry(
    database_url: str, database: Database, store: EventStore, tmp_path: Path, request_form: str
) -> None:
    await store_key(database_url, KEY)
    async with (
        gateway_process(database_url, tmp_path / "after.log") as survivor,
        connected(survivor.url) as client,
    ):
        await client.create("id=cus_1")
        path = CUSTOMERS if request_form == "name=Jane" else f"{CUSTOMERS}/cus_1"
        await kill_after_commit(database_url, database, tmp_path, request_form, path)
        assert await store.head() == 2
        again = await post(client, request_form, KILLED, path)
        assert again.status == 200
        assert again.headers["Idempotent-Replayed"] == "true"
        found = await client.retrieve(again.json["id"])
        assert found.body == again.body
    assert await store.head() == 2


async def kill_after_commit(
    database_url: str, database: Database, folder: Path, form: str, path: str
) -> None:
    """Have a request committed whose gateway dies before it learns so."""
    async with (
        wire_to(database_url) as (wire, url),
        gateway_process(url, folder / "before.log") as gateway,
        connected(gateway.url) as client,
    ):
        await client.retrieve("cus_1")  # the key is known and sessions are open

        async def is_committed() -> bool:
            return bool(await database.fetch("SELECT FROM event_store.idempotency_keys"))

        async def never_answered() -> None:
            with pytest.raises(aiohttp.ClientError):
                await post(client, form, KILLED, path)

        wire.withhold_after(KILLED.encode())
        async with running(never_answered()) as request:
            await eventually(is_committed, "the request is committed")
            await gateway.kill()
            await asyncio.wait({request})
