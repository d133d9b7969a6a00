"""Every failure comes in the contract's envelope and says nothing of what is inside."""

from __future__ import annotations

import gzip
from collections.abc import AsyncGenerator
from http import HTTPMethod
from pathlib import Path

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
from tests.support.keyrings import KEYRING
from tests.support.waiting import eventually

from chaching.domain.customer import UpdateCustomer
from chaching.domain.customer_object import render
from chaching.domain.ids import RequestId
from chaching.domain.values import Details
from chaching.envelope import START, Metadata, PendingEvent
from chaching.eventstore.database import Database
from chaching.eventstore.store import Appended, EventStore
from chaching.local.ports import LOOPBACK
from chaching_api import requests
from chaching_api.bodies import BODY_BYTES_MAX
from chaching_api.errors import failure_of
from chaching_api.execute import ATTEMPTS_MAX, Asked, Executor
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
        ("POST", "/v1/customers/search"),
        ("DELETE", "/v1/customers/search"),
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


async def test_a_long_unknown_url_is_shortened(stranded: Client) -> None:
    answer = await stranded.send("GET", f"/v1/{'x' * 1000}")
    assert malformed(answer, 404).startswith("Unrecognized request URL (GET: /v1/...xxxx). If ")


@pytest.mark.parametrize("path", ["/v1/customers/cus_1", "/v1/customers", "/healthz", "/readyz"])
async def test_head_is_404_and_has_no_body(stranded: Client, path: str) -> None:
    answer = await stranded.send("HEAD", path)
    assert (answer.status, answer.body) == (404, b"")
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "line", [b"OPTIONS * HTTP/1.1", b"CONNECT gateway:80 HTTP/1.1", b"CONNECT "]
)
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
        (
            b"--x--",
            "multipart/form-data; boundary=x",
            "Invalid content type: multipart/form-data; ",
        ),
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
        "doc_url": f"{gateway.client.url}/docs/errors#server_error",
        "message": "An error occurred on our side; it has been logged with this request's id.",
        "type": "api_error",
    }
    assert "Stripe-Should-Retry" not in answer.headers
    [crashed] = [line for line in logged if line["event"] == "request_crashed"]
    assert crashed["request_id"] == answer.headers["Request-Id"]


class Beaten(EventStore):
    """A store in which, from an update on, another command always comes first."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, KEYRING)
        self._rival = Executor(EventStore(database, KEYRING))
        self.beaten = 0

    async def append(self, pending: PendingEvent) -> Appended:
        if pending.expected_version:
            self.beaten += 1
            details = Details(description=f"rival {self.beaten}")
            command = UpdateCustomer(id=pending.key.id, at=1, details=details)
            metadata = Metadata(request_id=RequestId("req_1"))
            asked = Asked(key=pending.key, command=command, metadata=metadata, answer=render)
            await self._rival.execute(asked)
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


def test_an_error_that_nobody_foresaw_is_our_fault() -> None:
    failure = failure_of(RuntimeError(CANARY))
    assert failure.status == 500
    assert CANARY not in failure.message
