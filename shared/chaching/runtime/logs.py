"""Logs: one JSON object a line on stdout, named ``noun_verbed``.

Tracebacks are written without local variables, which may hold what customers told us. What the
libraries log is passed on from WARNING, as ``library_logged``; those whose every failure also
reaches the loop that uses them, which tells it better, are silent.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Final

import msgspec
import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import FilteringBoundLogger

TRACEBACK_FRAMES_MAX: Final = 20
LEAVE_AFTER_S: Final = 0.05
WAITING_MAX_LINES: Final = 50_000
SILENT_LIBRARIES: Final = ("aiormq",)

_encode = msgspec.json.Encoder(enc_hook=repr).encode


def logger() -> FilteringBoundLogger:
    """Return a logger; calls like ``logger().info("customer_created", request_id=…)``.

    In a process that did not configure one, such as another team's, the lines go to the standard
    library's logger ``chaching`` as ``customer_created request_id=…``.
    """
    return structlog.get_logger() if structlog.is_configured() else _guest


def _as_text(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    name, trace = event.pop("event"), event.pop("exception", "")
    said = " ".join(f"{key}={value}" for key, value in event.items())
    return "\n".join(filter(None, (f"{name} {said}".rstrip(), trace)))


_guest: Final[FilteringBoundLogger] = structlog.wrap_logger(
    logging.getLogger("chaching"),
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.format_exc_info,
        _as_text,
    ],
    wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
)


class _Lines:
    """Lines on their way to stdout, written together and by a thread.

    A file system that is busy with the database's fsync holds a writer up for milliseconds, and
    requests must not wait for their own log lines. A kill loses the lines of ``LEAVE_AFTER_S``.
    """

    def __init__(self) -> None:
        self.enabled = False
        self._waiting: list[bytes] = []
        self._is_leaving = False

    def write(self, line: bytes) -> None:
        self._waiting.append(line)
        if not self._is_leaving:
            self._is_leaving = True
            asyncio.get_running_loop().call_later(LEAVE_AFTER_S, self._leave)
        elif len(self._waiting) >= WAITING_MAX_LINES:
            self.flush()

    def flush(self) -> None:
        """Write what waits, now."""
        _write(self._taken())

    def _taken(self) -> list[bytes]:
        lines, self._waiting = self._waiting, []
        return lines

    def _leave(self) -> None:
        # taken here, not in the thread: a line that came meanwhile would be lost
        lines = self._taken()
        try:
            left = asyncio.get_running_loop().run_in_executor(None, _write, lines)
        except RuntimeError:  # the loop is being closed and has no threads any more
            self._is_leaving = False
            _write(lines)
        else:
            left.add_done_callback(self._left)

    def _left(self, left: asyncio.Future[None]) -> None:
        self._is_leaving = False
        left.result()
        if self._waiting:
            self.write(self._waiting.pop())


def _write(lines: list[bytes]) -> None:
    # a reader that went away, or a full disk, takes the lines with it and not the service
    with suppress(OSError, ValueError):
        sys.stdout.buffer.write(b"".join(lines))
        sys.stdout.buffer.flush()


_lines: Final = _Lines()
atexit.register(_lines.flush)


def write_line(line: msgspec.Struct) -> None:
    """Write a line of level info that is already in its form; for the line of each request."""
    if _lines.enabled:
        _lines.write(_encode(line) + b"\n")


def configure(level: str = "info") -> None:
    """Write lines from ``level`` on (a name such as ``info``) to stdout."""
    least = logging.getLevelNamesMapping()[level.upper()]
    transformer = ExceptionDictTransformer(show_locals=False, max_frames=TRACEBACK_FRAMES_MAX)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(transformer),
            _rendered,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    _lines.enabled = least <= logging.INFO
    logging.basicConfig(level=max(least, logging.WARNING), handlers=[_Passing()], force=True)
    for name in SILENT_LIBRARIES:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _rendered(_logger: object, _method: str, event: Mapping[str, Any]) -> bytes:
    return _encode(event)


class _Passing(logging.Handler):
    """Passes on what libraries say through the standard library."""

    def emit(self, record: logging.LogRecord) -> None:
        logger().log(
            record.levelno,
            "library_logged",
            logger=record.name,
            message=record.getMessage(),
            exc_info=record.exc_info,
        )
