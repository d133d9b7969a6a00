from __future__ import annotations

import asyncio

import pytest
from tests.support.waiting import eventually

from chaching.runtime.logs import _Lines  # pyright: ignore[reportPrivateUsage] - what is tested


async def test_lines_that_wait_while_the_loop_ends_are_written_all_the_same(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    lines, written = _Lines(), bytearray()

    async def are_written(expected: bytes) -> bool:
        written.extend(capsysbinary.readouterr().out)
        return bytes(written) == expected

    lines.write(b"first\n")
    await eventually(lambda: are_written(b"first\n"), "a thread writes the first line")
    await asyncio.get_running_loop().shutdown_default_executor()
    lines.write(b"second\n")
    await eventually(lambda: are_written(b"first\nsecond\n"), "the second line is written")
    lines.write(b"third\n")
    await eventually(lambda: are_written(b"first\nsecond\nthird\n"), "and one more after it")
    lines.flush()
    assert capsysbinary.readouterr().out == b"", "a line is written once"
