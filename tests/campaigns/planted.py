"""Bugs that a subscriber library could have, to see that the campaign finds them."""

# Faults are planted inside.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from chaching.broker.history import History
from chaching.subscriber.feed import Batch, Feed, _Held
from chaching.subscriber.handling import Handling
from chaching.subscriber.inbox import Held, Step, Work
from chaching.subscriber.subscription import Subscription

Planting: TypeAlias = tuple[type, str, Callable[..., Any]]

_commit: Final = Held.commit


async def _nothing(_connection: object) -> None:
    return


async def between() -> None:
    """Stand between two transactions; for tests that crash there."""
    await asyncio.sleep(0)


async def position_first(held: Held, step: Step, work: Work) -> None:
    """Move the position, then do the work, each in a transaction of its own."""
    await _commit(held, step, _nothing)
    await between()
    await _commit(held, Step(start=step.end.position, end=step.end), work)


async def position_last(held: Held, step: Step, work: Work) -> None:
    """Do the work, then move the position, each in a transaction of its own."""
    await _commit(held, Step(start=step.start, end=held.bookmark), work)
    await between()
    await _commit(held, step, _nothing)


def take_as_it_comes(feed: Feed, held: _Held) -> None:
    """Ask neither whether it was here before nor whether something is missing."""
    feed._ready.append(held.message)


async def no_history(_history: History) -> None:
    """Never look into the stream."""
    await asyncio.sleep(0)


async def acknowledge_first(
    _subscription: Subscription, batch: Batch, feed: Feed, _held: Held, handling: Handling
) -> None:
    """Acknowledge what came, then do it."""
    if batch.events:
        await feed.done(batch.events[-1].position)
    await handling.handle(batch.events)


PLANTS: Final[dict[str, list[Planting]]] = {
    "position_first": [(Held, "commit", position_first)],
    "position_last": [(Held, "commit", position_last)],
    "no_dedupe": [(Feed, "_offer", take_as_it_comes)],
    "no_backfill": [(History, "newest", no_history)],
    # no bug: while nobody deletes the queue, the stream is not needed
    "without_history": [(History, "newest", no_history)],
    # the stream makes up for it, so it shows only without one
    "acknowledged_first": [
        (History, "newest", no_history),
        (Subscription, "_handle", acknowledge_first),
    ],
}


def plant(name: str) -> None:
    """Put a bug into this process; no name is none."""
    for owner, method, planted in PLANTS.get(name, []):
        setattr(owner, method, planted)
