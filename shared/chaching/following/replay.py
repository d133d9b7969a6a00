"""Feeds a part of the log to one queue: replay.

Theory of operation. The log is read in order from the database, and each event is published as the
relay publishes it (the same headers, id and body) through the default exchange, whose routing key
is the queue's name. So no other queue sees anything; no lease is taken, no checkpoint is moved and
nothing is declared. Confirms come back in a bounded window (see ``broker.publisher``).

``position`` is the place up to which all selected events are confirmed by the queue. It is all the
state there is: whatever goes wrong (a full queue, a broker or a database that is away), the next
attempt starts behind it after a growing pause, and whoever ends the process goes on from it with a
new one. A broker that is away at the start is waited for as well. So every selected event reaches
the queue at least once; what was under way when an attempt ended may be there twice. Only a queue
that refuses may hold, before the repetition, events that stood behind the refused one.

An event that this code cannot decode is never skipped: what stands before it is published and
confirmed, then the replay ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from chaching.broker.errors import AccessRefused, BrokerUnavailable, EntryRefused, QueueRefuses
from chaching.broker.messages import EventMessage, message_of
from chaching.broker.publisher import Publisher, feeding
from chaching.envelope import Position, RecordedEvent, Undecodable
from chaching.eventstore.database import Database
from chaching.eventstore.encryption import Keyring
from chaching.eventstore.errors import Unavailable
from chaching.eventstore.selection import Selection, read_selected
from chaching.eventstore.store import EventStore
from chaching.runtime.lifecycle import BackOff

PAUSE_FIRST_S: Final = 0.25
PAUSE_MAX_S: Final = 2.0
GIVE_UP_AFTER_S: Final = 3600.0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be replayed: the selected events from ``first`` up to and with ``last``.

    ``give_up_after_s`` is how long the replay waits while nothing is confirmed.
    """

    queue: str
    selection: Selection
    first: Position
    last: Position
    give_up_after_s: float = GIVE_UP_AFTER_S


class Stopped(Exception):  # noqa: N818 - says what the replay did
    """The replay cannot go on by itself; the message is one line for a person."""


class Replay:
    """One replay; ``run`` returns when everything is confirmed.

    ``position``, ``published`` and ``waiting_for`` may be looked at meanwhile, and after a
    cancellation.
    """

    def __init__(self, database: Database, keyring: Keyring, amqp_url: str, order: Order) -> None:
        self.order = order
        self._database = database
        self._store = EventStore(database, keyring)
        self._amqp_url = amqp_url
        self._publisher: Publisher | None = None
        # of the attempts before this one
        self._settled = Position(order.first - 1)
        self._settled_count = 0
        # of this attempt
        self._read_up_to = self._settled
        self._written: Position | None = None
        self._obstacle: tuple[str, Position] | None = None

    @property
    def position(self) -> Position:
        """The position up to which every selected event is confirmed."""
        if self._publisher is None:
            return self._settled
        confirmed = self._publisher.position
        if self._written is None or confirmed >= self._written:
            return max(self._settled, confirmed, self._read_up_to)
        return max(self._settled, confirmed)

    @property
    def published(self) -> int:
        """How many events are confirmed."""
        publisher = self._publisher
        return self._settled_count + (0 if publisher is None else publisher.confirmed)

    @property
    def waiting_for(self) -> str | None:
        """What keeps the replay where it is, None while it moves."""
        if self._obstacle is None or self._obstacle[1] < self.position:
            return None
        return self._obstacle[0]

    async def run(self) -> None:
        """Replay until everything is confirmed.

        Raises:
            QueueMissing: the queue is not there, or not any more.
            AccessRefused: there is no right to publish to the queue.
            EntryRefused: the broker let nobody in to begin with.
            Stopped: an event cannot be decoded, or something was away for too long.
        """
        clock = asyncio.get_running_loop().time
        backoff = BackOff(first_s=PAUSE_FIRST_S, max_s=PAUSE_MAX_S)
        moved_at_s = clock()
        began = False
        while True:
            before = self.position
            try:
                async with feeding(self._amqp_url, self.order.queue) as publisher:
                    began = True
                    return await self._attempt(publisher)
            except (BrokerUnavailable, Unavailable) as error:
                if isinstance(error, AccessRefused if began else (AccessRefused, EntryRefused)):
                    raise
                if self.position > before:
                    moved_at_s = clock()
                    backoff.reset()
                reason = _reason(error)
                if clock() - moved_at_s > self.order.give_up_after_s:
                    raise Stopped(
                        f"gave up after {clock() - moved_at_s:.0f} s: {reason}"
                    ) from error
                self._obstacle = (reason, self.position)
            await backoff.pause()

    async def _attempt(self, publisher: Publisher) -> None:
        self._read_up_to, self._written = self._settled, None
        self._publisher = publisher
        try:
            await self._publish(publisher)
        finally:
            self._settled, self._settled_count = self.position, self.published
            self._publisher = None

    async def _publish(self, publisher: Publisher) -> None:
        log_id = await self._store.log_id()
        while self._read_up_to < self.order.last:
            selected = await read_selected(
                self._database,
                self._store.keyring,
                self.order.selection,
                self._read_up_to,
                self.order.last,
            )
            messages, broken = _decoded(selected.events)
            if messages:
                self._written = messages[-1].position
                await publisher.publish(log_id, messages)
            if broken is not None:
                await self._confirmed(publisher)
                raise broken
            self._read_up_to = selected.reached
        await self._confirmed(publisher)

    async def _confirmed(self, publisher: Publisher) -> None:
        """Return when everything that was written is confirmed."""
        while self._written is not None and publisher.position < self._written:
            await publisher.confirmed_beyond(publisher.position)


def _decoded(events: Sequence[RecordedEvent]) -> tuple[list[EventMessage], Stopped | None]:
    """Return the messages up to the first event that cannot be decoded, and what is told of it."""
    messages: list[EventMessage] = []
    for event in events:
        try:
            messages.append(message_of(event))
        except Undecodable as error:
            return messages, Stopped(f"position {event.position} cannot be read: {error}")
    return messages, None


def _reason(error: BrokerUnavailable | Unavailable) -> str:
    if isinstance(error, QueueRefuses):
        return "the queue takes no more"
    if isinstance(error, EntryRefused):
        return str(error)
    if isinstance(error, BrokerUnavailable):
        return "the broker does not answer"
    return "the database does not answer"
