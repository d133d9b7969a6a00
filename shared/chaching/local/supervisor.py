"""What `chaching run` does: everything that one machine needs, from one command.

Theory of operation. One supervisor per data folder, which it holds by a lock that the system frees
when the supervisor ends in whatever way. Order of events:

1. what a killed run left on this folder is ended, by the marks in the state file;
2. PostgreSQL is started, migrated, its roles get passwords, the local key is made. A master key
   that does not fit the database, or a key that is missing, ends the run here. Then the gateway is
   started. When it answers /readyz the banner is printed: the API serves from here on. Then the
   auditor is started, which hashes and signs the log;
3. beside that, from the very start, the broker is found, fetched if need be, and started. When both
   the API and the broker are there, relay and projector follow. Without a broker the projector
   follows the log by itself. The API waits for none of this.

Every part that has been started is on one stack; leaving it by Ctrl-C, SIGTERM, SIGHUP or a failure
stops the parts in reverse order, each within a bounded time, and removes the state file. A crash of
the supervisor between any two lines leaves at most processes with a mark in the state file, which
Linux signals at once, and which the next run ends.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Coroutine, Generator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec

from chaching.eventstore.api_keys import create_key, list_keys
from chaching.eventstore.database import Database
from chaching.local.errors import DATABASE_FAILURES, LocalError, reason_of
from chaching.local.fetching import try_lock
from chaching.local.master_key import VARIABLE as MASTER_KEY
from chaching.local.master_key import known_master_key, settled_master_key
from chaching.local.parts import Part, ServiceProcess, keep
from chaching.local.places import PRIVATE_FILE_MODE, make_data_dir
from chaching.local.ports import LOOPBACK, bind_error
from chaching.local.postgres import PrivatePostgres
from chaching.local.processes import Mark, age_s
from chaching.local.rabbitmq import PrivateRabbitMQ
from chaching.local.signing import SETTING, settled_signing_key
from chaching.local.state import RunState, end_leftovers, state_file, write_state
from chaching.schema.migrations import migrate

LOCAL_KEY = "sk_test_12345"
LOCAL_ACCOUNT = "acct_local"
GATEWAY_ROLE = "chaching_gateway"
RELAY_ROLE = "chaching_relay"
PROJECTOR_ROLE = "chaching_projector"
AUDITOR_ROLE = "chaching_auditor"
ROLES = (GATEWAY_ROLE, RELAY_ROLE, PROJECTOR_ROLE, AUDITOR_ROLE)
EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not bound to
STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Say = Callable[[str], None]


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment says about a run; servers that are not named are private ones."""

    data_dir: Path
    host: str
    port: int
    database_url: str | None = None
    amqp_url: str | None = None

    @property
    def reached_at(self) -> str:
        """Answer the host under which a client on this machine finds the gateway."""
        return LOOPBACK if self.host in EVERYWHERE else self.host


async def run(settings: RunSettings, say: Say) -> None:
    """Run the whole service until a signal ends it; LocalError when it cannot start."""
    make_data_dir(settings.data_dir)
    with sole_run(settings.data_dir):
        for name in await end_leftovers(settings.data_dir):
            say(f"ended a {name} that an earlier run had left")
        refuse_taken_port(settings)
        try:
            await until_signalled(LocalRun(settings, say).serve())
        finally:
            state_file(settings.data_dir).unlink(missing_ok=True)
        say("stopped")


