"""`chaching events tail`, as a person and as a script use it, on a real database."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from tests.support.breaking import break_data_key, break_event, in_database
from tests.support.commands import command, ended, lines_of
from tests.support.customers import (
    append,
    append_customers,
    created,
    deleted,
    erased,
    key_of,
    pending,
    updated,
    whole_log,
)
from tests.support.keyrings import MASTER_KEY

from chaching.broker.messages import encode, message_of
from chaching.cli.main import chaching, main
from chaching.domain.customer import CustomerDeleted, decide
from chaching.domain.ids import RequestId
from chaching.domain.values import AddressChange, Details
from chaching.envelope import Metadata, RecordedEvent
from chaching.eventstore.store import EventStore

ALL = ("events", "tail", "--no-follow", "--since", "position:1")
ESCAPE = "\x1b"
TERMINAL_BYTES = 100_000


@pytest.fixture
def reached(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("MASTER_KEY", MASTER_KEY)
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
async def log(reached: None, store: EventStore) -> list[RecordedEvent]:  # noqa: ARG001 - sets up
    """One customer from birth to death, and another one."""
    commands = (
        created("cus_1", Details(name="Jane", address=AddressChange(city="Bath"))),
        updated(
            "cus_1",
            Details(
                balance=-500,
                address=AddressChange(city="York", line1="1 High St"),
                metadata={"plan": "premium"},
            ),
        ),
        updated("cus_1", Details(metadata={"plan": None}, description="x" * 200)),
        created("cus_2", Details(name=f"{ESCAPE}[31mred\u202e\x9b\r\nnext line")),
        deleted("cus_1"),
    )
    for wanted in commands:
        await append(store, wanted)
    return await whole_log(store)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(chaching, arguments, catch_exceptions=False)


def told(*arguments: str) -> list[str]:
    result = run(*arguments)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout.splitlines()


def refused(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[object, str]:
    """Run the whole command; return its exit code and the one line on stderr."""
    monkeypatch.setattr("sys.argv", ["chaching", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("chaching: ")
    assert said.err.count("\n") == 1
    return end.value.code, said.err


def positions(lines: list[str]) -> list[int]:
    return [int(line.split()[1]) for line in lines]


def test_a_line_tells_what_happened_to_whom_and_who_asked(log: list[RecordedEvent]) -> None:
    birth, change, removal, _, death = told(*ALL)
    at = log[0].recorded_at
    moment = f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"
    assert birth.split(maxsplit=5)[:5] == [moment, "1", "customer.created", "cus_1", "acct_1/test"]
    assert 'address.city: "Bath"' in birth
    assert birth.endswith("  - req_1")
    for leaf in (
        "balance: 0 → -500",
        'address.city: "Bath" → "York"',
        'address.line1: null → "1 High St"',
        'metadata.plan: null → "premium"',
    ):
        assert leaf in change
    assert 'metadata.plan: "premium" → null' in removal
    assert f'description: null → "{"x" * 38}…' in removal
    assert re.fullmatch(r"\S+ +5  customer.deleted  cus_1  acct_1/test  - req_1", death)


@pytest.fixture
async def forgotten(log: list[RecordedEvent], store: EventStore) -> list[RecordedEvent]:  # noqa: ARG001 - sets up
    """The first of the two customers was erased."""
    await append(store, erased("cus_1"))
    return await whole_log(store)


def test_who_was_forgotten_is_told_so_and_not_as_blank(forgotten: list[RecordedEvent]) -> None:
    _, change, removal, other, *_ = told(*ALL)
    for leaf in ("address: (forgotten)", "metadata: (forgotten)", "balance: 0 → -500"):
        assert leaf in change
    assert "description: (forgotten)" in removal
    assert "null" not in change + removal
    assert "(forgotten)" not in other
    lines = [msgspec.json.decode(line) for line in told(*ALL, "--format", "json")]
    assert [line.get("erased") for line in lines] == [True, True, True, None, True, True]
    assert len(lines) == len(forgotten)


EVIL_REASON = f"ticket 4711 {ESCAPE}[2J{'x' * 200}"


@pytest.fixture
async def reasoned_log(reached: None, store: EventStore) -> None:  # noqa: ARG001 - sets up
    event = decide(created("cus_1"), None)
    assert event is not None
    plain = pending(event, None)
    given = Metadata(request_id=RequestId("req_1"), idempotency_key="once", reason=EVIL_REASON)
    await store.append(msgspec.structs.replace(plain, metadata=msgspec.json.encode(given).decode()))
    await append(store, created("cus_2"))


@pytest.mark.usefixtures("reasoned_log")
def test_the_reason_and_the_idempotency_key_of_a_command_are_told() -> None:
    with_reason, without = told(*ALL)
    assert re.search(r"  - req_1  because: ticket 4711 \S+\[2Jx+…$", with_reason)
    assert with_reason.isprintable()
    assert "because" not in without
    first, second = (msgspec.json.decode(line) for line in told(*ALL, "--format", "json"))
    assert (first["reason"], first["idempotency_key"]) == (EVIL_REASON, "once")
    assert (second["reason"], second["idempotency_key"]) == (None, None)


def test_no_value_can_move_the_cursor(log: list[RecordedEvent]) -> None:
    lines = told(*ALL)
    assert len(lines) == len(log)
    assert all(line.isprintable() for line in lines)
    assert r'name: "\u001b[31mred\u202e\x9b\r\nnext line"' in lines[3]


def test_a_line_of_json_says_what_the_message_says(log: list[RecordedEvent]) -> None:
    lines = told(*ALL, "--format", "json")
    assert len(lines) == len(log)
    for line, event in zip(lines, log, strict=True):
        shown: dict[str, Any] = msgspec.json.decode(line)
        wire = encode(message_of(event), shown["source"].removeprefix("urn:uuid:"))
        assert shown.pop("data") == msgspec.json.decode(wire.body)
        asked = ("request_id", "key_id", "actor", "reason", "idempotency_key")
        assert [shown.pop(name) for name in asked] == ["req_1", None, None, None, None]
        assert shown == {
            name.removeprefix("cloudEvents:"): value for name, value in wire.headers.items()
        }


@pytest.mark.usefixtures("log")
def test_only_what_is_asked_for_is_shown() -> None:
    for options, wanted in (
        ("--type customer.updated", [2, 3]),
        ("--type customer.*", [1, 2, 3, 4, 5]),
        ("--type *.created --type customer.deleted", [1, 4, 5]),
        ("--customer cus_2", [4]),
        ("--account acct_1 --mode test", [1, 2, 3, 4, 5]),
        ("--account acct_1 --type customer.erased", []),
        ("--mode live", []),
        ("--limit 2", [1, 2]),
        ("--limit 1 --customer cus_2", [4]),
    ):
        assert positions(told(*ALL, *options.split())) == wanted, options


@pytest.mark.usefixtures("log")
def test_who_asks_for_nobody_is_told_so() -> None:
    for options, said in (
        ("--customer cus_nope", "the log has no customer cus_nope"),
        ("--customer cus_1 --mode live", "the log has no customer cus_1 in live mode"),
        ("--customer cus_1 --account acct_2", "the log has no customer cus_1 of account acct_2"),
        ("--account acct_2", "the log has no event of account acct_2"),
        ("--account acct_1 --mode live", "the log has no event of account acct_1 in live mode"),
    ):
        result = run(*ALL, *options.split())
        assert (result.exit_code, result.stdout) == (0, ""), options
        assert result.stderr == f"chaching: {said}\n"


@pytest.mark.usefixtures("log")
def test_since_is_a_position_an_instant_or_how_long_ago() -> None:
    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    since = ("events", "tail", "--no-follow", "--since")
    for whole in (
        *("position:1", "1h", "90m", "2d", f"{(now - hour).timestamp():.0f}"),
        *(f"@{(now - hour).timestamp():.0f}", (now - hour).isoformat()),
    ):
        assert positions(told(*since, whole)) == [1, 2, 3, 4, 5], whole
    assert positions(told(*since, "position:4")) == [4, 5]
    assert positions(told(*since, f"{now - 25 * hour:%Y-%m-%d}")) == [1, 2, 3, 4, 5]
    assert positions(told(*since, "position:0")) == [1, 2, 3, 4, 5]
    for nothing in (
        "position:6",
        f"{now + 24 * hour:%Y-%m-%d}",
        (now + hour).isoformat(),
        f"{(now + hour).timestamp():.0f}",
    ):
        assert told(*since, nothing) == [], nothing


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (
            "--since yesterday",
            "'yesterday' is none of: unix seconds such as 1772539200 or @1772539",
        ),
        ("--since 2025-01-02T03:00:00", "; a time has seconds and an offset"),
        ("--since version:3", "versions count the events of one customer"),
        ("--since 17", "unix seconds before 2001: write position:17, or @17"),
        ("--since 9999999999999999999", "is none of"),
        ("--since 9999999999w", "is none of"),
        ("--since 0001-01-01T00:00:00+14:00", "is none of"),
        ("--type invoice.*", "fits none of customer.created"),
        ("--type (.*)", "fits none of"),
        ("--customer no.one", "1 to 255"),
        ("--account no.one", "1 to 64"),
        ("--limit 0", "not in the range"),
        ("--no-follow", "--no-follow needs --since"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_line(
    arguments: str,
    hint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, said = refused(("events", "tail", *arguments.split()), monkeypatch, capsys)
    assert code == 2
    assert hint in said


@pytest.mark.parametrize(
    ("place", "hint"),
    [
        ("postgresql://nobody@127.0.0.1:1/nothing", "does not answer"),
        ("{url}?role=pg_monitor", "may not read the log"),
    ],
)
def test_a_log_that_cannot_be_read_is_said_in_one_line(
    database_url: str,
    place: str,
    hint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", place.format(url=database_url))
    code, said = refused(("events", "tail"), monkeypatch, capsys)
    assert (code, hint in said) == (1, True)


@pytest.fixture
async def strange_log(reached: None, store: EventStore) -> EventStore:  # noqa: ARG001 - sets up
    await append(store, created("cus_1"))
    loaded = await store.load(key_of("cus_1"))
    deletion = CustomerDeleted(deleted_at=1)
    strange = pending(deletion, loaded.state, loaded.version, data_key=loaded.data_key)
    await store.append(msgspec.structs.replace(strange, schema_version=99))
    await append(store, created("cus_2"))
    return store


@pytest.mark.usefixtures("strange_log")
def test_an_event_that_cannot_be_read_is_shown_as_such() -> None:
    _, strange, _ = told(*ALL)
    assert "cannot be read: unknown schema version 99" in strange
    before, strange, after = (msgspec.json.decode(line) for line in told(*ALL, "--format", "json"))
    assert (strange["position"], strange["version"], "data" in strange) == (2, 2, False)
    assert (strange["request_id"], strange["key_id"], strange["actor"]) == ("req_1", None, None)
    assert "unknown schema version 99" in strange["error"]
    assert "error" not in before | after


@pytest.mark.usefixtures("log")
def test_an_event_of_nobody_known_shows_what_changed(database_url: str) -> None:
    asyncio.run(in_database(database_url, lambda log: break_event(log, 2, metadata="{}")))
    text = told(*ALL)[1]
    assert "cannot be read: " not in text
    assert text.endswith("  who asked cannot be read")
    line = told(*ALL, "--format", "json")[1]
    assert "the metadata of a CustomerUpdated are broken" in msgspec.json.decode(line)["error"]


@pytest.mark.usefixtures("log")
def test_a_data_key_that_does_not_open_hides_no_other_event(database_url: str) -> None:
    asyncio.run(in_database(database_url, lambda log: break_data_key(log, "cus_1")))
    lines = told(*ALL)
    assert positions(lines) == [1, 2, 3, 4, 5]
    assert ["cannot be read" in line for line in lines] == [True, True, True, False, False]


async def test_a_terminal_gets_colours_unless_they_are_unwanted(
    database_url: str, log: list[RecordedEvent]
) -> None:
    for settings, options, coloured in (
        ({"TERM": "xterm"}, (), True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, (), False),
        ({"TERM": "xterm", "NO_COLOR": ""}, (), True),
        ({"TERM": "dumb"}, (), False),
        ({"TERM": "xterm"}, ("--color", "never"), False),
        ({"NO_COLOR": "1"}, ("--color", "always"), True),
    ):
        given = {"DATABASE_URL": database_url, "MASTER_KEY": MASTER_KEY, **settings}
        shown = await shown_on_a_terminal(*ALL, *options, settings=given)
        assert shown.count("\r\n") == len(log)
        assert (ESCAPE in shown) == coloured, (settings, options)


async def shown_on_a_terminal(*arguments: str, settings: Mapping[str, str]) -> str:
    terminal, inside = os.openpty()
    try:
        async with command(*arguments, settings=settings, stdout=inside) as process:
            assert await ended(process) == (0, "", "")
        return os.read(terminal, TERMINAL_BYTES).decode()
    finally:
        os.close(terminal)
        os.close(inside)


@pytest.mark.usefixtures("log")
def test_a_pipe_gets_colours_only_when_told_to() -> None:
    assert ESCAPE not in "".join(told(*ALL))
    assert ESCAPE in "".join(told(*ALL, "--color", "always"))


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
async def test_events_are_shown_as_they_come_until_a_signal(
    database_url: str, store: EventStore, which: signal.Signals
) -> None:
    arguments = ("events", "tail", "--since", "position:2", "--format", "json")
    async with command(
        *arguments, settings={"DATABASE_URL": database_url, "MASTER_KEY": MASTER_KEY}
    ) as process:
        shown: list[str] = []
        for first in (0, 10, 20):
            await append_customers(store, customers=10, updates=0, first=first)
            head = await store.head()
            shown += await lines_of(process, head - 1 - len(shown))
        process.send_signal(which)
        assert await ended(process) == (128 + which, "", "")
    assert [msgspec.json.decode(line)["position"] for line in shown] == list(range(2, head + 1))


async def test_it_ends_quietly_when_its_reader_does(
    database_url: str, log: list[RecordedEvent]
) -> None:
    reading, writing = os.pipe()
    arguments = ("events", "tail", "--since", "position:1")
    settings = {"DATABASE_URL": database_url, "MASTER_KEY": MASTER_KEY}
    async with command(*arguments, settings=settings, stdout=writing) as process:
        os.close(writing)
        shown = b""
        while shown.count(b"\n") < len(log):
            shown += await asyncio.to_thread(os.read, reading, TERMINAL_BYTES)
        os.close(reading)
        assert await ended(process) == (0, "", "")


async def test_it_ends_quietly_when_its_reader_is_gone_before_it_prints(
    database_url: str, store: EventStore
) -> None:
    await append_customers(store, customers=100, updates=2)
    reading, writing = os.pipe()
    os.close(reading)
    settings = {"DATABASE_URL": database_url, "MASTER_KEY": MASTER_KEY}
    async with command(*ALL, settings=settings, stdout=writing) as process:
        os.close(writing)
        assert await ended(process) == (0, "", "")
