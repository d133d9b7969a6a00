"""``python -m tests.benchmarks.keys``: what rate limits cost, and a flood of wrong keys.

The rounds alternate, so that a machine whose speed drifts gives honest ratios.
"""

import asyncio
import secrets
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.benchmarks.load import Load, load, numbered, request_bytes
from tests.databases import administer, url_of
from tests.servers import Servers
from tests.support.gateways import gateway_process

from chaching.eventstore.api_keys import create_key
from chaching.schema.migrations import migrate

ROUNDS = 5
ROUND_S = 2.0
PATH = "/v1/customers/cus_nobody"
# high enough never to refuse: what is measured is the arithmetic
LIMITS = {
    "RATE_LIMIT_PER_S": "1000000",
    "RATE_LIMIT_WRITES_PER_S": "1000000",
    "RATE_LIMIT_CONCURRENT": "1000000",
}

Measure = Callable[[], Awaitable[Load]]


def wrong_keys() -> Iterator[bytes]:
    """Return requests, each with a key that nobody ever sent."""
    return numbered(request_bytes("GET", PATH, key="sk_test_wrongNUMBER"), b"NUMBER")


@asynccontextmanager
async def gateway(database_url: str, **settings: str) -> AsyncGenerator[int]:
    with TemporaryDirectory() as folder:
        url = f"{database_url}?role=chaching_gateway"
        async with gateway_process(url, Path(folder) / "log", **settings) as running:
            yield int(running.url.rpartition(":")[2])


async def beside(flood: Callable[[], Awaitable[Load]] | None, measure: Measure) -> Load:
    """Measure one caller while a flood is under way."""
    if flood is None:
        return await measure()
    flooding = asyncio.ensure_future(flood())
    found = await measure()
    await flooding
    return found


async def flooded(database_url: str, key: str, **settings: str) -> None:
    """Print how one caller with a good key fares, alone and beside 64 others."""
    async with gateway(database_url, **settings) as port:
        good = request_bytes("GET", PATH, key=key)

        async def one() -> Load:
            return await load(port, good, for_s=ROUND_S, connections=1)

        floods: dict[str, Measure | None] = {
            "nobody": None,
            "64 with wrong keys": lambda: load(port, wrong_keys(), for_s=ROUND_S),
            "64 with the good key": lambda: load(port, good, for_s=ROUND_S),
        }
        found: dict[str, list[Load]] = {name: [] for name in floods}
        for _ in range(ROUNDS):
            for name, flood in floods.items():
                found[name].append(await beside(flood, one))
    alone = [each.percentile_ms(0.5) for each in found["nobody"]]
    for name, loads in found.items():
        p50s = [each.percentile_ms(0.5) for each in loads]
        ratio = median(p50 / base for p50, base in zip(p50s, alone, strict=True))
        p99 = median(each.percentile_ms(0.99) for each in loads)
        say(f"beside {name:22} p50 {median(p50s):6.2f} ms ({ratio:5.1f} x), p99 {p99:6.2f} ms")


async def limits_cost(database_url: str, key: str) -> None:
    """Print requests a second with limits and without."""
    good = request_bytes("GET", PATH, key=key)
    async with gateway(database_url) as off, gateway(database_url, **LIMITS) as on:
        rates: dict[int, list[float]] = {off: [], on: []}
        for _ in range(ROUNDS):
            for port in (off, on):
                answers = await load(port, good, for_s=ROUND_S)
                rates[port].append(answers.bad / answers.elapsed_s)
    ratio = median(b / a for a, b in zip(rates[off], rates[on], strict=True))
    say(f"limits off {median(rates[off]):,.0f}/s, on {median(rates[on]):,.0f}/s, ratio {ratio:.3f}")


async def measure(database_url: str) -> None:
    await migrate(database_url)
    issued = await create_key(database_url, account="acct_http", mode="test", kind="secret")
    await limits_cost(database_url, issued.key)
    say("without limits:")
    await flooded(database_url, issued.key)
    say("with limits, so that wrong keys are limited by address:")
    await flooded(database_url, issued.key, **LIMITS)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def main() -> None:
    servers = Servers()
    try:
        admin_url = servers.database_url()
        name = f"bench_{secrets.token_hex(4)}"
        asyncio.run(administer(admin_url, f"CREATE DATABASE {name}"))
        asyncio.run(measure(url_of(admin_url, name)))
        asyncio.run(administer(admin_url, f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        servers.close()


if __name__ == "__main__":
    main()
