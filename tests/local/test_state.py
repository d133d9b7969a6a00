import os
import stat
import sys
from pathlib import Path

import pytest

from chaching.local.errors import LocalError
from chaching.local.places import make_data_dir, write_private
from chaching.local.processes import Child, Mark
from chaching.local.state import (
    RunState,
    end_leftovers,
    read_state,
    running_state,
    state_file,
    write_state,
)

WAITS = "import signal; signal.pause()"


def state_of(folder: Path, supervisor: Mark, *children: Mark) -> RunState:
    return RunState(
        data_dir=str(folder),
        supervisor=supervisor,
        gateway="http://127.0.0.1:8000",
        children=list(children),
    )


def test_the_state_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    write_state(state_of(tmp_path, Mark.of("supervisor", os.getpid())))
    assert stat.S_IMODE(state_file(tmp_path).stat().st_mode) == 0o600


def test_a_state_is_running_while_its_writer_lives(tmp_path: Path) -> None:
    assert running_state(tmp_path) is None
    written = state_of(tmp_path, Mark.of("supervisor", os.getpid()))
    write_state(written)
    assert running_state(tmp_path) == written
    write_state(state_of(tmp_path, Mark(name="supervisor", pid=os.getpid(), started="before")))
    assert running_state(tmp_path) is None


async def test_leftovers_of_a_killed_run_are_ended_once(tmp_path: Path) -> None:
    child = Child.spawn(
        "leftover", [sys.executable, "-c", WAITS], env=os.environ, log=tmp_path / "log"
    )
    gone = Mark(name="gone", pid=child.pid, started="before")
    write_state(state_of(tmp_path, gone, gone, child.mark()))
    assert await end_leftovers(tmp_path) == ["leftover"]
    assert child.exit_code is not None
    assert read_state(tmp_path) is None
    assert await end_leftovers(tmp_path) == []


def test_a_damaged_state_file_is_named(tmp_path: Path) -> None:
    state_file(tmp_path).write_text("{")
    with pytest.raises(LocalError, match=r"state\.json"):
        read_state(tmp_path)


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.with_name("secret.new").write_text("left by a crash")
    write_private(secret, b"one")
    write_private(secret, b"two")
    assert secret.read_bytes() == b"two"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_a_data_folder_that_exists_keeps_its_permissions(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    make_data_dir(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
