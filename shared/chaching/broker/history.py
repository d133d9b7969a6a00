"""Reads the stream that keeps what was published, from some moment up to where it ends now.

Theory of operation. The offsets of a stream are not positions: the relay repeats stretches after a
crash, and retention cuts the front off. So a reader says from which time on it wants to read, or
from the first message, and compares the positions in what comes. The broker counts time by its own
clock and whole chunks of the stream, so more may come than was asked for. A stream does not say
that it is at its end; so ``newest`` first looks at its last chunk, and a ``Reading`` ends with the
offset that was the newest then. What is published later reaches the reader's own queue. While more
and more is published there is no end to wait for: whatever is the newest after ``NEWEST_MAX_S`` is.

Reading takes nothing out. Acknowledging what was taken only asks for more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime
from typing import Final

import msgspec
from aiormq.connection import Connection

from chaching.broker.deliveries import Deliveries, Delivery
from chaching.broker.errors import BrokerUnavailable, NoSuchQueue

PREFETCH_MESSAGES: Final = 1_000
CHUNK_MAX_MESSAGES: Final = 500
CHANNEL_NUMBER: Final = 3
# an empty stream says nothing at all
NEWEST_WAIT_S: Final = 2.0
NEWEST_LINGER_S: Final = 0.1
NEWEST_MAX_S: Final = 1.0
NEWEST_KEPT_MESSAGES: Final = 100
SILENCE_MAX_S: Final = 5.0
FIRST: Final = "first"
LAST: Final = "last"


class Silent(BrokerUnavailable):
    """The stream has messages, and sends none from where it was asked to begin."""


class Newest(msgspec.Struct, frozen=True):
    """The newest offset of the stream, and the last messages up to it, the newest last."""

    offset: int
    last: tuple[Delivery, ...]


class Reading:
    """One pass through the stream, up to and with an offset."""

    def __init__(self, deliveries: Deliveries, end_offset: int) -> None:
        self._deliveries = deliveries
        self._end_offset = end_offset
        self._offset = -1

    async def chunk(self) -> list[Delivery]:
        """Return what comes next, or nothing when the pass is over.

        Raises:
            Silent: nothing came although the end has not been reached.
            BrokerUnavailable: the connection is lost.
        """
        if self._offset >= self._end_offset:
            return []
        if not await self._deliveries.wait(SILENCE_MAX_S):
            raise Silent(f"the stream was silent for {SILENCE_MAX_S:.0f} s")
        chunk = self._deliveries.take(CHUNK_MAX_MESSAGES)
        await self._deliveries.acknowledge(chunk[-1].tag)
        self._offset = _offset(chunk[-1])
        return [delivery for delivery in chunk if _offset(delivery) <= self._end_offset]

    async def close(self) -> None:
        await self._deliveries.close()


class History:
    """A stream on one connection; one reading at a time."""

    def __init__(self, connection: Connection, stream: str) -> None:
        self._connection = connection
        self._stream = stream

    async def newest(self) -> Newest | None:
        """Return how the stream ends, or None when it is empty or not there.

        Raises:
            BrokerUnavailable: the connection is lost, or no answer in time.
        """
        try:
            deliveries = await self._consuming(LAST)
        except NoSuchQueue:
            return None
        last: deque[Delivery] = deque(maxlen=NEWEST_KEPT_MESSAGES)
        clock = asyncio.get_running_loop().time
        until = clock() + NEWEST_WAIT_S + NEWEST_MAX_S
        while clock() < until and await deliveries.wait(NEWEST_LINGER_S if last else NEWEST_WAIT_S):
            if not last:
                until = clock() + NEWEST_MAX_S
            last.extend(deliveries.take(PREFETCH_MESSAGES))
            await deliveries.acknowledge(last[-1].tag)
        await deliveries.close()
        return Newest(_offset(last[-1]), tuple(last)) if last else None

    async def read(self, since: datetime | None, newest: Newest) -> Reading:
        """Begin a pass at a time, or at the first message, that ends where ``newest`` stands.

        Raises:
            BrokerUnavailable: the connection is lost, or no answer in time.
        """
        return Reading(await self._consuming(FIRST if since is None else since), newest.offset)

    async def _consuming(self, begin: str | datetime) -> Deliveries:
        deliveries = Deliveries(
            self._connection,
            self._stream,
            channel_number=CHANNEL_NUMBER,
            prefetch_messages=PREFETCH_MESSAGES,
            arguments={"x-stream-offset": begin},
        )
        await deliveries.open()
        return deliveries


def _offset(delivery: Delivery) -> int:
    offset = delivery.headers["x-stream-offset"]
    assert isinstance(offset, int)  # noqa: S101 - the broker adds it to what a stream delivers
    return offset
