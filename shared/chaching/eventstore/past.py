"""The log for those who look back: how it stood, and whole streams side by side.

Positions and versions have no gaps and grow together, and times grow with positions. So what was
newest at a moment is found by halving, in a few look-ups by key however long log and stream are.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from chaching.domain.ids import AccountId, CustomerId
from chaching.envelope import NO_VERSION, Position, RecordedEvent, StreamKey, Version
from chaching.eventstore.database import Database
from chaching.eventstore.encryption import Keyring
from chaching.eventstore.instants import Recorded, positions_before
from chaching.eventstore.statements import statement
from chaching.eventstore.store import (
    READ_BATCH_MAX_BYTES,
    READ_BATCH_MAX_EVENTS,
    key_columns,
    recorded_event,
)

_READ_NEWEST_AT: Final = statement("chaching.eventstore", "read_newest_at")
_NEWEST_VERSION: Final = statement("chaching.eventstore", "newest_version")
_READ_STREAM_BEFORE: Final = statement("chaching.eventstore", "read_stream_before")
_FIND_VERSION: Final = statement("chaching.eventstore", "find_version")
_FIND_STREAMS: Final = statement("chaching.eventstore", "find_streams")
_READ_STREAMS: Final = statement("chaching.eventstore", "read_streams")
_STREAM_AFTER: Final = statement("chaching.eventstore", "stream_after")


class PastEvents:
    """Reads the log in one database."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring

    async def read_newest_at(
        self, keys: Sequence[StreamKey], position: Position
    ) -> list[RecordedEvent]:
        """Return of each customer the newest event that does not stand beyond a position.

        There is none of a customer that was created later, and they come in any order.

        Raises:
            Unavailable: no answer in time.
        """
        rows = await self._database.fetch(_READ_NEWEST_AT, *key_columns(keys), position)
        return [recorded_event(row, self._keyring) for row in rows]

    async def newest_before(self, instant: datetime) -> Recorded:
        """Return where the log stood when everything before an instant was recorded, and not more.

        Raises:
            Unavailable: no answer in time.
        """
        [found] = await positions_before(self._database, [instant])
        return found

    async def newest_version(self, key: StreamKey) -> Version:
        """Return the version of a customer's newest event, 0: there is none.

        Raises:
            Unavailable: no answer in time.
        """
        row = await self._database.fetch_row(_NEWEST_VERSION, key.account, key.livemode, key.id)
        return NO_VERSION if row is None else Version(row["version"])

    async def read_stream_before(
        self, key: StreamKey, before: Version, limit: int
    ) -> list[RecordedEvent]:
        """Return at most ``limit`` events of one customer before a version, the newest first.

        Raises:
            Unavailable: no answer in time.
        """
        rows = await self._database.fetch(
            _READ_STREAM_BEFORE, key.account, key.livemode, key.id, before, limit
        )
        return [recorded_event(row, self._keyring) for row in rows]

    async def find_version(self, key: StreamKey, event_id: str) -> Version | None:
        """Return at which version of a customer an event stands, None: it is none of its events.

        Raises:
            Unavailable: no answer in time.
        """
        row = await self._database.fetch_row(
            _FIND_VERSION, key.account, key.livemode, key.id, event_id
        )
        return None if row is None else Version(row["version"])

    async def find_streams(
        self,
        customer_id: str,
        *,
        account: str | None = None,
        livemode: bool | None = None,
        limit: int,
    ) -> list[StreamKey]:
        """Return the customers with an id, in all accounts and modes that are not excluded.

        Raises:
            Unavailable: no answer in time.
        """
        rows = await self._database.fetch(_FIND_STREAMS, customer_id, account, livemode, limit)
        return [
            StreamKey(AccountId(row["account"]), row["livemode"], CustomerId(customer_id))
            for row in rows
        ]

    async def read_streams(
        self,
        after: StreamKey,
        version: Version,
        last: CustomerId,
        limit: int = READ_BATCH_MAX_EVENTS,
    ) -> list[RecordedEvent]:
        """Return at most ``limit`` events of all customers up to one, customer after customer.

        They stand in the order of id, account, mode and version, and begin after the event of
        ``after`` that has ``version``. They are fewer when they are large, as in ``read_all``.

        Raises:
            Unavailable: no answer in time.
        """
        place = (after.id, after.account, after.livemode, version)
        rows = await self._database.fetch(_READ_STREAMS, *place, last, limit, READ_BATCH_MAX_BYTES)
        return [recorded_event(row, self._keyring) for row in rows]

    async def stream_after(self, customer_id: CustomerId, events: int) -> CustomerId | None:
        """Return whose events stand so many after those of another id, None: there are fewer.

        Raises:
            Unavailable: no answer in time.
        """
        row = await self._database.fetch_row(_STREAM_AFTER, customer_id, events)
        return None if row is None else CustomerId(row["stream"])
