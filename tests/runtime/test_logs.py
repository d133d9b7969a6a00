from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
from tests.support.waiting import eventually

from chaching.runtime import logs


class NumberTold(msgspec.Struct):
    number: int


async def test_lines_that_are_due_while_the_loop_is_closed_are_written(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaching.runtime.logs._lines.enabled", True)
    await asyncio.get_running_loop().shutdown_default_executor()
    told: list[int] = []

    async def are_written(numbers: list[int]) -> bool:
        lines = capsysbinary.readouterr().out.splitlines()
        told.extend(json.loads(line)["number"] for line in lines)
        return told == numbers

    for number in range(3):
        logs.write_line(NumberTold(number))
        await eventually(lambda: are_written(list(range(number + 1))), "the line is written")  # noqa: B023 - called at once
    assert told == [0, 1, 2]
