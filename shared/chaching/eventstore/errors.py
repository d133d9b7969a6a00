"""What the store can answer besides success, translated once from PostgreSQL's own errors."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, cast

import asyncpg

from chaching.domain.ids import RequestId


class Conflict(Exception):  # noqa: N818 - a lost race is a normal outcome
    """The stream moved on since it was loaded."""


class PrefixTaken(Exception):  # noqa: N818 - a refusal is a normal outcome
    """The invoice prefix belongs to another customer."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"the invoice prefix belongs to {holder}")
        self.holder = holder


class AlreadyAnswered(Exception):  # noqa: N818 - a repetition is a normal outcome
    """The idempotency key was answered before; nothing happened now.

    ``fingerprint`` is that of what was asked then, in the request ``request_id``.
    """

    def __init__(self, request_id: RequestId, fingerprint: bytes, answer: bytes) -> None:
        super().__init__(f"the idempotency key was answered in {request_id}")
        self.request_id = request_id
        self.fingerprint = fingerprint
        self.answer = answer


class Unavailable(Exception):  # noqa: N818 - says what the store is
    """The store cannot be reached or cannot write now; what was asked may or may not be done."""


class OutOfTime(Unavailable):
    """The server ended a statement that took longer than its session allows."""


class OutcomeUnknown(Unavailable):
    """The store fell silent during an append, which may or may not be done."""


class ValueRefused(Exception):  # noqa: N818 - says what happened to the value
    """A value cannot be stored as what it should be; nothing happened."""


class Fenced(Exception):  # noqa: N818 - says what happened to the holder
    """Another process holds the lease now; this one must not move the checkpoint any more."""


class WrongMasterKey(Exception):  # noqa: N818 - says what the key is
    """MASTER_KEY lacks a key that values of this database are encrypted with."""

    def __init__(self, key_id: str) -> None:
        super().__init__(key_id)  # alone, so that it passes from one process to another

    def __str__(self) -> str:
        needed = f"which needs the key with the id {self.args[0]}"
        return f"MASTER_KEY is not the one of this database, {needed}"


DATA_SQLSTATES: Final = "22"
CANCELED_SQLSTATE: Final = "57014"
# lost, not let in, no such database, out of resources, stopped, input or output failed, read-only,
# cut off for being idle in a transaction
UNAVAILABLE_SQLSTATES: Final = ("08", "28", "3D", "53", "57", "58", "25006", "25P03")
# whose texts name a user or a database, and nothing else
NOT_LET_IN_SQLSTATES: Final = ("28", "3D")
# lost races of transactions, and locks that others hold: the same may go well at once
LOST_RACE_SQLSTATES: Final = ("40", "55P03")


def is_outage(error: BaseException) -> bool:
    """Say whether an error, or what it was raised from, speaks of a server and not of a value.

    For errors of code that is not ours: a connection that is lost or refused, a server that is
    stopped, full or busy, a transaction that lost a race.
    """
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return any(map(is_outage, group.exceptions))
    if isinstance(error, (ConnectionError, Unavailable)):
        return True
    sqlstate: str = getattr(error, "sqlstate", None) or ""
    if sqlstate.startswith((*UNAVAILABLE_SQLSTATES, *LOST_RACE_SQLSTATES)):
        return sqlstate != CANCELED_SQLSTATE
    return error.__cause__ is not None and is_outage(error.__cause__)


@contextmanager
def translated() -> Generator[None]:
    """Turn what a lost, stopped, full or silent PostgreSQL raises into Unavailable.

    A value that PostgreSQL or its driver refuses becomes ValueRefused.
    """
    try:
        yield
    except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        if isinstance(error, ValueError):
            # the driver's own text quotes the value
            raise ValueRefused(f"the driver refuses a value: {type(error).__name__}") from None
        raise Unavailable(f"the store does not answer: {type(error).__name__}") from error
    except asyncpg.PostgresError as error:
        sqlstate: str = getattr(error, "sqlstate", None) or ""
        if sqlstate == CANCELED_SQLSTATE:
            raise OutOfTime("a statement took too long") from error
        if sqlstate.startswith(NOT_LET_IN_SQLSTATES):
            raise Unavailable(f"the store lets nobody in: {error} (SQLSTATE {sqlstate})") from error
        if sqlstate.startswith(UNAVAILABLE_SQLSTATES):
            raise Unavailable(f"the store refuses for now: SQLSTATE {sqlstate}") from error
        if sqlstate.startswith(DATA_SQLSTATES):
            raise ValueRefused(f"PostgreSQL refuses a value: SQLSTATE {sqlstate}") from None
        setattr(error, "detail", None)  # noqa: B010 - untyped; it quotes rows, and ends in a log
        raise
