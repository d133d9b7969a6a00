"""How a test session obtains a real PostgreSQL and a real RabbitMQ.

In this order, for each of the two on its own:

1. the URL in TEST_DATABASE_URL or TEST_AMQP_URL, else in DATABASE_URL or AMQP_URL. Tests create and
   drop databases, roles and virtual hosts there: the user of the URL must be allowed to;
2. a container, when a container engine answers (a client without an engine is common);
3. a private server in a folder of this session below the project's data folder;
4. none: the session ends with the one line that a person must run. Nothing is skipped.

Started once, in the process that controls the session; the workers get the URLs. What a killed
session leaves behind is removed by the next one: each session holds a lock on its folder.
"""

import asyncio
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from testcontainers.core.container import DockerContainer

from chaching.eventstore.database import Database
from chaching.eventstore.errors import Unavailable
from chaching.local.errors import LocalError, reason_of
from chaching.local.fetching import try_lock
from chaching.local.places import data_dir, make_data_dir
from chaching.local.postgres import PrivatePostgres
from chaching.local.rabbitmq import PrivateRabbitMQ, greets

ENGINE_LIMIT_S = 10
CONTAINER_LIMIT_S = 120.0
CONTAINER_POLL_S = 0.2
DATABASE_IMAGE = "postgres:16"
BROKER_IMAGE = "rabbitmq:4"


class Private(Protocol):
    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def remove(self) -> None: ...


# for who makes and drops a thousand databases and kills no server
VOLATILE: Mapping[str, str] = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "256MB"}
# where it lies best: some file systems look through all that was deleted lately for each new file
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own in it, for its owner alone
MEMORY_MIN_BYTES = 4_000_000_000


class Servers:
    """The servers of one session; each is started when its URL is first asked for.

    A ``volatile`` private PostgreSQL survives no power failure. Tests that kill one have their own.
    """

    def __init__(self, *, volatile: bool = False) -> None:
        self._is_volatile = volatile
        self._folder: Path | None = None
        self._lock: int | None = None
        self._private: list[Private] = []
        self._containers: list[DockerContainer] = []
        self._database_url = _given("TEST_DATABASE_URL", "DATABASE_URL")
        self._amqp_url = _given("TEST_AMQP_URL", "AMQP_URL")

    def start(self) -> None:
        """Start whatever is missing, both servers at the same time."""
        asyncio.run(self._start(database=True, broker=True))

    def database_url(self) -> str:
        """Answer the URL of a database as a user who may create others and roles."""
        if self._database_url is None:
            asyncio.run(self._start(database=True, broker=False))
        assert self._database_url is not None
        return self._database_url

    def amqp_url(self) -> str:
        """Answer the URL of the broker."""
        if self._amqp_url is None:
            asyncio.run(self._start(database=False, broker=True))
        assert self._amqp_url is not None
        return self._amqp_url

    def close(self) -> None:
        """End and delete everything that this session started."""
        asyncio.run(self._stop())
        for server in self._private:
            server.remove()
        for container in self._containers:
            container.stop()
        if self._folder is not None and self._lock is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)
        self._private, self._containers, self._folder = [], [], None

    async def _start(self, *, database: bool, broker: bool) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                if database and self._database_url is None:
                    group.create_task(self._start_database())
                if broker and self._amqp_url is None:
                    group.create_task(self._start_broker())
        except BaseExceptionGroup as failures:
            raise reason_of(failures) from failures

    async def _start_database(self) -> None:
        if engine_answers():
            self._database_url = await self._database_container()
            return
        folder = self._session_folder() / "postgresql"
        if self._is_volatile and has_memory():
            make_data_dir(folder)
            (folder / "server").symlink_to(MEMORY / f"chaching-tests-{secrets.token_hex(8)}")
        server = PrivatePostgres(folder, settings=VOLATILE if self._is_volatile else {})
        self._private.append(server)
        await server.start()
        self._database_url = server.admin_url

    async def _start_broker(self) -> None:
        if engine_answers():
            self._amqp_url = await self._broker_container()
            return
        server = PrivateRabbitMQ(self._session_folder() / "rabbitmq")
        self._private.append(server)
        await server.start()
        self._amqp_url = server.url

    async def _stop(self) -> None:
        await asyncio.gather(*(server.stop() for server in self._private))

    def _session_folder(self) -> Path:
        if self._folder is None:
            sessions = data_dir() / "test-sessions"
            make_data_dir(data_dir())
            make_data_dir(sessions)
            remove_abandoned(sessions)
            self._folder = sessions / secrets.token_hex(4)
            make_data_dir(self._folder)
            self._lock = os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
            try_lock(self._lock)
        return self._folder

    async def _database_container(self) -> str:
        password = secrets.token_hex(16)
        container = DockerContainer(DATABASE_IMAGE).with_env("POSTGRES_PASSWORD", password)
        address = await self._run_container(container, 5432)
        url = f"postgresql://postgres:{password}@{address}/postgres"
        deadline = time.monotonic() + CONTAINER_LIMIT_S
        while not await _takes_sessions(url):
            _give_up_after(deadline, DATABASE_IMAGE)
            await asyncio.sleep(CONTAINER_POLL_S)
        return url

    async def _broker_container(self) -> str:
        password = secrets.token_hex(16)
        container = (
            DockerContainer(BROKER_IMAGE)
            .with_env("RABBITMQ_DEFAULT_USER", "chaching")
            .with_env("RABBITMQ_DEFAULT_PASS", password)
        )
        address = await self._run_container(container, 5672)
        host, port = address.rsplit(":", 1)
        deadline = time.monotonic() + CONTAINER_LIMIT_S
        while not await greets(int(port), host):
            _give_up_after(deadline, BROKER_IMAGE)
            await asyncio.sleep(CONTAINER_POLL_S)
        return f"amqp://chaching:{password}@{address}/"

    async def _run_container(self, container: DockerContainer, port: int) -> str:
        container.with_exposed_ports(port)
        await asyncio.to_thread(container.start)
        self._containers.append(container)
        return f"{container.get_container_host_ip()}:{container.get_exposed_port(port)}"


def has_memory() -> bool:
    """Say whether there is a file system in memory, and memory for the databases of a session."""
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK):
        return False
    free_bytes = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(free_bytes, shutil.disk_usage(MEMORY).free) >= MEMORY_MIN_BYTES


def engine_answers() -> bool:
    """Say whether a container engine, not just its client, is there."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        words = [docker, "info", "--format", "{{.ServerVersion}}"]
        answer = subprocess.run(  # noqa: S603 - fixed words
            words, capture_output=True, text=True, timeout=ENGINE_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and bool(answer.stdout.strip())


def remove_abandoned(sessions: Path) -> None:
    """Delete what killed sessions left: folders whose lock nobody holds any more."""
    for folder in sessions.iterdir():
        if not (folder / "lock").exists():
            continue
        lock = os.open(folder / "lock", os.O_RDWR)
        try:
            if try_lock(lock):
                PrivatePostgres(folder / "postgresql").remove()
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def _given(*names: str) -> str | None:
    return next((value for name in names if (value := os.environ.get(name))), None)


def _give_up_after(deadline: float, image: str) -> None:
    if time.monotonic() > deadline:
        raise LocalError(f"the container {image} was not ready in {CONTAINER_LIMIT_S:.0f} s")


async def _takes_sessions(url: str) -> bool:
    database = Database(url, name="tests", sessions_max=1)
    await database.open()
    try:
        await database.fetch("SELECT 1")
    except Unavailable:
        return False
    finally:
        await database.close()
    return True
