"""`chaching audit`, as a person and as a script use it, on a real database."""

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.audit import by_the_document as document
from tests.support.audited import KEY, Audited, audited_log, chance
from tests.support.auditors import SEED

from chaching.cli import main as cli
from chaching.cli.progress import Bar
from chaching.eventstore.database import Database, Row
from chaching.local.signing import KEY_FILE

STEPS = (20, 40)
OWN = KEY.public.verifier("chaching/x")


@pytest.fixture(autouse=True)
def reached(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("AUDIT_SIGNING_KEY", SEED)
    monkeypatch.setenv("CHACHING_DATA_DIR", str(tmp_path))


@pytest.fixture
def audited(database_url: str) -> Audited:
    """A log that was audited, with nobody at work on it now."""
    return asyncio.run(_audited(database_url))


async def _audited(database_url: str) -> Audited:
    database = Database(database_url, name="tests", sessions_max=2)
    await database.open()
    try:
        return await audited_log(database, database_url, STEPS, chance(1))
    finally:
        await database.close()


def tamper(database_url: str, sql: str) -> None:
    async def execute() -> None:
        database = Database(database_url, name="tests", sessions_max=1)
        await database.open()
        await database.execute("ALTER TABLE event_store.events DISABLE TRIGGER ALL")
        await database.execute(sql)
        await database.execute("ALTER TABLE event_store.events ENABLE TRIGGER ALL")
        await database.close()

    asyncio.run(execute())


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.chaching, ["audit", *arguments], catch_exceptions=False)


