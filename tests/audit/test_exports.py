"""A file of proved events: what is in it, who can check it, and that no change goes unnoticed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.audit import by_the_document as document
from tests.audit.vectors import KEY as VECTORS_KEY
from tests.audit.vectors import vectors
from tests.support.audited import KEY, append_events, audited_log, chance, growing_tree

from chaching.audit import exporting
from chaching.audit.exporting import Wanted, export
from chaching.audit.exports import ExportVerdict, check_export
from chaching.audit.notes import SigningKey, parse_checkpoint
from chaching.audit.opening import AuditRefused
from chaching.domain.ids import Mode
from chaching.eventstore.database import Database

STEPS: Final = (100, 200, 300)
FILE: Final[bytes] = vectors()["export"].encode()
KEYS: Final = (VECTORS_KEY.public,)
LIMIT_S: Final = 30
WITHOUT_DRIVERS: Final = """
import runpy, sys
for name in ("asyncpg", "aiohttp", "aio_pika", "aiormq", "pamqp"):
    sys.modules[name] = None
runpy.run_module("chaching.cli.verify_export", run_name="__main__")
"""
OTHER: Final = SigningKey(bytes(range(7, 39)))


async def exported(
    database: Database,
    account: str = "acct_1",
    mode: Mode | None = None,
    start: int | None = None,
    end: int | None = None,
) -> bytes:
    wanted = Wanted(account=account, mode=mode, start=start, end=end)
    return b"".join([line async for line in export(database, wanted, ask_limit_s=0.1)])


def checked(file: bytes) -> ExportVerdict:
    return check_export(BytesIO(file), [KEY.public])


def positions(file: bytes) -> list[int]:
    return [json.loads(line)["event"]["position"] for line in file.splitlines()[1:-1]]


async def stored(database: Database, where: str) -> list[int]:
    rows = await database.fetch(
        f"SELECT position FROM event_store.events WHERE {where} ORDER BY 1"  # noqa: S608 - of a test
    )
    return [row[0] for row in rows]


@pytest.mark.parametrize("mode", ["test", "live", None])
async def test_all_events_of_an_account_and_mode_are_proved(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch, mode: Mode | None
) -> None:
    monkeypatch.setattr(exporting, "STRETCH_EVENTS", 70)
    await audited_log(database, database_url, STEPS, chance(1))
    file = await exported(database, "acct_2", mode)
    and_mode = "" if mode is None else f" AND livemode = {mode == 'live'}"
    assert positions(file) == await stored(database, f"account = 'acct_2'{and_mode}")
    verdict = checked(file)
    assert (verdict.is_sound, verdict.events, verdict.size) == (True, len(positions(file)), 600)
    [row] = await database.fetch("SELECT note FROM audit.signed_checkpoints WHERE number = 3")
    key = KEY.public.verifier(row["note"].split("\n")[0])
    assert document.check_export(file, key) == verdict.events > 50


async def test_an_event_is_in_the_file_as_it_is_stored(
    database: Database, database_url: str
) -> None:
    await audited_log(database, database_url, [50], chance(2))
    for line in (await exported(database)).splitlines()[1:-1]:
        event = json.loads(line)["event"]
        [row] = await database.fetch(
            "SELECT payload::text, state::text, metadata::text, invoice_prefix FROM "
            "event_store.events WHERE position = $1",
            event["position"],
        )
        names = ("payload", "state", "metadata", "invoice_prefix")
        assert tuple(event[name] for name in names) == tuple(row)


async def test_a_range_is_of_positions_both_included(database: Database, database_url: str) -> None:
    await audited_log(database, database_url, STEPS, chance(3))
    file = await exported(database, start=150, end=450)
    assert positions(file) == await stored(
        database, "account = 'acct_1' AND position BETWEEN 150 AND 450"
    )
    header = json.loads(file.splitlines()[0])
    assert (header["from"], header["to"]) == (150, 450)
    assert positions(await exported(database, start=601)) == []
    assert checked(await exported(database, account="acct_none")).is_sound


async def test_what_is_not_signed_cannot_be_exported(database: Database, database_url: str) -> None:
    random = chance(4)
    with pytest.raises(AuditRefused, match="no checkpoint has been signed"):
        await exported(database)
    await audited_log(database, database_url, [10], random)
    await append_events(database, 5, random)
    assert max(positions(await exported(database))) <= 10
    with pytest.raises(AuditRefused, match="position 12 is under no signed checkpoint"):
        await exported(database, end=12)


async def test_a_file_that_was_written_stays_true_while_the_log_goes_on(
    database: Database, database_url: str
) -> None:
    random = chance(5)
    await audited_log(database, database_url, [20], random)
    file = await exported(database)
    await append_events(database, 20, random)
    async with growing_tree(database_url) as tree:
        await tree.catch_up()
        await tree.sign()
    assert checked(file).is_sound
    assert checked(file).events < checked(await exported(database)).events


# --- Checking -----------------------------------------------------------------------------------


def test_the_file_of_the_vectors_is_sound() -> None:
    assert check_export(BytesIO(FILE), KEYS).is_sound


Lines: TypeAlias = list[dict[str, Any]]
Change: TypeAlias = Callable[[Lines], object]


def sealed(lines: Lines) -> bytes:
    """Return a file of these lines whose end says of them what is true."""
    encoded = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    end = {"events": len(lines) - 1, "sha256": sha256(encoded).hexdigest()}
    return encoded + json.dumps(end).encode() + b"\n"


def lines_of(file: bytes) -> Lines:
    return [json.loads(line) for line in file.splitlines()[:-1]]


def verdict_on(lines: Lines) -> ExportVerdict:
    return check_export(BytesIO(sealed(lines)), KEYS)


def test_a_file_that_is_spelled_otherwise_is_sound_too() -> None:
    assert verdict_on(lines_of(FILE)).is_sound


def another(value: object) -> object:
    """Return another value of the same column."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str() if value.startswith("2026"):
            return value.replace("2026", "2027")
        case _:
            return f"{value}x"


