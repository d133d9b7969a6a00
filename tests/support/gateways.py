"""Gateways as the tests start them: on a real listening socket, here or in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPMethod
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp import web
from tests.support.keyrings import KEYRING, MASTER_KEY
from tests.support.waiting import LIMIT_S, eventually

from chaching.eventstore.api_keys import DEFAULT_RIGHTS, KeyKind, create_key
from chaching.eventstore.database import KEYED_LOOKUPS, Database
from chaching.eventstore.doorbell import Doorbell
from chaching.eventstore.store import APPEND_DEADLINE_S, EventStore
from chaching.local.ports import LOOPBACK, free_port
from chaching.local.processes import Child
from chaching_api.__main__ import GATEWAY_SESSIONS_MAX
from chaching_api.app import Dependencies, create_app
from chaching_api.reads.search import SEARCH_SESSIONS_MAX, SEARCHES
from chaching_api.server import EnvelopeRunner

KEY: Final = "sk_test_12345"
ACCOUNT: Final = "acct_local"
FORM: Final = "application/x-www-form-urlencoded"
CUSTOMERS: Final = "/v1/customers"
CLIENT_TIMEOUT_S: Final = 60.0
STOP_LIMIT_S: Final = 20.0


Connection: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Answer(msgspec.Struct, frozen=True):
    """What came back over the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body, with its keys in the order in which they came."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def error(self) -> dict[str, Any]:
        """The error of an answer that is one, in the contract's envelope."""
        assert self.headers["Content-Type"] == "application/json", self
        assert list(self.json) == ["error"], self
        error: dict[str, Any] = self.json["error"]
        assert list(error) == sorted(error), error
        assert {"code", "message", "type"} <= error.keys(), error
        assert re.fullmatch(r"req_\w{14}", self.headers["Request-Id"]), self
        return error

    @property
    def fault(self) -> dict[str, Any]:
        """The error without the page that explains its code, to which it must lead."""
        error = dict(self.error)
        assert error.pop("doc_url").endswith(f"/docs/errors#{error['code']}"), self
        return error


