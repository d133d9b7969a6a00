import os
import signal
import sys
from pathlib import Path

import pytest

from chaching.local.errors import StartFailed
from chaching.local.processes import (
    Child,
    Mark,
    age_s,
    becomes_true,
    children_of,
    end_marked,
    finish,
    signal_pid,
)

LIMIT_S = 20.0
WAITS = "import signal; print('up', flush=True); signal.pause()"
IGNORES_SIGTERM = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('up', flush=True);\nwhile True: signal.pause()"
)
PARENT = """
import os, sys
from pathlib import Path
from chaching.local.processes import Child
command = [sys.executable, "-c", sys.argv[1]]
child = Child.spawn("child", command, env=os.environ, log=Path(sys.argv[2]))
print(child.pid, flush=True)
import signal; signal.pause()
"""


def spawn(log: Path, *words: str) -> Child:
    return Child.spawn("stand-in", [sys.executable, "-c", *words], env=os.environ, log=log)


async def up(log: Path) -> None:
    assert await becomes_true(lambda: log.exists() and "up" in log.read_text(), LIMIT_S)


async def test_a_child_ends_at_the_polite_signal(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = spawn(log, WAITS)
    await up(log)
    await child.end(signal.SIGTERM, LIMIT_S)
    assert child.exit_code == -signal.SIGTERM
    await child.end(signal.SIGTERM, LIMIT_S)  # ending twice is legal


async def test_a_child_that_ignores_the_polite_signal_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = spawn(log, IGNORES_SIGTERM)
    await up(log)
    await child.end(signal.SIGTERM, 0.1)
    assert child.exit_code == -signal.SIGKILL


async def test_a_mark_recognises_its_process_and_no_other(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = spawn(log, WAITS)
    await up(log)
    mark = child.mark()
    assert mark.is_alive()
    assert child.pid in children_of(os.getpid())
    reused = Mark(name="other", pid=mark.pid, started="another boot/1")
    assert not await end_marked(reused, LIMIT_S)
    assert await end_marked(mark, LIMIT_S)
    assert child.exit_code == -signal.SIGTERM
    assert not mark.is_alive()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals children of the dead")
async def test_a_child_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    log, parent_log = tmp_path / "log", tmp_path / "parent"
    parent = spawn(parent_log, PARENT, WAITS, str(log))
    await up(log)
    child = Mark.of("child", int(parent_log.read_text()))
    assert child.is_alive()
    await parent.end(signal.SIGKILL, LIMIT_S)
    assert await becomes_true(lambda: not child.is_alive(), LIMIT_S)


async def test_a_failed_command_shows_the_end_of_its_log(tmp_path: Path) -> None:
    child = spawn(tmp_path / "log", "import sys; sys.exit('no such thing')")
    with pytest.raises(StartFailed, match="no such thing"):
        await finish(child, LIMIT_S)


async def test_a_command_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    child = spawn(tmp_path / "log", WAITS)
    with pytest.raises(StartFailed, match="longer than"):
        await finish(child, 0.1)
    assert child.exit_code == -signal.SIGKILL


def test_signalling_a_process_that_is_gone_is_no_error() -> None:
    signal_pid(2**22 - 1, signal.SIGTERM)


def test_a_process_knows_its_age() -> None:
    assert age_s() >= 0
