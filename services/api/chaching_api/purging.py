"""Makes the broker forget what it keeps of erased customers.

Theory of operation. Messages hold values in the clear, and the broker keeps them: in the stream for
new subscribers, and in the files of queues whose messages were consumed long ago. Nothing can be
taken out of either. So, some time after an erasure and together with all others since, the leading
relay stops publishing, waits until all is confirmed, deletes the queues with their files, declares
them anew and fills the stream again from the log, which says nothing of erased customers any more.
Meanwhile requests, lists and searches go on, and the projector reads the log by itself; subscribers
wait. Then the position up to which all erasures are dealt with is noted, which was the log's head
before anything was deleted.

What a crash does. Before the note everything is done again by the next leader. The stream may then
hold a message twice; positions tell. Who reads the stream is cut off and finds it filled anew.
"""

from __future__ import annotations

import asyncio
from typing import Final

from chaching.broker import topology
from chaching.broker.messages import message_of
from chaching.broker.publisher import Publisher, publishing
from chaching.envelope import START, LogId, Position
from chaching.eventstore.database import Database
from chaching.eventstore.statements import statement
from chaching.eventstore.store import EventStore
from chaching.runtime.logs import logger

PURGE_AFTER_S: Final = 3_600.0
ASK_EVERY_S: Final = 5.0
REFILL_MAX_EVENTS: Final = 1_000_000
READ_MAX_EVENTS: Final = 500

_IS_DUE: Final = statement("chaching.eventstore", "purge_is_due")
_NOTE: Final = statement("chaching.eventstore", "note_purge")


class Purges:
    """The purges of one broker; ``after_s`` is how long an erasure waits for company."""

    def __init__(
        self, database: Database, store: EventStore, amqp_url: str, prefix: str, after_s: float
    ) -> None:
        self._database = database
        self._store = store
        self._amqp_url = amqp_url
        self._prefix = prefix
        self._after_s = after_s
        self._ask_at_s = 0.0

    async def is_due(self) -> bool:
        """Tell whether a purge is due, as of the last time that the log was asked.

        Raises:
            Unavailable: no answer in time.
        """
        now_s = asyncio.get_running_loop().time()
        if now_s < self._ask_at_s:
            return False
        [row] = await self._database.fetch(_IS_DUE, self._after_s)
        self._ask_at_s = now_s + min(ASK_EVERY_S, self._after_s)
        due: bool = row["due"]
        return due

    async def run(self, log_id: LogId, published: Position) -> None:
        """Purge the broker and fill the stream with what was published, all of it confirmed.

        Raises:
            BrokerUnavailable, NotPublished, Unavailable: it is to be done again.
        """
        head = await self._store.head()
        await topology.purge(self._amqp_url, self._prefix)
        history = topology.names_under(self._prefix).history
        async with publishing(self._amqp_url, prefix=self._prefix, exchange=history) as publisher:
            await self._refill(publisher, log_id, published)
        await self._database.execute(_NOTE, head)
        logger().info("broker_purged", position=head, published=published)

    async def _refill(self, publisher: Publisher, log_id: LogId, published: Position) -> None:
        at = max(START, Position(published - REFILL_MAX_EVENTS))
        while at < published:
            limit = min(published - at, READ_MAX_EVENTS)
            events = await self._store.read_all(at, limit)
            await publisher.publish(log_id, [message_of(event) for event in events])
            at = events[-1].position
        confirmed = START
        while confirmed < published:
            confirmed = await publisher.confirmed_beyond(confirmed)
