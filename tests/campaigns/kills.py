"""A subscriber that is killed again and again while events flow ends with a complete copy.

The events are appended through the event store and published by the real relay; the real projector
keeps the read model. Each life of the subscriber ends with SIGKILL: at a place inside, chosen at
random (``subscriber.PLACES``), or after a random time. Some lives begin without the queue, as if
somebody had deleted it; now and then the relay starts over and repeats what it had published.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
from tests.campaigns.flow import Flow
from tests.campaigns.subscriber import PLACES
from tests.support.gateways import plain_environment
from tests.support.keyrings import KEYRING
from tests.support.read_model import assert_read_model_is_the_fold, projected
from tests.support.running import running
from tests.support.subscribers import Copy, without_queue
from tests.support.waiting import eventually

from chaching.broker import subscriber_queues, topology
from chaching.broker.connection import connected
from chaching.broker.subscriber_queues import queues_of
from chaching.domain.ids import AccountId, CustomerId
from chaching.envelope import Position, StreamKey
from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore
from chaching.local.processes import Child, becomes_true
from chaching_api.relay import Relay
from chaching_projector.runner import Projector

ROOT: Final = Path(__file__).parents[2]
LIFE_MAX_S: Final = 2.5
# how often a life may come to a place before it ends there, at most
TIMES_MAX: Final[dict[str, int]] = {
    "history": 3,
    "handling": 300,
    "handled": 300,
    "committed": 5,
    "acknowledged": 5,
}
END_LIMIT_S: Final = 60.0
AT_ANY_TIME: Final = "any time"
RELAY_LIVES: Final = 10
# without a stream nothing makes up for a queue that is gone, or comes late
KEEP_QUEUE: Final = ("acknowledged_first", "without_history")
WITHOUT_QUEUE_SHARE: Final = 0.2
SESSIONS_MAX: Final = 4
STOP_LIMIT_S: Final = 10.0


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything is: the service's database, the broker, the subscriber's database."""

    database_url: str
    amqp_url: str
    prefix: str
    queue: str
    copy: Copy
    log: Path


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was done."""

    events: int
    customers: int
    kills: int
    killed_at: dict[str, int]
    seconds: float


class Campaign:
    """The lives of one subscriber."""

    def __init__(self, places: Places, *, seed: int, planted: str = "") -> None:
        self._places = places
        self._planted = planted
        self._seed = seed
        self._chance = random.Random(seed)  # noqa: S311 - the same campaign every time
        self._killed_at: Counter[str] = Counter()
        self._relay: asyncio.Task[None] | None = None

    async def run(self, *, kills: int, events: int) -> Figures:
        """Let events flow and kill; then wait for the copy, and compare it.

        Raises:
            AssertionError: the copy is not complete, or something was applied twice.
        """
        began = time.monotonic()
        async with self._service() as database:
            if self._planted in KEEP_QUEUE:
                await self._declare_queue()
            flow = Flow(EventStore(database, KEYRING), seed=self._seed)
            for life in range(kills):
                if life % RELAY_LIVES == 0:
                    await self._restart_relay()
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(flow.append(events // kills))
                    tasks.create_task(self._live())
            await flow.append(events - flow.events)
            await self._finish(events)
            customers = await self._compare(database, events)
        return Figures(
            events=events,
            customers=customers,
            kills=kills,
            killed_at=dict(self._killed_at.most_common()),
            seconds=round(time.monotonic() - began, 1),
        )

    @asynccontextmanager
    async def _service(self) -> AsyncGenerator[Database]:
        places = self._places
        database = Database(places.database_url, name="campaign", sessions_max=SESSIONS_MAX)
        await database.open()
        projector = Projector(
            places.database_url, places.amqp_url, prefix=places.prefix, keyring=KEYRING
        )
        try:
            async with running(projector.run()):
                yield database
        finally:
            await self._stop_relay()
            await database.close()

    async def _declare_queue(self) -> None:
        places = self._places
        async with connected(places.amqp_url, name="campaign") as connection:
            names = topology.names_under(places.prefix)
            await subscriber_queues.declare(connection, queues_of(places.queue), names.events)

    async def _restart_relay(self) -> None:
        """Let another relay begin where the last one noted; it repeats what it had not."""
        await self._stop_relay()
        places = self._places
        relay = Relay(places.database_url, places.amqp_url, KEYRING, prefix=places.prefix)
        self._relay = asyncio.create_task(relay.run())

    async def _stop_relay(self) -> None:
        if self._relay is not None:
            self._relay.cancel()
            await asyncio.wait({self._relay})

    async def _live(self) -> None:
        """Let the subscriber live once."""
        if self._chance.random() < WITHOUT_QUEUE_SHARE and self._planted not in KEEP_QUEUE:
            await without_queue(self._places.amqp_url, self._places.queue)
        place = self._chance.choice([*PLACES, AT_ANY_TIME])
        times = self._chance.randint(1, TIMES_MAX.get(place, 1))
        limit_s = self._chance.uniform(0, LIFE_MAX_S) if place == AT_ANY_TIME else LIFE_MAX_S
        child = self._spawn("" if place == AT_ANY_TIME else f"{place}:{times}")
        if not await becomes_true(lambda: child.exit_code is not None, limit_s):
            child.send(signal.SIGKILL)
            place = AT_ANY_TIME
        code = await child.wait()
        assert code == -signal.SIGKILL, f"the subscriber ended by itself, see {child.log}"
        self._killed_at[place] += 1

    async def _finish(self, events: int) -> None:
        child = self._spawn("")
        try:
            await self._places.copy.reaches(events, limit_s=END_LIMIT_S)
        finally:
            await child.end(signal.SIGTERM, STOP_LIMIT_S)
        assert child.exit_code == 0, f"see {child.log}"

    async def _compare(self, database: Database, events: int) -> int:
        copy = self._places.copy
        applied = await copy.applied_in_turn()
        assert sorted(applied) == list(range(1, events + 1)), "not each event was applied once"
        assert applied == sorted(applied), "events were applied out of turn"
        at = Position(events)
        await eventually(lambda: projected(database, at), "the read model is complete")
        customers = await assert_read_model_is_the_fold(database)
        assert await copy.customers() == await read_model(database), "the copy is another one"
        return customers

    def _spawn(self, dies_at: str) -> Child:
        places = self._places
        return Child.spawn(
            "subscriber",
            [sys.executable, "-m", "tests.campaigns.subscriber"],
            env={
                **plain_environment(),
                "AMQP_URL": places.amqp_url,
                "COPY_URL": places.copy.url,
                "QUEUE": places.queue,
                "PREFIX": places.prefix,
                "DIES_AT": dies_at,
                "PLANTED": self._planted,
            },
            log=places.log,
            cwd=ROOT,
        )


async def read_model(database: Database) -> dict[StreamKey, bytes]:
    """Return what the service itself answers of each customer."""
    rows = await database.fetch("SELECT account, livemode, id, body FROM read_model.customers")
    return {
        StreamKey(AccountId(row["account"]), row["livemode"], CustomerId(row["id"])): row[
            "body"
        ].encode()
        for row in rows
    }
