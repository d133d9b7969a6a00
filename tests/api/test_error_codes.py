"""Every error leads to its explanation, and every code and reason has one."""

from __future__ import annotations

import ast
from collections.abc import AsyncGenerator, Iterator
from html import unescape
from pathlib import Path
from typing import Final, get_args

import pytest
from aiohttp import web
from tests.support.gateways import KEY, Client, Gateway, connected, store_key

import chaching
import chaching_api
from chaching.domain.customer import CustomerExists, NoSuchCustomer
from chaching.eventstore.database import Database
from chaching.eventstore.errors import Unavailable
from chaching.eventstore.store import EventStore
from chaching.local.ports import LOOPBACK
from chaching_api.app import Dependencies, create_app
from chaching_api.documentation.error_codes import CODES, REASONS, STATUSES
from chaching_api.documentation.error_page import REASON_ANCHOR, error_page
from chaching_api.errors import (
    BodyTooLarge,
    ErrorCode,
    ErrorType,
    IdempotencyMismatch,
    LostRace,
    Malformed,
    NoSuchCursor,
    NotAllowed,
    NotAuthenticated,
    RateLimited,
    UnknownUrl,
    failure_of,
)
from chaching_api.server import EnvelopeRunner

PUBLIC_URL: Final = "https://api.example.com/billing"
NOTHING: Final = "GET /v1/nothing HTTP/1.1\r\nHost: {host}\r\n\r\n"
SOURCES: Final = [
    path
    for package in (chaching, chaching_api)
    for place in package.__path__
    for path in Path(place).rglob("*.py")
    if path.parent.name != "subscriber"  # whose reasons are told to other services' operators
]


def reasons_in(source: str) -> Iterator[str]:
    """Yield the texts that are given or assigned as ``reason`` or that limit a caller."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.keyword(arg="reason" | "limit", value=value):
                pass
            case ast.Assign(targets=[ast.Name(id="reason")], value=value):
                pass
            case _:
                continue
        for inner in ast.walk(value):
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                yield inner.value


def test_every_code_is_explained_and_no_other() -> None:
    assert set(CODES) == set(get_args(ErrorCode))


def test_every_type_belongs_to_a_code() -> None:
    types = {name for entry in CODES.values() for name in entry.types}
    assert types == set(get_args(ErrorType))


def test_every_reason_in_the_code_is_explained() -> None:
    used = {reason for path in SOURCES for reason in reasons_in(path.read_text())}
    assert {"parameter_unknown", "url_unknown", "lock_timeout", "api_key_expired"} <= used
    assert used <= set(REASONS)


def test_a_reason_without_an_explanation_is_found_out() -> None:
    source = "raise Malformed('x', reason='a')\nreason = 'b' if c else None"
    assert sorted(reasons_in(source)) == ["a", "b"]


def test_every_reason_stands_with_a_code() -> None:
    assert {reason for entry in CODES.values() for reason in entry.reasons} == set(REASONS)


@pytest.mark.parametrize(
    "error",
    [
        Malformed("m"),
        BodyTooLarge(),
        NotAuthenticated("m"),
        NotAllowed("m"),
        UnknownUrl("GET", "/"),
        IdempotencyMismatch("key"),
        NoSuchCursor("m"),
        RateLimited("m", limit="global-rate", retry_after_s=1),
        NoSuchCustomer("cus_1"),
        CustomerExists(),
        LostRace(),
        Unavailable(),
        RuntimeError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_table_tells_the_status_and_the_type_of_a_failure(error: Exception) -> None:
    failure = failure_of(error)
    entry = CODES[failure.code]
    assert failure.status in entry.statuses
    assert failure.type in entry.types
    assert failure.status in STATUSES
    assert failure.reason is None or failure.reason in entry.reasons


def test_the_page_has_an_anchor_for_each_code_and_each_reason() -> None:
    text = error_page().decode()
    for code, entry in CODES.items():
        assert text.count(f'id="{code}"') == 1
        assert entry.meaning in unescape(text)
    for reason, meaning in REASONS.items():
        assert text.count(f'id="{REASON_ANCHOR}{reason}"') == 1
        assert meaning in unescape(text)


# --- doc_url --------------------------------------------------------------------------------------


async def test_an_error_leads_to_its_explanation_at_the_address_that_was_asked(
    client: Client,
) -> None:
    error = (await client.retrieve("cus_1")).error
    assert error["doc_url"] == f"{client.url}/docs/errors#resource_missing"
    assert list(error) == ["code", "doc_url", "message", "param", "type"]
    page = await client.send("GET", error["doc_url"].removeprefix(client.url))
    assert (page.status, b'id="resource_missing"' in page.body) == (200, True)


@pytest.mark.parametrize("host", ["api.example.com", "localhost:8000", "[::1]:8000", "10.0.0.1"])
async def test_a_plausible_host_is_where_the_explanation_is(client: Client, host: str) -> None:
    error = (await client.raw(NOTHING.format(host=host).encode())).error
    assert error["doc_url"] == f"http://{host}/docs/errors#invalid_request"


@pytest.mark.parametrize(
    "host",
    ["a b", "a/b", "a@b", "a?b", "a#b", "<script>", "a:b", "a:1:2", "-a", "a.", "a" * 300, "[", ""],
)
async def test_a_host_that_is_none_is_not_echoed(client: Client, host: str) -> None:
    answer = await client.raw(NOTHING.format(host=host).encode())
    assert answer.status in {400, 404}
    assert "doc_url" not in answer.error


async def test_a_request_that_names_no_host_is_told_no_address(client: Client) -> None:
    answer = await client.raw(b"GET /v1/nothing HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert answer.status in {400, 404}
    assert "doc_url" not in answer.error


@pytest.fixture
async def public(gateway: Gateway, database: Database, store: EventStore) -> AsyncGenerator[Client]:
    """A client of a gateway that was told where callers reach it."""
    del gateway  # whose fixture stores the key
    runner = EnvelopeRunner(
        create_app(
            Dependencies(database=database, searches=database, store=store, public_url=PUBLIC_URL)
        )
    )
    try:
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, 0).start()
        async with connected(f"http://{LOOPBACK}:{runner.addresses[0][1]}", KEY) as client:
            yield client
    finally:
        await runner.cleanup()


async def test_the_setting_goes_before_what_a_caller_names(public: Client) -> None:
    answer = await public.raw(NOTHING.format(host="evil.example.org").encode())
    assert answer.error["doc_url"] == f"{PUBLIC_URL}/docs/errors#invalid_request"


@pytest.mark.parametrize("request_line", [b"nonsense\r\n\r\n", b"OPTIONS * HTTP/1.1\r\n\r\n"])
async def test_what_no_endpoint_saw_leads_there_too(public: Client, request_line: bytes) -> None:
    answer = await public.raw(request_line)
    assert answer.error["doc_url"] == f"{PUBLIC_URL}/docs/errors#invalid_request"


async def test_what_no_endpoint_saw_is_told_no_address_that_nobody_set(client: Client) -> None:
    answer = await client.raw(b"nonsense\r\n\r\n")
    assert "doc_url" not in answer.error


async def test_a_success_says_nothing_of_errors(client: Client) -> None:
    assert b"docs/errors" not in (await client.create("name=Jane")).body


async def test_a_key_without_the_right_is_told_which(client: Client, database_url: str) -> None:
    key = await store_key(database_url, "rk_test_reader", rights=("customers:read",))
    error = (await client.having(key).create()).error
    assert error["doc_url"].endswith("/docs/errors#more_permissions_required")
    assert "customers:write" in error["message"]
