"""Every failure comes in the contract's envelope and says nothing of what is inside."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import time
from collections.abc import AsyncGenerator, Generator
from http import HTTPMethod
from pathlib import Path

import aiohttp
import pytest
import structlog.testing
from tests.support.gateways import (
    CUSTOMERS,
    KEY,
    Answer,
    Client,
    Gateway,
    connected,
    gateway_on,
    gateway_process,
    read_answer,
    serving,
    store_key,
)
from tests.support.waiting import eventually

from chaching.domain.customer import UpdateCustomer
from chaching.domain.ids import RequestId
from chaching.domain.values import Details
from chaching.envelope import START, Metadata, PendingEvent
from chaching.eventstore.database import Database
from chaching.eventstore.store import Appended, EventStore
from chaching.local.ports import LOOPBACK
from chaching.local.postgres import PrivatePostgres
from chaching.schema.migrations import migrate
from chaching_api import requests
from chaching_api.bodies import BODY_BYTES_MAX
from chaching_api.errors import failure_of
from chaching_api.execute import ATTEMPTS_MAX, Executor
from chaching_api.fresh import new_id
from chaching_api.server import LINE_BYTES_MAX

OUTAGE_LIMIT_S = 20.0
APPEND_DEADLINE_S = 1.0
CANARY = "canary7391"
NOWHERE = f"postgresql://nobody@{LOOPBACK}:1/none"
HEAD = f"Host: gateway\r\nAuthorization: Bearer {KEY}\r\n".encode()
FORM_HEAD = HEAD + b"Content-Type: application/x-www-form-urlencoded\r\n"
POST = b"POST /v1/customers HTTP/1.1\r\n"
GET = b"GET /v1/customers/cus_1 HTTP/1.1\r\n"


@pytest.fixture
async def stranded() -> AsyncGenerator[Client]:
    """A client without a key of a gateway whose database nobody serves: it must not be asked."""
    async with gateway_on(NOWHERE, append_deadline_s=APPEND_DEADLINE_S) as gateway:
        yield gateway.client.having(None)


def malformed(answer: Answer, status: int = 400) -> str:
    assert answer.status == status, answer
    assert answer.error["type"] == "invalid_request_error"
    assert answer.error["code"] == "invalid_request"
    assert answer.headers["Stripe-Should-Retry"] == "false"
    message: str = answer.error["message"]
    return message


# --- Unknown URLs and verbs ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/nothing"),
        ("GET", "/"),
        ("GET", "/v1/customers/"),
        ("GET", "/v1/customers/cus_1/nothing"),
        ("GET", "//v1/customers/cus_1"),
        ("PUT", "/v1/customers"),
        ("DELETE", "/v1/customers"),
        ("PATCH", "/v1/customers/cus_1"),
        ("PUT", "/v1/customers/cus_1"),
        ("OPTIONS", "/v1/customers"),
        ("OPTIONS", "/v1/customers/cus_1"),
        ("TRACE", "/v1/customers/cus_1"),
        ("PROPFIND", "/v1/customers/cus_1"),
        ("POST", "/healthz"),
    ],
)
async def test_an_unknown_url_or_verb_is_404(stranded: Client, method: str, path: str) -> None:
    answer = await stranded.send(method, path)
    assert malformed(answer, 404) == (
        f"Unrecognized request URL ({method}: {path}). If you are trying to list objects, remove "
        "the trailing slash. If you are trying to retrieve an object, make sure you passed a "
        "valid (non-empty) identifier."
    )
    assert answer.error["reason"] == "url_unknown"


@pytest.mark.parametrize("path", ["/v1/customers/cus_1", "/v1/customers", "/healthz", "/readyz"])
async def test_head_is_404_and_has_no_body(stranded: Client, path: str) -> None:
    answer = await stranded.send("HEAD", path)
    assert (answer.status, answer.body) == (404, b"")
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("line", [b"OPTIONS * HTTP/1.1", b"CONNECT gateway:80 HTTP/1.1"])
async def test_what_names_no_path_is_404(stranded: Client, line: bytes) -> None:
    answer = await stranded.raw(line + b"\r\n" + HEAD + b"\r\n")
    assert malformed(answer, 404).startswith("Unrecognized request URL (")


# --- What is no HTTP ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  /  HTTP/1.1\r\n\r\n",
        b"GET /v1/customers/\xff HTTP/1.1\r\n" + HEAD + b"\r\n",
        GET + HEAD + b"no colon\r\n\r\n",
        GET + HEAD + b"Host: another\r\n\r\n",
        GET + HEAD + b"X-Nul: a\0b\r\n\r\n",
        POST + HEAD + b"Content-Length: abc\r\n\r\n",
        POST + HEAD + b"Content-Length: -1\r\n\r\n",
        POST + HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        POST + HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + FORM_HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nname\r\n0\r\n\r\n",
        POST + FORM_HEAD + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde",
        POST + FORM_HEAD + b"Content-Encoding: br\r\nContent-Length: 5\r\n\r\nabcde",
        GET + HEAD + b"X-Long: " + b"a" * (LINE_BYTES_MAX + 1) + b"\r\n\r\n",
        GET + HEAD + b"X" * (LINE_BYTES_MAX + 1) + b": a\r\n\r\n",
        b"GET /" + b"a" * (LINE_BYTES_MAX + 1) + b" HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"GET /?" + b"a" * (LINE_BYTES_MAX + 1) + b" HTTP/1.1\r\n" + HEAD + b"\r\n",
        GET + HEAD + b"Expect: something else\r\n\r\n",
    ],
    ids=lambda garbage: str(garbage[-24:]),
)
async def test_what_is_no_sound_http_is_400(stranded: Client, garbage: bytes) -> None:
    message = malformed(await stranded.raw(garbage))
    assert message.startswith("The request")
    assert "something else" not in message


async def test_the_connection_is_closed_after_what_is_no_http(stranded: Client) -> None:
    async with stranded.connection() as (reader, writer):
        writer.write(b"garbage\r\n\r\n" + GET + HEAD + b"\r\n")
        assert (await read_answer(reader)).status == 400
        assert await reader.read() == b""


@pytest.mark.parametrize("name", [b"Authorization", b"Content-Type", b"Idempotency-Key"])
async def test_a_header_that_is_no_text_is_refused_like_any_wrong_one(
    gateway: Gateway, name: bytes
) -> None:
    request = b"POST /v1/customers HTTP/1.1\r\nHost: gateway\r\nContent-Length: 6\r\n"
    for value in (
        b"\xff\xfe",
        b"Bearer \xff\xfe\xff\xfe\xff\xfe",
        b"Basic \xff\xfe",
        b"Basic /w==",
    ):
        answer = await gateway.client.raw(request + name + b": " + value + b"\r\n\r\nname=J")
        assert answer.status in {400, 401}, (value, answer)
        assert answer.error["message"]
    assert await gateway.store.head() == START


# --- Bodies -------------------------------------------------------------------------------------

LARGE = b"name=" + b"a" * BODY_BYTES_MAX


@pytest.mark.parametrize(
    "large",
    [
        b"Content-Length: %d\r\n\r\n" % len(LARGE) + LARGE,
        b"Content-Length: 2000000000\r\n\r\nname=a",
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(LARGE), LARGE),
        b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
        % (len(gzip.compress(LARGE * 40)), gzip.compress(LARGE * 40)),
    ],
    ids=["sent", "announced", "chunked", "packed"],
)
async def test_a_body_over_one_mebibyte_is_413(stranded: Client, large: bytes) -> None:
    answer = await stranded.raw(POST + FORM_HEAD + large)
    assert malformed(answer, 413) == "The request's body is larger than 1 MiB."


async def test_a_body_of_one_mebibyte_is_read(stranded: Client) -> None:
    answer = await stranded.send(HTTPMethod.POST, CUSTOMERS, LARGE[:BODY_BYTES_MAX])
    assert answer.status == 401


async def test_a_body_that_does_not_arrive_is_not_waited_for(
    stranded: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert requests.BODY_TIMEOUT_S <= 30
    monkeypatch.setattr(requests, "BODY_TIMEOUT_S", 0.05)
    answer = await stranded.raw(POST + FORM_HEAD + b"Content-Length: 20\r\n\r\nname=a")
    assert malformed(answer).startswith("The body did not arrive within")


async def test_a_caller_that_goes_away_within_its_body_is_no_fault_of_ours(tmp_path: Path) -> None:
    async def is_given_up() -> bool:
        return any(line.get("status") == 400 for line in running.log_lines())

    async with (
        gateway_process(NOWHERE, tmp_path / "gateway.log") as running,
        connected(running.url) as client,
    ):
        async with client.connection() as (reader, writer):
            writer.write(POST + FORM_HEAD + b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n")
            assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
            writer.write(b"name=a")
        await eventually(is_given_up, "the request is given up")
    assert "crashed" not in running.log_text()


@pytest.mark.parametrize(
    ("body", "content_type", "told"),
    [
        (b"name=%zz", None, "Invalid percent-encoding in parameter: name"),
        (b"name=%", None, "Invalid percent-encoding in parameter: name"),
        (b"name=a%00b", None, "Invalid character in parameter: name; NUL is not allowed"),
        (b"name=a\0b", None, "Invalid character in parameter: name; NUL is not allowed"),
        (b"name=%ff", None, "Invalid UTF-8 in parameter: name"),
        (b"name=\xff", None, "Invalid UTF-8 in parameter: name"),
        (b"a[b=1", None, "Invalid parameter name: a[b"),
        (b"name=a&name=b", None, "Received parameter more than once: name"),
        (b"a=1&a[b]=2", None, "Received parameter more than once: a"),
        (b"a[b][c][d][e][f]=1", None, "Invalid parameter: a[b][c][d][e][f]; must be at most 5"),
        (b"&".join(b"a%d=" % n for n in range(1001)), None, "Received too many parameters"),
        (b'{"name": "a\\u0000b"}', "application/json", "Invalid character in parameter: name"),
        (b'{"name": "\\ud800"}', "application/json", "Invalid Unicode in parameter: name"),
        (b'{"name": 1,}', "application/json", "Invalid JSON"),
        (b"[" * 100_000, "application/json", "Invalid JSON"),
        (b"[]", "application/json", "Invalid JSON: the request body must be an object."),
        (b"\xff", "application/json", "Invalid JSON"),
        (b"name=J", "text/plain", "Invalid content type: text/plain; must be "),
        (b"--x--", "multipart/form-data; boundary=x", "Invalid content type: mult...ry=x"),
    ],
    ids=str,
)
async def test_a_body_that_breaks_the_form_is_400_before_the_key_is_asked_for(
    stranded: Client, body: bytes, content_type: str | None, told: str
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await stranded.send(HTTPMethod.POST, CUSTOMERS, body, headers=headers)
    assert malformed(answer).startswith(told)


@pytest.mark.parametrize(
    "path", ["%00", "%zz", "%ff%fe", "a%2Fb", "a b", "a" * 256, "%F0%9F%8E%89"]
)
async def test_what_cannot_be_an_id_is_nobodys(gateway: Gateway, path: str) -> None:
    for method in (HTTPMethod.GET, HTTPMethod.DELETE, HTTPMethod.POST):
        line = f"{method} {CUSTOMERS}/{path.replace(' ', '%20')} HTTP/1.1\r\n".encode()
        answer = await gateway.client.raw(line + HEAD + b"\r\n")
        assert answer.status == 404
        assert answer.error["code"] == "resource_missing"
        assert answer.error["message"].startswith("No such customer: '")
    assert await gateway.store.head() == START


# --- The store says no --------------------------------------------------------------------------


async def test_our_own_fault_is_500_and_tells_nothing(gateway: Gateway) -> None:
    await gateway.database.execute("DROP TABLE read_model.customers")
    with structlog.testing.capture_logs() as logged:
        answer = await gateway.client.retrieve("cus_1")
    assert answer.status == 500
    assert answer.error == {
        "code": "server_error",
        "message": "An error occurred on our side; it has been logged with this request's id.",
        "type": "api_error",
    }
    assert "Stripe-Should-Retry" not in answer.headers
    [crashed] = [line for line in logged if line["event"] == "request_crashed"]
    assert crashed["request_id"] == answer.headers["Request-Id"]


class Beaten(EventStore):
    """A store in which, from an update on, another command always comes first."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._rival = Executor(EventStore(database))
        self.beaten = 0

    async def append(self, pending: PendingEvent) -> Appended:
        if pending.expected_version:
            self.beaten += 1
            details = Details(description=f"rival {self.beaten}")
            command = UpdateCustomer(id=pending.key.id, at=1, details=details)
            metadata = Metadata(request_id=RequestId("req_1"))
            await self._rival.execute(pending.key, command, metadata)
        return await super().append(pending)


