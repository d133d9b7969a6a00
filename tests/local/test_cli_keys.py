"""`chaching keys`, as a person and as a script use it, on a real database."""

import re
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from chaching.cli import main as cli
from chaching.cli.keys import LISTED
from chaching.eventstore.api_keys import RIGHTS

KEY_ID = "key_[0-9A-Za-z]{14}"
INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
CREATE = ["keys", "create", "--account", "acct_a", "--mode", "test"]


@pytest.fixture(autouse=True)
def reached(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)


def told(*arguments: str) -> str:
    result = CliRunner().invoke(cli.chaching, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def decoded(*arguments: str) -> dict[str, Any]:
    answer: dict[str, Any] = msgspec.json.decode(told(*arguments, "--format", "json"))
    return answer


def listed(*arguments: str) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = decoded("keys", "list", *arguments)["keys"]
    return keys


def refused(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """Run the whole command; return its exit code and the one line on stderr."""
    monkeypatch.setattr("sys.argv", ["chaching", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("chaching: ")
    assert said.err.count("\n") == 1
    assert isinstance(end.value.code, int)
    return end.value.code, said.err


def test_a_new_key_is_shown_once_and_told_by_its_id() -> None:
    made = decoded(*CREATE)
    assert list(made) == ["key", "key_id"]
    assert re.fullmatch("sk_test_[0-9A-Za-z]{32}", made["key"])
    [key] = listed()
    assert key["key_id"] == made["key_id"]
    assert made["key"] not in told("keys", "list")
    assert made["key"] not in told("keys", "list", "--format", "json")
    assert re.fullmatch(
        "rk_live_[0-9A-Za-z]{32}\n", told(*CREATE[:-1], "live", "--kind=restricted")
    )


@pytest.mark.parametrize(
    ("arguments", "rights"),
    [
        ([], ["customers:read", "customers:write", "events:read"]),
        (["--kind", "restricted"], []),
        (["--kind", "publishable"], []),
        (["--kind", "restricted", "--right", "customers:read"], ["customers:read"]),
        (["--right", "audit", "--right", "erase"], ["audit", "erase"]),
        (["--right", "*"], ["*"]),
    ],
)
def test_a_key_has_the_rights_that_are_given_else_the_usual_ones(
    arguments: list[str], rights: list[str]
) -> None:
    decoded(*CREATE, *arguments)
    [key] = listed()
    assert key["rights"] == rights


@pytest.mark.parametrize("right", ["customer:read", "customers", "customers:admin", "AUDIT", ""])
def test_a_right_that_does_not_exist_is_refused_with_those_that_do(
    right: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = refused([*CREATE, "--right", "audit", "--right", right], monkeypatch, capsys)
    assert code == 2
    assert all(known in said for known in RIGHTS)
    assert listed() == []


@pytest.mark.parametrize(
    "arguments",
    [["--expires-in-s", "0"], ["--expires-in-s", "99999999999"], ["--name", "a\nb"]],
)
def test_a_wrong_option_makes_no_key(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused([*CREATE, *arguments], monkeypatch, capsys)[0] == 2
    assert listed() == []


def test_the_list_of_keys_is_a_table() -> None:
    assert told("keys", "list") == "no keys\n"
    first = decoded(*CREATE, "--name", "the billing job", "--expires-in-s", "600")
    second = decoded(*CREATE[:-1], "live", "--kind", "restricted")
    told("keys", "revoke", second["key_id"])
    header, *lines = told("keys", "list").splitlines()
    starts = [0]
    for before, name in pairwise(LISTED):
        starts.append(header.index(name, starts[-1] + len(before)))
    cells = [
        [line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]
        for line in lines
    ]
    stars = "*" * 28
    assert [cell[:7] for cell in cells] == [
        [
            *(first["key_id"], f"sk_test_{stars}{first['key'][-4:]}", "secret", "test", "acct_a"),
            *("customers:read,customers:write,events:read", "the billing job"),
        ],
        [
            *(second["key_id"], f"rk_live_{stars}{second['key'][-4:]}", "restricted", "live"),
            *("acct_a", "-", "-"),
        ],
    ]
    ends = [re.sub(INSTANT, "then", " ".join(cell[7:])) for cell in cells]
    assert ends == ["then then - expiring", "then - then revoked"]


def test_the_list_of_keys_can_be_read_by_a_machine() -> None:
    made = decoded(*CREATE)
    decoded("keys", "create", "--account", "acct_b", "--mode", "live")
    [key] = listed("--account", "acct_a")
    assert listed("--mode", "test") == [key]
    assert listed("--account", "acct_b", "--mode", "test") == []
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", key.pop("created_at"))
    assert key == {
        "key_id": made["key_id"],
        "masked": f"sk_test_{'*' * 28}{made['key'][-4:]}",
        "kind": "secret",
        "mode": "test",
        "account": "acct_a",
        "rights": ["customers:read", "customers:write", "events:read"],
        "name": None,
        "expires_at": None,
        "revoked_at": None,
        "replaces": None,
        "replaced_by": None,
        "state": "active",
    }


def test_a_key_is_rolled_at_once_or_after_a_while() -> None:
    first = decoded(*CREATE, "--kind", "restricted", "--right", "audit", "--name", "Jane's")
    second = decoded("keys", "roll", first["key_id"], "--expires-in-s", "600")
    assert list(second) == ["key", "key_id"]
    third = told("keys", "roll", second["key_id"])
    assert re.fullmatch("rk_test_[0-9A-Za-z]{32}\n", third)
    keys = {key["key_id"]: key for key in listed()}
    assert keys[first["key_id"]]["state"] == "expiring"
    assert keys[second["key_id"]]["state"] == "expired"
    last = keys[keys[second["key_id"]]["replaced_by"]]
    assert (last["state"], last["replaces"]) == ("active", second["key_id"])
    assert {(key["kind"], key["name"], *key["rights"]) for key in keys.values()} == {
        ("restricted", "Jane's", "audit")
    }


def test_a_key_is_revoked() -> None:
    made = decoded(*CREATE)
    assert told("keys", "revoke", made["key_id"]) == f"{made['key_id']} is revoked\n"
    again = decoded("keys", "revoke", made["key_id"])
    assert again == {"key_id": made["key_id"], "state": "revoked"}
    [key] = listed()
    assert key["state"] == "revoked"


@pytest.mark.parametrize("change", ["roll", "revoke"])
def test_an_id_that_names_no_key_is_said_in_one_line(
    change: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = decoded(*CREATE)
    nobody = "key_00000000000000"
    code, said = refused(["keys", change, nobody], monkeypatch, capsys)
    assert (code, nobody in said) == (1, True)
    code, said = refused(["keys", change, made["key"]], monkeypatch, capsys)
    assert (code, made["key"] in said) == (1, False)
    [key] = listed()
    assert key["state"] == "active"


def test_whoever_is_not_the_owner_is_told_so(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{database_url}?role=chaching_gateway")
    code, said = refused(CREATE, monkeypatch, capsys)
    assert (code, "use the owner's URL" in said) == (1, True)
