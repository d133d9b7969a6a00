from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.support.waiting import eventually

from chaching.local.processes import Child
from chaching.runtime.lifecycle import retried, run_command, supervised

STOPPED_IN_ORDER = """
import asyncio, sys
from chaching.runtime import lifecycle, logs
logs.configure("info")
async def main():
    logs.logger().info("work_started")
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.2)
        logs.logger().info("work_drained")
lifecycle.run(main)
"""
HELD = """
import sys, time
from chaching.runtime import lifecycle
async def main():
    print("held", flush=True)
    while True:
        time.sleep(60)
lifecycle.run_command(main)
"""
COMMANDED = """
import asyncio, sys
from chaching.runtime import lifecycle
async def main():
    print("waiting", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.2)
        print("drained", flush=True)
stopped_by = lifecycle.run_command(main)
print(stopped_by.name)
"""
CRASHED = """
from chaching.runtime import lifecycle, logs
logs.configure("info")
async def main():
    secret = "in a variable"
    raise ValueError("planted")
lifecycle.run(main)
"""


def run_program(program: str, log: Path) -> Child:
    return Child.spawn("program", [sys.executable, "-c", program], env={}, log=log)


def lines(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


async def ended(child: Child) -> int | None:
    async def has_ended() -> bool:
        return child.exit_code is not None

    await eventually(has_ended, "the program has ended")
    return child.exit_code


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_once_and_stopping_twice_is_legal(
    tmp_path: Path, which: signal.Signals
) -> None:
    child = run_program(STOPPED_IN_ORDER, tmp_path / "log")

    async def has_started() -> bool:
        return "work_started" in child.log.read_text()

    await eventually(has_started, "the program runs")
    child.send(which)
    child.send(which)
    assert await ended(child) == 0
    assert [line["event"] for line in lines(child.log)] == ["work_started", "work_drained"]


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
async def test_a_command_drains_and_is_told_which_signal_came(
    tmp_path: Path, which: signal.Signals
) -> None:
    child = run_program(COMMANDED, tmp_path / "log")
    await printed(child, "waiting")
    child.send(which)
    assert await ended(child) == 0
    assert child.log.read_text().split() == ["waiting", "drained", which.name]


async def test_a_second_signal_ends_a_command_that_holds_its_loop(tmp_path: Path) -> None:
    child = run_program(HELD, tmp_path / "log")
    await printed(child, "held")

    async def ends_when_told_again() -> bool:
        child.send(signal.SIGINT)
        return child.exit_code is not None

    await eventually(ends_when_told_again, "the program has ended")
    assert child.exit_code == -signal.SIGINT


def test_a_command_that_ends_by_itself_leaves_the_signals_as_they_were() -> None:
    async def returns() -> None:
        return

    async def fails() -> None:
        raise BugError

    before = [signal.getsignal(which) for which in (signal.SIGTERM, signal.SIGINT)]
    assert run_command(returns) is None
    with pytest.raises(BugError):
        run_command(fails)
    assert [signal.getsignal(which) for which in (signal.SIGTERM, signal.SIGINT)] == before


async def printed(child: Child, words: str) -> None:
    async def has() -> bool:
        return words in child.log.read_text()

    await eventually(has, f"the program prints {words!r}")


async def test_a_crash_is_logged_as_one_json_line_without_variables(tmp_path: Path) -> None:
    child = run_program(CRASHED, tmp_path / "log")
    assert await ended(child) == 1
    [line] = lines(child.log)
    assert (line["event"], line["level"]) == ("process_crashed", "critical")
    assert "planted" in str(line["exception"])
    assert "in a variable" not in str(line)


class BugError(Exception):
    """Planted."""


class Expected(Exception):  # noqa: N818 - a server that is away
    """Planted."""


async def test_a_crashed_loop_is_started_again() -> None:
    runs = iter([BugError("one"), BugError("two")])

    async def loop() -> None:
        if (error := next(runs, None)) is not None:
            raise error

    with capture_logs() as logged:
        await supervised("tests", loop)
    assert [line["event"] for line in logged] == ["loop_crashed", "loop_crashed"]


async def test_what_a_loop_expects_is_told_in_one_line() -> None:
    runs = iter([ExceptionGroup("group", [Expected("away")])])

    async def loop() -> None:
        if (error := next(runs, None)) is not None:
            raise error

    with capture_logs() as logged:
        await supervised("tests", loop, expected=(Expected,))
    assert [(line["event"], line["reason"]) for line in logged] == [("loop_interrupted", "away")]


async def test_what_is_fatal_passes_through_even_in_a_group() -> None:
    async def loop() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(crash())

    async def crash() -> None:
        raise BugError

    with pytest.raises(ExceptionGroup):
        await supervised("tests", loop, fatal=(BugError,))


async def test_a_stopped_loop_is_not_started_again_whatever_it_raises_then() -> None:
    runs: list[str] = []

    async def loop() -> None:
        runs.append("started")
        try:
            await asyncio.Event().wait()
        finally:
            raise Expected("in the same moment")

    task = asyncio.create_task(supervised("tests", loop, expected=(Expected,)))

    async def has_started() -> bool:
        return runs == ["started"]

    await eventually(has_started, "the loop runs")
    task.cancel()
    with capture_logs():
        await asyncio.wait({task})
    assert task.cancelled()
    assert runs == ["started"]


async def test_a_loop_that_cancels_itself_is_started_again() -> None:
    runs = iter([True])

    async def loop() -> None:
        if next(runs, False):
            raise asyncio.CancelledError

    with capture_logs() as logged:
        await supervised("tests", loop)
    assert [line["event"] for line in logged] == ["loop_crashed"]


async def test_a_call_is_retried_while_it_raises_what_it_may() -> None:
    answers = iter([Expected("away"), Expected("away"), None])

    async def call() -> str:
        if (error := next(answers)) is not None:
            raise error
        return "done"

    with capture_logs():
        assert await retried(call, on=Expected) == "done"
