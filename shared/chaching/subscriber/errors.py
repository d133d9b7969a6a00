"""What ends a subscription, and what a handler may say."""

from __future__ import annotations


class Stopped(Exception):  # noqa: N818 - says how the subscription is
    """A subscription ended because somebody must decide something; nothing is lost meanwhile."""


class LogChanged(Stopped):
    """The events that come now are those of another log than the one that was followed so far.

    A restored copy of the service's database is another log: its positions name other events.
    """


class ParkedQueueFull(Stopped):
    """An event has to be parked, and the parked queue takes no more.

    So many events that cannot be applied mean that the handler, or what it stands on, is broken.
    Where it holds few, the message says so: then it is the queue that is to be looked at.
    """


class InboxRefused(Stopped):
    """The database does not let this role create the inbox, or use it."""


class TryLater(Exception):  # noqa: N818 - says what to do
    """Raised by a handler: what it needs is away, and no event is to blame.

    The same events come again after a pause, and nothing is counted as a try.
    """


class HandlerNotAsync(Stopped):
    """The handler is no coroutine function, so nobody can say when its work is done."""


class TransactionEnded(Stopped):
    """A handler ended the transaction that it works in, so its work and the position part ways."""
