"""Rate limits as callers meet them: a gateway process with settings, as operators run it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPMethod
from pathlib import Path
from typing import Any

import pytest
import stripe
from tests.support.gateways import KEY, Answer, Client, connected, gateway_process, store_key
from tests.support.keyrings import MASTER_KEY
from tests.support.waiting import eventually

from chaching.envelope import START
from chaching.eventstore.store import EventStore
from chaching.runtime.config import GatewayConfig
from chaching_api.__main__ import limits_of
from chaching_api.authentication import REFUSAL_PAUSE_S
from chaching_api.rate_limits import WRONG_KEYS_BURST, WRONG_KEYS_PER_S

OTHER = "sk_test_other1234"
SEARCH = "/v1/customers/search?query=name:'Jane'"
READER = "rk_test_reader1234"
SLOW_PER_S = "0.001"
RECOVERY_LIMIT_S = 10.0
# between the answer that names a time and the next request, on a busy machine
LATE_S = 2.0
WRONG_KEYS = 2 * WRONG_KEYS_BURST
UNLIMITED_REQUESTS = 300
REFUSED = 100


@asynccontextmanager
async def limited(database_url: str, log: Path, **settings: str) -> AsyncGenerator[Client]:
    """Run a gateway with settings; yield a client of it with the seed's key."""
    await store_key(database_url, KEY)
    await store_key(database_url, OTHER)
    async with (
        gateway_process(database_url, log, **settings) as gateway,
        connected(gateway.url) as client,
    ):
        yield client


def refused(answer: Answer, limit: str) -> dict[str, Any]:
    """Check that an answer is what the contract says of a refusal by a rate limit."""
    assert answer.status == 429, answer
    assert answer.headers["Stripe-Rate-Limited-Reason"] == limit
    assert answer.headers["Stripe-Should-Retry"] == "false"
    assert answer.headers["Cache-Control"] == "no-cache, no-store"
    assert int(answer.headers["Retry-After"]) >= 1
    error = answer.error
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit")
    assert error["reason"] == limit
    return error


async def statuses(client: Client, requests: int) -> list[int]:
    """Ask one after the other for a customer that is not there."""
    return [(await client.retrieve("cus_nobody")).status for _ in range(requests)]


async def test_a_burst_passes_and_what_is_beyond_it_is_refused_and_does_nothing(
    database_url: str, tmp_path: Path, store: EventStore
) -> None:
    async with limited(
        database_url, tmp_path / "log", RATE_LIMIT_PER_S=SLOW_PER_S, RATE_LIMIT_BURST="3"
    ) as client:
        for number in range(3):
            assert (await client.create(f"id=cus_{number}")).status == 200
        head = await store.head()
        for answer in (
            await client.create("name=Lost"),
            await client.update("cus_0", "name=Lost"),
            await client.delete("cus_0"),
            await client.retrieve("cus_0"),
            await client.create("wat=1"),
        ):
            error = refused(answer, "global-rate")
            assert error["message"].startswith(
                "Too many requests with this key: the limit is 0.001"
            )
        assert head != START
        assert await store.head() == head


async def test_after_the_time_that_was_named_the_key_is_let_in_again(
    database_url: str, tmp_path: Path
) -> None:
    async with limited(database_url, tmp_path / "log", RATE_LIMIT_PER_S="1") as client:
        assert await statuses(client, 1) == [404]
        answer = await client.retrieve("cus_nobody")
        refused_s = time.monotonic()
        refused(answer, "global-rate")
        named_s = int(answer.headers["Retry-After"])
        assert named_s == 1

        async def is_let_in() -> bool:
            return await statuses(client, 1) == [404]

        await eventually(is_let_in, "the key is let in again", limit_s=RECOVERY_LIMIT_S)
        assert time.monotonic() - refused_s <= named_s + LATE_S


async def test_keys_do_not_share_a_limit(database_url: str, tmp_path: Path) -> None:
    async with limited(
        database_url, tmp_path / "log", RATE_LIMIT_PER_S=SLOW_PER_S, RATE_LIMIT_BURST="2"
    ) as client:
        assert await statuses(client, 3) == [404, 404, 429]
        assert await statuses(client.having(OTHER), 3) == [404, 404, 429]


async def test_a_caller_who_is_refused_waits_and_holds_nobody_else_up(
    database_url: str, tmp_path: Path
) -> None:
    async with limited(
        database_url, tmp_path / "log", RATE_LIMIT_WRITES_PER_S=SLOW_PER_S
    ) as client:
        assert (await client.create()).status == 200
        started_s = time.monotonic()
        refusals = [asyncio.create_task(client.create()) for _ in range(REFUSED)]
        other = client.having(OTHER)
        assert (await other.create("id=cus_other")).status == 200
        while not any(refusal.done() for refusal in refusals):
            assert (await other.retrieve("cus_other")).status == 200
        assert time.monotonic() - started_s >= REFUSAL_PAUSE_S / 2
        for answer in await asyncio.gather(*refusals):
            refused(answer, "endpoint-rate")


async def test_writes_have_a_limit_of_their_own(database_url: str, tmp_path: Path) -> None:
    async with limited(
        database_url, tmp_path / "log", RATE_LIMIT_WRITES_PER_S=SLOW_PER_S
    ) as client:
        assert (await client.create("id=cus_1")).status == 200
        for answer in (await client.update("cus_1", "name=J"), await client.delete("cus_1")):
            error = refused(answer, "endpoint-rate")
            assert error["message"].startswith("Too many write requests with this key: ")
        for _ in range(5):
            assert (await client.retrieve("cus_1")).status == 200


