"""The program on the page of the events does what the page says of it."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.broker.test_broker import publish, some_messages
from tests.support.brokers import own_prefix
from tests.support.gateways import plain_environment
from tests.support.waiting import LIMIT_S

from chaching.broker import topology
from chaching.broker.connection import connected
from chaching_api.documentation.assets import ASSETS
from chaching_api.documentation.events.page import PROGRAM

QUEUE = "my-service.customers"


@pytest.fixture
async def prefix(amqp_url: str) -> AsyncGenerator[str]:
    """A prefix under which the queue of the program is deleted, too."""
    async with own_prefix(amqp_url) as prefix:
        yield prefix
        async with connected(amqp_url, name="tests") as connection:
            await (await connection.channel()).queue_delete(f"{prefix}.{QUEUE}")


def program(prefix: str) -> str:
    """Return the program with names of this test."""
    names = topology.names_under(prefix)
    text = ASSETS[PROGRAM].body.decode()
    for shown, own in (
        ('"chaching.events"', f'"{names.events}"'),
        ('"chaching.history"', f'"{names.history}"'),
        (f'"{QUEUE}"', f'"{prefix}.{QUEUE}"'),
    ):
        assert text.count(shown) == 1
        text = text.replace(shown, own)
    return text


@asynccontextmanager
async def started(path: Path, amqp_url: str) -> AsyncGenerator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", str(path)),
        env={**plain_environment(), "AMQP_URL": amqp_url},
        stdout=PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def lines(process: Process, count: int) -> list[str]:
    assert process.stdout is not None
    async with asyncio.timeout(LIMIT_S):
        return [(await process.stdout.readline()).decode().strip() for _ in range(count)]


async def test_the_program_takes_each_event_once_from_before_and_from_now_on(
    amqp_url: str, prefix: str, tmp_path: Path
) -> None:
    path = tmp_path / "subscriber.py"
    path.write_text(program(prefix))
    before, after = some_messages(3), some_messages(3, first=4)
    await publish(amqp_url, prefix, before)
    async with started(path, amqp_url) as process:
        assert await lines(process, 3) == [taken(position) for position in (1, 2, 3)]
        await publish(amqp_url, prefix, before)
        await publish(amqp_url, prefix, after)
        assert await lines(process, 3) == [taken(position) for position in (4, 5, 6)]


def taken(position: int) -> str:
    return f"{position} customer.created cus_{position}"