class Client:
    """Sends requests with a key to one gateway, from a pool of connections."""

    def __init__(self, url: str, session: aiohttp.ClientSession, key: str | None = KEY) -> None:
        self.url = url
        self.session = session
        self._key = key

    def having(self, key: str | None) -> Client:
        """Return the same client with another key, or with none."""
        return Client(self.url, self.session, key)

    async def send(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        *,
        content_type: str = FORM,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a body exactly as it is given, as curl does."""
        sent = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        if body is not None:
            sent["Content-Type"] = content_type
        async with self.session.request(
            method,
            self.url + path,
            data=body.encode() if isinstance(body, str) else body,
            headers={**sent, **(headers or {})},
            allow_redirects=False,
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def create(self, form: str = "", path: str = CUSTOMERS) -> Answer:
        return await self.send(HTTPMethod.POST, path, form)

    async def update(self, customer_id: str, form: str) -> Answer:
        return await self.send(HTTPMethod.POST, f"{CUSTOMERS}/{customer_id}", form)

    async def retrieve(self, customer_id: str) -> Answer:
        return await self.send(HTTPMethod.GET, f"{CUSTOMERS}/{customer_id}")

    async def delete(self, customer_id: str) -> Answer:
        return await self.send(HTTPMethod.DELETE, f"{CUSTOMERS}/{customer_id}")

    async def raw(self, request: bytes) -> Answer:
        """Send bytes that no client library would send."""
        async with self.connection() as (reader, writer):
            writer.write(request)
            return await read_answer(reader, head_only=request.startswith(b"HEAD "))

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """Open a connection and speak HTTP by hand; the block has a limit."""
        address = urlsplit(self.url)
        assert address.port is not None
        async with asyncio.timeout(LIMIT_S):
            reader, writer = await asyncio.open_connection(LOOPBACK, address.port)
            try:
                yield reader, writer
            finally:
                writer.close()


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway in this process: how to reach it and what it stands on."""

    client: Client
    store: EventStore
    database: Database


@asynccontextmanager
async def connected(url: str, key: str | None = KEY) -> AsyncGenerator[Client]:
    """Yield a client of the gateway at a URL."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=CLIENT_TIMEOUT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield Client(url, session, key)


@asynccontextmanager
async def gateway_on(
    database_url: str, *, append_deadline_s: float = APPEND_DEADLINE_S
) -> AsyncGenerator[Gateway]:
    """Run a gateway in this process, put together as ``__main__`` does it, on a port of its own."""
    database = Database(
        database_url, name="gateway", sessions_max=GATEWAY_SESSIONS_MAX, settings=KEYED_LOOKUPS
    )
    searches = Database(
        database_url, name="searches", sessions_max=SEARCH_SESSIONS_MAX, settings=SEARCHES
    )
    doorbell = Doorbell(database)
    store = EventStore(
        database, KEYRING, appended=doorbell.ring, append_deadline_s=append_deadline_s
    )
    await database.open()
    await searches.open()
    ringing = asyncio.create_task(doorbell.run())
    try:
        async with serving(database, store, searches) as client:
            yield Gateway(client=client, store=store, database=database)
    finally:
        await store.drain()
        ringing.cancel()
        await searches.close()
        await database.close()


@asynccontextmanager
async def serving(
    database: Database, store: EventStore, searches: Database | None = None
) -> AsyncGenerator[Client]:
    """Serve the application on a real socket; yield a client of it."""
    dependencies = Dependencies(database=database, searches=searches or database, store=store)
    runner = EnvelopeRunner(create_app(dependencies))
    try:
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, 0).start()
        port = runner.addresses[0][1]
        async with connected(f"http://{LOOPBACK}:{port}") as client:
            yield client
    finally:
        await runner.cleanup()


class GatewayProcess:
    """A gateway as operators run it: ``python -m chaching_api gateway``."""

    def __init__(self, child: Child, url: str, log: Path) -> None:
        self.url = url
        self.log = log
        self.ends_with = 0
        self._child = child

    @property
    def pid(self) -> int:
        return self._child.mark().pid

    @property
    def exit_code(self) -> int | None:
        return self._child.exit_code

    async def end(self) -> None:
        await self._child.end(signal.SIGTERM, STOP_LIMIT_S)

    async def kill(self) -> None:
        """End it with SIGKILL, at whatever it is."""
        self.ends_with = -signal.SIGKILL
        self._child.send(signal.SIGKILL)
        await self._child.wait()

    def log_text(self) -> str:
        return self.log.read_text()

    def log_lines(self) -> list[dict[str, Any]]:
        """The lines of its log, decoded; one that is no JSON object fails."""
        return [json.loads(line) for line in self.log.read_bytes().splitlines()]


@asynccontextmanager
async def gateway_process(
    database_url: str, log: Path, **settings: str
) -> AsyncGenerator[GatewayProcess]:
    """Run a gateway in a process of its own until the block ends, with code 0 unless killed."""
    port = free_port()
    child = Child.spawn(
        "gateway",
        [sys.executable, "-m", "chaching_api", "gateway"],
        env={
            **plain_environment(),
            "DATABASE_URL": database_url,
            "MASTER_KEY": MASTER_KEY,
            "PORT": f"{port}",
            **settings,
        },
        log=log,
    )
    running = GatewayProcess(child, f"http://{LOOPBACK}:{port}", log)
    try:
        await eventually(lambda: _is_live(running), "the gateway answers")
        yield running
    finally:
        await running.end()
    assert running.exit_code == running.ends_with, running.log_text()


async def store_key(
    database_url: str,
    key: str,
    *,
    account: str = ACCOUNT,
    rights: Sequence[str] = DEFAULT_RIGHTS,
    expires_in_s: int | None = None,
) -> str:
    """Store a key whose kind and mode are told by its own spelling; return it."""
    kind, mode, _ = key.split("_", 2)
    kinds: dict[str, KeyKind] = {"sk": "secret", "rk": "restricted", "pk": "publishable"}
    issued = await create_key(
        database_url,
        account=account,
        mode="live" if mode == "live" else "test",
        kind=kinds[kind],
        rights=rights,
        expires_in_s=expires_in_s,
        name=f"the {kinds[kind]} key of a test",
        key=key,
    )
    return issued.key


async def _is_live(gateway: GatewayProcess) -> bool:
    assert gateway.exit_code is None, gateway.log_text()
    try:
        async with connected(gateway.url) as client:
            return (await client.send(HTTPMethod.GET, "/healthz")).status == 200
    except aiohttp.ClientConnectionError:
        return False


def plain_environment() -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


async def read_answer(reader: asyncio.StreamReader, *, head_only: bool = False) -> Answer:
    """Read one answer, and only its head where that is all that comes."""
    head = await reader.readuntil(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in lines if line)
    headers = {name.strip(): value.strip() for name, _, value in fields}
    body = b"" if head_only else await reader.readexactly(int(headers["Content-Length"]))
    return Answer(int(status.split(" ")[1]), headers, body)
