"""A pass through the stream: the messages of one log after a position, up to the stream's newest.

It begins at a time and, when that turns out to be too late, again at the first message. Messages
of other logs, and what is no event, are passed over: a stream outlives the log that filled it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from chaching.broker.deliveries import Delivery
from chaching.broker.history import History, Newest, Reading, Silent
from chaching.envelope import LogId, Position
from chaching.subscriber.events import NoEvent, Received, received

CLOCKS_APART_MAX_S: Final = 600.0


class Pass:
    """A pass that begins with the event after a position, whose own time is known or not."""

    def __init__(
        self,
        history: History,
        newest: Newest,
        log_id: LogId,
        after: Position,
        time: datetime | None,
    ) -> None:
        self._history = history
        self._newest = newest
        self._log_id = log_id
        self._after = after
        self._since = None if time is None else time - timedelta(seconds=CLOCKS_APART_MAX_S)
        self._reading: Reading | None = None
        self._has_begun = False

    async def messages(self) -> list[Received] | None:
        """Return some of what comes next, or None when the pass is over.

        Raises:
            BrokerUnavailable: the connection is lost.
        """
        if self._reading is None:
            self._reading = await self._history.read(self._since, self._newest)
        try:
            chunk = await self._reading.chunk()
        except Silent:
            if self._since is None:
                raise
            return await self._begin_at_first()
        if not chunk:
            return None
        messages = self._of_this_log(chunk)
        if not self._has_begun and messages:
            self._has_begun = True
            if self._since is not None and messages[0].position > self._after + 1:
                return await self._begin_at_first()
        return messages

    async def close(self) -> None:
        if self._reading is not None:
            await self._reading.close()
            self._reading = None

    async def _begin_at_first(self) -> list[Received]:
        await self.close()
        self._since = None
        return []

    def _of_this_log(self, chunk: Sequence[Delivery]) -> list[Received]:
        found = (message_of(delivery) for delivery in chunk)
        return [message for message in found if message and message.log_id == self._log_id]


def newest_event(newest: Newest | None) -> Received | None:
    """Return the last message of the stream that is that of an event, if its end has any."""
    if newest is None:
        return None
    return next(filter(None, map(message_of, reversed(newest.last))), None)


def message_of(delivery: Delivery) -> Received | None:
    """Return what the stream delivered as the message of an event, or None when it is none."""
    try:
        return received(delivery.headers, delivery.body)
    except NoEvent:
        return None