async def test_a_command_that_loses_every_race_is_409_and_changes_nothing(
    database_url: str, database: Database, store: EventStore
) -> None:
    await store_key(database_url, KEY)
    beaten = Beaten(database)
    async with serving(database, beaten) as client:
        customer_id = (await client.create("balance=0")).json["id"]
        answer = await client.update(customer_id, "balance=1")
        after = await client.retrieve(customer_id)
    assert answer.status == 409
    assert answer.error["reason"] == "lock_timeout"
    assert answer.headers["Stripe-Should-Retry"] == "true"
    assert beaten.beaten == ATTEMPTS_MAX
    assert (after.json["description"], after.json["balance"]) == (f"rival {ATTEMPTS_MAX}", 0)
    assert await store.head() == 1 + ATTEMPTS_MAX


async def test_an_overloaded_store_sheds_load(gateway: Gateway) -> None:
    appends = gateway.store._appends  # pyright: ignore[reportPrivateUsage] - 10,000 must not wait
    appends._waiting_max = 0  # pyright: ignore[reportPrivateUsage]
    answer = await gateway.client.create()
    assert answer.status == 503
    assert answer.headers["Stripe-Should-Retry"] == "false"
    assert int(answer.headers["Retry-After"]) > 0


# --- PostgreSQL away ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Generator[PrivatePostgres]:
    """A server of this module's own, to be killed, paused and started again."""
    server = PrivatePostgres(tmp_path_factory.mktemp("away") / "postgresql")
    asyncio.run(server.start())
    asyncio.run(migrate(server.admin_url))
    asyncio.run(store_key(server.admin_url, KEY))
    yield server
    asyncio.run(server.stop())
    server.remove()


