"""The parts of a running local service, and what keeps each of them running.

A part is anything that can be started, waited for and stopped: a private server or a process of the
service. Restarts back off so that a part that cannot live does not burn the machine.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, Protocol

from chaching.local.errors import LocalError, StartFailed, tail
from chaching.local.processes import POLL_S, Child, Mark, obey_cancellation

RESTART_FIRST_S = 0.5
RESTART_MAX_S = 10.0
RESTART_IN_VAIN_MAX_S = 60.0
ALIVE_AFTER_S = 2.0
WORDS_CHARACTERS_MAX = 300
STEADY_S = 30.0
DRAIN_GRACE_S = 15.0
READY_LIMIT_S = 60.0
READY_PROBE_LIMIT_S = 2.0
READY_REQUEST = "GET /readyz HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
# set by the supervisor alone; a process gets just what it needs
ADDRESSES = ("DATABASE_URL", "MASTER_KEY", "AMQP_URL", "HOST", "PORT", "AUDIT_SIGNING_KEY")


class Part(Protocol):
    """Something that runs until it is stopped, or dies."""

    @property
    def name(self) -> str: ...

    @property
    def log(self) -> Path: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def wait(self) -> int: ...

    def marks(self) -> list[Mark]: ...


class ServiceProcess:
    """One process of the service: a Python module with its own addresses in the environment."""

    def __init__(
        self,
        name: str,
        module: Sequence[str],
        *,
        addresses: Mapping[str, str],
        log: Path,
        ready_at: tuple[str, int] | None = None,
    ) -> None:
        """Run `python -m` with the words of `module`; with `ready_at`, wait for its /readyz."""
        self.name = name
        self.log = log
        self._module = module
        self._addresses = addresses
        self._ready_at = ready_at
        self._child: Child | None = None

    async def start(self) -> None:
        own = {name: value for name, value in os.environ.items() if name not in ADDRESSES}
        self._child = Child.spawn(
            self.name,
            [sys.executable, "-m", *self._module],
            env={**own, "PYTHONUNBUFFERED": "1", **self._addresses},
            log=self.log,
            # without its supervisor the servers end, too: nothing is left to drain into
            death_signal=signal.SIGKILL,
        )
        if self._ready_at is not None:
            await self._becomes_ready(self._child, *self._ready_at)

    async def stop(self) -> None:
        if self._child is not None:
            await self._child.end(signal.SIGTERM, DRAIN_GRACE_S)

    async def wait(self) -> int:
        return await self._child.wait() if self._child is not None else 0

    def marks(self) -> list[Mark]:
        return [self._child.mark()] if self._child is not None else []

    async def _becomes_ready(self, child: Child, host: str, port: int) -> None:
        deadline = time.monotonic() + READY_LIMIT_S
        while not await is_ready(host, port):
            if child.exit_code is not None:
                raise StartFailed(f"the {self.name} ended while starting", [self.log])
            if time.monotonic() > deadline:
                raise StartFailed(f"the {self.name} was not ready in time", [self.log])
            await asyncio.sleep(POLL_S)


async def keep(part: Part, *, say: Callable[[str], None], started: Callable[[], None]) -> NoReturn:
    """Start the part again whenever it ends, until this task is cancelled.

    It is said to run again once it has lived for ``ALIVE_AFTER_S``. One that never lives for so
    long (a setting is wrong) is started again less and less often.
    """
    pause_s, has_lived = RESTART_FIRST_S, True
    while True:
        since = time.monotonic()
        code = await part.wait()
        if time.monotonic() - since > STEADY_S:
            pause_s = RESTART_FIRST_S
        ended = f"{part.name} ended ({_how(code)}){_last_words(part.log, code)}"
        say(f"{ended}, starting it again in {pause_s:.1f} s: {part.log}")
        await asyncio.sleep(pause_s)
        try:
            await part.start()
            started()
            has_lived = await _lives(part)
            if has_lived:
                say(f"{part.name} runs again")
        except LocalError as error:
            obey_cancellation()
            say(str(error).splitlines()[0])
            started()
            has_lived = False
        pause_s = min(pause_s * 2, RESTART_MAX_S if has_lived else RESTART_IN_VAIN_MAX_S)


async def _lives(part: Part) -> bool:
    """Say whether a part that was just started runs on for a moment."""
    try:
        async with asyncio.timeout(ALIVE_AFTER_S):
            await part.wait()
    except TimeoutError:
        return True
    return False


def _last_words(log: Path, code: int) -> str:
    """Answer what a process that ended by itself wrote last, to go into a line."""
    words = tail(log, 1) if code > 0 else ""
    if len(words) > WORDS_CHARACTERS_MAX:
        words = f"{words[:WORDS_CHARACTERS_MAX]}…"
    shown = "".join(one if one.isprintable() else "?" for one in words)
    return f', saying "{shown}"' if shown else ""


async def is_ready(host: str, port: int) -> bool:
    """Say whether the gateway answers GET /readyz with 200."""
    try:
        async with asyncio.timeout(READY_PROBE_LIMIT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(READY_REQUEST.format(host=host, port=port).encode())
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return status.split()[1:2] == [b"200"]


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
