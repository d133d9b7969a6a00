"""``python -m tests.benchmarks.audit``: what the audit costs those who write, and how fast it is.

Rounds of creates without and with an auditor alternate, so that a machine whose speed drifts gives
honest ratios. Beside the rate stands the processor time of the auditor and of its sessions, which
tells the cost where the rate is lost in what others do on the machine.
"""

import asyncio
import os
import secrets
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import msgspec
from tests.benchmarks.load import Load, load, request_bytes
from tests.databases import administer, url_of
from tests.servers import Servers
from tests.support.audited import KEY
from tests.support.auditors import AuditorProcess
from tests.support.gateways import GatewayProcess, gateway_process
from tests.support.waiting import eventually

from chaching.audit.exporting import Wanted, export
from chaching.audit.opening import opened
from chaching.audit.stored import proofs, tree_end
from chaching.audit.tree import inclusion_spans
from chaching.audit.verifying import verify
from chaching.eventstore.api_keys import create_key
from chaching.eventstore.database import Database
from chaching.schema.migrations import migrate

ROUNDS = 8
ROUND_S = 3.0
WARM_UP_S = 2.0
PROOFS = 500
FORM = (
    "name=Jane+Doe&email=jane.doe%40example.com&phone=%2B123456789"
    "&description=Premium+plan+customer"
)
ACCOUNT = "acct_audit"
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
SESSIONS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE $1"


class Round(msgspec.Struct, frozen=True):
    """Creates a second, and processor seconds of the auditor with its sessions, and of the rest."""

    per_s: float
    creates: int
    auditor_s: float
    gateway_s: float


def cpu_s(pids: list[int]) -> float:
    """Return the processor time that processes have used so far."""
    total = 0.0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        total += (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND
    return total


async def sessions(database: Database, name: str) -> list[int]:
    return [row[0] for row in await database.fetch(SESSIONS, f"chaching {name}%")]


async def measure(
    database: Database, gateway: GatewayProcess, create: bytes, auditor: AuditorProcess | None
) -> Round:
    port = int(gateway.url.rpartition(":")[2])
    gateways = [gateway.pid, *await sessions(database, "gateway")]
    auditors = [] if auditor is None else [auditor.pid, *await sessions(database, "auditor")]
    before = cpu_s(auditors), cpu_s(gateways)
    found: Load = await load(port, create, for_s=ROUND_S)
    if auditor is not None:
        await eventually(lambda: _is_at_head(database), "the auditor is done")
    assert not found.bad, f"{found.bad} creates failed"
    return Round(
        per_s=found.per_s,
        creates=found.good,
        auditor_s=cpu_s(auditors) - before[0],
        gateway_s=cpu_s(gateways) - before[1],
    )


async def _is_at_head(database: Database) -> bool:
    [row] = await database.fetch("SELECT position FROM event_store.log_head")
    return (await tree_end(database)).size >= row[0]


async def rounds(database_url: str, folder: Path) -> tuple[list[Round], list[Round]]:
    """Return the rounds without and those with an auditor."""
    issued = await create_key(database_url, account=ACCOUNT, mode="test", kind="secret")
    create = request_bytes("POST", "/v1/customers", key=issued.key, body=FORM)
    database = Database(database_url, name="bench", sessions_max=1)
    await database.open()
    without: list[Round] = []
    beside: list[Round] = []
    gateway_url = f"{database_url}?role=chaching_gateway"
    async with gateway_process(gateway_url, folder / "gateway.log") as gateway:
        await load(int(gateway.url.rpartition(":")[2]), create, for_s=WARM_UP_S)
        for _ in range(ROUNDS):
            without.append(await measure(database, gateway, create, None))
            auditor = AuditorProcess(
                f"{database_url}?role=chaching_auditor", folder / "auditor.log"
            )
            auditor.start()
            await eventually(lambda: _is_at_head(database), "the auditor has caught up")
            beside.append(await measure(database, gateway, create, auditor))
            await auditor.end()
    await database.close()
    return without, beside


def show(without: list[Round], beside: list[Round]) -> None:
    ratios = sorted(b.per_s / w.per_s for w, b in zip(without, beside, strict=True))
    say(
        f"creates a second: {median(r.per_s for r in without):,.0f} without an auditor, "
        f"{median(r.per_s for r in beside):,.0f} with one; ratio {median(ratios):.3f} "
        f"({ratios[0]:.3f} to {ratios[-1]:.3f} over {len(ratios)} rounds)"
    )
    auditor_us = sum(r.auditor_s for r in beside) / sum(r.creates for r in beside) * 1e6
    gateway_us = sum(r.gateway_s for r in beside) / sum(r.creates for r in beside) * 1e6
    say(
        f"processor time for a create: {gateway_us:.0f} µs by the gateway and its sessions, "
        f"{auditor_us:.1f} µs by the auditor and its sessions: {auditor_us / gateway_us:.1%} more"
    )


async def speeds(database_url: str) -> None:
    """Print how fast the log is verified, proved and exported, and how large the proofs are."""
    async with opened(database_url) as database:
        for _ in range(3):
            verdict = await verify(database, keys=[KEY.public])
            assert verdict.is_sound, verdict
            per_s = verdict.events / verdict.elapsed_s
            say(f"verified {verdict.events:,} events in {verdict.elapsed_s:.1f} s: {per_s:,.0f}/s")
        size = (await tree_end(database)).size
        started_s = time.perf_counter()
        for number in range(PROOFS):
            await proofs(database, [inclusion_spans(number * 7919 % size, size)])
        each_ms = (time.perf_counter() - started_s) / PROOFS * 1000
        say(f"an inclusion proof in a log of {size:,}: {each_ms:.2f} ms, one after the other")
        wanted = Wanted(account=ACCOUNT, mode="test", start=None, end=min(size, 100_000))
        started_s, lines, total, hashes = time.perf_counter(), 0, 0, 0
        async for line in export(database, wanted, ask_limit_s=0.1):
            lines += 1
            total += len(line)
            hashes += len(line) - line.find(b',"hashes":')
        elapsed_s = time.perf_counter() - started_s
        say(
            f"exported {lines - 2:,} events in {elapsed_s:.1f} s ({lines / elapsed_s:,.0f}/s), "
            f"{total / lines:,.0f} bytes each, {hashes / lines:,.0f} of them the proof"
        )


async def everything(database_url: str) -> None:
    await migrate(database_url)
    with TemporaryDirectory() as folder:
        show(*await rounds(database_url, Path(folder)))
    await speeds(database_url)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    servers = Servers()
    try:
        admin_url = servers.database_url()
        name = f"bench_{secrets.token_hex(4)}"
        asyncio.run(administer(admin_url, f"CREATE DATABASE {name}"))
        try:
            asyncio.run(everything(url_of(admin_url, name)))
        finally:
            asyncio.run(administer(admin_url, f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        servers.close()


if __name__ == "__main__":
    main()