def unavailable(answer: Answer) -> None:
    assert answer.status == 503, answer
    assert answer.error["type"] == "api_error"
    assert answer.error["code"] == "server_error"
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Stripe-Should-Retry"] == "true"
    for secret in ("postgres", "SQL", "asyncpg", LOOPBACK, "Error"):
        assert secret not in answer.error["message"]


async def all_unavailable(client: Client, customer_id: str) -> None:
    """Ask for everything at once; all of it must be refused within the limit."""
    started_s = time.monotonic()
    answers = await asyncio.gather(
        client.create("name=Lost"),
        client.create("name=Lost too"),
        client.update(customer_id, "name=Lost"),
        client.retrieve(customer_id),
        client.delete(customer_id),
        client.having("sk_test_never_seen_before").retrieve(customer_id),
        client.send(HTTPMethod.GET, "/readyz"),
    )
    assert time.monotonic() - started_s < OUTAGE_LIMIT_S
    for answer in answers:
        unavailable(answer)
    assert (await client.send(HTTPMethod.GET, "/healthz")).status == 200


async def recovers(client: Client, customer_id: str) -> None:
    async def answers() -> bool:
        return (await client.update(customer_id, f"metadata[{new_id('')}]=v")).status == 200

    await eventually(answers, "the gateway writes again")
    assert (await client.send(HTTPMethod.GET, "/readyz")).status == 200


