"""Subscribe to the service's events: docs/subscribing.md tells how in ten minutes.

This package is for other teams, so it names here, at one address, all that they use; inside the
project each name is imported from the module that it lives in.
"""

from chaching.runtime.lifecycle import run
from chaching.subscriber.connection import Connection
from chaching.subscriber.errors import (
    HandlerNotAsync,
    InboxRefused,
    LogChanged,
    ParkedQueueFull,
    Stopped,
    TransactionEnded,
    TryLater,
)
from chaching.subscriber.events import (
    Address,
    Customer,
    CustomerCreated,
    CustomerDeleted,
    CustomerErased,
    CustomerEvent,
    CustomerUpdated,
    CustomField,
    Event,
    InvoiceSettings,
    RenderingOptions,
    Shipping,
)
from chaching.subscriber.feed import Missing
from chaching.subscriber.handling import Handler, Tries
from chaching.subscriber.inbox import Inbox
from chaching.subscriber.subscription import Status, Subscription

__all__ = [
    "Address",
    "Connection",
    "CustomField",
    "Customer",
    "CustomerCreated",
    "CustomerDeleted",
    "CustomerErased",
    "CustomerEvent",
    "CustomerUpdated",
    "Event",
    "Handler",
    "HandlerNotAsync",
    "Inbox",
    "InboxRefused",
    "InvoiceSettings",
    "LogChanged",
    "Missing",
    "ParkedQueueFull",
    "RenderingOptions",
    "Shipping",
    "Status",
    "Stopped",
    "Subscription",
    "TransactionEnded",
    "Tries",
    "TryLater",
    "run",
]
