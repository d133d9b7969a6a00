import asyncio
import os
import signal
from pathlib import Path

import pytest

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


async def test_a_part_that_dies_is_started_again_and_said_so() -> None:
    part, said = Fragile(), list[str]()
    keeper = asyncio.create_task(keep(part, say=said.append, started=lambda: None))
    await asyncio.wait_for(part.enough.wait(), LIMIT_S)
    keeper.cancel()
    assert said[0] == "fragile ended (signal SIGKILL), starting it again in 0.5 s: /nowhere"
    assert said[1] == "cannot start"
    assert "1.0 s" in said[2]


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
