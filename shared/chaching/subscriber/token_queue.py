"""Where a subscriber without a database stands: in a message, in a queue of its own.

Theory of operation. The queue ``….position`` holds the token, a message whose body is a bookmark.
It has a single active consumer, so one process at a time holds the token, unacknowledged; others
stand by. To move, the holder sends the token anew with the next bookmark and, when it comes back,
acknowledges the one before. A crash in between leaves two, of which the next holder takes the one
further on. A process that ends, or is silent for two heartbeats, loses its connection and
with it the token, all at once, and the next one gets it.

Events are acknowledged after the token has moved past them. So what was handled and not yet noted
comes again after a crash, and nothing is left out: at least once.

Whoever waits in vain for ``ASK_EVERY_S`` sends a token that stands at the beginning, since a queue
that was just declared has none, and stands by when that does not come back. Where there is one, a
holder takes such a token away as it comes, so that any number of them leaves room for the token
itself.

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
from chaching.broker.deliveries import Deliveries, Delivery
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
        self._tag: int | None = None
        self.bookmark = BEGINNING

    async def take(self) -> None:
        """Wait until the token is in hand.

        Raises:
            BrokerUnavailable: a connection is lost.
        """
        if not await self._deliveries.wait(ASK_EVERY_S):
            await self._send(BEGINNING)
            if not await self._deliveries.wait(ASK_EVERY_S):
                logger().info("subscriber_stood_by", queue=self._queue)
                await self._deliveries.wait()
        while await self._deliveries.wait(LINGER_S):  # others are there at once, if there are any
            for tag, found in self._arrived():
                if self._tag is None or found.position > self.bookmark.position:
                    await self._keep(tag, found)
                else:
                    await self._deliveries.acknowledge(tag, alone=True)
        await self.move(self.bookmark)

    async def move(self, bookmark: Bookmark) -> None:
        """Return when the queue says that this is where the subscriber stands.

        Raises:
            BrokerUnavailable: no answer in time, or a connection is lost; it may say so or not.
        """
        await self._send(bookmark)
        await self._keep(await self._returned(bookmark), bookmark)
        self._moved_at = _now()

    async def renew(self) -> None:
        """Keep the broker from taking the token back, and the queue empty; raises as ``move``."""
        for tag, _ in self._arrived():
            await self._deliveries.acknowledge(tag, alone=True)
        if _now() - self._moved_at > RENEW_EVERY_S:
            await self.move(self.bookmark)

    async def _send(self, bookmark: Bookmark) -> None:
        await self._sender.send(self._queue, MESSAGE_ID, {}, encoded(bookmark))

    async def _returned(self, bookmark: Bookmark) -> int:
        """Wait for the token that was just sent and return its tag."""
        while True:
            if not await self._deliveries.wait(RETURN_TIMEOUT_S):
                raise BrokerUnavailable(f"the token did not return in {RETURN_TIMEOUT_S:.0f} s")
            returned: int | None = None
            for tag, found in self._arrived():
                if returned is None and found == bookmark:
                    returned = tag
                else:
                    await self._deliveries.acknowledge(tag, alone=True)
            if returned is not None:
                return returned

    async def _keep(self, tag: int, bookmark: Bookmark) -> None:
        """Hold this token, and the one before no more."""
        before, self._tag, self.bookmark = self._tag, tag, bookmark
        if before is not None:
            await self._deliveries.acknowledge(before, alone=True)

    def _arrived(self) -> list[tuple[int, Bookmark]]:
        arrived = self._deliveries.take(PREFETCH_MESSAGES)
        return [(delivery.tag, self._bookmark_in(delivery)) for delivery in arrived]

    def _bookmark_in(self, delivery: Delivery) -> Bookmark:
        """Return what a message says; one that somebody else put there stands at the beginning."""
        try:
            return _decode(delivery.body)
        except msgspec.MsgspecError as error:
            logger().error("message_refused", queue=self._queue, reason=str(error))
            return BEGINNING


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