@pytest.mark.parametrize("column", [*vectors()["entries"][0]["event"]])
def test_a_changed_column_is_found_at_its_position(column: str) -> None:
    lines = lines_of(FILE)
    event = lines[2]["event"]
    event[column] = another(event[column])
    verdict = verdict_on(lines)
    assert (verdict.is_sound, verdict.line) == (False, 3)
    assert verdict.position in {3, 4}
    assert verdict.events == 1


FAULTS: Final[Sequence[tuple[Change, str]]] = (
    (lambda lines: lines[0].update(format="other/1"), "the format is not"),
    (lambda lines: lines[0].update(account="acct_2"), "another account's or mode's"),
    (lambda lines: lines[0].update(mode="live"), "another account's or mode's"),
    (lambda lines: lines[0].update(to=5), "outside of the header's range"),
    (lambda lines: lines[0].update({"from": 2}), "outside of the header's range"),
    (lambda lines: lines[0].update(to=8), "does not cover"),
    (lambda lines: lines[0].update(note="x"), "the header has no checkpoint"),
    (lambda lines: lines[0].update(extra=1), "the header cannot be read"),
    (lambda lines: lines[1].update(extra=1), "the event cannot be read"),
    (lambda lines: lines[1]["event"].pop("state"), "the event cannot be read"),
    (lambda lines: lines[1]["hashes"].pop(), "not included in the signed tree"),
    (lambda lines: lines[1].update(hashes=["x"]), "the event cannot be read"),
    (lambda lines: lines.insert(1, lines.pop()), "out of order|are left out"),
    (lambda lines: lines.insert(2, lines[1]), "out of order"),
    (lambda lines: lines.pop(3), "are left out"),
)


@pytest.mark.parametrize(("change", "fault"), FAULTS)
def test_a_file_that_is_not_in_order_is_refused(change: Change, fault: str) -> None:
    lines = lines_of(FILE)
    change(lines)
    verdict = verdict_on(lines)
    assert not verdict.is_sound
    assert re.search(fault, verdict.fault or ""), verdict


def test_who_did_not_sign_is_not_trusted() -> None:
    verdict = check_export(BytesIO(FILE), [OTHER.public])
    assert (verdict.is_sound, verdict.line, verdict.events) == (False, 1, 0)
    lines = lines_of(FILE)
    lines[0]["note"] = OTHER.sign(parse_checkpoint(lines[0]["note"]).checkpoint)
    assert "not to be trusted" in (verdict_on(lines).fault or "")


@given(st.integers(0, len(FILE) - 1), st.integers(1, 255))
def test_a_file_with_one_byte_changed_is_refused(at: int, bits: int) -> None:
    other = FILE[:at] + bytes([FILE[at] ^ bits]) + FILE[at + 1 :]
    assert not check_export(BytesIO(other), KEYS).is_sound


def test_the_end_vouches_for_what_no_proof_does() -> None:
    other = FILE.replace(b'"to":7', b'"to":6')
    assert other != FILE
    verdict = check_export(BytesIO(other), KEYS)
    assert verdict.fault == "the last line says other than the lines before it"


@given(st.integers(0, len(FILE) - 1))
def test_a_file_that_was_cut_is_refused(at: int) -> None:
    assert not check_export(BytesIO(FILE[:at]), KEYS).is_sound
    assert not check_export(BytesIO(FILE + FILE[at:]), KEYS).is_sound


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(noise: bytes) -> None:
    assert not check_export(BytesIO(noise), KEYS).is_sound


def test_a_file_is_checked_where_there_is_no_driver(tmp_path: Path) -> None:
    file = tmp_path / "export.jsonl"
    file.write_bytes(FILE)
    done = subprocess.run(  # noqa: S603 - fixed words
        [sys.executable, "-c", WITHOUT_DRIVERS, str(file), "--public-key", vectors()["public_key"]],
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"sound: 4 events, each in the signed log of 7\n")
