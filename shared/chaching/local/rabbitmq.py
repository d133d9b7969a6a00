"""A private RabbitMQ node: its own data, ports and password, reachable from this machine only.

Theory of operation. Erlang nodes find one another through `epmd`, which a node starts as a daemon
that outlives it. Here each node has an epmd of its own on a private port, started first and as our
child, so the node finds it running and both can be ended by their process ids. The node's script is
told that a service manager runs it: then it becomes the Erlang machine instead of standing before
it as a shell. Every setting of the machine's own RabbitMQ is shut out by naming each file and
folder. Plug-ins are looked for in a folder with the broker alone, which halves the start.

`folder` holds settings (0600: ports, password, configuration), `data` and logs. The user is created
when the node finds its data empty, so it survives `wipe`, which deletes `data`.
"""

import asyncio
import secrets
import shutil
import signal
import time
from pathlib import Path

import msgspec

from chaching.local.errors import LocalError, StartFailed
from chaching.local.places import make_data_dir, write_private
from chaching.local.ports import LOOPBACK, keep_or_choose
from chaching.local.processes import POLL_S, Child, Mark, becomes_true
from chaching.local.rabbitmq_binaries import RabbitMQBinaries, obtain_rabbitmq

START_LIMIT_S = 90.0
STOP_GRACE_S = 20.0
EPMD_GRACE_S = 5.0
EPMD_LIMIT_S = 10.0
PROBE_LIMIT_S = 5.0
READY_POLL_S = 0.05
USER = "chaching"
PASSWORD_BYTES = 24
AMQP_GREETING = b"AMQP\x00\x00\x09\x01"
ERL_ARGS = "+S 1:1 +SDio 1 -kernel inet_dist_use_interface {127,0,0,1} -start_epmd false"

CONFIGURATION = """\
listeners.tcp.1 = {host}:{port}
default_user = {user}
default_pass = {password}
default_user_tags.administrator = true
# a developer's machine may be nearly full; alarms would block publishers
disk_free_limit.absolute = 50MB
log.console = false
log.file.level = info
"""


