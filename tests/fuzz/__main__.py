"""``make fuzz``: broken requests by the hundred thousand, each judged, and what a byte can cost.

Last, schemathesis holds the whole service against its own OpenAPI document.

Ends with 1 when an input breaks a promise; it is then in a file, and ``--again FILE`` tries it
again. The same seed gives the same inputs.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
import traceback
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.databases import administer, url_of
from tests.fuzz import costs, drawn, guided, over_http, schema
from tests.fuzz.given import Framed, Given, keep, kept
from tests.fuzz.oracle import VERDICTS, judge
from tests.servers import Servers
from tests.support.auditors import auditor_process
from tests.support.gateways import KEY, GatewayProcess, connected, gateway_process, store_key
from tests.support.projectors import projector_process

from chaching.local.errors import LocalError
from chaching.schema.migrations import migrate

INPUTS: Final = 100_000
GUIDED_INPUTS: Final = 150_000
CONNECTIONS: Final = 5_000
SCHEMA_REQUESTS: Final = 20_000
LIMIT_S: Final = 900
SCHEMA_LIMIT_S: Final = 1800


def main() -> int:
    options = _options()
    if options.again:
        return _again(options.again)
    seed: int = options.seed if options.seed is not None else secrets.randbits(31)
    say(f"seed {seed}; the same again: make fuzz FUZZ='--seed {seed}'")
    with_guide = guided.is_installed()
    drawn_inputs: int = options.inputs + (0 if with_guide else options.guided)
    sound = [
        _draw(drawn_inputs, options.seconds, seed),
        _guide(options.guided, options.seconds, seed) if with_guide else _say_unguided(),
        _cost(),
        _send(options.connections, options.seconds, seed),
        asyncio.run(_hold_to_document(options.schema, options.schema_seconds, seed)),
    ]
    return 0 if all(sound) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=INPUTS, help="drawn by hypothesis")
    parser.add_argument("--guided", type=int, default=GUIDED_INPUTS, help="guided by coverage")
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="of raw requests")
    parser.add_argument("--schema", type=int, default=SCHEMA_REQUESTS, help="by schemathesis")
    parser.add_argument(
        "--seconds", type=int, default=LIMIT_S, help="at most, for each of the others"
    )
    parser.add_argument("--schema-seconds", type=int, default=SCHEMA_LIMIT_S, help="at most")
    parser.add_argument("--seed", type=int, help="of everything that is left to chance")
    parser.add_argument("--again", type=Path, metavar="FILE", help="try one kept input again")
    return parser.parse_args()


def _draw(inputs: int, limit_s: int, seed: int) -> bool:
    began_s = time.monotonic()
    found = drawn.run(inputs, limit_s, seed)
    took_s = time.monotonic() - began_s
    told = ", ".join(f"{found.verdicts[verdict]:,} {verdict}" for verdict in VERDICTS)
    say(f"drawn     {found.inputs:>9,} inputs, {found.inputs / took_s:,.0f}/s: {told}")
    if found.costliest is not None:
        say(
            f"          the costliest has {found.costliest.size_bytes:,} bytes and takes "
            f"{found.costliest_ns_per_byte:.0f} ns/byte"
        )
    if found.fault is None:
        return True
    say("".join(traceback.format_exception(found.fault)))
    if found.broken is not None:
        say(f"BROKEN: kept in {keep(found.broken)}")
    return False


def _guide(runs: int, limit_s: int, seed: int) -> bool:
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = guided.run(runs, limit_s, seed, Path(folder))
    took_s = time.monotonic() - began_s
    say(
        f"guided    {found.runs:>9,} inputs, {found.runs / took_s:,.0f}/s: "
        f"{found.covered_edges} edges covered"
    )
    if found.broke:
        say(f"BROKEN: {found.said}")
    return not found.broke


def _say_unguided() -> bool:
    say("guided    not on this system: as many inputs more were drawn")
    return True


def _cost() -> bool:
    measured = sorted(costs.costs(), key=lambda cost: cost.ns_per_byte, reverse=True)
    say(f"costs     {len(measured)} families of inputs up to 1 MiB; the worst, and what grows:")
    for place, cost in enumerate(measured):
        if place < 3 or not cost.is_linear:
            verdict = "linear" if cost.is_linear else "SUPERLINEAR"
            say(
                f"          {cost.ns_per_byte:>6.0f} ns/byte, {cost.whole_s:.2f} s, growth "
                f"{cost.growth:.1f}: {cost.family}: {verdict}"
            )
    return all(cost.is_linear for cost in measured)


def _send(connections: int, limit_s: int, seed: int) -> bool:
    try:
        return asyncio.run(_send_all(connections, limit_s, seed))
    except* (over_http.Unsound, AssertionError) as faults:
        say("".join(f"BROKEN: {fault}\n" for fault in faults.exceptions))
    return False


async def _send_all(connections: int, limit_s: int, seed: int) -> bool:
    async with _gateway() as gateway:
        began_s = time.monotonic()
        async with connected(gateway.url) as client:
            answered = await over_http.try_many(client, seed, connections, limit_s)
        took_s = time.monotonic() - began_s
        await gateway.end()
        over_http.judge_log(gateway.log_lines(), answered)
    per_s = answered.connections / took_s
    told = ", ".join(f"{count:,} x {status}" for status, count in answered.statuses.most_common())
    say(f"over HTTP {answered.connections:>9,} connections, {per_s:,.0f}/s: {told}")
    say(f"          {answered.silent} were closed in silence; the log has no word of theirs")
    return True


async def _hold_to_document(requests: int, limit_s: int, seed: int) -> bool:
    began_s = time.monotonic()
    async with _gateway() as gateway:
        with tempfile.TemporaryDirectory() as folder:
            ran = await schema.run(gateway, requests, limit_s, seed, Path(folder))
    per_s = ran.requests / (time.monotonic() - began_s)
    told = ", ".join(f"{count:,} {phase}" for phase, count in ran.phases.items())
    answers = ", ".join(f"{count:,} x {status}" for status, count in ran.statuses.most_common())
    say(f"schema    {ran.requests:>9,} requests, {per_s:,.0f}/s: {answers}")
    say(f"          judged against the document, by phase: {told}")
    for said in ran.faults:
        say(f"BROKEN: {said}")
    if ran.requests < requests:
        say(f"TOO FEW: {requests:,} were wanted within {limit_s} s")
    return not ran.faults and ran.requests >= requests


@asynccontextmanager
async def _gateway() -> AsyncGenerator[GatewayProcess]:
    """Run a gateway, a projector and an auditor on a database of their own."""
    servers = await asyncio.to_thread(Servers)
    try:
        admin_url = await asyncio.to_thread(servers.database_url)
        name = f"fuzz_{secrets.token_hex(4)}"
        await administer(admin_url, f"CREATE DATABASE {name}")
        await migrate(url_of(admin_url, name))
        await store_key(url_of(admin_url, name), KEY, rights=["*"])
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "gateway.log"
            async with (
                auditor_process(url_of(admin_url, name), log.with_name("auditor.log")),
                projector_process(url_of(admin_url, name), log.with_name("projector.log")),
                gateway_process(url_of(admin_url, name), log) as gateway,
            ):
                yield gateway
        await administer(admin_url, f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await asyncio.to_thread(servers.close)


def _again(path: Path) -> int:
    match kept(path):
        case Given() as given:
            say(f"{judge(given)}, {costs.time_s(given) * 1e9 / given.size_bytes:.0f} ns/byte")
        case Framed() as sent:
            asyncio.run(_send_again(sent))
    return 0


async def _send_again(sent: Framed) -> None:
    async with _gateway() as gateway, connected(gateway.url) as client:
        for answer in await over_http.try_one(client, sent):
            say(f"{answer.status} {answer.body.decode()}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LocalError as error:
        sys.exit(str(error))
