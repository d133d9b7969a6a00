"""How a process runs and stops, and how its loops are kept alive.

Theory of operation. ``run`` runs one coroutine on uvloop. The first SIGTERM or SIGINT cancels it,
once: ``finally`` blocks and task groups then drain in reverse order of start. Further signals
change nothing, so stopping twice is legal and never cuts a drain short. A coroutine that was
stopped this way, or returned, gives exit code 0; one that crashed is logged and gives 1.

``run_command`` does the same for what a person started and waits for: it tells which signal came,
so that the command can say how to go on, and a second one ends the process at once, since a
terminal that takes no output may hold the loop.

``supervised`` starts a crashed loop again after a pause that doubles up to a limit; a loop that
lasted for a while starts from the shortest pause. What a loop expects (a server that is away) is
logged in one line, everything else with its traceback. What a loop declares fatal passes through.

Each run of a loop is a task of its own. A task group that failed leaves its task looking as if
someone had cancelled it (Python 3.11 and 3.12), and a cancellation can drown in an error that comes
at the same moment; the supervisor's own task sees neither, so it always knows whether to stop.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar, cast

from chaching.runtime.logs import logger

if sys.platform != "win32" and sys.implementation.name == "cpython":
    from uvloop import new_event_loop
else:  # pragma: no cover - uvloop is not to be had there
    from asyncio import new_event_loop

T = TypeVar("T")

STOPPING_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
PAUSE_FIRST_S: Final = 0.1
PAUSE_MAX_S: Final = 2.0
STEADY_S: Final = 30.0
CANCEL_AGAIN_S: Final = 10.0


class BackOff:
    """Pauses that double from ``first_s`` up to ``max_s``, until ``reset``."""

    def __init__(self, *, first_s: float = PAUSE_FIRST_S, max_s: float = PAUSE_MAX_S) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._next_s = first_s

    async def pause(self) -> None:
        pause_s, self._next_s = self._next_s, min(self._next_s * 2, self._max_s)
        await asyncio.sleep(pause_s)

    def reset(self) -> None:
        self._next_s = self._first_s


def run(
    main: Callable[[], Coroutine[Any, Any, None]], *, refused: tuple[type[Exception], ...] = ()
) -> None:
    """Run ``main`` until it returns or a signal stops it; ends the process with 1 on a crash.

    What is ``refused`` (a setting that does not fit) is told in one line on stderr.
    """
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_until_signalled(main))
    except Exception as error:  # noqa: BLE001 - the supervisor of all loops
        if causes := [cause for cause in leaves(error) if isinstance(cause, refused)]:
            sys.exit(f"chaching: {causes[0]}")
        logger().critical("process_crashed", exc_info=True)
        sys.exit(1)


def run_command(main: Callable[[], Coroutine[Any, Any, None]]) -> signal.Signals | None:
    """Run ``main`` until it returns or a signal cancels it; return that signal.

    What ``main`` raises passes through.
    """
    before = {which: signal.getsignal(which) for which in STOPPING_SIGNALS}
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        try:
            return runner.run(_until_first_signal(main))
        finally:
            for which, handler in before.items():
                signal.signal(which, handler)


async def _until_first_signal(
    main: Callable[[], Coroutine[Any, Any, None]],
) -> signal.Signals | None:
    loop = asyncio.get_running_loop()
    work = loop.create_task(main())
    came: list[signal.Signals] = []

    def stop(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        came.append(signal.Signals(number))
        loop.call_soon_threadsafe(work.cancel)

    for which in STOPPING_SIGNALS:
        signal.signal(which, stop)
    await asyncio.wait({work})
    if not (work.cancelled() and came):
        work.result()
        return None
    return came[0]


async def supervised(
    name: str,
    loop: Callable[[], Coroutine[Any, Any, None]],
    *,
    expected: tuple[type[Exception], ...] = (),
    fatal: tuple[type[Exception], ...] = (),
) -> None:
    """Run ``loop`` until it returns, again after every crash; ``fatal`` errors pass through."""
    clock = asyncio.get_running_loop()
    backoff = BackOff()
    while True:
        started = clock.time()
        try:
            return await _run_apart(loop)
        except Exception as error:
            causes = leaves(error)
            if any(isinstance(cause, fatal) for cause in causes):
                raise
            if all(isinstance(cause, expected) for cause in causes):
                logger().warning("loop_interrupted", loop=name, reason=str(causes[0]))
            else:
                logger().error("loop_crashed", loop=name, exc_info=True)
        if clock.time() - started > STEADY_S:
            backoff.reset()
        await backoff.pause()


class Undone(Exception):  # noqa: N818 - says how the loop ended
    """A loop ended as if cancelled, and nobody had asked it to."""


async def _run_apart(loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a loop in a task of its own; when this one is cancelled, cancel it and wait for it."""
    attempt = asyncio.create_task(loop())
    try:
        await asyncio.wait({attempt})
    except asyncio.CancelledError:
        while not attempt.done():
            attempt.cancel()
            await asyncio.wait({attempt}, timeout=CANCEL_AGAIN_S)
        if not attempt.cancelled() and (error := attempt.exception()) is not None:
            logger().warning("loop_stopped", reason=str(error))
        raise
    if attempt.cancelled():
        raise Undone("the loop was cancelled from inside")
    attempt.result()


async def retried(
    call: Callable[[], Awaitable[T]], *, on: type[Exception] | tuple[type[Exception], ...]
) -> T:
    """Return what ``call`` answers, asking again after growing pauses while it raises ``on``."""
    backoff = BackOff()
    while True:
        try:
            return await call()
        except on as error:
            pass_on_cancellation(error)
            logger().warning("call_retried", reason=str(error))
        await backoff.pause()


def pass_on_cancellation(error: Exception) -> None:
    """Let a cancellation win over an error that came at the same moment and took its place.

    Sound only in a task that ends with the first task group that fails in it, see the module.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError from error


async def _until_signalled(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = asyncio.get_running_loop()
    work = loop.create_task(main())
    stopping = False

    def stop() -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            work.cancel()

    for which in STOPPING_SIGNALS:
        loop.add_signal_handler(which, stop)
    await asyncio.wait({work})
    if not (work.cancelled() and stopping):
        work.result()


def leaves(error: BaseException) -> list[BaseException]:
    """Return the errors in a group of groups, or the error itself."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    group = cast("BaseExceptionGroup[BaseException]", error)
    return [leaf for inner in group.exceptions for leaf in leaves(inner)]
