"""``make bench``: the measurements of this machine, with their goals, as one table.

Ends with 1 when a goal is missed or a server is not to be had; what was written is checked, and
wrong data ends it at once.
"""

import asyncio
import platform
import secrets
import sys
from statistics import median

import msgspec
from tests.benchmarks.appends import (
    make_same_shape,
    our_appends_per_s,
    peer_appends_per_s,
    single_row_inserts_per_s,
)
from tests.benchmarks.requests import Rates, request_rates
from tests.benchmarks.states import StateCost, state_costs
from tests.databases import administer, url_of
from tests.servers import Servers

from chaching.local.errors import LocalError
from chaching.schema.migrations import migrate

ROUNDS = 3


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table: what was measured, against what, and the ratio wanted."""

    name: str
    per_s: float
    yardstick: str
    yardstick_per_s: float
    ratio: float
    wanted: float

    @property
    def is_met(self) -> bool:
        return self.ratio >= self.wanted


async def measure(database_url: str) -> tuple[list[Goal], Rates, list[StateCost]]:
    await migrate(database_url)
    gateway_url = f"{database_url}?role=chaching_gateway"
    rates = await request_rates(database_url, gateway_url)
    appends = await append_goals(database_url)
    costs = await state_costs(database_url)
    return [*appends, *request_goals(rates)], rates, costs


async def append_goals(database_url: str) -> list[Goal]:
    await make_same_shape(database_url)
    ours: list[float] = []
    single: list[float] = []
    peer: list[float] = []
    for _ in range(ROUNDS):
        ours.append(await our_appends_per_s(database_url))
        single.append(await single_row_inserts_per_s(database_url))
        peer.append(await asyncio.to_thread(peer_appends_per_s, database_url))
    return [
        Goal(
            name="durable appends, 128 waiting",
            per_s=median(ours),
            yardstick="pgbench single-row inserts, 32 connections",
            yardstick_per_s=median(single),
            ratio=median(a / b for a, b in zip(ours, single, strict=True)),
            wanted=2,
        ),
        Goal(
            name="durable appends, 128 waiting",
            per_s=median(ours),
            yardstick="eventsourcing, 8 threads",
            yardstick_per_s=median(peer),
            ratio=median(a / b for a, b in zip(ours, peer, strict=True)),
            wanted=20,
        ),
    ]


def request_goals(rates: Rates) -> list[Goal]:
    return [
        Goal(
            name="POST /v1/customers, 64 connections",
            per_s=rates.create_per_s,
            yardstick="an empty aiohttp handler",
            yardstick_per_s=rates.empty_per_s,
            ratio=rates.create_ratio,
            wanted=0.4,
        ),
        Goal(
            name="GET /v1/customers/{id}, 64 connections",
            per_s=rates.retrieve_per_s,
            yardstick="an empty aiohttp handler",
            yardstick_per_s=rates.empty_per_s,
            ratio=rates.retrieve_ratio,
            wanted=0.5,
        ),
    ]


def show(goals: list[Goal], rates: Rates, costs: list[StateCost]) -> None:
    say(f"Python {platform.python_version()}, {platform.machine()}; medians of {ROUNDS} rounds")
    say("")
    for goal in goals:
        verdict = "met" if goal.is_met else "MISSED"
        say(
            f"{goal.name:40} {goal.per_s:>9,.0f}/s   {goal.ratio:>6.2f} x {goal.yardstick} "
            f"({goal.yardstick_per_s:,.0f}/s)   goal {goal.wanted} x: {verdict}"
        )
    say("")
    say(f"create   p50 {rates.create_p50_ms:.1f} ms, p99 {rates.create_p99_ms:.1f} ms")
    say(
        f"create with a fresh idempotency key {rates.keyed_create_per_s:,.0f}/s, "
        f"{rates.keyed_ratio:.2f} x the one without"
    )
    say(f"retrieve p50 {rates.retrieve_p50_ms:.1f} ms, p99 {rates.retrieve_p99_ms:.1f} ms")
    say("")
    for cost in costs:
        say(
            f"stream of {cost.events:>6,} events: {cost.newest_us:>8,.0f} µs by the newest event, "
            f"{cost.fold_us:>9,.0f} µs by the fold; a state has {cost.state_bytes} bytes"
        )


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def main() -> int:
    servers = Servers()
    try:
        admin_url = servers.database_url()
        name = f"bench_{secrets.token_hex(4)}"
        asyncio.run(administer(admin_url, f"CREATE DATABASE {name}"))
        goals, rates, costs = asyncio.run(measure(url_of(admin_url, name)))
        asyncio.run(administer(admin_url, f"DROP DATABASE {name} WITH (FORCE)"))
    except LocalError as error:
        sys.exit(str(error))
    finally:
        servers.close()
    show(goals, rates, costs)
    return 0 if all(goal.is_met for goal in goals) else 1


if __name__ == "__main__":
    sys.exit(main())
