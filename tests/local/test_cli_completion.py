"""What a shell offers at Tab, asked as the shells themselves ask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from chaching.cli.main import chaching, main

LIMIT_S = 30
ASKED = """
source "$SCRIPT"
for line in "$@"; do
    read -ra COMP_WORDS <<< "$line"
    [[ $line == *' ' ]] && COMP_WORDS+=('')
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
    _chaching_completion chaching
    echo "${COMPREPLY[*]}"
done
"""


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the command in it, which the shells find."""
    program = tmp_path / "chaching"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.argv[0] = 'chaching'\n"
        "from chaching.cli.main import main\nmain()\n"
    )
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def script_of(shell: str) -> str:
    result = CliRunner().invoke(chaching, ["completion", shell], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def answer(words: list[str], **settings: str) -> str:
    done = subprocess.run(  # noqa: S603 - words of this module
        words,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def test_bash_completes_commands_options_and_values(on_path: Path) -> None:
    expected = {
        "chaching eve": "events",
        "chaching events t": "tail",
        "chaching replay --from 2025-01-02T03 : 04 : 05Z --t": "--to --type",
        "chaching replay --queue chaching.h": "chaching.history",
        "chaching replay --type customer.u": "customer.updated",
        "chaching events tail --mode ": "test live",
        "chaching keys create --right customers": "customers:read customers:write",
        "chaching keys create --right customers :": "read write",
        "chaching keys create --right customers : r": "read",
    }
    script = on_path / "completion.bash"
    script.write_text(script_of("bash"))
    said = answer(["bash", "--norc", "-c", ASKED, "bash", *expected], SCRIPT=str(script))
    assert dict(zip(expected, said.splitlines(), strict=True)) == expected


def test_a_shell_that_is_not_named_is_asked_for_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["chaching", "completion"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("Choose from: bash, zsh, fish")


def test_zsh_and_fish_get_the_same_answers(on_path: Path) -> None:
    program = str(on_path / "chaching")
    zsh = answer(
        [program],
        _CHACHING_COMPLETE="zsh_complete",
        COMP_WORDS="chaching replay --fr",
        COMP_CWORD="2",
    )
    assert zsh.splitlines()[:2] == ["plain", "--from"]
    fish = answer(
        [program],
        _CHACHING_COMPLETE="fish_complete",
        COMP_WORDS="chaching replay --fr",
        COMP_CWORD="--fr",
    )
    assert fish.startswith("plain,--from")


def test_the_scripts_are_whole_in_the_eyes_of_the_shells_that_are_here(on_path: Path) -> None:
    checked: list[str] = []
    for shell, check in (("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")):
        script = on_path / f"completion.{shell}"
        script.write_text(script_of(shell))
        assert "_CHACHING_COMPLETE" in script.read_text()
        if (program := shutil.which(shell)) is not None:
            answer([program, check, str(script)])
            checked.append(shell)
    assert "bash" in checked
