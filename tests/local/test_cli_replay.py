"""`chaching replay`, as a person and as a script use it, on a real log and a real broker."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shlex
import signal
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.brokers import UNREACHABLE, messages_in, stranger_at
from tests.support.commands import command, ended
from tests.support.customers import append_customers, whole_log
from tests.support.keyrings import MASTER_KEY
from tests.support.newcomers import declared, position_of, read
from tests.support.waiting import LIMIT_S, eventually

from chaching.broker.connection import connected
from chaching.cli.main import main
from chaching.cli.options import broker_url
from chaching.eventstore.store import EventStore
from chaching.local.errors import LocalError
from chaching.local.processes import Mark
from chaching.local.state import RunState, write_state

SMALL_MAX = 10
SMALL = {"x-queue-type": "quorum", "x-max-length": SMALL_MAX, "x-overflow": "reject-publish"}
JSON = ("--format", "json")
TERMINAL_BYTES = 10_000


@pytest.fixture
def settings(database_url: str, amqp_url: str) -> Mapping[str, str]:
    return {"DATABASE_URL": database_url, "AMQP_URL": amqp_url, "MASTER_KEY": MASTER_KEY}


@pytest.fixture
async def head(store: EventStore) -> int:
    """A log, and its head."""
    return await append_customers(store, customers=50, updates=1)


@pytest.fixture
async def queue(amqp_url: str) -> AsyncGenerator[str]:
    """A queue that is declared."""
    async with declared(amqp_url, name := f"test.{secrets.token_hex(6)}"):
        yield name


@pytest.fixture
async def small_queue(amqp_url: str) -> AsyncGenerator[str]:
    """A queue that refuses what it has no room for."""
    async with declared(amqp_url, name := f"test.{secrets.token_hex(6)}", SMALL):
        yield name


async def run(
    *arguments: str, settings: Mapping[str, str], code: int = 0
) -> tuple[dict[str, Any], str]:
    """Run the command to its end; return the object and what else it said."""
    async with command("replay", *arguments, settings=settings) as process:
        return told_by(await ended(process), code)


def told_by(end: tuple[int, str, str], code: int) -> tuple[dict[str, Any], str]:
    ended_with, out, said = end
    assert ended_with == code, said
    told: dict[str, Any] = msgspec.json.decode(out)
    assert list(told) == [
        *("queue", "from", "to", "position", "published"),
        *("seconds", "events_per_s", "complete", "resume"),
    ]
    return told, said


async def positions_in(amqp_url: str, queue: str) -> list[int]:
    """Read what is in a queue; it may come again."""
    async with connected(amqp_url, name="tests") as connection:
        count = await messages_in(connection, queue)
    return [position_of(message) for message in await read(amqp_url, queue, count)]


async def test_it_tells_what_it_did(
    settings: Mapping[str, str], amqp_url: str, queue: str, head: int
) -> None:
    told, said = await run("--queue", queue, "--from", "1", *JSON, settings=settings)
    assert said == ""
    assert told.pop("seconds") > 0
    assert told.pop("events_per_s") > 0
    assert told == {
        "queue": queue,
        "from": 1,
        "to": head,
        "position": head,
        "published": head,
        "complete": True,
        "resume": None,
    }
    assert await positions_in(amqp_url, queue) == list(range(1, head + 1))
    async with command("replay", "--queue", queue, "--from", "11", settings=settings) as process:
        code, out, said = await ended(process)
    assert (code, said) == (0, "")
    expected = (
        rf"replayed {head - 10} events up to position {head} to {queue} in \S+ s \(\S+ events/s\)\n"
    )
    assert re.fullmatch(expected, out)


async def test_a_part_is_chosen_by_time_and_type(
    settings: Mapping[str, str], amqp_url: str, queue: str, store: EventStore, head: int
) -> None:
    log = await whole_log(store)
    assert len(log) == head
    first, last = log[20].recorded_at, log[-1].recorded_at
    chosen = ("--from", first.isoformat(), "--to", last.isoformat(), "--type", "customer.updated")
    await run("--queue", queue, *chosen, "--mode", "test", *JSON, settings=settings)
    assert await positions_in(amqp_url, queue) == [
        e.position for e in log if first <= e.recorded_at <= last and e.type == "CustomerUpdated"
    ]


async def test_all_of_one_customer_is_chosen(
    settings: Mapping[str, str], amqp_url: str, queue: str, store: EventStore, head: int
) -> None:
    log = await whole_log(store)
    one = log[0].key.id
    of_one = ("--from", "@0", "--to", f"{head}", "--customer", one, "--account", "acct_1")
    await run("--queue", queue, *of_one, *JSON, settings=settings)
    assert await positions_in(amqp_url, queue) == [e.position for e in log if e.key.id == one]
    told, _ = await run("--queue", queue, "--from", f"{head + 1}", *JSON, settings=settings)
    assert (told["published"], told["complete"], told["resume"]) == (0, True, None)


async def test_who_asks_for_nobody_is_told_so(
    settings: Mapping[str, str], queue: str, head: int
) -> None:
    for options, said in (
        (("--customer", "cus_nope"), "the log has no customer cus_nope"),
        (("--account", "foo"), "the log has no event of account foo"),
        (("--account", "acct_1", "--type", "customer.erased"), None),
    ):
        asked = ("--queue", queue, "--from", "1", *options, *JSON)
        told, note = await run(*asked, settings=settings)
        assert (told["published"], told["position"], told["complete"]) == (0, head, True)
        assert note == ("" if said is None else f"chaching: {said}\n")


async def test_points_are_taken_as_elsewhere(
    settings: Mapping[str, str], queue: str, head: int
) -> None:
    day = f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%d}"
    for first, last in (
        *(("position:1", f"position:{head}"), ("0", "0s"), ("1h", "2100-01-01")),
        *((day, f"{head}"), ("1970-01-01T01:00:00+01:00", "2100-01-01T00:00:00.5-08:00")),
    ):
        part = ("--from", first, "--to", last)
        told, _ = await run("--queue", queue, *part, *JSON, settings=settings)
        assert (told["from"], told["to"], told["published"]) == (1, head, head)


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_with_the_command_that_goes_on(
    settings: Mapping[str, str], amqp_url: str, small_queue: str, head: int, which: signal.Signals
) -> None:
    arguments = ("--queue", small_queue, "--from", "1", "--type", "customer.*", *JSON)
    async with command("replay", *arguments, settings=settings) as process:
        await is_full(amqp_url, small_queue)
        process.send_signal(which)
        told, said = told_by(await ended(process), 128 + which)
    assert 1 <= told["position"] < head
    assert (told["published"], told["complete"]) == (told["position"], False)
    assert said == f"interrupted; go on with\n{told['resume']}\n"
    resumed = shlex.split(told["resume"])
    assert resumed[1:] == [
        *("replay", "--queue", small_queue),
        *("--from", f"{told['position'] + 1}", "--to", f"{head}"),
        *("--type", "customer.created", "--type", "customer.deleted"),
        *("--type", "customer.erased", "--type", "customer.updated"),
    ]
    there = await positions_in(amqp_url, small_queue)
    async with command(*resumed[1:], settings=settings) as process:
        while there[-1] < head:
            there += await positions_in(amqp_url, small_queue)
        assert (await ended(process))[0] == 0
    assert set(there) == set(range(1, head + 1))


async def test_a_terminal_shows_a_bar_from_which_one_goes_on_after_a_kill(
    settings: Mapping[str, str], amqp_url: str, small_queue: str, head: int
) -> None:
    terminal, inside = os.openpty()
    try:
        arguments = ("replay", "--queue", small_queue, "--from", "1")
        given = {**settings, "TERM": "xterm", "COLUMNS": "100"}
        async with command(*arguments, settings=given, stderr=inside) as process:
            shown = ""
            while "waiting: the queue takes no more" not in shown:
                shown += (await asyncio.to_thread(os.read, terminal, TERMINAL_BYTES)).decode()
            process.kill()
    finally:
        os.close(terminal)
        os.close(inside)
    bars = re.findall(rf"\r\[([#-]+)\] +(\d+)% position (\d+) of {head}, ", shown)
    bar, share, position = bars[-1]
    assert int(share) == round(100 * int(position) / head)
    assert bar.count("#") == int(len(bar) * int(position) / head)
    there = await positions_in(amqp_url, small_queue)
    assert set(range(1, int(position) + 1)) <= set(there)


@pytest.mark.usefixtures("head")
async def test_a_broker_that_stays_away_is_given_up_with_the_command_that_goes_on(
    settings: Mapping[str, str],
) -> None:
    away = {**settings, "AMQP_URL": UNREACHABLE}
    arguments = ("--queue", "billing", "--from", "3", "--give-up-after-s", "0", *JSON)
    told, said = await run(*arguments, settings=away, code=1)
    assert (told["position"], told["published"], told["complete"]) == (2, 0, False)
    assert said == (
        f"chaching: gave up after 0 s: the broker does not answer; go on with\n{told['resume']}\n"
    )
    assert shlex.split(told["resume"])[1:] == [
        *("replay", "--queue", "billing", "--from", "3", "--to", "105"),
        *("--give-up-after-s", "0"),
    ]


@pytest.mark.usefixtures("head")
async def test_a_signal_while_the_broker_is_away_ends_it_with_the_command(
    settings: Mapping[str, str],
) -> None:
    away = {**settings, "AMQP_URL": UNREACHABLE}
    arguments = ("replay", "--queue", "billing", "--from", "1")
    async with command(*arguments, settings=away) as process:
        assert process.stderr is not None
        async with asyncio.timeout(LIMIT_S):
            line = (await process.stderr.readline()).decode()
        process.send_signal(signal.SIGTERM)
        code, _, said = await ended(process)
    assert "waiting: the broker does not answer" in line
    assert code == 128 + signal.SIGTERM
    assert said.splitlines()[-1].endswith("replay --queue billing --from 1 --to 105")


async def test_a_user_whom_the_broker_does_not_let_in_is_refused_at_once(
    settings: Mapping[str, str], queue: str, head: int
) -> None:
    assert head
    refused = {**settings, "AMQP_URL": stranger_at(settings["AMQP_URL"])}
    arguments = ("replay", "--queue", queue, "--from", "1")
    async with command(*arguments, settings=refused) as process:
        assert await ended(process) == (
            *(1, ""),
            "chaching: the broker lets nobody in with this user, password and virtual host\n",
        )


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ("--from 1 --queue {queue}.none", "there is no queue '{queue}.none' on the broker"),
        ("--from 200 --queue {queue}", "the log ends at position 105, before 200; unix seconds"),
        ("--from 1 --to 106 --queue {queue}", "the log ends at position 105, before 106"),
        (
            "--from 1 --to 1772539200 --queue {queue}",
            "the log ends at position 105, before 177",
        ),
        ("--from 2024-03-03 --to 2024-03-02 --queue {queue}", "--to is before --from"),
        ("--from 9 --to 7 --queue {queue}", "--to, position 7, is before --from, position 9"),
    ],
)
async def test_what_cannot_be_done_is_said_in_one_line(
    settings: Mapping[str, str], queue: str, head: int, arguments: str, hint: str
) -> None:
    assert head == 105
    words = arguments.format(queue=queue).split()
    async with command("replay", *words, settings=settings) as process:
        code, out, said = await ended(process)
    assert (code, out, said.count("\n")) == (1, "", 1)
    assert said.startswith(f"chaching: {hint.format(queue=queue)}")


@pytest.mark.parametrize(
    "arguments",
    [
        *("--from 1", "--queue q", "--queue q --from version:1", "--queue q --from tomorrow"),
        *("--queue q --from 1 --to x", "--queue q --from 1 --type nothing"),
        *(f"--queue {'q' * 256} --from 1", "--queue q --from 1 --give-up-after-s -1"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_line(
    arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["chaching", "replay", *arguments.split()])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    assert (end.value.code, said.out, said.err.count("\n")) == (2, "", 1)


def test_the_broker_is_that_of_the_service_whose_log_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = RunState(
        data_dir=str(tmp_path),
        supervisor=Mark.of("supervisor", os.getpid()),
        gateway="http://127.0.0.1:8000",
        database="postgresql://here",
        broker="amqp://here",
    )
    for name in ("DATABASE_URL", "AMQP_URL"):
        monkeypatch.delenv(name, raising=False)
    write_state(state)
    assert broker_url(tmp_path) == "amqp://here"
    monkeypatch.setenv("DATABASE_URL", "postgresql://here")
    assert broker_url(tmp_path) == "amqp://here"
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere")
    with pytest.raises(LocalError, match="set AMQP_URL"):
        broker_url(tmp_path)
    monkeypatch.setenv("AMQP_URL", "amqp://elsewhere")
    assert broker_url(tmp_path) == "amqp://elsewhere"
    monkeypatch.setenv("AMQP_URL", "http://a:secret@elsewhere")
    with pytest.raises(LocalError, match="AMQP_URL is not usable: it must be the broker") as told:
        broker_url(tmp_path)
    assert "secret" not in str(told.value)
    monkeypatch.delenv("AMQP_URL")
    monkeypatch.delenv("DATABASE_URL")
    write_state(msgspec.structs.replace(state, broker=None))
    with pytest.raises(LocalError, match="without a broker"):
        broker_url(tmp_path)


async def is_full(amqp_url: str, queue: str) -> None:
    async with connected(amqp_url, name="tests") as connection:

        async def holds_enough() -> bool:
            return await messages_in(connection, queue) >= SMALL_MAX

        await eventually(holds_enough, "the queue is full")
