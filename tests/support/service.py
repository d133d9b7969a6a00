"""The whole service as a journey needs it: private servers and real processes that it can kill."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
from aiormq.exceptions import AMQPError
from tests.support.auditors import SEED
from tests.support.brokers import messages_in
from tests.support.gateways import KEY, Client, connected, store_key
from tests.support.keyrings import KEYRING, MASTER_KEY
from tests.support.waiting import eventually

from chaching.broker import topology
from chaching.broker.connection import connected as broker_connection
from chaching.broker.errors import BrokerUnavailable
from chaching.envelope import Position
from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore
from chaching.local.ports import LOOPBACK, free_port
from chaching.local.postgres import PrivatePostgres
from chaching.local.processes import Child
from chaching.local.rabbitmq import PrivateRabbitMQ
from chaching.schema.migrations import migrate

ROLES: Final = ("chaching_gateway", "chaching_relay", "chaching_projector", "chaching_auditor")
STOP_LIMIT_S: Final = 20.0
KEPT: Final = ("PATH", "HOME", "LANG", "TMPDIR")


class Service:
    """Servers of its own, gateways, a relay and a projector; all of them restartable."""

    def __init__(self, folder: Path, *, gateways: int, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self._settings = settings
        self.postgres = PrivatePostgres(folder / "postgresql")
        self.rabbitmq = PrivateRabbitMQ(folder / "rabbitmq")
        self.ports = [free_port() for _ in range(gateways)]
        self._children: dict[str, Child] = {}

    @property
    def processes(self) -> list[str]:
        return [*(f"gateway-{n}" for n in range(len(self.ports))), "relay", "projector", "auditor"]

    async def start(self) -> None:
        await self.postgres.start()
        await migrate(self.postgres.admin_url)
        await self.postgres.let_in(ROLES)
        await store_key(self.postgres.admin_url, KEY)
        await self.rabbitmq.start()
        for name in self.processes:
            self.spawn(name)
        for port in self.ports:
            await eventually(lambda port=port: _is_ready(port), f"the gateway on {port} is ready")

    async def settle_topology(self) -> None:
        """Restart the broker in good order once its queues are declared.

        RabbitMQ 3.10 loses a queue for good that is killed within seconds of its declaration.
        """
        await eventually(self._queues_are_declared, "the topology is declared")
        await self.rabbitmq.stop()
        await self.rabbitmq.start()

    async def _queues_are_declared(self) -> bool:
        try:
            async with broker_connection(self.rabbitmq.url, name="journey") as connection:
                names = topology.names_under()
                for queue in (names.projector, names.projector_dead, names.history):
                    await messages_in(connection, queue)
        except (AMQPError, BrokerUnavailable):
            return False
        return True

    async def stop(self) -> None:
        for name in reversed(self._children):
            await self._children[name].end(signal.SIGTERM, STOP_LIMIT_S)
        await self.rabbitmq.stop()
        await self.postgres.stop()
        self.postgres.remove()
        self.rabbitmq.remove()

    def spawn(self, name: str) -> None:
        """Start one of the service's own processes, as a supervisor would after its death."""
        kind = name.partition("-")[0]
        command = ["chaching_projector"] if kind == "projector" else ["chaching_api", kind]
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        environment["DATABASE_URL"] = self.postgres.url_of(f"chaching_{kind}")
        environment["MASTER_KEY"] = MASTER_KEY
        environment |= self._settings
        if kind == "gateway":
            environment["PORT"] = str(self.ports[int(name.partition("-")[2])])
        elif kind == "auditor":
            environment["AUDIT_SIGNING_KEY"] = SEED
        else:
            environment["AMQP_URL"] = self.rabbitmq.url
        self._children[name] = Child.spawn(
            name,
            [sys.executable, "-m", *command],
            env=environment,
            log=self.folder / f"{name}.log",
        )

    async def kill(self, name: str) -> None:
        """End one of the processes with SIGKILL."""
        self._children[name].send(signal.SIGKILL)
        await self._children[name].wait()

    def replace_paused(self, name: str) -> Child:
        """Pause a process, start another of its kind beside it, and return the paused one."""
        paused = self._children.pop(name)
        paused.send(signal.SIGSTOP)
        self.spawn(name)
        self._children[f"paused {name}"] = paused
        return paused

    def log_text(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    @asynccontextmanager
    async def client(self, gateway: int = 0) -> AsyncGenerator[Client]:
        async with connected(f"http://{LOOPBACK}:{self.ports[gateway]}") as client:
            yield client

    @asynccontextmanager
    async def database(self) -> AsyncGenerator[Database]:
        """Open the database as its owner, to look at everything."""
        database = Database(
            self.postgres.admin_url, name="journey", sessions_max=4, statement_timeout_s=30
        )
        await database.open()
        try:
            yield database
        finally:
            await database.close()

    async def settled(self, database: Database) -> None:
        """Return when relay, projector and auditor stand at the head of the log."""
        await self.followers_reach(database, await EventStore(database, KEYRING).head())

    async def followers_reach(self, database: Database, position: Position) -> None:
        """Return when all who follow the log have come as far as a position."""
        await eventually(lambda: _reached(database, position), f"all followers are at {position}")


@asynccontextmanager
async def service(folder: Path, *, gateways: int = 1, **settings: str) -> AsyncGenerator[Service]:
    """Run the whole service until the block ends."""
    running = Service(folder, gateways=gateways, settings=settings)
    try:
        await running.start()
        yield running
    finally:
        await running.stop()


async def _is_ready(port: int) -> bool:
    try:
        async with connected(f"http://{LOOPBACK}:{port}") as client:
            return (await client.send("GET", "/readyz")).status == 200
    except aiohttp.ClientError:
        return False


async def _reached(database: Database, position: Position) -> bool:
    rows = await database.fetch("SELECT position FROM event_store.checkpoints")
    return all(row["position"] >= position for row in rows)
