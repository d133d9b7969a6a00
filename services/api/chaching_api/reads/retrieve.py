"""Retrieve: exact at any time, however far behind the projector is.

One statement takes the row of the read model and, if there is one, the newest event of that
customer beyond the row. As every event stores the customer after it, that event alone is the
fold of the tail. Usually there is none, and the row's bytes are the answer. Concurrent retrieves
travel in one statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chaching.domain.customer_object import render
from chaching.envelope import StreamKey, Undecodable, customer_after
from chaching.eventstore.database import Database, Row
from chaching.eventstore.encryption import Keyring
from chaching.eventstore.errors import Unavailable, WrongMasterKey
from chaching.eventstore.grouping import Group
from chaching.eventstore.statements import statement

RETRIEVES_IN_FLIGHT_MAX: Final = 2

_RETRIEVE: Final = statement("chaching_api.reads", "retrieve")


class Retrieve:
    """Answers retrieves from one database."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring
        self._group: Group[StreamKey, bytes | None] = Group(
            self._retrieve_batch,
            in_flight_max=RETRIEVES_IN_FLIGHT_MAX,
            outages=(Unavailable,),
        )

    async def retrieve(self, key: StreamKey) -> bytes | None:
        """Return the customer object or the deleted stub as JSON; None if it never existed.

        Raises:
            Unavailable: no answer in time.
            Overloaded: too many retrieves wait.
        """
        return await self._group.submit(key)

    async def _retrieve_batch(
        self, keys: Sequence[StreamKey]
    ) -> Sequence[bytes | None | Exception]:
        rows = await self._database.fetch(
            _RETRIEVE,
            [key.account for key in keys],
            [key.livemode for key in keys],
            [key.id for key in keys],
        )
        answers: list[bytes | None | Exception] = [None] * len(keys)
        for row in rows:
            item: int = row["item"] - 1
            answers[item] = self._answer(row, keys[item])
        return answers

    def _answer(self, row: Row, key: StreamKey) -> bytes | None | Exception:
        _, body, version, event_type, schema_version, payload, state, data_key = row
        if event_type is None:
            return None if body is None else str(body).encode()
        try:
            texts = self._keyring.opened(key, version, payload or "", state, data_key)
            return render(customer_after(event_type, schema_version, *texts))
        except (Undecodable, WrongMasterKey) as error:
            return error