async def test_while_postgresql_is_killed_the_answer_is_503_then_all_goes_on(
    own_server: PrivatePostgres,
) -> None:
    async with gateway_on(own_server.admin_url) as gateway:
        client = gateway.client
        kept = await client.create("name=Kept")
        assert kept.status == 200
        await own_server.kill()
        try:
            await all_unavailable(client, kept.json["id"])
        finally:
            await own_server.start()
        assert (await client.retrieve(kept.json["id"])).body == kept.body
        await recovers(client, kept.json["id"])


async def test_while_postgresql_is_silent_the_answer_is_503_then_all_goes_on(
    own_server: PrivatePostgres,
) -> None:
    async with gateway_on(own_server.admin_url, append_deadline_s=APPEND_DEADLINE_S) as gateway:
        client = gateway.client
        kept = await client.create("name=Kept")
        assert kept.status == 200
        own_server.pause()
        try:
            await all_unavailable(client, kept.json["id"])
        finally:
            own_server.resume()
        await recovers(client, kept.json["id"])


# --- What is logged -----------------------------------------------------------------------------

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
            await client.having(f"sk_test_{CANARY}").send("GET", url),
            await client.having(CANARY).send("GET", url),
        ]
        await client.raw(f"GET /{CANARY} HTTP/9\r\nX: {CANARY}\r\n\r\n".encode())
        await client.raw(f"{CANARY}\r\n\r\n".encode())
        await client.raw(GET + HEAD + f"Expect: {CANARY}\r\n\r\n".encode())
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
    assert (events[0], events[-1]) == ("gateway_started", "gateway_stopped")

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


def test_an_error_that_nobody_foresaw_is_our_fault() -> None:
    failure = failure_of(RuntimeError(CANARY))
    assert failure.status == 500
    assert CANARY not in failure.message
