"""The examples of messages: what the service itself sends in a short life of a customer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import msgspec

from chaching import envelope
from chaching.broker.messages import encode, message_of
from chaching.domain.customer import (
    Command,
    CreateCustomer,
    Customer,
    DeleteCustomer,
    EraseCustomer,
    UpdateCustomer,
    decide,
    evolve,
)
from chaching.domain.ids import AccountId, CustomerId, EventId, RequestId
from chaching.domain.values import AddressChange, Details
from chaching.envelope import (
    START,
    Decided,
    LogId,
    Metadata,
    Position,
    RecordedEvent,
    StreamKey,
    Version,
)

LOG_ID: Final = LogId("0d7ea1c4-6a0e-4f5b-9d8a-3f1b2c4d5e6f")
ACCOUNT: Final = AccountId("acct_main")
CUSTOMER: Final = CustomerId("cus_NffrFeUfNV2Hib")
TRACE: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CREATED: Final = 1680893993
UPDATED: Final = 1680897600
DELETED: Final = 1683500000
ERASED: Final = 1686100000

_CREATE: Final = CreateCustomer(
    id=CUSTOMER,
    livemode=False,
    at=CREATED,
    invoice_prefix="0759376C",
    details=Details(
        name="Jenny Rosen",
        email="jennyrosen@example.com",
        address=AddressChange(line1="123 Main St", city="New York", country="US"),
    ),
)
_UPDATE: Final = UpdateCustomer(
    id=CUSTOMER,
    at=UPDATED,
    details=Details(
        name="Jenny Doe",
        address=AddressChange(line1="4 Park Ave"),
        metadata={"plan": "premium"},
    ),
)
_DELETE: Final = DeleteCustomer(id=CUSTOMER, at=DELETED)
_ASKED: Final = "request"
_ERASE: Final = EraseCustomer(id=CUSTOMER, at=ERASED, reason=_ASKED)
# each command with the event's position: other customers' events stand between them
_LIFE: Final[tuple[tuple[Command, int], ...]] = (
    (_CREATE, 41),
    (_UPDATE, 57),
    (_DELETE, 60),
    (_ERASE, 72),
)


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it is sent."""

    routing_key: str
    headers: Mapping[str, str | int]
    body: Mapping[str, Any]


@cache
def examples() -> Mapping[str, Example]:
    """Return an example for each type of message."""
    found: dict[str, Example] = {}
    state: Customer | None = None
    previous = START
    for number, (command, position) in enumerate(_LIFE, 1):
        recorded = _recorded(command, state, Version(number), Position(position), previous)
        wire = encode(message_of(recorded), LOG_ID)
        found[str(wire.headers["cloudEvents:type"])] = Example(
            routing_key=wire.routing_key,
            headers=wire.headers,
            body=msgspec.json.decode(wire.body),
        )
        [state] = envelope.decode_customers([recorded])
        previous = recorded.position
    return found


def _recorded(
    command: Command,
    state: Customer | None,
    version: Version,
    position: Position,
    previous: Position,
) -> RecordedEvent:
    """Return the event that follows from a command as it stands in the log."""
    event = decide(command, state)
    assert event is not None  # noqa: S101 - each of these commands changes something
    key = StreamKey(ACCOUNT, False, command.id)
    [pending] = envelope.encode(
        [
            Decided(
                key=key,
                version=Version(version - 1),
                event=event,
                after=evolve(state, event),
                event_id=EventId(f"evt_{command.at}{version:04}"),
                metadata=Metadata(request_id=RequestId("req_1"), traceparent=TRACE),
            )
        ]
    )
    return RecordedEvent(
        position=position,
        key=key,
        version=version,
        previous_position=previous,
        event_id=pending.event_id,
        type=pending.type,
        schema_version=pending.schema_version,
        payload=pending.payload,
        state=pending.state,
        metadata=pending.metadata,
        recorded_at=datetime.fromtimestamp(command.at, UTC),
    )
