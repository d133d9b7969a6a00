"""A subscriber that keeps a copy, as a process of its own that can end itself at chosen places.

Environment: AMQP_URL, COPY_URL, QUEUE, PREFIX; DIES_AT such as ``committed:3`` (the third time that
it comes to this place it ends itself with SIGKILL, which no code sees); PLANTED, a bug by its name.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tests.campaigns import planted
from tests.support.subscribers import keep_copy

from chaching.runtime import logs
from chaching.subscriber import Connection, Event, Inbox, Subscription, run
from chaching.subscriber.feed import Feed
from chaching.subscriber.inbox import Held
from chaching.subscriber.past import Pass

SILENCE_MAX_S: Final = 0.25
PLACES: Final = ("held", "history", "handling", "handled", "committed", "acknowledged")

_times: Counter[str] = Counter()


def come_to(place: str) -> None:
    """End this process at once if it was to end here."""
    _times[place] += 1
    chosen, _, times = os.environ.get("DIES_AT", "").partition(":")
    if chosen == place and _times[place] == int(times):
        os.kill(os.getpid(), signal.SIGKILL)


def mark(owner: type, method: str, place: str) -> None:
    """Make the place that one comes to when a method is done."""
    whole: Callable[..., Awaitable[Any]] = getattr(owner, method)

    async def call(*arguments: Any, **more: Any) -> Any:
        answer = await whole(*arguments, **more)
        come_to(place)
        return answer

    setattr(owner, method, call)


async def handle(event: Event, connection: Connection) -> None:
    come_to("handling")
    await keep_copy(event, connection)
    come_to("handled")


def main() -> None:
    logs.configure()
    planted.plant(os.environ.get("PLANTED", ""))
    mark(Held, "open", "held")
    mark(Held, "commit", "committed")
    mark(Feed, "done", "acknowledged")
    mark(Pass, "messages", "history")
    subscription = Subscription(
        os.environ["AMQP_URL"], os.environ["QUEUE"], prefix=os.environ["PREFIX"]
    )
    inbox = Inbox(os.environ["COPY_URL"], silence_max_s=SILENCE_MAX_S)
    run(lambda: subscription.run(handle, inbox=inbox))


if __name__ == "__main__":
    main()
