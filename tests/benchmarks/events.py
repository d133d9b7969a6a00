"""The event that every benchmark appends: the create of the seed's first curl call."""

import secrets
import time

from chaching.domain.customer import CreateCustomer, decide, evolve
from chaching.domain.ids import (
    AccountId,
    CustomerId,
    EventId,
    KeyId,
    RequestId,
    spell,
    spell_event_id,
    spell_invoice_prefix,
)
from chaching.domain.values import Details
from chaching.envelope import (
    NO_VERSION,
    Decided,
    Metadata,
    PendingEvent,
    StreamKey,
    encode,
)

ACCOUNT = AccountId("acct_bench")
DETAILS = Details(
    name="Jane Doe",
    email="jane.doe@example.com",
    phone="+123456789",
    description="Premium plan customer",
)


def fresh_id(prefix: str) -> str:
    return spell(prefix, time.time_ns() // 1_000_000, secrets.randbits(64))


def pending_creates(count: int) -> list[PendingEvent]:
    """Return creates of so many customers, ready to be appended."""
    return [pending_create() for _ in range(count)]


def pending_create() -> PendingEvent:
    command = CreateCustomer(
        id=CustomerId(fresh_id("cus_")),
        livemode=False,
        at=int(time.time()),
        invoice_prefix=spell_invoice_prefix(secrets.randbits(64)),
        details=DETAILS,
    )
    event_id = spell_event_id(command.id, 1, secrets.randbits(64))
    assert event_id is not None
    event = decide(command, None)
    assert event is not None
    decided = Decided(
        key=StreamKey(ACCOUNT, False, command.id),
        version=NO_VERSION,
        event=event,
        after=evolve(None, event),
        event_id=EventId(event_id),
        metadata=Metadata(request_id=RequestId(fresh_id("req_")), key_id=KeyId("key_bench")),
    )
    return encode([decided])[0]
