"""schemathesis against the service's own document: what it sends, and how much of it.

Each round runs all of its phases (examples, coverage, fuzzing, stateful) in processes of their own,
one a seed, until enough requests were answered. What counts is the gateway's log.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from tests.support.gateways import KEY, GatewayProcess

FOLDER: Final = Path(__file__).parent
ROOT: Final = FOLDER.parents[1]
PROGRAM: Final = Path(sys.executable).with_name("schemathesis")
RUNNERS: Final = 2
ROUND_LIMIT_S: Final = 120
STOP_LIMIT_S: Final = 60
EXAMPLES_MAX: Final = 50  # of one operation in one pass; passes repeat until the time is over


class Round(msgspec.Struct, frozen=True):
    """What one run of the tool came to: its exit code, its words, its requests by phase."""

    code: int
    said: str
    sent: Counter[str]


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """What all rounds together came to; ``faults`` are the words of runs that found something."""

    requests: int
    statuses: Counter[int]
    phases: Counter[str]
    faults: list[str]


async def run(gateway: GatewayProcess, wanted: int, limit_s: float, seed: int, folder: Path) -> Ran:
    """Run rounds until the gateway has answered ``wanted`` requests, or ``limit_s`` is over.

    A round that finds something is the last one.
    """
    deadline_s = time.monotonic() + limit_s
    rounds: list[Round] = []
    statuses: Counter[int] = Counter()
    while statuses.total() < wanted and not any(done.code for done in rounds):
        remaining_s = int(min(ROUND_LIMIT_S, deadline_s - time.monotonic()))
        if remaining_s < 1:
            break
        seeds = range(seed + len(rounds), seed + len(rounds) + RUNNERS)
        rounds += await asyncio.gather(
            *(_round(gateway.url, remaining_s, each, folder) for each in seeds)
        )
        statuses = Counter(_statuses(gateway))
    return Ran(
        requests=statuses.total(),
        statuses=statuses,
        phases=sum((done.sent for done in rounds), Counter[str]()),
        faults=[done.said for done in rounds if done.code],
    )


async def _round(url: str, limit_s: int, seed: int, folder: Path) -> Round:
    report = folder / f"schemathesis-{seed}.ndjson"
    child = await asyncio.create_subprocess_exec(
        PROGRAM,
        *("--config-file", FOLDER / "schemathesis.toml", "run", f"{url}/openapi.json"),
        *("--header", f"Authorization: Bearer {KEY}", "--phases"),
        *("examples,coverage,fuzzing,stateful", "--max-examples", f"{EXAMPLES_MAX}"),
        *("--max-time", f"{limit_s}", "--seed", f"{seed}", "--continue-on-failure", "--no-color"),
        *("--report", "ndjson", "--report-ndjson-path", report),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(limit_s + STOP_LIMIT_S):
            said, _ = await child.communicate()
    except TimeoutError:
        child.kill()
        said, _ = await child.communicate()
    code = child.returncode
    assert code is not None
    return Round(code, said.decode(errors="replace"), Counter(_phases(report)))


def _statuses(gateway: GatewayProcess) -> Iterator[int]:
    for line in gateway.log_lines():
        if line["event"] == "request_handled":
            yield line["status"]


class _Recorder(msgspec.Struct):
    interactions: dict[str, msgspec.Raw] = {}


class _Scenario(msgspec.Struct):
    phase: str
    recorder: _Recorder


class _Event(msgspec.Struct):
    scenario: _Scenario | None = msgspec.field(name="ScenarioFinished", default=None)


def _phases(report: Path) -> Iterator[str]:
    """Yield for each request in a report the phase that it belongs to."""
    with report.open("rb") as lines:
        for line in lines:
            event = msgspec.json.decode(line, type=_Event)
            if event.scenario is not None:
                yield from (event.scenario.phase for _ in event.scenario.recorder.interactions)