async def test_searches_have_a_limit_of_their_own(database_url: str, tmp_path: Path) -> None:
    settings = {"RATE_LIMIT_SEARCH_PER_S": SLOW_PER_S}
    async with limited(database_url, tmp_path / "log", **settings) as client:
        assert (await client.send(HTTPMethod.GET, SEARCH)).status == 200
        error = refused(await client.send(HTTPMethod.GET, SEARCH), "endpoint-rate")
        assert error["message"].startswith("Too many search requests with this key: ")
        assert (await client.create()).status == 200
        assert (await client.send(HTTPMethod.GET, "/v1/customers")).status == 200


async def test_a_key_has_only_so_many_requests_under_way_and_ended_ones_make_room(
    database_url: str, tmp_path: Path
) -> None:
    async with limited(database_url, tmp_path / "log", RATE_LIMIT_CONCURRENT="2") as client:
        for _ in range(5):
            assert (await client.create()).status == 200
            assert (await client.create("wat=1")).status == 400
            assert (await client.retrieve("cus_nobody")).status == 404
        answers = await asyncio.gather(*(client.create() for _ in range(60)))
        shed = [answer for answer in answers if answer.status == 429]
        assert len([answer for answer in answers if answer.status == 200]) + len(shed) == 60
        assert shed
        for answer in shed:
            error = refused(answer, "global-concurrency")
            assert error["message"].startswith("This key may have at most 2 requests under way")
        assert (await client.create()).status == 200


async def test_a_key_without_the_right_is_limited_too(database_url: str, tmp_path: Path) -> None:
    async with limited(
        database_url, tmp_path / "log", RATE_LIMIT_PER_S=SLOW_PER_S, RATE_LIMIT_BURST="2"
    ) as client:
        reader = client.having(await store_key(database_url, READER, rights=[]))
        assert await statuses(reader, 3) == [403, 403, 429]


async def test_wrong_keys_are_slowed_down_and_good_ones_from_there_are_not(
    database_url: str, tmp_path: Path
) -> None:
    async with limited(database_url, tmp_path / "log", RATE_LIMIT_PER_S="1000") as client:
        assert await statuses(client, 1) == [404]
        burst = [client.having(f"sk_test_wrong{number}") for number in range(WRONG_KEYS)]
        started_s = time.monotonic()
        answers = await asyncio.gather(*(wrong.retrieve("cus_nobody") for wrong in burst))
        looked_up_max = WRONG_KEYS_BURST + WRONG_KEYS_PER_S * (time.monotonic() - started_s) + 1
        slowed = [answer for answer in answers if answer.status == 429]
        assert WRONG_KEYS_BURST <= len(answers) - len(slowed) <= looked_up_max
        for answer in slowed:
            error = refused(answer, "global-rate")
            assert error["message"].startswith("Too many wrong API keys from this address: ")
            assert answer.headers["Retry-After"] == "1"
        assert await statuses(client, 20) == [404] * 20


async def test_without_settings_there_is_no_limit(database_url: str, tmp_path: Path) -> None:
    assert limits_of(GatewayConfig(database_url=database_url, master_key=MASTER_KEY)) is None
    async with limited(database_url, tmp_path / "log", RATE_LIMIT_PER_S="") as client:
        answers = await asyncio.gather(
            *(client.retrieve("cus_nobody") for _ in range(UNLIMITED_REQUESTS)),
            *(
                client.having(f"sk_test_wrong{number}").retrieve("cus_nobody")
                for number in range(UNLIMITED_REQUESTS)
            ),
        )
        assert {answer.status for answer in answers[:UNLIMITED_REQUESTS]} == {404}
        assert {answer.status for answer in answers[UNLIMITED_REQUESTS:]} == {401}


async def test_probes_and_unknown_urls_are_not_limited(database_url: str, tmp_path: Path) -> None:
    async with limited(
        database_url, tmp_path / "log", RATE_LIMIT_PER_S=SLOW_PER_S, RATE_LIMIT_CONCURRENT="1"
    ) as client:
        assert await statuses(client, 2) == [404, 429]
        for path, status in (("/healthz", 200), ("/readyz", 200), ("/v1/nothing", 404)):
            assert (await client.send(HTTPMethod.GET, path)).status == status


async def test_the_log_names_the_key_that_was_limited(database_url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with limited(database_url, log, RATE_LIMIT_PER_S=SLOW_PER_S) as client:
        assert await statuses(client, 2) == [404, 429]
    [passed, line] = handled(log)
    assert (line["status"], line["code"], line["reason"]) == (429, "rate_limit", "global-rate")
    assert (line["account"], line["mode"]) == ("acct_local", "test")
    assert line["key_id"] == passed["key_id"]


def handled(log: Path) -> list[dict[str, Any]]:
    """Return the log lines of the requests to the API."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in log.read_bytes().splitlines()]
    return [line for line in lines if str(line.get("route")).startswith("/v1/")]


async def test_the_official_client_raises_its_rate_limit_error_and_does_not_retry(
    database_url: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    async with limited(database_url, log, RATE_LIMIT_PER_S=SLOW_PER_S) as client:
        official = stripe.StripeClient(
            KEY, base_addresses={"api": client.url}, max_network_retries=3
        )
        create = official.v1.customers.create
        created = await asyncio.to_thread(create, {"name": "Jane"})
        assert created.name == "Jane"
        with pytest.raises(stripe.RateLimitError) as raised:
            await asyncio.to_thread(create, {"name": "June"})
        error = raised.value.error
        assert error is not None
        assert (error.type, error.code) == ("rate_limit_error", "rate_limit")
        assert raised.value.http_status == 429
    assert [line["status"] for line in handled(log)] == [200, 429]
