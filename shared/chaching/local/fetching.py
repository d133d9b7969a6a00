"""Fetching tools into the project's folder: one at a time, whole or not at all.

A tool is built in a temporary folder beside its place and renamed into it at the end, so a folder
that carries the tool's name is always complete; what an interrupted fetch leaves is removed by the
next one. A lock file keeps `make test` and `make run` from fetching the same tool twice.
"""

import asyncio
import fcntl
import os
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from chaching.local.errors import LocalError
from chaching.local.processes import Child, finish

LOCK_POLL_S = 0.1
LOCK_LIMIT_S = 600.0


async def fetched(place: Path, build: Callable[[Path], Awaitable[None]]) -> Path:
    """Answer `place`, after `build` has filled it if it does not exist yet."""
    if _is_complete(place):
        return place
    async with locked(place.with_name(f"{place.name}.lock")):
        if not _is_complete(place):
            half = _emptied(place.with_name(f"{place.name}.new"))
            await build(half)
            half.rename(place)
    return place


def _is_complete(place: Path) -> bool:
    return place.is_dir()


def _emptied(half: Path) -> Path:
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    return half


@asynccontextmanager
async def locked(path: Path) -> AsyncGenerator[None]:
    """Hold a lock file; the system frees it when the process ends in whatever way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        for _ in range(int(LOCK_LIMIT_S / LOCK_POLL_S)):
            if try_lock(lock.fileno()):
                break
            await asyncio.sleep(LOCK_POLL_S)
        else:
            raise LocalError(f"another process has been holding {path} for {LOCK_LIMIT_S:.0f} s")
        yield


def try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def command(words: list[str], *, log: Path, limit_s: float, cwd: Path = Path("/")) -> None:
    """Run a command to its end with output into `log`; StartFailed unless it succeeds."""
    found = shutil.which(words[0])
    if found is None:
        raise LocalError(f"there is no {words[0]} on this machine")
    name = Path(words[0]).name
    child = Child.spawn(name, [found, *words[1:]], env=os.environ, log=log, cwd=cwd)
    await finish(child, limit_s)
