"""What can go wrong on the way to a running service; the message is what a person reads."""

from collections.abc import Iterable
from pathlib import Path

from chaching.eventstore.errors import Unavailable
from chaching.schema.migrations import SchemaError

TAIL_LINES = 15
DATABASE_FAILURES = (SchemaError, Unavailable)


class LocalError(Exception):
    """The local set-up cannot go on; the message says why and what to do."""


class Missing(LocalError):  # noqa: N818 - says what is wrong
    """A server's binaries are neither on this machine nor to be fetched."""


class StartFailed(LocalError):  # noqa: N818 - says what is wrong
    """A process did not become ready; the message ends with the tail of its log."""

    def __init__(self, reason: str, logs: Iterable[Path] = ()) -> None:
        """Join the reason with the last lines of every log that has any."""
        tails = [f"--- {log} ---\n{text}" for log in logs if (text := tail(log))]
        super().__init__("\n".join([reason, *tails]))


def reason_of(failures: BaseExceptionGroup) -> LocalError:
    """Answer the first failure that a person can do something about; raise bugs as they are."""
    found, bugs = failures.split(LocalError)
    if found is None or bugs is not None:
        raise failures
    first = found.exceptions[0]
    return reason_of(first) if isinstance(first, BaseExceptionGroup) else first


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """Answer the last `lines` lines of a log, or nothing where there is no log."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
