"""Sends what cannot be applied to the parked queue, before it counts as done.

A parked message keeps its headers and its body. Beside them it says when and why it was parked and
how often it was tried: ``parked_reason`` is the name of an error or what it waits behind, and holds
nothing personal; ``parked_detail`` is the error with its traceback, which may.

A broker that refuses a message does not say why. So the queue is asked how many it holds: near its
limit it is full, and only a person can help. Else it may be its size in bytes, a policy, or a node
that is down for a moment, and the message is offered again, ``REFUSALS_MAX`` times in all.

A crash after the queue has a message and before that is noted brings the message there once more;
whoever reads the queue counts positions, not messages.
"""

from __future__ import annotations

import traceback
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from chaching.broker import subscriber_queues
from chaching.broker.browsing import browsing
from chaching.broker.connection import connected
from chaching.broker.errors import BrokerUnavailable, QueueRefuses
from chaching.broker.sender import Sender, sending
from chaching.broker.subscriber_queues import QueueNames
from chaching.envelope import Position
from chaching.runtime.logs import logger
from chaching.subscriber.errors import ParkedQueueFull
from chaching.subscriber.events import Received

BEHIND: Final = "behind "
DETAIL_CHARACTERS_MAX: Final = 4_000
REFUSALS_MAX: Final = 8
# a quorum queue that was full takes messages again when it is this full
FULL_SHARE: Final = 0.8
PACKAGE_FOLDER: Final = str(Path(__file__).parent)
# what the broker added to a delivery, and what an earlier parking said
_LEFT_OUT: Final = ("x-", "parked_")


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Why an event is parked: without anything personal, in full, and after how many tries."""

    reason: str
    detail: str = ""
    tries: int = 0


def behind(position: Position) -> Why:
    return Why(reason=f"{BEHIND}{position}")


def waits_behind(reason: str) -> Position | None:
    """Return what an event waits behind, if it is for that reason that it is parked."""
    position = reason.removeprefix(BEHIND)
    return Position(int(position)) if position != reason and position.isdecimal() else None


def because_of(error: Exception, tries: int) -> Why:
    """Return an error as a reason, with its traceback in full."""
    text = "".join(traceback.format_exception(error)).strip()
    # half of a character, which no message can hold, is told as it is escaped
    detail = text.encode(errors="backslashreplace").decode()
    return Why(reason=type(error).__name__, detail=detail, tries=tries)


def place_of(error: Exception) -> str:
    """Return where in the handler an error was raised: no values, just file, line and function."""
    frames = traceback.extract_tb(error.__traceback__)
    outside = [frame for frame in frames if not frame.filename.startswith(PACKAGE_FOLDER)]
    if not outside:
        return "?"
    frame = outside[0]
    return f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}"


class Parking:
    """The parked queue of one subscriber; connects when it is first needed."""

    def __init__(self, amqp_url: str, queues: QueueNames) -> None:
        self._amqp_url = amqp_url
        self._queues = queues
        self._stack = AsyncExitStack()
        self._sender: Sender | None = None
        self._refusals = 0

    async def park(self, message: Received, why: Why) -> None:
        """Return when the parked queue has the message.

        Raises:
            ParkedQueueFull: it takes no more.
            BrokerUnavailable: no confirm in time, or it takes no more for now; ask again.
        """
        try:
            if self._sender is None:
                self._sender = await self._opened()
            headers = kept_headers(message) | _said(why)
            await self._sender.send(self._queues.parked, message.known.id, headers, message.body)
        except QueueRefuses as error:
            raise await self._refused(message.position) from error
        except BrokerUnavailable:
            await self.close()
            raise
        self._refusals = 0
        logger().error(
            "event_parked",
            queue=self._queues.own,
            position=message.position,
            event_id=message.known.id,
            customer=message.key.id,
            account=message.key.account,
            reason=why.reason,
            tries=why.tries,
        )

    async def _refused(self, position: Position) -> ParkedQueueFull | QueueRefuses:
        """Return what a refusal means, as far as it can be known; raises BrokerUnavailable."""
        name = self._queues.parked
        async with browsing(self._amqp_url) as look:
            holds = await look.messages_in(name)
        if holds >= FULL_SHARE * subscriber_queues.PARKED_MESSAGES_MAX:
            return ParkedQueueFull(
                f"{name} is full: the event at {position} cannot be parked there. "
                "Mend what the parked events show (chaching parked list), then start again"
            )
        self._refusals += 1
        if self._refusals < REFUSALS_MAX:
            return QueueRefuses(f"{name} refuses a message and holds only {holds}")
        return ParkedQueueFull(
            f"{name} holds only {holds} messages and refused the event at {position} "
            f"{self._refusals} times: it is full in bytes, a policy limits it, or its node is "
            "unwell. Look at it on the broker, then start again"
        )

    async def _opened(self) -> Sender:
        """Connect, and make the queue anew if somebody deleted it; raises BrokerUnavailable."""
        name = f"subscriber%20{self._queues.parked}"
        async with connected(self._amqp_url, name=name) as connection:
            await subscriber_queues.declare_parked(connection, self._queues)
        return await self._stack.enter_async_context(sending(self._amqp_url, name=name))

    async def close(self) -> None:
        self._sender = None
        await self._stack.aclose()


def kept_headers(message: Received) -> dict[str, str | int]:
    """Return the headers that a message had when it was published: texts and numbers."""
    return {
        name: value
        for name, value in message.headers.items()
        if isinstance(value, str | int) and not name.startswith(_LEFT_OUT)
    }


def _said(why: Why) -> dict[str, str | int]:
    return {
        "parked_at": datetime.now(UTC).isoformat(),
        "parked_reason": why.reason,
        "parked_detail": why.detail[-DETAIL_CHARACTERS_MAX:],
        "parked_tries": why.tries,
    }
