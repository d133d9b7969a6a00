"""The relay: publishes the log, in order, to the broker.

Theory of operation. One process at a time holds the lease ``relay``; others stand by with a broker
connection open and take over within seconds. A relay that cannot reach the broker does not ask for
the lease. The leader reads the log after the checkpoint, wakes at the doorbell or at the latest
every ``POLL_S``, and publishes in order with up to a window of messages unconfirmed, reading ahead
while confirms arrive. Every message names the log, whose id the leader reads first. A second task
moves the checkpoint to the highest position below which everything is confirmed. The log is the
outbox; there is no second table.

Guarantees: every event reaches every bound queue at least once, in the order of positions; a
repetition starts at the checkpoint. Only a queue that refuses (because it is full) may see, before
the repetition, events that stood behind the refused one. What a crash does: what was published and
not yet confirmed, or confirmed and not yet checkpointed, is published again by the next leader.
Whatever goes wrong (no Ack, a lost connection, a database that is away) ends the leadership; the
next one starts at the checkpoint.

Between two batches the leader lets the broker forget the erased (see ``purging``).

Fencing: a leader that was paused and replaced cannot move the checkpoint, since its epoch is over.
It asks whether it still leads before each write, when its last proof is older than
``PROOF_MAX_S``. What it may still send late is a repetition, never a gap.

An event that this code cannot decode is never skipped: the relay publishes what stands before it
and stops there, loudly, until code that can read it takes over. The read model does not wait for
it, because the projector reads the log by itself.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from chaching.broker import topology
from chaching.broker.errors import BrokerUnavailable, NotPublished
from chaching.broker.messages import EventMessage, message_of
from chaching.broker.publisher import Publisher, publishing
from chaching.envelope import LogId, Position, RecordedEvent, Undecodable
from chaching.eventstore.database import Database
from chaching.eventstore.doorbell import Listener, listening
from chaching.eventstore.encryption import Keyring
from chaching.eventstore.errors import Fenced, Unavailable, WrongMasterKey
from chaching.eventstore.lease import SILENCE_MAX_S, Held, Lease
from chaching.eventstore.store import EventStore
from chaching.runtime.lifecycle import leaves, retried, supervised
from chaching.runtime.logs import logger
from chaching_api.purging import PURGE_AFTER_S, Purges

LEASE_NAME: Final = "relay"
READ_MAX_EVENTS: Final = 500
POLL_S: Final = 1.0
PROOF_MAX_S: Final = 2.0
CHECKPOINT_PAUSE_S: Final = 0.02
SESSIONS_MAX: Final = 4


class Relay:
    """One would-be leader; ``run`` runs until cancelled and survives outages by itself."""

    def __init__(
        self,
        database_url: str,
        amqp_url: str,
        keyring: Keyring,
        *,
        prefix: str = topology.PREFIX,
        silence_max_s: float = SILENCE_MAX_S,
        purge_after_s: float = PURGE_AFTER_S,
    ) -> None:
        self._purge_after_s = purge_after_s
        self._amqp_url = amqp_url
        self._prefix = prefix
        self._database = Database(database_url, name="relay", sessions_max=SESSIONS_MAX)
        self._store = EventStore(self._database, keyring)
        holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._lease = Lease(self._database, LEASE_NAME, holder, silence_max_s=silence_max_s)

    async def run(self) -> None:
        """Lead or stand by until cancelled; raises WrongMasterKey."""
        await self._database.open()
        try:
            await retried(self._store.check_master_key, on=Unavailable)
            await supervised(
                "relay",
                self._lead,
                expected=(Unavailable, BrokerUnavailable, Fenced),
                fatal=(WrongMasterKey,),
            )
        finally:
            await self._database.close()

    async def _lead(self) -> None:
        async with (
            publishing(self._amqp_url, prefix=self._prefix) as publisher,
            self._lease.holding() as held,
        ):
            logger().info("leadership_taken", lease=LEASE_NAME, epoch=held.epoch)
            purges = Purges(
                self._database, self._store, self._amqp_url, self._prefix, self._purge_after_s
            )
            await Leadership(
                self._database, self._store, self._lease, held, publisher, purges
            ).run()


async def run_relay(
    database_url: str, amqp_url: str, keyring: Keyring, *, purge_after_s: float = PURGE_AFTER_S
) -> None:
    """Run a relay until cancelled; raises WrongMasterKey."""
    await Relay(database_url, amqp_url, keyring, purge_after_s=purge_after_s).run()


class Leadership:
    """The work of one leader, from taking the lease to losing it."""

    def __init__(
        self,
        database: Database,
        store: EventStore,
        lease: Lease,
        held: Held,
        publisher: Publisher,
        purges: Purges,
    ) -> None:
        self._database = database
        self._store = store
        self._purges = purges
        self._lease = lease
        self._held = held
        self._publisher = publisher
        self._published = held.position
        self._checkpoint = held.position
        self._proved_at = self._now()

    async def run(self) -> None:
        """Publish until something ends it.

        Raises:
            Fenced, NotPublished, Unavailable, BrokerUnavailable, Undecodable: alone or in a group.
        """
        log_id = await self._store.log_id()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publish(log_id))
            tasks.create_task(self._move_checkpoint())

    async def _publish(self, log_id: LogId) -> None:
        # when publishing ends, the other task first notes what was confirmed, then says so
        with suppress(NotPublished):
            while True:
                async with listening(self._database) as doorbell:
                    await self._publish_until_deaf(log_id, doorbell)

    async def _publish_until_deaf(self, log_id: LogId, doorbell: Listener) -> None:
        """Publish what comes; return when something came and the doorbell had not rung."""
        silent = False
        while True:
            if await self._purges.is_due():
                await self._purge(log_id)
            events = await self._store.read_all(self._published, READ_MAX_EVENTS)
            if events:
                await self._publish_events(log_id, events)
                if silent:
                    return
                continue
            asked_at = self._now()
            await doorbell.wait(POLL_S)
            silent = self._now() - asked_at >= POLL_S

    async def _publish_events(self, log_id: LogId, events: Sequence[RecordedEvent]) -> None:
        messages = await self._decoded(events)
        await self._publisher.publish(log_id, messages, prove=self._prove)
        self._published = messages[-1].position

    async def _prove(self) -> None:
        """Go on if this leader still leads; raises Fenced when it does not, or Unavailable."""
        asked_at = self._now()  # a stop while the answer travels makes no proof younger
        if asked_at - self._proved_at > PROOF_MAX_S:
            await self._lease.renew(self._held)
            self._proved_at = asked_at

    async def _purge(self, log_id: LogId) -> None:
        """Let the broker forget the erased, with nothing under way."""
        while self._checkpoint < self._published:  # noqa: ASYNC110 - the other task moves it
            await asyncio.sleep(CHECKPOINT_PAUSE_S)
        await self._lease.renew(self._held)
        try:
            await self._purges.run(log_id, self._published, self._prove)
        except* NotPublished as refused:
            # the leadership's own publisher did not end, so the other task has nothing to say
            raise BrokerUnavailable(f"the stream is not filled: {leaves(refused)[0]}") from refused

    async def _decoded(self, events: Sequence[RecordedEvent]) -> list[EventMessage]:
        """Return the messages of all events up to the first that cannot be decoded."""
        messages: list[EventMessage] = []
        for event in events:
            try:
                messages.append(message_of(event))
            except Undecodable as error:
                if messages:
                    break
                logger().error("event_undecodable", position=event.position, reason=str(error))
                while self._checkpoint < self._published:  # noqa: ASYNC110 - a rare end
                    await asyncio.sleep(CHECKPOINT_PAUSE_S)
                raise
        return messages

    async def _move_checkpoint(self) -> None:
        while True:
            confirmed = await self._publisher.confirmed_beyond(self._checkpoint)
            await self._advance(confirmed)
            await asyncio.sleep(CHECKPOINT_PAUSE_S)

    async def _advance(self, confirmed: Position) -> None:
        asked_at = self._now()
        await self._lease.advance(self._held, self._checkpoint, confirmed)
        self._checkpoint = confirmed
        self._proved_at = asked_at

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
