"""The `chaching` command as a person runs it: a process of its own, its two outputs apart."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from tests.support.waiting import LIMIT_S

WORDS: Final = (sys.executable, "-c", "from chaching.cli.main import main; main()")
UNSET: Final = ("DATABASE_URL", "AMQP_URL", "NO_COLOR", "TERM", "CHACHING_DATA_DIR")


@asynccontextmanager
async def command(
    *arguments: str, settings: Mapping[str, str], stdout: int = PIPE, stderr: int = PIPE
) -> AsyncGenerator[Process]:
    """Run the command with these settings alone; kill it when the block ends before it does."""
    kept = {name: value for name, value in os.environ.items() if name not in UNSET}
    process = await asyncio.create_subprocess_exec(
        *WORDS, *arguments, env={**kept, **settings}, stdin=DEVNULL, stdout=stdout, stderr=stderr
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def lines_of(process: Process, count: int) -> list[str]:
    """Return the next lines that a command prints."""
    assert process.stdout is not None
    async with asyncio.timeout(LIMIT_S):
        return [(await process.stdout.readline()).decode() for _ in range(count)]


async def ended(process: Process) -> tuple[int, str, str]:
    """Wait for the end of a command; return its exit code and what else it printed."""
    async with asyncio.timeout(LIMIT_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, (out or b"").decode(), (err or b"").decode()
