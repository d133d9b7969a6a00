"""Processes of the local set-up: started so that they can always be found and ended again.

Theory of operation. Every child is started through `launch`, in a session of its own, so a Ctrl-C
at the terminal reaches only the supervisor, which then ends its children in order. Three nets keep
a child from outliving its purpose:

1. `Child.end` sends a polite signal, waits for a bounded time, then kills;
2. on Linux the kernel signals the child when its parent dies (`launch`), also after kill -9. The
   parent here is the *thread* that started it: start children from the main thread only;
3. a `Mark` (process id and start time, so that a reused id is never mistaken) can be stored, and
   `end_marked` ends what is left of an earlier run.
"""

import asyncio
import contextlib
import math
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import msgspec

from chaching.local import launch
from chaching.local.errors import StartFailed
from chaching.local.places import PRIVATE_FILE_MODE

POLL_S = 0.02
KILL_WAIT_S = 10.0
LOG_BYTES_MAX = 16_000_000
PS_LIMIT_S = 10.0


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """The user of the machine as whom a server runs."""

    name: str
    uid: int
    gid: int

    @classmethod
    def named(cls, name: str) -> Self | None:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            return None
        return cls(name=name, uid=entry.pw_uid, gid=entry.pw_gid)


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A process that can be recognised later, by id and start, and how to end it politely."""

    name: str
    pid: int
    started: str
    polite: int = signal.SIGTERM

    @classmethod
    def of(cls, name: str, pid: int, polite: signal.Signals = signal.SIGTERM) -> Self:
        return cls(name=name, pid=pid, started=start_of(pid) or "", polite=polite)

    def is_alive(self) -> bool:
        return bool(self.started) and start_of(self.pid) == self.started


class Child:
    """A running program that this process started."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    @classmethod
    def spawn(
        cls,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        log: Path,
        cwd: Path = Path("/"),
        account: Account | None = None,
        death_signal: signal.Signals = signal.SIGTERM,
    ) -> Self:
        """Start `command` (its first word an absolute path) with its output appended to `log`."""
        uid, gid = (account.uid, account.gid) if account else (launch.SAME_USER, launch.SAME_USER)
        launcher = [sys.executable, "-I", "-S", launch.__file__, str(int(death_signal))]
        launcher += [str(os.getpid()), str(uid), str(gid)]
        log.parent.mkdir(parents=True, exist_ok=True)
        _turn_over(log)
        appended = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE_FILE_MODE)
        with os.fdopen(appended, "ab") as output:
            process = subprocess.Popen(  # noqa: S603 - fixed launcher, list of words
                [*launcher, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
            )
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Answer the exit code, negative for a signal, or None while it runs."""
        return self._process.poll()

    def mark(self, polite: signal.Signals = signal.SIGTERM) -> Mark:
        return Mark.of(self.name, self.pid, polite)

    def send(self, which: signal.Signals) -> None:
        # Popen never signals a process that it has already reaped
        self._process.send_signal(which)

    async def wait(self) -> int:
        await becomes_true(lambda: self.exit_code is not None)
        return self.exit_code or 0

    async def end(self, polite: signal.Signals, grace_s: float) -> None:
        """End it: the polite signal first, SIGKILL after `grace_s` seconds; legal when ended."""
        if self.exit_code is None:
            self.send(polite)
            if not await becomes_true(lambda: self.exit_code is not None, grace_s):
                self.send(signal.SIGKILL)
                await becomes_true(lambda: self.exit_code is not None, KILL_WAIT_S)


async def finish(child: Child, limit_s: float) -> None:
    """Wait for a child that has an end of its own; raise StartFailed unless it ends well."""
    try:
        done = await becomes_true(lambda: child.exit_code is not None, limit_s)
    except BaseException:
        child.send(signal.SIGKILL)
        raise
    if not done:
        await child.end(signal.SIGKILL, KILL_WAIT_S)
        raise StartFailed(f"{child.name} took longer than {limit_s:.0f} s", [child.log])
    if child.exit_code:
        raise StartFailed(f"{child.name} failed with code {child.exit_code}", [child.log])


async def becomes_true(check: Callable[[], bool], limit_s: float = math.inf) -> bool:
    """Wait until `check` holds, at most `limit_s` seconds; say whether it does."""
    deadline = time.monotonic() + limit_s
    while not check():
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True


def obey_cancellation() -> None:
    """Raise a cancellation that an error raised at the same moment has taken the place of."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def end_marked(mark: Mark, grace_s: float) -> bool:
    """End a process of an earlier run if it still lives; say whether there was one."""
    if not mark.is_alive():
        return False
    signal_pid(mark.pid, signal.Signals(mark.polite))
    if not await becomes_true(lambda: not mark.is_alive(), grace_s):
        for pid in [mark.pid, *children_of(mark.pid)]:
            signal_pid(pid, signal.SIGKILL)
        await becomes_true(lambda: not mark.is_alive(), KILL_WAIT_S)
    return True


def signal_pid(pid: int, which: signal.Signals) -> None:
    """Send a signal; a process that is gone already is no error."""
    try:
        os.kill(pid, which)
    except ProcessLookupError:
        return


def start_of(pid: int) -> str | None:
    """Answer when a live process started, as an opaque text; None for one that is gone."""
    if sys.platform != "linux":
        return _ask_ps("lstart=", pid)
    fields = _stat_fields(pid)
    if fields is None or fields[0] in {"Z", "X"}:
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{fields[19]}"


def age_s() -> float:
    """Answer for how many seconds this process has been running, or 0.0 where unknown."""
    fields = _stat_fields(os.getpid()) if sys.platform == "linux" else None
    if fields is None:
        return 0.0
    started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s


def children_of(pid: int) -> list[int]:
    """Answer the ids of a process's direct children."""
    if sys.platform != "linux":
        listed = _ask_pgrep(pid)
        return [int(word) for word in listed.split()]
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        fields = _stat_fields(int(entry.name)) if entry.name.isdecimal() else None
        if fields is not None and int(fields[1]) == pid:
            found.append(int(entry.name))
    return found


def _turn_over(log: Path) -> None:
    """Begin a new log when the old one has grown large; one old one is kept."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_name(f"{log.name}.1"))


def _stat_fields(pid: int) -> list[str] | None:
    """Answer the fields of /proc/PID/stat from the state on; the name before may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _ask_ps(what: str, pid: int) -> str | None:
    answer = subprocess.run(  # noqa: S603 - fixed command
        ["/bin/ps", "-o", what, "-p", str(pid)],
        capture_output=True,
        text=True,
        timeout=PS_LIMIT_S,
        check=False,
    )
    return answer.stdout.strip() or None


def _ask_pgrep(parent: int) -> str:
    answer = subprocess.run(  # noqa: S603 - fixed command
        ["/usr/bin/pgrep", "-P", str(parent)],
        capture_output=True,
        text=True,
        timeout=PS_LIMIT_S,
        check=False,
    )
    return answer.stdout
