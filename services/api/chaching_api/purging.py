"""Makes the broker forget what it keeps of erased customers.

Theory of operation. Messages hold values in the clear, and the broker keeps them: in the stream for
new subscribers, and in the files of queues whose messages were consumed long ago. Nothing can be
taken out of either. So, some time after an erasure and together with all others since, the leading
relay stops publishing, waits until all is confirmed, deletes the queues with their files, declares
them anew and fills the stream again from the log, which says nothing of erased customers any more.
Meanwhile requests, lists and searches go on, and the projector reads the log by itself; subscribers
wait: who reads the stream relies on its order, so nothing new may stand in it before what is old.
Then the position up to which all erasures are dealt with is noted, which was the log's head before
anything was deleted.

An event that was published and is gone or cannot be decoded any more (somebody changed the log) is
left out, loudly: it must not keep values of the erased where they are, nor everybody's new events
waiting.

What a crash does. Before the note everything is done again by the next leader. The stream may then
hold a message twice; positions tell. Who reads the stream is cut off and finds it filled anew.

Fencing: a leader that was stopped in the midst of it may hold events that were read before a later
erasure, and the next leader may have purged for that one. So it proves that it leads before it
deletes, before every write and before the note. What it had written to its connection before it
stopped may still arrive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from chaching.broker import topology
from chaching.broker.messages import EventMessage, message_of
from chaching.broker.publisher import Prove, Publisher, publishing
from chaching.envelope import START, LogId, Position, RecordedEvent, Undecodable
from chaching.eventstore.database import Database
from chaching.eventstore.statements import statement
from chaching.eventstore.store import EventStore
from chaching.runtime.logs import logger

PURGE_AFTER_S: Final = 3_600.0
ASK_EVERY_S: Final = 5.0
REFILL_MAX_EVENTS: Final = 1_000_000
READ_MAX_EVENTS: Final = 500
TOLD_EVERY_S: Final = 10.0
GONE: Final = "the log has it no more"

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

    async def run(self, log_id: LogId, published: Position, prove: Prove) -> None:
        """Purge the broker and fill the stream with what was published, all of it confirmed.

        ``prove`` raises when another relay leads, which may have purged since and noted it.

        Raises:
            BrokerUnavailable, NotPublished, Unavailable: alone or in a group; it is to be done
                again.
        """
        head = await self._store.head()
        started_s = asyncio.get_running_loop().time()
        logger().info("broker_purge_began", position=head, published=published)
        await prove()
        dead_letters = await topology.purge(self._amqp_url, self._prefix)
        if dead_letters:
            logger().error("dead_letters_lost", messages=dead_letters)
        history = topology.names_under(self._prefix).history
        async with publishing(self._amqp_url, prefix=self._prefix, exchange=history) as publisher:
            await self._refill(publisher, log_id, published, prove)
        await prove()
        await self._database.execute(_NOTE, head)
        elapsed_s = round(asyncio.get_running_loop().time() - started_s, 3)
        logger().info("broker_purged", position=head, published=published, elapsed_s=elapsed_s)

    async def _refill(
        self, publisher: Publisher, log_id: LogId, published: Position, prove: Prove
    ) -> None:
        clock = asyncio.get_running_loop()
        told_s = clock.time()
        at, newest = max(START, Position(published - REFILL_MAX_EVENTS)), START
        events = await self._read(at, published)
        while at < published:
            messages = _decodable(events, at)
            at = events[-1].position if events else min(Position(at + READ_MAX_EVENTS), published)
            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(self._read(at, published))
                await publisher.publish(log_id, messages, prove=prove)
            newest = messages[-1].position if messages else newest
            if clock.time() - told_s >= TOLD_EVERY_S:
                told_s = clock.time()
                logger().info("stream_refilled", position=at, up_to=published)
            events = following.result()
        while publisher.position < newest:
            await publisher.confirmed_beyond(publisher.position)

    async def _read(self, after: Position, up_to: Position) -> list[RecordedEvent]:
        limit = min(up_to - after, READ_MAX_EVENTS)
        return await self._store.read_all(after, limit) if limit > 0 else []


def _decodable(events: Sequence[RecordedEvent], after: Position) -> list[EventMessage]:
    """Return the messages of events, but for those that were damaged since they were published."""
    messages: list[EventMessage] = []
    expected = after + 1
    for event in events:
        if event.position > expected:
            logger().error("event_left_out", position=expected, reason=GONE)
        expected = event.position + 1
        try:
            messages.append(message_of(event))
        except Undecodable as error:
            logger().error("event_left_out", position=event.position, reason=str(error))
    if not events:
        logger().error("event_left_out", position=expected, reason=GONE)
    return messages
