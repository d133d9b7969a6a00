import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from chaching.cli import main as cli
from chaching.cli.options import database_url
from chaching.local.ports import free_port
from chaching.local.processes import Mark
from chaching.local.state import RunState, write_state

LIMIT_S = 60.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHACHING_DATA_DIR", str(tmp_path))
    for name in ("DATABASE_URL", "AMQP_URL", "PORT", "HOST"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def fails(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["chaching", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert isinstance(end.value.code, int)
    return end.value.code


def test_info_tells_the_addresses_of_the_running_service(folder: Path) -> None:
    write_state(
        RunState(
            data_dir=str(folder),
            supervisor=Mark.of("supervisor", os.getpid()),
            gateway="http://127.0.0.1:8000",
            database="postgresql://here",
        )
    )
    told = CliRunner().invoke(cli.chaching, ["info", "--format", "json"])
    assert msgspec.json.decode(told.stdout) == {
        "gateway": "http://127.0.0.1:8000",
        "database": "postgresql://here",
        "broker": None,
        "data_dir": str(folder),
        "pid": os.getpid(),
    }
    assert "http://127.0.0.1:8000" in CliRunner().invoke(cli.chaching, ["info"]).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["info"],
        ["keys", "create", "--account", "acct_a", "--mode", "test"],
        ["keys", "create", "--mode", "test"],
        ["migrate"],
        ["run", "--port", "70000"],
        ["unheard-of"],
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_goes_wrong_is_one_line(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fails(arguments, monkeypatch) != 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("chaching: ")
    assert said.err.count("\n") == 1


@pytest.mark.usefixtures("folder")
def test_parked_without_a_service_says_to_start_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fails(["parked", "list", "--queue", "q"], monkeypatch) == 1
    said = capsys.readouterr().err
    assert said.startswith("chaching: no chaching runs on ")
    assert said.endswith(": start it, or set AMQP_URL\n")


@pytest.mark.usefixtures("folder")
def test_parked_says_in_one_line_that_the_broker_is_away() -> None:
    # in a process of its own, since pytest takes what libraries log
    program = "from chaching.cli.main import main; main()"
    answer = subprocess.run(  # noqa: S603 - fixed command
        [sys.executable, "-c", program, "parked", "list", "--queue", "q"],
        env={**os.environ, "AMQP_URL": f"amqp://guest:guest@127.0.0.1:{free_port()}/"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (answer.returncode, answer.stdout) == (1, "")
    [line] = answer.stderr.splitlines()
    assert line.startswith("chaching: ")


def test_the_settings_come_before_the_running_service(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere")
    assert database_url(folder) == "postgresql://elsewhere"