def told(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr == "" or arguments[0] == "export"
    return result.stdout


def refused(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """Run the whole command; return the one line on stderr."""
    monkeypatch.setattr("sys.argv", ["chaching", "audit", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    assert (said.out, end.value.code in {1, 2}) == ("", True)
    assert said.err.count("\n") == 1
    return said.err


def test_a_checkpoint_is_printed_as_it_is_to_be_kept(audited: Audited) -> None:
    note = told("checkpoint")
    assert note == audited.signed[-1].note
    assert document.opened(note, told("key").strip())[1] == sum(STEPS)
    said = json.loads(told("checkpoint", "--format", "json"))
    assert said == {
        "size": sum(STEPS),
        "origin": audited.signed[-1].checkpoint.origin,
        "note": note,
    }


def test_a_sound_log_is_told_with_how_fast_it_was_read(audited: Audited, tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_text(audited.signed[0].note)
    said = told("verify", "--checkpoint", str(kept))
    assert said.startswith("60 events verified in ")
    assert " a second)\n60 of them hashed before, 60 under a signed checkpoint; " in said
    assert said.endswith(
        "3 checkpoints compared, signatures checked\nsound: the log is what was hashed and signed\n"
    )
    verdict: dict[str, Any] = json.loads(told("verify", "--format", "json"))
    assert (verdict["is_sound"], verdict["events"], verdict["first_bad"]) == (True, 60, None)


def test_the_first_bad_position_is_named_and_the_command_fails(
    audited: Audited, database_url: str
) -> None:
    assert audited.events == sum(STEPS)
    tamper(database_url, "UPDATE event_store.events SET payload = '1' WHERE position = 17")
    result = run("verify")
    assert result.exit_code == 1
    assert result.stdout.endswith(
        "NOT SOUND at position 17: the event at position 17 is not the one that was hashed "
        "(event_changed)\n"
    )
    result = run("verify", "--format", "json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["first_bad"]["position"] == 17


def test_the_public_key_is_given_or_that_of_the_signing_key(
    audited: Audited, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = KEY.public.verifier(audited.signed[0].checkpoint.origin)
    assert told("key") == f"{key}\n"
    monkeypatch.delenv("AUDIT_SIGNING_KEY")
    assert "SIGNATURES NOT CHECKED" in told("verify")
    file = tmp_path / "key.txt"
    file.write_text(f"{key}\n")
    for given in (key, str(file)):
        assert ", signatures checked" in told("verify", "--public-key", given)
    monkeypatch.setenv("AUDIT_SIGNING_KEY", SEED.replace("A", "B"))
    result = run("verify")
    assert result.exit_code == 1
    assert (
        "\nNOT PROVEN from position 1 on: signed checkpoint 1 is signed by a key" in result.stdout
    )
    assert key.split("+")[1] in result.stdout
    assert run("verify", "--public-key", key).exit_code == 0


def test_a_key_in_the_data_folder_is_not_for_another_database(
    audited: Audited, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert audited.events
    monkeypatch.delenv("AUDIT_SIGNING_KEY")
    (tmp_path / KEY_FILE).write_text(SEED)
    assert "SIGNATURES NOT CHECKED" in told("verify")


def test_an_export_goes_to_a_private_file_or_to_stdout_and_is_sound(
    audited: Audited, tmp_path: Path
) -> None:
    file, key = tmp_path / "export.jsonl", told("key").strip()
    assert told("export", "--account", "acct_1", "--output", str(file)) == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert told("export", "--account", "acct_1") == file.read_text()
    events = document.check_export(file.read_bytes(), key)
    said = told("verify-export", str(file), "--public-key", key)
    assert said == f"sound: {events} events, each in the signed log of {audited.events}\n"
    verdict = json.loads(told("verify-export", str(file), "--public-key", key, "--format", "json"))
    assert verdict["is_sound"] is True
    part = ["--mode=live", "--from=position:5", "--to=position:50"]
    header = json.loads(told("export", "--account", "acct_1", *part).splitlines()[0])
    assert (header["mode"], header["from"], header["to"]) == ("live", 5, 50)


def test_an_export_says_how_many_events_it_has(
    audited: Audited, tmp_path: Path, database_url: str
) -> None:
    assert audited.events
    of_account = "SELECT count(*) FROM event_store.events WHERE account = 'acct_1'"
    [[there]] = asyncio.run(_rows(database_url, of_account))
    whole = run("export", "--account", "acct_1")
    assert whole.stderr == f"{there} events of acct_1 written\n"
    assert whole.stdout.count("\n") == there + 2
    [[first]] = asyncio.run(
        _rows(database_url, "SELECT min(position) FROM event_store.events WHERE account = 'acct_1'")
    )
    file = tmp_path / "one.jsonl"
    part = [f"--from=position:{first}", f"--to=position:{first}", f"--output={file}"]
    assert run("export", "--account", "acct_1", *part).stderr == "1 event of acct_1 written\n"
    none = run("export", "--account", "acct_1", "--from=1970-01-01", "--to=1970-01-02")
    assert (none.exit_code, none.stderr) == (0, "0 events of acct_1 written\n")


def test_the_help_of_an_export_says_that_personal_values_are_encrypted() -> None:
    said = " ".join(told("export", "--help").split())
    assert "as they are stored, so personal values are encrypted" in said


def test_an_export_of_nobody_is_refused_and_leaves_the_file_alone(
    audited: Audited,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert audited.events
    file = tmp_path / "kept.jsonl"
    file.write_text("kept")
    for asked, says in (
        (["acct_nope"], "chaching: the log has no event of account acct_nope\n"),
        (["acct_1", "--to", "position:999"], "chaching: position 999 is under no signed"),
    ):
        said = refused(["export", "--account", *asked, "--output", str(file)], monkeypatch, capsys)
        assert said.startswith(says)
        assert file.read_text() == "kept"


def exported(*part: str) -> tuple[int, int]:
    """Return from where to where an export reaches."""
    header = json.loads(told("export", "--account", "acct_1", *part).splitlines()[0])
    return header["from"], header["to"]


def test_an_export_begins_and_ends_with_what_a_point_names(
    audited: Audited, database_url: str
) -> None:
    """The two steps of the log were recorded at two instants."""
    first, second = audited.events - STEPS[1], audited.events
    before, since = asyncio.run(_instants(database_url, first, first + 1))
    assert exported(f"--to={before}") == (1, first)
    assert exported(f"--from={since}") == (first + 1, second)
    assert exported(f"--from={since}", f"--to={since}") == (first + 1, second)
    assert exported(f"--from={since[:10]}", f"--to={since[:10]}") == (1, second)
    assert exported("--from=1970-01-01", "--to=1970-01-02") == (1, 0)
    assert exported("--from=1h", "--to=0s") == (1, second)


async def _instants(database_url: str, *positions: int) -> list[str]:
    rows = await _rows(
        database_url,
        "SELECT recorded_at FROM event_store.events WHERE position = ANY ($1) ORDER BY position",
        positions,
    )
    return [row[0].isoformat() for row in rows]


async def _rows(database_url: str, sql: str, *arguments: object) -> list[Row]:
    database = Database(database_url, name="tests", sessions_max=1)
    await database.open()
    rows = await database.fetch(sql, *arguments)
    await database.close()
    return rows


def test_an_export_that_was_changed_is_refused(audited: Audited, tmp_path: Path) -> None:
    file, key = tmp_path / "export.jsonl", told("key").strip()
    told("export", "--account", "acct_2", "--output", str(file))
    file.write_text(file.read_text().replace("req_1", "req_2", 1))
    result = run("verify-export", str(file), "--public-key", key)
    assert result.exit_code == 1
    assert result.stdout.startswith("NOT SOUND: line 2, position ")
    assert audited.events


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["verify", "--checkpoint", "missing.txt"], "does not exist"),
        (["verify", "--public-key", "nonsense"], "Invalid value for '--public-key'"),
        (["export", "--account", "a/b"], "1 to 64 of A-Z"),
        (
            ["export", "--account", "acct_1", "--from", "soon"],
            "none of: unix seconds such as 1772539200 or @1772539200, a time",
        ),
        (["export", "--account", "acct_1", "--from", "17"], "write position:17, or @17"),
        (
            ["export", "--account", "acct_1", "--from", "position:9", "--to", "position:7"],
            "--to, position 7, is before --from, position 9",
        ),
        (["export", "--account", "acct_1", "--to", "position:999"], "under no signed checkpoint"),
        (["verify-export", "missing.jsonl", "--public-key", OWN], "does not exist"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    audited: Audited,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    assert audited.events
    assert says in refused(arguments, monkeypatch, capsys)


def test_a_file_that_is_no_checkpoint_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "kept.txt"
    for content in (b"no note", b"\xff\xfe"):
        file.write_bytes(content)
        said = refused(["verify", "--checkpoint", str(file)], monkeypatch, capsys)
        assert "is no signed checkpoint" in said


def test_without_an_auditor_there_is_no_checkpoint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "the auditor has to run" in refused(["checkpoint"], monkeypatch, capsys)


def test_a_database_without_an_audit_or_the_right_to_read_it_is_told_in_one_line(
    database_url: str,
    database_admin_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{database_url}?role=chaching_relay")
    assert "may not read the audit" in refused(["verify"], monkeypatch, capsys)
    monkeypatch.setenv("DATABASE_URL", database_admin_url)
    assert "run `chaching migrate`" in refused(["verify"], monkeypatch, capsys)


def test_a_key_that_is_not_known_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AUDIT_SIGNING_KEY")
    assert "no signing key is known here" in refused(["key"], monkeypatch, capsys)
    monkeypatch.setenv("AUDIT_SIGNING_KEY", "secret")
    said = refused(["key"], monkeypatch, capsys)
    assert "AUDIT_SIGNING_KEY is not usable" in said
    assert "secret" not in said


def test_a_bar_tells_how_far_and_how_fast() -> None:
    assert Bar("events").line(250_000, 1_000_000, 2.0) == (
        "[###---------]  25%  250,000 of 1,000,000 events, 125,000/s "
    )
    assert Bar("events").line(0, 0, 0.0).startswith("[############] 100%")
