"""Where a subscriber without a database stands: in a message, in a queue of its own.

Theory of operation. The queue ``….position`` holds the token, a message whose body is a bookmark.
It has a single active consumer, so one process at a time holds the token, unacknowledged; others
stand by. To move, the holder sends the token anew with the next bookmark and, when it comes back,
acknowledges all that came before it. A crash in between leaves two, of which the next holder takes
the one further on. A process that ends, or is silent for two heartbeats, loses its connection and
with it the token, all at once, and the next one gets it.

Events are acknowledged after the token has moved past them. So what was handled and not yet noted
comes again after a crash, and nothing is left out: at least once.

Whoever waits in vain for ``ASK_EVERY_S`` sends a token that stands at the beginning, since a queue
that was just declared has none. Where there is one, a holder passes such a token over.

A broker takes back what is not acknowledged for long (30 minutes by default), so the token moves at
least every ``RENEW_EVERY_S``, on the spot if need be.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from chaching.broker import subscriber_queues
from chaching.broker.connection import connected
from chaching.broker.deliveries import Deliveries
from chaching.broker.errors import BrokerUnavailable
from chaching.broker.sender import Sender, sending
from chaching.broker.subscriber_queues import QueueNames
from chaching.runtime.logs import logger
from chaching.subscriber.bookmark import BEGINNING, Bookmark

PREFETCH_MESSAGES: Final = 20
CHANNEL_NUMBER: Final = 2
ASK_EVERY_S: Final = 0.5
LINGER_S: Final = 0.1
RETURN_TIMEOUT_S: Final = 10.0
RENEW_EVERY_S: Final = 300.0
MESSAGE_ID: Final = "position"

_decode = msgspec.json.Decoder(Bookmark).decode
encoded = msgspec.json.Encoder().encode


class Token:
    """The token in hand; use it from one task at a time."""

    def __init__(self, queue: str, deliveries: Deliveries, sender: Sender) -> None:
        self._queue = queue
        self._deliveries = deliveries
        self._sender = sender
        self._moved_at = _now()
        self.bookmark = BEGINNING

    async def take(self) -> None:
        """Wait until the token is in hand.

        Raises:
            BrokerUnavailable: a connection is lost.
        """
        if not await self._deliveries.wait(ASK_EVERY_S):
            logger().info("subscriber_stood_by", queue=self._queue)
            await self._send(BEGINNING)
            await self._deliveries.wait()
        await asyncio.sleep(LINGER_S)  # a second token is there at once, if there is one
        await self.move(max(self._arrived().values(), key=lambda found: found.position))

    async def move(self, bookmark: Bookmark) -> None:
        """Return when the queue says that this is where the subscriber stands.

        Raises:
            BrokerUnavailable: no answer in time, or a connection is lost; it may say so or not.
        """
        await self._send(bookmark)
        tag = await self._returned(bookmark)
        if tag > 1:
            await self._deliveries.acknowledge(tag - 1)
        self.bookmark = bookmark
        self._moved_at = _now()

    async def renew(self) -> None:
        """Keep the broker from taking the token back; raises as ``move`` does."""
        if _now() - self._moved_at > RENEW_EVERY_S:
            await self.move(self.bookmark)

    async def _send(self, bookmark: Bookmark) -> None:
        await self._sender.send(self._queue, MESSAGE_ID, {}, encoded(bookmark))

    async def _returned(self, bookmark: Bookmark) -> int:
        """Wait for the token that was just sent and return its tag."""
        while True:
            if not await self._deliveries.wait(RETURN_TIMEOUT_S):
                raise BrokerUnavailable(f"the token did not return in {RETURN_TIMEOUT_S:.0f} s")
            tags = [tag for tag, found in self._arrived().items() if found == bookmark]
            if tags:
                return tags[-1]

    def _arrived(self) -> dict[int, Bookmark]:
        arrived = self._deliveries.take(PREFETCH_MESSAGES)
        return {delivery.tag: _decode(delivery.body) for delivery in arrived}


@asynccontextmanager
async def holding(amqp_url: str, queues: QueueNames) -> AsyncGenerator[Token]:
    """Wait until the token of a subscriber is in hand and keep it while the block runs.

    Raises:
        BrokerUnavailable: no connection to be had, or no answer in time.
    """
    name = f"subscriber%20{queues.position}"
    async with (
        connected(amqp_url, name=name) as connection,
        sending(amqp_url, name=name) as sender,
    ):
        await subscriber_queues.declare_position(connection, queues)
        deliveries = Deliveries(
            connection,
            queues.position,
            channel_number=CHANNEL_NUMBER,
            prefetch_messages=PREFETCH_MESSAGES,
        )
        await deliveries.open()
        token = Token(queues.position, deliveries, sender)
        await token.take()
        yield token


def _now() -> float:
    return asyncio.get_running_loop().time()
