"""Logs: one JSON object a line on stdout, named ``noun_verbed``.

Tracebacks are written without local variables, which may hold what customers told us. What the
libraries log is passed on from WARNING, as ``library_logged``; those whose every failure also
reaches the loop that uses them, which tells it better, are silent.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import FilteringBoundLogger

TRACEBACK_FRAMES_MAX: Final = 20
SILENT_LIBRARIES: Final = ("aiormq",)

_encode = msgspec.json.Encoder(enc_hook=repr).encode


def logger() -> FilteringBoundLogger:
    """Return a logger; calls like ``logger().info("customer_created", request_id=…)``."""
    return structlog.get_logger()


class _Lines:
    """Where lines go, without a look-up for each."""

    def __init__(self) -> None:
        self.enabled = False
        self.write = sys.stdout.buffer.write
        self.flush = sys.stdout.buffer.flush


_lines: Final = _Lines()


def write_line(line: msgspec.Struct) -> None:
    """Write a line of level info that is already in its form; for the line of each request."""
    if _lines.enabled:
        _lines.write(_encode(line) + b"\n")
        _lines.flush()


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
    _lines.write, _lines.flush = sys.stdout.buffer.write, sys.stdout.buffer.flush
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
