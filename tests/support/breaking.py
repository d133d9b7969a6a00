"""One row of the log as somebody left it who may change it: its content cannot be read any more."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from chaching.eventstore.database import Database

DEEP: Final = 1_500
UNFIT: Final = (
    '{"updated":1,"personal":{"changes":{"shipping":null},"previous":{"shipping":"nobody"}}}'
)

# what is broken: the columns that are changed, and to what
PAYLOADS: Final[dict[str, dict[str, Any]]] = {
    "no event": {"payload": "{}"},
    "no object": {"payload": "17"},
    "a personal part that is no base64": {"payload": '{"updated":1,"personal":"?"}'},
    "a personal part that is too short": {"payload": '{"updated":1,"personal":"AAAA"}'},
    "lists in lists": {"payload": f'{{"updated":1,"personal":{"[" * DEEP}{"]" * DEEP}}}'},
    "another schema": {"schema_version": 99},
    "another kind": {"type": "CustomerMerged", "payload": "{}"},
}
METADATA: Final[dict[str, dict[str, Any]]] = {
    "no metadata": {"metadata": "{}"},
    "metadata that are no object": {"metadata": "[]"},
}
STATES: Final[dict[str, dict[str, Any]]] = {
    "no state": {"state": None},
    "a state of nobody": {"state": "{}"},
    "a state in lists": {"state": "[" * DEEP + "]" * DEEP},
}
SHAPES: Final[dict[str, dict[str, Any]]] = {"values of no form": {"payload": UNFIT}}


async def in_database(url: str, change: Callable[[Database], Awaitable[None]]) -> None:
    """Do something in a database, for tests that have no loop of their own."""
    database = Database(url, name="tests", sessions_max=1)
    await database.open()
    try:
        await change(database)
    finally:
        await database.close()


async def break_event(database: Database, position: int, **columns: Any) -> None:
    """Change columns of one event, as only a superuser can."""
    await database.execute("ALTER TABLE event_store.events DISABLE TRIGGER USER")
    for name, value in columns.items():
        await database.execute(
            f"UPDATE event_store.events SET {name} = $2 WHERE position = $1",  # noqa: S608
            position,
            value,
        )


async def break_data_key(database: Database, customer_id: str) -> None:
    """Let the data key of one customer name a master key that nobody has."""
    await database.execute(
        "UPDATE event_store.data_keys "
        "SET wrapped = set_byte(wrapped, 0, 255 - get_byte(wrapped, 0)) WHERE stream = $1",
        customer_id,
    )


async def take_out(database: Database, *positions: int) -> None:
    """Take events out of the log."""
    await database.execute("ALTER TABLE event_store.events DISABLE TRIGGER USER")
    await database.execute("DELETE FROM event_store.events WHERE position = ANY ($1)", positions)


def without(entries: list[dict[str, Any]], version: int) -> str:
    """Return all entries but one as text."""
    return json.dumps([entry for entry in entries if entry["version"] != version])
