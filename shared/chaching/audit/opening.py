"""The database as those open it who verify, export, or fetch a checkpoint by hand."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from chaching.audit.stored import SESSION_SETTINGS
from chaching.eventstore.database import Database
from chaching.eventstore.statements import statement

SESSIONS_MAX: Final = 2
STATEMENT_TIMEOUT_S: Final = 600.0

_MAY_READ: Final = statement("chaching.audit", "may_read")


class AuditRefused(Exception):  # noqa: N818 - a refusal is a normal outcome
    """What is asked of the audit cannot be done; the message is one line for a person."""


@asynccontextmanager
async def opened(database_url: str) -> AsyncGenerator[Database]:
    """Open a database in which the audit's tables can be read, for as long as the block runs.

    Raises:
        AuditRefused: there are no such tables, or this user may not read them.
        Unavailable: the database does not answer.
    """
    database = Database(
        database_url,
        name="audit",
        sessions_max=SESSIONS_MAX,
        statement_timeout_s=STATEMENT_TIMEOUT_S,
        settings=SESSION_SETTINGS,
    )
    await database.open()
    try:
        [row] = await database.fetch(_MAY_READ)
        if not row["is_there"]:
            raise AuditRefused("the database has no audit: run `chaching migrate`")
        if not row["may"]:
            raise AuditRefused("this database user may not read the audit: use the owner's URL")
        yield database
    finally:
        await database.close()
