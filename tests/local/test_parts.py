import asyncio
import os
import signal
from pathlib import Path

import pytest
from tests.support.keyrings import MASTER_KEY

from chaching.local import parts
from chaching.local.errors import LocalError
from chaching.local.parts import ServiceProcess, is_ready, keep
from chaching.local.ports import LOOPBACK, free_port
from chaching.local.processes import Mark

LIMIT_S = 20.0


class Fragile:
    """A part that dies as soon as it is started, and sometimes cannot be started."""

    name = "fragile"
    log = Path("/nowhere")

    def __init__(self) -> None:
        self.starts = 0
        self.enough = asyncio.Event()

    async def start(self) -> None:
        self.starts += 1
        if self.starts == 3:
            self.enough.set()
        raise LocalError("cannot start\nmore about it")

    async def stop(self) -> None:
        return

    async def wait(self) -> int:
        return -signal.SIGKILL

    def marks(self) -> list[Mark]:
        return []


class Mended(Fragile):
    """A part that lives after it was started again."""

    async def start(self) -> None:
        self.starts += 1

    async def wait(self) -> int:
        if self.starts:
            await asyncio.Event().wait()
        return 1


async def test_a_part_that_dies_is_started_again_and_said_so() -> None:
    part, said = Fragile(), list[str]()
    keeper = asyncio.create_task(keep(part, say=said.append, started=lambda: None))
    await asyncio.wait_for(part.enough.wait(), LIMIT_S)
    keeper.cancel()
    assert said[0] == "fragile ended (signal SIGKILL), starting it again in 0.5 s: /nowhere"
    assert said[1] == "cannot start"
    assert "1.0 s" in said[2]


async def test_a_part_with_a_wrong_setting_is_quoted_and_never_said_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "RESTART_FIRST_S", 0.01)
    monkeypatch.setattr(parts, "RESTART_MAX_S", 0.02)
    monkeypatch.setenv("PURGE_AFTER_S", "x")
    addresses = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "AMQP_URL": "amqp://127.0.0.1:1/",
        "MASTER_KEY": MASTER_KEY,
    }
    relay = ["chaching_api", "relay"]
    part = ServiceProcess("relay", relay, addresses=addresses, log=tmp_path / "log")
    said, enough = list[str](), asyncio.Event()

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 4:
            enough.set()

    await part.start()
    keeper = asyncio.create_task(keep(part, say=say, started=lambda: None))
    await asyncio.wait_for(enough.wait(), LIMIT_S)
    keeper.cancel()
    await part.stop()
    reason = 'saying "chaching: PURGE_AFTER_S is not usable: it must be seconds until'
    assert all(line.startswith(f"relay ended (exit code 1), {reason}") for line in said)
    pauses = [float(line.partition("again in ")[2].split()[0]) for line in said]
    assert pauses[-1] > parts.RESTART_MAX_S


async def test_a_part_that_lives_is_said_to_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "RESTART_FIRST_S", 0.01)
    monkeypatch.setattr(parts, "ALIVE_AFTER_S", 0.01)
    part, said, runs = Mended(), list[str](), asyncio.Event()

    def say(line: str) -> None:
        said.append(line)
        if "runs again" in line:
            runs.set()

    keeper = asyncio.create_task(keep(part, say=say, started=lambda: None))
    await asyncio.wait_for(runs.wait(), LIMIT_S)
    keeper.cancel()
    assert said[1:] == ["fragile runs again"]


async def test_a_service_process_gets_its_addresses_no_others_and_every_other_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "stand_in.py"
    module.write_text(
        "import os; [print(os.environ.get(name)) for name in "
        "('DATABASE_URL', 'AMQP_URL', 'RATE_LIMIT_PER_S')]"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("AMQP_URL", "amqp://not-for-it")
    monkeypatch.setenv("RATE_LIMIT_PER_S", "100")
    log = tmp_path / "log"
    part = ServiceProcess(
        "part", ["stand_in"], addresses={"DATABASE_URL": "postgresql://own"}, log=log
    )
    await part.start()
    assert await asyncio.wait_for(part.wait(), LIMIT_S) == 0
    assert log.read_text().split() == ["postgresql://own", "None", "100"]
    assert part.marks()[0].pid != os.getpid()
    await part.stop()


async def test_ready_means_200_and_nothing_else() -> None:
    port, answer = free_port(), b"503 Service Unavailable"

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 " + answer + b"\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    assert not await is_ready(LOOPBACK, port)
    async with await asyncio.start_server(respond, LOOPBACK, port):
        assert not await is_ready(LOOPBACK, port)
        answer = b"200 OK"
        assert await is_ready(LOOPBACK, port)
