"""Connections to RabbitMQ, each for one purpose, with a limit on every wait.

They do not reconnect: what was under way on a lost connection is unknown, so its user starts over
from its checkpoint. Publishing and consuming never share one, because a broker that is out of
memory or disk stops reading from connections that publish.
"""

# aiormq's types are partial; they end in this package.
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final

import aio_pika
from aio_pika.abc import AbstractConnection
from aiormq.connection import Connection

from chaching.broker.errors import translated

CONNECT_TIMEOUT_S: Final = 5.0
ANSWER_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 2.0
# the broker drops a client that is silent for two of these, and a paused consumer its role
HEARTBEAT_S: Final = 8


@asynccontextmanager
async def connected(amqp_url: str, *, name: str) -> AsyncGenerator[Connection]:
    """Open a connection for one purpose and close it at the end.

    Raises:
        BrokerUnavailable: there is none to be had in time.
    """
    separator = "&" if "?" in amqp_url else "?"
    url = f"{amqp_url}{separator}heartbeat={HEARTBEAT_S}&name=chaching%20{name}"
    with translated():
        opened = await aio_pika.connect(url, timeout=CONNECT_TIMEOUT_S)
    try:
        yield _underlay(opened)
    finally:
        await _close(opened)


def _underlay(opened: AbstractConnection) -> Connection:
    """Return the connection below aio-pika's, whose channels read and write frames."""
    assert opened.transport is not None  # noqa: S101 - it has just been opened
    connection = opened.transport.connection
    assert isinstance(connection, Connection)  # noqa: S101 - aio-pika stands on aiormq
    return connection


async def _close(opened: AbstractConnection) -> None:
    # whatever closing says, the connection is of no use any more
    with suppress(Exception):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await opened.close()
