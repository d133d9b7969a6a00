"""Requests a second of one gateway process against an aiohttp handler that does nothing.

The rounds alternate, so that a machine whose speed drifts gives honest ratios.
"""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from statistics import median

import msgspec
from aiohttp import ClientError, ClientSession
from tests.benchmarks.appends import WrongData
from tests.benchmarks.load import Load, load, numbered, request_bytes
from tests.support.keyrings import MASTER_KEY

from chaching.eventstore.api_keys import create_key
from chaching.eventstore.database import Database
from chaching.local.ports import free_port

ROUNDS = 3
ROUND_S = 3.0
START_LIMIT_S = 20
POLL_S = 0.05
NUMBER = "NUMBER"
FORM = (
    "name=Jane+Doe&email=jane.doe%40example.com&phone=%2B123456789"
    "&description=Premium+plan+customer"
)


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Medians over the rounds: requests a second, ratios to the empty handler, latencies in ms.

    ``keyed``: each with a fresh idempotency key; ``keyed_ratio`` is to the create without one.
    """

    empty_per_s: float
    create_per_s: float
    retrieve_per_s: float
    keyed_create_per_s: float
    create_ratio: float
    keyed_ratio: float
    retrieve_ratio: float
    create_p50_ms: float
    create_p99_ms: float
    retrieve_p50_ms: float
    retrieve_p99_ms: float


async def request_rates(database_url: str, gateway_url: str) -> Rates:
    """Load a gateway and an empty handler in turn, and check what the gateway wrote."""
    issued = await create_key(database_url, account="acct_http", mode="test", kind="secret")
    port, empty_port = free_port(), free_port()
    async with _process("tests.benchmarks.empty_handler", str(empty_port), port=empty_port):
        environment = {"MASTER_KEY": MASTER_KEY, "DATABASE_URL": gateway_url, "PORT": str(port)}
        async with _process("chaching_api", "gateway", port=port, environment=environment):
            return await _rounds(database_url, issued.key, port, empty_port)


async def _rounds(database_url: str, key: str, port: int, empty_port: int) -> Rates:
    create = request_bytes("POST", "/v1/customers", key=key, body=FORM)
    customer_id = await _one_customer(port, key)
    await _project(database_url, customer_id)
    retrieve = request_bytes("GET", f"/v1/customers/{customer_id}", key=key)
    empty = request_bytes("GET", "/", key=key)
    keyed = numbered(
        request_bytes(
            "POST", "/v1/customers", key=key, body=FORM, header=f"Idempotency-Key: {NUMBER}"
        ),
        NUMBER.encode(),
    )
    empties: list[Load] = []
    creates: list[Load] = []
    keyeds: list[Load] = []
    retrieves: list[Load] = []
    for _ in range(ROUNDS):
        empties.append(await load(empty_port, empty, for_s=ROUND_S))
        creates.append(await load(port, create, for_s=ROUND_S))
        keyeds.append(await load(port, keyed, for_s=ROUND_S))
        retrieves.append(await load(port, retrieve, for_s=ROUND_S))
    created = sum(load.good for load in (*creates, *keyeds))
    await _check(database_url, [*creates, *keyeds, *retrieves], created + 1)
    return Rates(
        empty_per_s=median(e.per_s for e in empties),
        create_per_s=median(c.per_s for c in creates),
        retrieve_per_s=median(r.per_s for r in retrieves),
        keyed_create_per_s=median(k.per_s for k in keyeds),
        keyed_ratio=median(k.per_s / c.per_s for k, c in zip(keyeds, creates, strict=True)),
        create_ratio=median(c.per_s / e.per_s for c, e in zip(creates, empties, strict=True)),
        retrieve_ratio=median(r.per_s / e.per_s for r, e in zip(retrieves, empties, strict=True)),
        create_p50_ms=median(c.percentile_ms(0.5) for c in creates),
        create_p99_ms=median(c.percentile_ms(0.99) for c in creates),
        retrieve_p50_ms=median(r.percentile_ms(0.5) for r in retrieves),
        retrieve_p99_ms=median(r.percentile_ms(0.99) for r in retrieves),
    )


async def _one_customer(port: int, key: str) -> str:
    async with (
        ClientSession() as session,
        session.post(
            f"http://127.0.0.1:{port}/v1/customers",
            data={"name": "Jane Doe"},
            headers={"Authorization": f"Bearer {key}"},
        ) as answer,
    ):
        customer = await answer.json()
    return customer["id"]


async def _project(database_url: str, customer_id: str) -> None:
    """Run the projector until the customer is in the read model, as it is when it is retrieved."""
    database = Database(database_url, name="bench", sessions_max=1)
    await database.open()
    asked = "SELECT 1 FROM read_model.customers WHERE id = $1"
    async with _process(
        "chaching_projector", environment={"DATABASE_URL": database_url, "MASTER_KEY": MASTER_KEY}
    ):
        async with asyncio.timeout(START_LIMIT_S):
            while not await database.fetch(asked, customer_id):  # noqa: ASYNC110 - rings no bell
                await asyncio.sleep(POLL_S)
    await database.close()


async def _check(database_url: str, loads: list[Load], created: int) -> None:
    if bad := sum(each.bad for each in loads):
        raise WrongData(f"{bad} requests were not answered with 200")
    database = Database(database_url, name="bench", sessions_max=1)
    await database.open()
    [row] = await database.fetch(
        "SELECT count(*) FROM event_store.events WHERE account = 'acct_http'"
    )
    await database.close()
    if row[0] != created:
        raise WrongData(f"{created} creates were answered, {row[0]} are in the log")


@asynccontextmanager
async def _process(
    module: str, *arguments: str, port: int = 0, environment: dict[str, str] | None = None
) -> AsyncGenerator[None]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        env={**os.environ, **(environment or {})},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        if port:
            await _answers(port)
        yield
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), START_LIMIT_S)


async def _answers(port: int) -> None:
    async with asyncio.timeout(START_LIMIT_S), ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/"):
                    return
            except ClientError:
                await asyncio.sleep(POLL_S)
