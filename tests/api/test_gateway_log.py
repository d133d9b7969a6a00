"""One line for every request, and never a word about a person."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import aiohttp
from tests.support.gateways import (
    CUSTOMERS,
    KEY,
    Answer,
    connected,
    gateway_process,
    store_key,
)

from chaching.envelope import START
from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore

CANARY = "canary7391"
PERSONAL = {
    "name": CANARY,
    "email": f"{CANARY}@example.com",
    "phone": f"+1{CANARY}",
    "description": CANARY,
    "address": {"line1": CANARY, "city": CANARY, "country": "us", "postal_code": CANARY},
    "shipping": {"name": CANARY, "phone": CANARY, "address": {"line1": CANARY}},
    "metadata": {CANARY: CANARY},
    "tax": {"ip_address": "203.0.113.77"},
    "tax_id_data": [{"type": "eu_vat", "value": "DE739173917"}],
}


async def test_the_log_tells_of_every_request_and_of_no_person(
    database_url: str, database: Database, tmp_path: Path
) -> None:
    await store_key(database_url, KEY)
    answers: list[Answer] = []
    async with (
        gateway_process(database_url, tmp_path / "gateway.log") as running,
        connected(running.url) as client,
    ):
        created = await client.send(
            "POST", CUSTOMERS, json.dumps(PERSONAL), content_type="application/json"
        )
        assert created.status == 200, created
        url = f"{CUSTOMERS}/{created.json['id']}"
        answers += [
            created,
            await client.send("POST", url, f"metadata[{CANARY}2]={CANARY}&name={CANARY}2"),
            await client.send("GET", f"{url}?{CANARY}={CANARY}"),
            await client.send("GET", f"{CUSTOMERS}/{CANARY}@example.com"),
            await client.send("GET", f"/v1/{CANARY}?{CANARY}"),
            await client.send("POST", url, f"{CANARY}={CANARY}"),
            await client.send("POST", url, f"metadata[{CANARY}{'x' * 40}]={CANARY}"),
            await client.send("POST", url, f"address[{CANARY}]={CANARY}"),
            await client.send("POST", url, f"email={CANARY}"),
            await client.send("POST", url, f"{CANARY}=%zz"),
            await client.send("POST", url, CANARY, content_type=f"text/{CANARY}"),
            await client.send("POST", url, f'{{"{CANARY}":', content_type="application/json"),
            await client.send("POST", url, "", headers={"Stripe-Version": CANARY}),
            await client.send("POST", url, "", headers={"Idempotency-Key": CANARY}),
            await client.send("POST", url, "balance=1", headers={"Chaching-Reason": CANARY}),
            await client.send("POST", url, "", headers={"Chaching-Reason": CANARY * 99}),
            await client.send("GET", f"{url}?as_of={CANARY}"),
            await client.send("GET", f"{url}/history?starting_after={CANARY}"),
            await client.having(f"sk_test_{CANARY}").send("GET", url),
            await client.having(CANARY).send("GET", url),
        ]
        await client.raw(f"GET /{CANARY} HTTP/9\r\nX: {CANARY}\r\n\r\n".encode())
        await client.raw(f"{CANARY}\r\n\r\n".encode())
        await client.raw(f"GET / HTTP/1.1\r\nHost: a\r\nExpect: {CANARY}\r\n\r\n".encode())
        await database.execute("DROP TABLE read_model.customers")
        crashed = await client.send("GET", url)
        assert crashed.status == 500
        answers.append(crashed)
    text = running.log_text()
    for secret in (CANARY, "203.0.113.77", "DE739173917", "@", KEY, database_url):
        assert secret not in text
    lines = running.log_lines()
    assert all(re.fullmatch("[a-z]+(_[a-z]+)+", line["event"]) for line in lines)
    told = [line["request_id"] for line in lines if line["event"] == "request_handled"]
    for answer in answers:
        assert told.count(answer.headers["Request-Id"]) == 1
    assert sum(line["event"] == "request_unreadable" for line in lines) == 3


async def test_a_line_of_the_log_says_who_asked_what_and_how_it_went(
    database_url: str, tmp_path: Path
) -> None:
    await store_key(database_url, KEY)
    async with (
        gateway_process(database_url, tmp_path / "gateway.log") as running,
        connected(running.url) as client,
    ):
        created = await client.create("id=cus_1")
        refused = await client.update("cus_1", "address[planet]=x&shipping[phone]=1")
        rule = await client.update("cus_1", "shipping[phone]=1")
    lines = {line.get("request_id"): line for line in running.log_lines()}
    events = [line["event"] for line in running.log_lines()]
    assert events[0] == "gateway_started"
    assert events.count("gateway_stopped") == 1

    first = lines[created.headers["Request-Id"]]
    assert first.pop("elapsed_ms") > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", first.pop("timestamp"))
    assert first.pop("key_id").startswith("key_")
    assert first == {
        "level": "info",
        "event": "request_handled",
        "method": "POST",
        "route": "/v1/customers",
        "status": 200,
        "request_id": created.headers["Request-Id"],
        "account": "acct_local",
        "mode": "test",
    }
    second = lines[refused.headers["Request-Id"]]
    assert (second["status"], second["customer"]) == (400, "cus_1")
    assert (second["code"], second["reason"]) == ("invalid_request", "parameter_unknown")
    third = lines[rule.headers["Request-Id"]]
    assert (third["param"], third["reason"]) == ("shipping", "parameter_missing")


async def test_a_gateway_that_is_told_to_stop_answers_what_has_come(
    database_url: str, store: EventStore, tmp_path: Path
) -> None:
    await store_key(database_url, KEY)
    async with (
        gateway_process(database_url, tmp_path / "gateway.log") as running,
        connected(running.url) as client,
    ):

        async def create() -> str | None:
            try:
                answer = await client.create()
            except aiohttp.ClientConnectionError:
                return None
            assert answer.status == 200, answer
            customer_id: str = answer.json["id"]
            return customer_id

        async with asyncio.TaskGroup() as tasks:
            creates = [tasks.create_task(create()) for _ in range(200)]
            await asyncio.wait(creates, return_when=asyncio.FIRST_COMPLETED)
            tasks.create_task(running.end())
    answered = {task.result() for task in creates} - {None}
    stored = {event.key.id for event in await store.read_all(START, 1000)}
    assert answered
    assert answered <= stored
    assert running.exit_code == 0
