"""Runs the projection: takes what the queue brings, and what it does not bring from the log.

Theory of operation. One process at a time holds the lease ``projection.customers``; the queue's
single active consumer is a second guard. The holder runs three loops that take turns:

- consume (with a broker): take a batch, refuse what another log said (its id is read once a
  holding; a position of another log means nothing here), ask the cursor, apply it in one
  transaction together with the checkpoint, then acknowledge. Before the commit nothing is
  acknowledged, so a crash brings the batch again and the cursor skips what was applied. Exactly
  once in effect;
- watch: when the log goes beyond the checkpoint and nothing has moved for a while (at once, at the
  doorbell, without a broker), read the log. So a broker that is away, was emptied or lost messages
  delays the read model by ``STALL_MAX_S`` and costs nothing else. A new holder begins this way;
- retry what is parked, at the start and every ``PARKED_RETRY_EVERY_S``.

The entries for searches have a lease and a loop of their own (``projections.search``), in this
process or in another one, so that what happens there holds up nothing here.

A database that is away is waited for, without counting. A holder that was replaced gets Fenced at
its next step, before it writes, and stands by. Any other error is a bug: the loops are started
again from the stored checkpoint.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections import Counter
from collections.abc import Sequence
from typing import Final

from chaching.broker import topology
from chaching.broker.consumer import Consumer, consuming
from chaching.broker.errors import BrokerUnavailable
from chaching.broker.messages import EventMessage
from chaching.envelope import Position, RecordedEvent
from chaching.eventstore.database import Database
from chaching.eventstore.doorbell import Listener, listening
from chaching.eventstore.encryption import Keyring
from chaching.eventstore.errors import Fenced, Unavailable, WrongMasterKey
from chaching.eventstore.lease import SILENCE_MAX_S, Held, Lease
from chaching.eventstore.store import EventStore
from chaching.runtime.lifecycle import BackOff, retried, supervised
from chaching.runtime.logs import logger
from chaching_projector.cursor import Apply, CatchUp, Skip, judge
from chaching_projector.projections.customers.projection import (
    CustomersProjection,
    TooManyParked,
)
from chaching_projector.projections.customers.steps import OutOfStep, item_of
from chaching_projector.projections.customers.writer import SESSION_SETTINGS
from chaching_projector.projections.search import projection as search
from chaching_projector.projections.search.projection import SearchProjection

LEASE_NAME: Final = "projection.customers"
CATCH_UP_MAX_EVENTS: Final = 1_000
STALL_MAX_S: Final = 1.5
POLL_S: Final = 1.0
PARKED_RETRY_EVERY_S: Final = 120.0
SESSIONS_MAX: Final = 4
SEARCH_SESSIONS_MAX: Final = 2


class Projector:
    """One would-be holder; ``run`` runs until cancelled and survives outages by itself.

    Without ``amqp_url`` it follows the log at the doorbell.
    """

    def __init__(
        self,
        database_url: str,
        amqp_url: str | None = None,
        *,
        keyring: Keyring,
        prefix: str = topology.PREFIX,
        silence_max_s: float = SILENCE_MAX_S,
        parked_retry_every_s: float = PARKED_RETRY_EVERY_S,
    ) -> None:
        self._amqp_url = amqp_url
        self._prefix = prefix
        self._parked_retry_every_s = parked_retry_every_s
        self._database = Database(
            database_url,
            name="projector",
            sessions_max=SESSIONS_MAX,
            settings=SESSION_SETTINGS,
        )
        self._store = EventStore(self._database, keyring)
        holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._lease = Lease(self._database, LEASE_NAME, holder, silence_max_s=silence_max_s)
        self._search_database = Database(
            database_url,
            name="projector search",
            sessions_max=SEARCH_SESSIONS_MAX,
            statement_timeout_s=search.STEP_STATEMENT_TIMEOUT_S,
            settings=SESSION_SETTINGS,
        )
        self._search_lease = Lease(
            self._search_database, search.LEASE_NAME, holder, silence_max_s=silence_max_s
        )

    async def run(self) -> None:
        """Keep the read model up to date.

        Raises:
            TooManyParked, OutOfStep: this code must be wrong; nothing is skipped.
            WrongMasterKey: the log cannot be read.
        """
        await self._database.open()
        await self._search_database.open()
        searching = asyncio.create_task(
            supervised("search", self._lead_search, expected=(Unavailable, Fenced))
        )
        try:
            await retried(self._store.check_master_key, on=Unavailable)
            await supervised(
                "projector",
                self._lead,
                expected=(Unavailable, Fenced),
                fatal=(TooManyParked, OutOfStep, WrongMasterKey),
            )
        finally:
            searching.cancel()
            await asyncio.wait({searching})
            await self._search_database.close()
            await self._database.close()

    async def _lead_search(self) -> None:
        async with self._search_lease.holding() as held:
            logger().info("leadership_taken", lease=search.LEASE_NAME, epoch=held.epoch)
            await SearchProjection(self._search_database, self._search_lease, held).follow()

    async def _lead(self) -> None:
        async with self._lease.holding() as held:
            logger().info("leadership_taken", lease=LEASE_NAME, epoch=held.epoch)
            follower = await self._follower(held)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._retry_parked(follower))
                if self._amqp_url is None:
                    tasks.create_task(self._follow_log(follower))
                else:
                    tasks.create_task(self._consume(follower, self._amqp_url))
                    tasks.create_task(self._watch(follower))

    async def _follower(self, held: Held) -> Follower:
        projection = CustomersProjection(self._database, self._store, self._lease, held)
        await projection.open()
        return Follower(self._store, projection)

    async def _consume(self, follower: Follower, amqp_url: str) -> None:
        log_id = await retried(self._store.log_id, on=Unavailable)
        backoff = BackOff()
        while True:
            try:
                async with consuming(amqp_url, log_id, prefix=self._prefix) as consumer:
                    logger().info("queue_opened")
                    backoff.reset()
                    await consume(consumer, follower)
            except BrokerUnavailable as error:
                logger().warning("queue_lost", reason=str(error))
            await backoff.pause()

    async def _watch(self, follower: Follower) -> None:
        """Catch up now, and whenever the log goes on and nothing moves."""
        seen = follower.position
        while True:
            head = await retried(self._store.head, on=Unavailable)
            if follower.position == seen < head:
                logger().info("log_followed", lag_events=head - seen)
                await follower.catch_up(head)
            seen = follower.position
            await asyncio.sleep(STALL_MAX_S)

    async def _follow_log(self, follower: Follower) -> None:
        while True:
            async with listening(self._database) as doorbell:
                await _follow_until_deaf(follower, doorbell)

    async def _retry_parked(self, follower: Follower) -> None:
        while True:
            await follower.retry_parked()
            await asyncio.sleep(self._parked_retry_every_s)


class Follower:
    """Feeds the projection from whoever has events, one at a time."""

    def __init__(self, store: EventStore, projection: CustomersProjection) -> None:
        self._store = store
        self._projection = projection
        self._turn = asyncio.Lock()

    @property
    def position(self) -> Position:
        return self._projection.position

    async def take(self, messages: Sequence[EventMessage]) -> None:
        """Apply what is new in messages that came in any order; what is missing is read."""
        positions = [message.position for message in messages]
        async with self._turn:
            while True:
                match judge(self.position, positions):
                    case Skip():
                        return
                    case Apply(picks):
                        await self._projection.apply([messages[index] for index in picks])
                    case CatchUp(up_to):
                        await self._catch_up(up_to)
                        if self.position < up_to:
                            logger().error("message_unknown", position=up_to, head=self.position)
                            return

    async def catch_up(self, up_to: Position | None = None) -> None:
        """Apply the log up to a position, or as far as it goes."""
        async with self._turn:
            await self._catch_up(up_to)

    async def retry_parked(self) -> None:
        async with self._turn:
            await retried(self._projection.retry_parked, on=Unavailable)

    async def _catch_up(self, up_to: Position | None) -> None:
        events = await self._read(self.position, up_to)
        while events:
            last = events[-1].position
            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(self._read(last, up_to))
                await asyncio.sleep(0)  # the question leaves before this task computes
                await self._projection.apply([item_of(event) for event in events])
            events = following.result()

    async def _read(self, after: Position, up_to: Position | None) -> list[RecordedEvent]:
        limit = CATCH_UP_MAX_EVENTS if up_to is None else min(up_to - after, CATCH_UP_MAX_EVENTS)
        if limit <= 0:
            return []
        return await retried(lambda: self._store.read_all(after, limit), on=Unavailable)


async def consume(consumer: Consumer, follower: Follower) -> None:
    """Take batches, acknowledging each after its commit, until the connection is lost.

    Raises:
        BrokerUnavailable: the connection is lost.
    """
    while True:
        batch = await consumer.batch()
        for reason, count in Counter(batch.refused).items():
            logger().error("message_refused", reason=reason, messages=count)
        await follower.take(batch.messages)
        await consumer.acknowledge(batch)


async def _follow_until_deaf(follower: Follower, doorbell: Listener) -> None:
    """Catch up at every ring; return when something came and the doorbell had not rung."""
    clock = asyncio.get_running_loop()
    silent = False
    while True:
        before = follower.position
        await follower.catch_up()
        if silent and follower.position > before:
            return
        asked_at = clock.time()
        await doorbell.wait(POLL_S)
        silent = clock.time() - asked_at >= POLL_S
