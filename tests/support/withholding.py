"""A wire that can withhold: it passes what a client sends on and keeps the answers back.

So a test stands exactly between a commit and the answer to it. It can also be cut for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

from chaching.local.ports import LOOPBACK

CHUNK_BYTES: Final = 64 * 1024


class Wire:
    """Passes connections through to an address; keeps all answers back once it saw a marker."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._marker: bytes | None = None
        self._passing = asyncio.Event()
        self._passing.set()
        self._is_cut = False
        self._tasks: set[asyncio.Task[None]] = set()

    def withhold_after(self, marker: bytes) -> None:
        """Keep back every answer from the moment at which a client sends these bytes."""
        self._marker = marker

    def pass_on(self) -> None:
        """Keep nothing back any more, and pass on what was."""
        self._marker = None
        self._passing.set()

    def cut(self) -> None:
        """End every connection, and each new one at once, until the wire is mended."""
        self._is_cut = True
        for task in self._tasks:
            task.cancel()

    def mend(self) -> None:
        self._is_cut = False

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        if self._is_cut:
            writer.close()
            return
        there, back = await asyncio.open_connection(*self._target)
        ways = {
            asyncio.create_task(self._pass_on(reader, back, answers=False)),
            asyncio.create_task(self._pass_on(there, writer, answers=True)),
        }
        self._tasks |= ways
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for end in (writer, back):
            end.close()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _pass_on(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        with suppress(ConnectionError):
            while chunk := await source.read(CHUNK_BYTES):
                if answers:
                    await self._passing.wait()
                elif self._marker is not None and self._marker in chunk:
                    self._passing.clear()
                target.write(chunk)
                await target.drain()


@asynccontextmanager
async def wire_to(database_url: str) -> AsyncGenerator[tuple[Wire, str]]:
    """Yield a wire to a PostgreSQL and the URL that leads through it."""
    there = urlsplit(database_url)
    assert there.hostname, database_url
    wire = Wire(there.hostname, there.port or 5432)
    server = await asyncio.start_server(wire.carry, LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    user = f"{there.netloc.rpartition('@')[0]}@" if "@" in there.netloc else ""
    try:
        yield wire, there._replace(netloc=f"{user}{LOOPBACK}:{port}").geturl()
    finally:
        server.close()
        await wire.close()
        await server.wait_closed()
