"""What the broker can answer besides success, translated once from aiormq's own errors."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from aiormq.exceptions import (
    AMQPError,
    ChannelNotFoundEntity,
    ConnectionNotAllowed,
    DeliveryError,
    InvalidFrameError,
    ProbableAuthenticationError,
    PublishError,
)

NOBODY_IN: Final = "the broker lets nobody in with this user, password and virtual host"


class BrokerUnavailable(Exception):  # noqa: N818 - says what the broker is
    """The broker cannot be reached, refuses, or does not answer in time."""


class EntryRefused(BrokerUnavailable):
    """The broker lets nobody in with this user, password and virtual host."""


class NoSuchQueue(BrokerUnavailable):
    """There is no queue, stream or exchange of this name."""


class NotPublished(BrokerUnavailable):
    """The broker did not answer Ack; this message and what follows may not be there."""


class QueueRefuses(NotPublished):
    """The broker answered Nack: a queue is full, or cannot take anything for now."""


class AccessRefused(NotPublished):
    """The broker's user may not publish there."""


class QueueMissing(Exception):  # noqa: N818 - says what the queue is
    """There is no queue of this name on the broker."""

    def __init__(self, queue: str) -> None:
        super().__init__(f"there is no queue {queue!r} on the broker: declare it first")


@contextmanager
def translated() -> Generator[None]:
    """Turn what a lost, stopped, full or silent broker raises into BrokerUnavailable.

    aiormq cancels the calls that wait when a connection is lost; a cancellation that nobody asked
    this task for is such a loss.
    """
    try:
        yield
    except (ChannelNotFoundEntity, PublishError) as error:
        raise NoSuchQueue(f"the broker has no such queue or exchange: {error}") from error
    except DeliveryError as error:
        raise QueueRefuses("the queue takes no more: full, or unwell") from error
    except (OSError, TimeoutError, AMQPError) as error:
        if _is_refused_entry(error):
            raise EntryRefused(NOBODY_IN) from error
        raise BrokerUnavailable(f"the broker does not answer: {error!r}") from error
    except RuntimeError as error:
        raise BrokerUnavailable(f"the connection is closed: {error}") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise BrokerUnavailable("the connection was lost while waiting") from error


def _is_refused_entry(error: Exception) -> bool:
    """Say whether a broker closed a connection that was about to be opened."""
    if isinstance(error, InvalidFrameError):
        # aiormq expects nothing but a yes when it asks for a virtual host
        return "Connection.OpenOk" in str(error) and "Connection.Close" in str(error)
    return isinstance(error, (ConnectionNotAllowed, ProbableAuthenticationError))
