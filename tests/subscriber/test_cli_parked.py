"""`chaching parked`, as a person and as a script use it, on a real broker."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

import msgspec
import pytest
from click.testing import CliRunner
from tests.support.brokers import LOG_ID, UNREACHABLE
from tests.support.told import told_log
from tests.support.waiting import LIMIT_S

from chaching.broker import messages, subscriber_queues, topology
from chaching.broker.connection import connected
from chaching.broker.deliveries import Deliveries
from chaching.broker.subscriber_queues import QueueNames, queues_of
from chaching.cli import main as cli
from chaching.cli.parked import LISTED, give_back, give_up
from chaching.envelope import Position
from chaching.subscriber.events import GivenUp, Received, received, received_or_given_up
from chaching.subscriber.parking import Parking, Why, because_of, behind

TOLD: Final = told_log(60)
FIRST: Final = next(m for m in TOLD if sum(o.key == m.key for o in TOLD[m.position :]) >= 1)
SECOND: Final = next(m for m in TOLD[FIRST.position :] if m.key == FIRST.key)
OTHER: Final = next(m for m in TOLD[FIRST.position :] if m.key != FIRST.key)
SECRET: Final = "jenny@example.com is\nno address"


def message_of(position: int) -> Received:
    wire = messages.encode(TOLD[position - 1], LOG_ID)
    return received(wire.headers, wire.body)


@pytest.fixture
async def queues(
    amqp_url: str, prefix: str, queue: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[QueueNames]:
    """The queues of a subscriber, and three events that are parked, out of order and once twice."""
    monkeypatch.setenv("AMQP_URL", amqp_url)
    names = queues_of(queue)
    async with connected(amqp_url, name="tests") as connection:
        await subscriber_queues.declare(connection, names, topology.names_under(prefix).events)
        parking = Parking(amqp_url, names)
        why = because_of(ValueError(SECRET), 5)
        await parking.park(message_of(SECOND.position), behind(FIRST.position))
        for each in (Why(reason="ValueError", tries=2), why):
            await parking.park(message_of(FIRST.position), each)
        await parking.park(message_of(OTHER.position), why)
        await parking.close()
        yield names


def run(*arguments: str, answer: str | None = None) -> str:
    result = CliRunner().invoke(cli.chaching, arguments, input=answer, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def noted(*arguments: str) -> str:
    """Run a command that succeeds; return what it says beside its result."""
    result = CliRunner().invoke(cli.chaching, ["parked", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stderr


def decoded(*arguments: str) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.json.decode(run(*arguments, "--format", "json"))
    return told


def parked(queues: QueueNames) -> list[int]:
    return [e["position"] for e in decoded("parked", "list", "--queue", queues.own)["parked"]]


ALL: Final = sorted([FIRST.position, SECOND.position, OTHER.position])


def test_a_list_shows_each_event_once_in_order_and_nothing_personal(queues: QueueNames) -> None:
    text = run("parked", "list", "--queue", queues.own)
    head, *lines = text.splitlines()
    assert re.split(r"\s{2,}", head) == list(LISTED)
    assert [int(line.split()[0]) for line in lines] == ALL
    found = decoded("parked", "list", "--queue", queues.own)["parked"]
    assert [event["position"] for event in found] == ALL
    first = found[ALL.index(FIRST.position)]
    assert (first["reason"], first["tries"]) == ("ValueError", 5)
    assert (first["customer"], first["account"], first["mode"]) == (
        FIRST.key.id,
        "acct_1",
        "test",
    )
    for personal in ("jenny", "Jenny"):
        assert personal not in text
        assert personal not in msgspec.json.encode(found).decode()


def test_looking_changes_nothing(queues: QueueNames) -> None:
    assert [parked(queues) for _ in range(3)] == [ALL] * 3


def test_showing_an_event_tells_everything_about_it(queues: QueueNames) -> None:
    event = decoded("parked", "show", str(FIRST.position), "--queue", queues.own)
    assert event["detail"] == f"ValueError: {SECRET}"
    assert event["log"] == LOG_ID
    assert event["body"]["object"] == msgspec.json.decode(FIRST.object)


def test_a_person_reads_the_error_line_by_line_below_the_event(queues: QueueNames) -> None:
    shown = run("parked", "show", str(FIRST.position), "--queue", queues.own)
    event, end, error = shown.rpartition("}\n")
    assert msgspec.json.decode(event + end)["position"] == FIRST.position
    assert error == f"ValueError: {SECRET}\n"


def test_replaying_puts_all_back(queues: QueueNames) -> None:
    assert run("parked", "replay", "--queue", queues.own) == f"3 events went back to {queues.own}\n"
    assert parked(queues) == []


def test_replaying_a_customer_leaves_the_others(queues: QueueNames) -> None:
    told = decoded("parked", "replay", "--queue", queues.own, "--customer", FIRST.key.id)
    assert told == {"positions": [FIRST.position, SECOND.position]}
    assert parked(queues) == [OTHER.position]


async def test_what_is_put_back_waits_in_the_subscribers_queue_in_order(
    amqp_url: str, queues: QueueNames
) -> None:
    await give_back(queues.own, "replay", None, None)
    async with connected(amqp_url, name="tests") as connection:
        deliveries = Deliveries(connection, queues.own, channel_number=2, prefetch_messages=10)
        await deliveries.open()
        found: list[Mapping[str, object]] = []
        while len(found) < len(ALL):
            assert await deliveries.wait(LIMIT_S)
            found += [delivery.headers for delivery in deliveries.take(10)]
    assert [headers["position"] for headers in found] == ALL
    assert [headers["parked_order"] for headers in found] == ["replay"] * 3


def test_discarding_needs_a_yes(queues: QueueNames) -> None:
    where = ["--queue", queues.own, "--position", str(OTHER.position)]
    result = CliRunner().invoke(cli.chaching, ["parked", "discard", *where], input="n\n")
    assert result.exit_code != 0
    assert f"discard 1 event of {queues.own} for good?" in result.stderr
    for lost in ([], ["--lost"]):
        unanswered = ["parked", "discard", *where, *lost]
        ended = CliRunner().invoke(cli.chaching, unanswered, input="")
        assert ended.exit_code != 0
        assert " [y/N]: \naborted: nothing was changed\n" in ended.stderr
    assert parked(queues) == ALL
    run("parked", "discard", *where, answer="y\n")
    assert parked(queues) == sorted([FIRST.position, SECOND.position])
    told = run("parked", "discard", "--queue", queues.own, "--all", "--yes")
    assert told == f"2 events of {queues.own} will be passed over\n"
    assert parked(queues) == []
    nothing = run("parked", "discard", "--queue", queues.own, "--all")
    assert nothing == f"0 events of {queues.own} will be passed over\n"


def test_an_event_that_others_wait_behind_and_that_is_not_there_can_be_discarded_as_lost(
    queues: QueueNames,
) -> None:
    where = ["--queue", queues.own, "--position", str(FIRST.position)]
    assert "wait behind" not in noted("list", "--queue", queues.own)
    run("parked", "discard", *where, "--yes")
    hint = noted("list", "--queue", queues.own)
    assert f"events wait behind {FIRST.position}, which is not there" in hint
    [words] = re.findall(r"`chaching (parked discard [^`]+)`", hint)
    told = run(*words.split(), answer="y\n")
    assert told == f"if {FIRST.position} of {queues.own} is parked, it will be passed over\n"
    assert decoded(*words.split(), "--yes") == {"positions": [FIRST.position]}
    assert parked(queues) == sorted([SECOND.position, OTHER.position])


async def test_the_order_to_discard_what_is_lost_names_the_event_and_its_log(
    amqp_url: str, queues: QueueNames
) -> None:
    await give_up(queues.own, Position(999))
    async with connected(amqp_url, name="tests") as connection:
        deliveries = Deliveries(connection, queues.own, channel_number=2, prefetch_messages=10)
        await deliveries.open()
        assert await deliveries.wait(LIMIT_S)
        [delivery] = deliveries.take(10)
    order = received_or_given_up(delivery.headers, delivery.body)
    assert isinstance(order, GivenUp)
    assert (order.position, order.log_id) == (999, LOG_ID)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list", "--queue", "nobody"], "there is no queue nobody.parked"),
        (["list", "--queue", "a b"], "cannot name a subscriber's queue"),
        (["show", "999", "--queue", "{queue}"], "no event is parked there at position 999"),
        (["replay", "--queue", "{queue}", "--position", "999"], "discard --position 999 --lost"),
        (
            ["replay", "--queue", "{queue}", "--customer", "cus_x"],
            "no event of cus_x is parked there; `chaching parked list` shows what is",
        ),
        (
            ["discard", "--queue", "{queue}", "--customer", "cus_x", "--position", "9", "--yes"],
            "no event of cus_x is parked there at position 9; `chaching parked list`",
        ),
        (["replay", "--queue", "{queue}", "--position", f"{SECOND.position}"], "waits behind"),
        (["discard", "--queue", "{queue}", "--yes"], "say which"),
        (["discard", "--queue", "{queue}", "--position", "999", "--yes"], "--position 999 --lost"),
        (["discard", "--queue", "{queue}", "--lost", "--yes"], "--lost takes --position"),
        (["discard", "--queue", "{queue}", "--lost", "--all", "--position", "9"], "nothing else"),
        (
            ["discard", "--queue", "{queue}", "--position", f"{FIRST.position}", "--lost", "--yes"],
            "discard that",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(
    queues: QueueNames,
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [word.format(queue=queues.own) for word in arguments]
    assert said in refused(words, monkeypatch, capsys)
    assert parked(queues) == ALL


def test_a_broker_that_is_away_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AMQP_URL", UNREACHABLE)
    said = refused(["list", "--queue", "crm"], monkeypatch, capsys)
    assert "the broker does not answer" in said
    assert "nothing" not in said


def refused(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """Run the whole command, which fails; return its one line on stderr."""
    monkeypatch.setattr("sys.argv", ["chaching", "parked", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    assert (end.value.code != 0, said.out, said.err.count("\n")) == (True, "", 1)
    assert said.err.startswith("chaching: ")
    return said.err
