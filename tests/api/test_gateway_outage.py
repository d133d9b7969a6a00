"""PostgreSQL away: 503 within the time limit, nothing acknowledged is lost, recovery by itself."""

from __future__ import annotations

import asyncio
import base64
import secrets
import sys
import time
from collections.abc import Generator
from http import HTTPMethod
from pathlib import Path

import pytest
from tests.databases import administer, url_of
from tests.support.gateways import (
    KEY,
    Answer,
    Client,
    connected,
    gateway_on,
    gateway_process,
    plain_environment,
    serving,
    store_key,
)
from tests.support.waiting import eventually

from chaching.envelope import StreamKey
from chaching.eventstore.database import Database
from chaching.eventstore.encryption import Keyring
from chaching.eventstore.store import EventStore, Loaded
from chaching.local.ports import LOOPBACK, free_port
from chaching.local.postgres import PrivatePostgres
from chaching.local.processes import Child
from chaching.schema.migrations import migrate
from chaching_api.fresh import new_id

# one after the other, each with a time-out of its own, these would take minutes
UPDATES = 30
RETRIEVES = 60
OUTAGE_LIMIT_S = 15.0
APPEND_DEADLINE_S = 1.0
OTHER_KEY = base64.b64encode(bytes(range(32))).decode()


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


IN_DOUBT = "Whether this request has taken effect is not known"


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
        *(client.update(customer_id, f"metadata[k{n}]=lost") for n in range(UPDATES)),
        *(client.retrieve(customer_id) for _ in range(RETRIEVES)),
    )
    assert time.monotonic() - started_s < OUTAGE_LIMIT_S
    for answer in answers:
        unavailable(answer)
    assert IN_DOUBT in answers[0].error["message"]
    assert IN_DOUBT not in answers[3].error["message"]
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


async def lost(_key: StreamKey) -> Loaded:
    raise ConnectionResetError


async def test_an_outage_that_is_taken_for_a_fault_is_found_out(
    own_server: PrivatePostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway_on(own_server.admin_url) as gateway:
        kept = await gateway.client.create("name=Kept")
        monkeypatch.setattr(gateway.store, "load", lost)
        await own_server.kill()
        try:
            with pytest.raises(AssertionError):
                await all_unavailable(gateway.client, kept.json["id"])
        finally:
            await own_server.start()


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


async def test_a_database_without_the_schema_is_not_ready(database_admin_url: str) -> None:
    name = f"empty_{secrets.token_hex(6)}"
    await administer(database_admin_url, f"CREATE DATABASE {name}")
    url = url_of(database_admin_url, name)
    async with gateway_on(url) as gateway:
        unavailable(await gateway.client.send(HTTPMethod.GET, "/readyz"))
        assert (await gateway.client.send(HTTPMethod.GET, "/healthz")).json == {"status": "ok"}
        await migrate(url)
        ready = await gateway.client.send(HTTPMethod.GET, "/readyz")
        assert (ready.status, ready.json) == (200, {"status": "ready"})
    await administer(database_admin_url, f"DROP DATABASE {name} WITH (FORCE)")


async def test_a_gateway_with_another_master_key_ends_before_it_listens(
    database_url: str, store: EventStore, tmp_path: Path
) -> None:
    await store.admit_master_key()
    log = tmp_path / "log"
    port = free_port()
    child = spawned_gateway(database_url, log, port)
    assert await asyncio.wait_for(child.wait(), OUTAGE_LIMIT_S) == 1
    said = log.read_text()
    assert "gateway_started" not in said
    assert "\nchaching: MASTER_KEY is not the one of this database" in f"\n{said}"


async def test_a_gateway_that_starts_without_its_database_is_not_ready_before_it_checked_its_key(
    own_server: PrivatePostgres, tmp_path: Path
) -> None:
    await own_server.stop()
    try:
        async with (
            gateway_process(own_server.admin_url, tmp_path / "log") as gateway,
            connected(gateway.url) as client,
        ):
            unavailable(await client.send(HTTPMethod.GET, "/readyz"))
            unavailable(await client.retrieve("cus_1"))
            await own_server.start()

            async def is_ready() -> bool:
                return (await client.send(HTTPMethod.GET, "/readyz")).status == 200

            await eventually(is_ready, "the gateway is ready")
    finally:
        await own_server.start()


async def test_readiness_waits_for_the_master_key(database: Database, store: EventStore) -> None:
    await store.admit_master_key()
    stranger = EventStore(database, Keyring.of(OTHER_KEY))
    async with serving(database, stranger) as client:
        unavailable(await client.send(HTTPMethod.GET, "/readyz"))


def spawned_gateway(database_url: str, log: Path, port: int) -> Child:
    """Start a gateway with another master key than the tests have."""
    addresses = {"DATABASE_URL": database_url, "MASTER_KEY": OTHER_KEY, "PORT": f"{port}"}
    return Child.spawn(
        "gateway",
        [sys.executable, "-m", "chaching_api", "gateway"],
        env={**plain_environment(), **addresses},
        log=log,
    )