class LocalRun:
    """One run: what was started so far, and the addresses of it."""

    def __init__(self, settings: RunSettings, say: Say) -> None:
        """Start nothing yet; `say` prints a line for a person."""
        self._settings = settings
        self._say = say
        self._parts: list[Part] = []
        self._serving = asyncio.Event()
        known_master_key(settings.data_dir)  # whose refusal needs no database
        self._master_key = self._signing_key = ""
        self._opening_key: str | None = None
        self._state = RunState(
            data_dir=str(settings.data_dir),
            supervisor=Mark.of("supervisor", os.getpid()),
            gateway=f"http://{settings.reached_at}:{settings.port}",
            broker=settings.amqp_url,
        )

    async def serve(self) -> None:
        """Bring everything up and keep it up; ends by cancellation or failure only."""
        async with AsyncExitStack() as started, asyncio.TaskGroup() as keepers:
            self._started, self._keepers = started, keepers
            broker = keepers.create_task(self._bring_up_broker())
            urls = await self._bring_up_database()
            await self._bring_up_gateway(urls[GATEWAY_ROLE])
            self._serving.set()
            await self._bring_up_auditor(urls[AUDITOR_ROLE])
            amqp_url = await broker
            await self._bring_up_readers(urls, amqp_url)
            await asyncio.Event().wait()

    async def _bring_up_database(self) -> dict[str, str]:
        """Answer the URL for each role, on a database that is migrated and has the local key."""
        given = self._settings.database_url
        if given is not None:
            self._opening_key = await prepared(given)
            await self._settle_keys(given, "set DATABASE_URL to another database")
            self._record(database=given)
            return {role: with_role(given, role) for role in ROLES}
        server = PrivatePostgres(self._settings.data_dir / "postgresql")
        await self._bring_up(server)
        self._opening_key = await prepared(server.admin_url)
        anew = "choose another data folder with CHACHING_DATA_DIR"
        await self._settle_keys(server.admin_url, anew)
        await server.let_in(ROLES)
        if server.folder not in server.place.parents:
            self._say(f"PostgreSQL's user cannot reach {server.folder}: data in {server.place}")
        self._record(database=server.admin_url)
        return {role: server.url_of(role) for role in ROLES}

    async def _settle_keys(self, admin_url: str, anew: str) -> None:
        """See that the keys fit the database before anything that needs them is started."""
        database = Database(admin_url, name="local set-up", sessions_max=1)
        await database.open()
        try:
            folder = self._settings.data_dir
            self._master_key = await settled_master_key(folder, database, anew=anew)
            self._signing_key = await settled_signing_key(folder, database, anew=anew)
        except DATABASE_FAILURES as error:
            raise LocalError(f"the database cannot be used: {error}") from error
        finally:
            await database.close()

    async def _bring_up_gateway(self, database_url: str) -> None:
        settings = self._settings
        addresses = {"HOST": settings.host, "PORT": str(settings.port)}
        gateway = ServiceProcess(
            "gateway",
            ["chaching_api", "gateway"],
            addresses={"DATABASE_URL": database_url, MASTER_KEY: self._master_key, **addresses},
            log=self._log("gateway"),
            ready_at=(settings.reached_at, settings.port),
        )
        await self._bring_up(gateway)
        self._say(banner(self._state, age_s(), self._opening_key))

    async def _bring_up_auditor(self, database_url: str) -> None:
        """Start what hashes and signs the log; the key is in that process's environment alone."""
        addresses = {"DATABASE_URL": database_url, SETTING: self._signing_key}
        module, log = ["chaching_api", "auditor"], self._log("auditor")
        await self._bring_up(ServiceProcess("auditor", module, addresses=addresses, log=log))

    async def _bring_up_broker(self) -> str | None:
        """Answer the broker's URL, or None after saying why there is none."""
        if self._settings.amqp_url is not None:
            return self._settings.amqp_url
        broker = PrivateRabbitMQ(self._settings.data_dir / "rabbitmq")
        try:
            await self._bring_up(broker)
        except LocalError as error:
            await self._serving.wait()
            self._say(f"{error}\n{NO_BROKER}")
            return None
        return broker.url

    async def _bring_up_readers(self, urls: dict[str, str], amqp_url: str | None) -> None:
        """Start what follows the log: relay and projector, or the projector alone."""
        broker = {} if amqp_url is None else {"AMQP_URL": amqp_url}
        parts = [("projector", ["chaching_projector"], urls[PROJECTOR_ROLE])]
        if amqp_url is not None:
            parts.insert(0, ("relay", ["chaching_api", "relay"], urls[RELAY_ROLE]))
        for name, module, database_url in parts:
            addresses = {"DATABASE_URL": database_url, MASTER_KEY: self._master_key, **broker}
            log = self._log(name)
            await self._bring_up(ServiceProcess(name, module, addresses=addresses, log=log))
        self._record(broker=amqp_url)
        if amqp_url is not None:
            self._say(f"the broker is up after {age_s():.1f} s: relay and projector run")

    async def _bring_up(self, part: Part) -> None:
        """Start a part, see to its end, and keep it running."""
        self._started.push_async_callback(part.stop)
        await part.start()
        self._parts.append(part)
        self._record()
        self._keepers.create_task(keep(part, say=self._say, started=self._record))

    def _record(self, **changes: str | None) -> None:
        children = [mark for part in self._parts for mark in part.marks()]
        self._state = msgspec.structs.replace(self._state, children=children, **changes)
        write_state(self._state)

    def _log(self, name: str) -> Path:
        return self._settings.data_dir / "logs" / f"{name}.log"