class _Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings file holds between two starts."""

    port: int
    dist_port: int
    epmd_port: int
    password: str


class PrivateRabbitMQ:
    """One private node; `start` after `stop`, `kill` or `wipe` brings back the same port."""

    name = "rabbitmq"

    def __init__(self, folder: Path, *, binaries: RabbitMQBinaries | None = None) -> None:
        """Keep everything below `folder`."""
        self.folder = folder.absolute()
        self.log = self.folder / "rabbitmq.log"
        self._output = self.folder / "rabbitmq-output.log"
        self._data = self.folder / "data"
        self._binaries = binaries
        self._remembered: _Remembered | None = None
        self._node: Child | None = None
        self._epmd: Child | None = None

    @property
    def port(self) -> int:
        return self._known.port

    @property
    def url(self) -> str:
        known = self._known
        return f"amqp://{USER}:{known.password}@{LOOPBACK}:{known.port}/"

    def marks(self) -> list[Mark]:
        """Answer what must be ended if this process cannot do it any more."""
        return [child.mark() for child in (self._epmd, self._node) if child is not None]

    async def start(self) -> None:
        """Start the node, return when it greets a client."""
        if self._node is not None and self._node.exit_code is None:
            return
        make_data_dir(self.folder)
        binaries = self._binaries or await obtain_rabbitmq()
        await self._end_epmd()
        known = self._remember(_read_settings(self.folder))
        env = self._environment(binaries, known)
        self._epmd = Child.spawn(
            "epmd", [str(binaries.erlang_bin / "epmd")], env=env, log=self.folder / "epmd.log"
        )
        await self._epmd_listens(known.epmd_port)
        script = str(binaries.sbin_dir / "rabbitmq-server")
        self._node = Child.spawn(self.name, [script], env=env, log=self._output, cwd=self.folder)
        await self._greets()

    async def stop(self) -> None:
        """Shut the node down in order, then end its epmd."""
        if self._node is not None:
            await self._node.end(signal.SIGTERM, STOP_GRACE_S)
        await self._end_epmd()

    async def kill(self) -> None:
        """End the node and its epmd with SIGKILL, at once."""
        for child in (self._running, self._epmd):
            if child is not None:
                await child.end(signal.SIGKILL, STOP_GRACE_S)

    async def wipe(self) -> None:
        """Delete the data of a node that does not run: every queue, exchange and message."""
        if self._node is not None and self._node.exit_code is None:
            raise LocalError("a running RabbitMQ cannot be wiped: stop or kill it first")
        await asyncio.to_thread(shutil.rmtree, self._data, ignore_errors=True)

    def pause(self) -> None:
        """Freeze the node: connections hang without an error."""
        self._running.send(signal.SIGSTOP)

    def resume(self) -> None:
        self._running.send(signal.SIGCONT)

    async def wait(self) -> int:
        """Wait until the node has ended; answer its exit code. Without epmd it is not whole."""
        node, epmd = self._running, self._epmd
        await becomes_true(
            lambda: node.exit_code is not None or epmd is None or epmd.exit_code is not None
        )
        await node.end(signal.SIGTERM, STOP_GRACE_S)
        return node.exit_code or 0

    def remove(self) -> None:
        """Delete the stopped node with everything it had."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _known(self) -> _Remembered:
        if self._remembered is None:
            raise LocalError("this RabbitMQ was never started")
        return self._remembered

    @property
    def _running(self) -> Child:
        if self._node is None:
            raise LocalError("this RabbitMQ was never started")
        return self._node

    def _remember(self, before: _Remembered | None) -> _Remembered:
        if self._remembered is not None:
            return self._remembered  # whoever was told this port still uses it
        port = keep_or_choose(before.port if before else None)
        dist_port = keep_or_choose(before.dist_port if before else None, {port})
        epmd_port = keep_or_choose(before.epmd_port if before else None, {port, dist_port})
        password = before.password if before else secrets.token_hex(PASSWORD_BYTES)
        known = _Remembered(port=port, dist_port=dist_port, epmd_port=epmd_port, password=password)
        write_private(self.folder / "settings.json", msgspec.json.encode(known))
        self._remembered = known
        return known

    def _environment(self, binaries: RabbitMQBinaries, known: _Remembered) -> dict[str, str]:
        """Write the configuration; answer the whole environment of the node."""
        folder = self.folder
        configuration = CONFIGURATION.format(
            host=LOOPBACK, port=known.port, user=USER, password=known.password
        )
        write_private(folder / "rabbitmq.conf", configuration.encode())
        (folder / "enabled_plugins").write_text("[].\n")
        self._data.mkdir(exist_ok=True)
        env = {
            "PATH": f"{binaries.erlang_bin}:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "RUNNING_UNDER_SYSTEMD": "true",
            "ERL_CRASH_DUMP_SECONDS": "0",
            "ERL_EPMD_PORT": str(known.epmd_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_NODENAME": "chaching@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(known.port),
            "RABBITMQ_DIST_PORT": str(known.dist_port),
            "RABBITMQ_MNESIA_BASE": str(self._data),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_LOGS": str(self.log),
            "RABBITMQ_PID_FILE": str(folder / "rabbitmq.pid"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(folder / "conf.d"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_PLUGINS_DIR": str(_broker_alone(folder, binaries.plugins_dir)),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERL_ARGS,
        }
        if binaries.library_dir is not None:
            env["LD_LIBRARY_PATH"] = str(binaries.library_dir)
        return env

    async def _epmd_listens(self, port: int) -> None:
        epmd = self._epmd
        deadline = time.monotonic() + EPMD_LIMIT_S
        while not await _accepts(port):
            if epmd is None or epmd.exit_code is not None or time.monotonic() > deadline:
                raise StartFailed("Erlang's epmd did not start", [self.folder / "epmd.log"])
            await asyncio.sleep(POLL_S)

    async def _greets(self) -> None:
        node, deadline = self._running, time.monotonic() + START_LIMIT_S
        while not await greets(self.port):
            if node.exit_code is not None:
                await self._end_epmd()
                raise StartFailed("RabbitMQ ended while starting", [self.log, self._output])
            if time.monotonic() > deadline:
                await self.stop()
                raise StartFailed(f"RabbitMQ was not ready in {START_LIMIT_S:.0f} s", [self.log])
            await asyncio.sleep(READY_POLL_S)

    async def _end_epmd(self) -> None:
        if self._epmd is not None:
            await self._epmd.end(signal.SIGTERM, EPMD_GRACE_S)


def _read_settings(folder: Path) -> _Remembered | None:
    try:
        return msgspec.json.decode((folder / "settings.json").read_bytes(), type=_Remembered)
    except FileNotFoundError:
        return None


def _broker_alone(folder: Path, plugins_dir: Path) -> Path:
    """Answer a folder with a link to the broker and no plug-in."""
    alone = folder / "plugins"
    shutil.rmtree(alone, ignore_errors=True)
    alone.mkdir()
    for broker in plugins_dir.glob("rabbit-*"):
        (alone / broker.name).symlink_to(broker)
    return alone


async def _accepts(port: int) -> bool:
    return await _asked(port, b"") is not None


async def greets(port: int, host: str = LOOPBACK) -> bool:
    """Say whether a broker answers a client's first bytes."""
    return bool(await _asked(port, AMQP_GREETING, host))


async def _asked(port: int, first_bytes: bytes, host: str = LOOPBACK) -> bytes | None:
    """Connect, send the bytes, answer the first one that returns; None where nobody listens."""
    try:
        async with asyncio.timeout(PROBE_LIMIT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(first_bytes)
                return await reader.read(1) if first_bytes else b""
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
