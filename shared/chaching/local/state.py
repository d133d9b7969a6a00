"""What a running local service tells others: the state file in its data folder.

Written (0600, passwords are inside) whenever a process starts, removed at an orderly end. After a
kill the next run reads from it what to end, and `chaching info` sees that the writer is gone.
"""

import asyncio
from pathlib import Path

import msgspec

from chaching.local.errors import LocalError
from chaching.local.places import write_private
from chaching.local.processes import Mark, end_marked

# short: the next start waits for it, and everything survives a SIGKILL
LEFTOVER_GRACE_S = 3.0


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses of one run, and the marks of its processes."""

    data_dir: str
    supervisor: Mark
    gateway: str
    database: str | None = None
    broker: str | None = None
    children: list[Mark] = []


def state_file(data_dir: Path) -> Path:
    return data_dir / "state.json"


def write_state(state: RunState) -> None:
    write_private(state_file(Path(state.data_dir)), msgspec.json.encode(state))


def read_state(data_dir: Path) -> RunState | None:
    """Answer what the last run left, alive or not; None after an orderly end."""
    try:
        content = state_file(data_dir).read_bytes()
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise LocalError(f"the data folder {data_dir} belongs to another user") from error
    try:
        return msgspec.json.decode(content, type=RunState)
    except msgspec.DecodeError as error:
        raise LocalError(f"{state_file(data_dir)} is not readable: remove it") from error


def running_state(data_dir: Path) -> RunState | None:
    """Answer the addresses of the service that runs on this data folder now, or None."""
    state = read_state(data_dir)
    return state if state is not None and state.supervisor.is_alive() else None


async def end_leftovers(data_dir: Path) -> list[str]:
    """End what a killed run left, all at once; answer the names of what was ended."""
    state = read_state(data_dir)
    if state is None:
        return []
    marks = state.children
    ended = await asyncio.gather(*(end_marked(mark, LEFTOVER_GRACE_S) for mark in marks))
    state_file(data_dir).unlink(missing_ok=True)
    return [mark.name for mark, was_alive in zip(marks, ended, strict=True) if was_alive]