NO_BROKER = (
    "no broker: the projector follows the log by itself, nothing is published; the API is whole"
)


def banner(state: RunState, seconds: float, opening_key: str | None) -> str:
    """Answer the lines that greet a person when the API serves.

    ``opening_key`` is an API key that may be shown; without one they say how to make one.
    """
    key = opening_key or "YOUR_KEY"
    lines = [
        "",
        f"chaching serves {state.gateway} after {seconds:.1f} s",
        "",
        f"  curl {state.gateway}/v1/customers -u {key}: -d name='Jenny Rosen'",
        "",
        f"  docs  {state.gateway}/docs",
        f"  logs  {Path(state.data_dir) / 'logs'}",
        f"  data  {state.data_dir}",
        "  stop  Ctrl-C",
        "",
    ]
    if opening_key is None:
        here = state.database is not None and is_on_this_machine(state.database)
        account = LOCAL_ACCOUNT if here else "acct_…"
        making = f"chaching keys create --account {account} --mode test --right '*'"
        lines.insert(4, f"  a key: {making}")
    return "\n".join(lines)


async def prepared(admin_url: str) -> str | None:
    """Bring the database to the newest schema and make the local key, if it may live there.

    Answer that key, or None where it opens nothing, since it was revoked, say.
    """
    try:
        await migrate(admin_url)
        if not is_on_this_machine(admin_url):
            return None
        issued = await create_key(
            admin_url,
            account=LOCAL_ACCOUNT,
            mode="test",
            kind="secret",
            rights=["*"],
            expires_in_s=None,
            name="the local set-up's key",
            key=LOCAL_KEY,
        )
        keys = await list_keys(admin_url, account=LOCAL_ACCOUNT)
    except DATABASE_FAILURES as error:
        raise LocalError(f"the database cannot be used: {error}") from error
    usable = any(k.key_id == issued.key_id and k.state == "active" for k in keys)
    return LOCAL_KEY if usable else None


@contextlib.contextmanager
def sole_run(data_dir: Path) -> Generator[None]:
    """Hold the data folder; LocalError when another run holds it."""
    flags = os.O_RDWR | os.O_CREAT
    descriptor = os.open(data_dir / "run.lock", flags, PRIVATE_FILE_MODE)
    try:
        if not try_lock(descriptor):
            holder = os.read(descriptor, 32).decode().strip()
            raise LocalError(
                f"chaching already runs on {data_dir} (process {holder}): "
                "stop it, or choose another folder with CHACHING_DATA_DIR"
            )
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def refuse_taken_port(settings: RunSettings) -> None:
    """Raise LocalError unless the gateway can listen where it should."""
    error = bind_error(settings.port, settings.host)
    if error is not None:
        raise LocalError(
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror}): "
            "stop what does, or choose another port: PORT=8001 make run"
        )


async def until_signalled(work: Coroutine[None, None, None]) -> None:
    """Run `work` to its end; the first stopping signal cancels it, further ones change nothing."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for which in STOPPING_SIGNALS:
        # started with nohup: a terminal that closes is no reason to stop
        if which != signal.SIGHUP or signal.getsignal(which) != signal.SIG_IGN:
            loop.add_signal_handler(which, cancel_once(task))
    await asyncio.wait({task})
    if not task.cancelled():
        try:
            task.result()
        except BaseExceptionGroup as failures:
            raise reason_of(failures) from failures


def cancel_once(task: asyncio.Task[None]) -> Callable[[], None]:
    """Answer a call that cancels the task the first time: a second would cut the stopping short."""
    signalled = False

    def cancel() -> None:
        nonlocal signalled
        if not signalled:
            signalled = True
            task.cancel()

    return cancel


def with_role(url: str, role: str) -> str:
    """Answer the URL with the role that its sessions shall drop to."""
    return f"{url}{'&' if '?' in url else '?'}role={role}"


def is_on_this_machine(url: str) -> bool:
    """Say whether a database URL names this machine, beyond doubt.

    A key that everyone knows may live there. A URL that leaves its host to the environment may lead
    anywhere; one that names a folder leads to a socket in it.
    """
    parts = urlsplit(url)
    asked = parse_qs(parts.query)
    hosts = asked.get("host", []) + asked.get("hostaddr", []) + [parts.hostname or ""]
    return all(_is_here(host) for host in hosts if host or len(hosts) == 1)


def _is_here(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith(("127.", "/"))
