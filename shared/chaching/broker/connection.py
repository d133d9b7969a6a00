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
    connection = Connection(url)
    try:
        with translated():
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await connection.connect()
        yield connection
    finally:
        await _close(connection)


async def _close(connection: Connection) -> None:
    # whatever closing says, the connection is of no use any more
    with suppress(Exception):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await connection.close()
