import asyncio
import os
import signal
import stat
import sys
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from chaching.local.places import PRIVATE_FILE_MODE
from chaching.local.ports import free_port
from chaching.local.postgres import PrivatePostgres
from chaching.local.processes import Child, Mark, becomes_true
from chaching.local.signing import KEY_FILE
from chaching.local.state import RunState, running_state
from chaching.local.supervisor import LOCAL_KEY

# a broker may have to be fetched first
pytestmark = pytest.mark.timeout(300)

START_LIMIT_S = 240.0
LIMIT_S = 30.0
COMMAND = [sys.executable, "-c", "from chaching.cli.main import main; main()"]


class Running:
    """One `chaching run` on a data folder, as a process of its own."""

    def __init__(self, folder: Path, port: int, log: Path) -> None:
        addresses = {"CHACHING_DATA_DIR": str(folder), "PORT": str(port)}
        unset = ("DATABASE_URL", "MASTER_KEY", "AMQP_URL", "HOST")
        kept = {name: value for name, value in os.environ.items() if name not in unset}
        self.folder, self.log, self.env = folder, log, {**kept, **addresses}
        self.child = Child.spawn("chaching", [*COMMAND, "run"], env=self.env, log=log)

    async def said(self, words: str) -> None:
        there = await becomes_true(
            lambda: words in self.log.read_text() or self.child.exit_code is not None, START_LIMIT_S
        )
        assert there, self.log.read_text()
        assert words in self.log.read_text(), self.log.read_text()

    def state(self) -> RunState:
        state = running_state(self.folder)
        assert state is not None
        return state

    def mark_of(self, part: str) -> Mark:
        [mark] = [mark for mark in self.state().children if mark.name == part]
        return mark


@asynccontextmanager
async def running(folder: Path, port: int, log: Path) -> AsyncGenerator[Running]:
    run = Running(folder, port, log)
    try:
        await run.said("relay and projector run")
        yield run
    finally:
        await run.child.end(signal.SIGTERM, LIMIT_S)


async def told(env: Mapping[str, str], *arguments: str) -> dict[str, Any]:
    """Answer what the command says as JSON."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, "--format", "json", env=env, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(process.communicate(), LIMIT_S)
    assert process.returncode == 0
    return msgspec.json.decode(said, type=dict[str, Any])


async def customer(url: str, key: str, **form: str) -> dict[str, Any]:
    """Create a customer, or retrieve one where no form is given."""
    method = "POST" if form else "GET"
    timeout = aiohttp.ClientTimeout(total=LIMIT_S)
    authorization = {"Authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession(headers=authorization, timeout=timeout) as session,
        session.request(method, url, data=form or None) as answer,
    ):
        assert answer.status == 200
        return msgspec.json.decode(await answer.read(), type=dict[str, Any])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "data"
    PrivatePostgres(tmp_path / "data" / "postgresql").remove()


async def test_a_run_serves_heals_survives_a_kill_and_ends_everything(
    folder: Path, tmp_path: Path
) -> None:
    port = free_port()
    async with running(folder, port, tmp_path / "first") as first:
        addresses = await told(first.env, "info")
        assert addresses["gateway"] == f"http://127.0.0.1:{port}"
        assert addresses["broker"].startswith("amqp://")
        key = await told(first.env, "keys", "create", "--account=acct_local", "--mode=test")
        customers = f"{addresses['gateway']}/v1/customers"
        created = await customer(customers, LOCAL_KEY, name="Jenny Rosen")
        verdict = await told(first.env, "audit", "verify")
        assert (verdict["events"], verdict["signatures_checked"]) == (1, True)
        assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == PRIVATE_FILE_MODE

        os.kill(first.mark_of("gateway").pid, signal.SIGKILL)
        await first.said("gateway ended (signal SIGKILL)")
        await first.said("gateway runs again")
        assert await customer(f"{customers}/{created['id']}", key["key"]) == created
        left = first.state().children
        await first.child.end(signal.SIGKILL, LIMIT_S)

    async with running(folder, port, tmp_path / "second") as second:
        assert not any(mark.is_alive() for mark in left)
        assert await customer(f"{customers}/{created['id']}", LOCAL_KEY) == created
        started, stopping = second.state().children, time.monotonic()
        await second.child.end(signal.SIGTERM, LIMIT_S)
        assert second.child.exit_code == 0
        assert time.monotonic() - stopping < LIMIT_S
    assert len(started) == 7
    assert not any(mark.is_alive() for mark in started)
    assert running_state(folder) is None
