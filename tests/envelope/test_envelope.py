from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.domain.strategies import ID, histories

from chaching import envelope
from chaching.domain.customer import (
    Commercial,
    Customer,
    CustomerCreated,
    CustomerDeleted,
    CustomerUpdated,
    Event,
    Personal,
    evolve,
    fold,
)
from chaching.domain.delta import Delta
from chaching.domain.ids import AccountId, CustomerId, EventId, KeyId, RequestId
from chaching.envelope import (
    NO_VERSION,
    SCHEMA_VERSION,
    Decided,
    Metadata,
    PendingEvent,
    Position,
    RecordedEvent,
    StreamKey,
    Undecodable,
    Version,
)

KEY = StreamKey(AccountId("acct_1"), False, ID)
AT = datetime(2026, 1, 1, tzinfo=UTC)

texts = st.none() | st.text()
metadatas = st.builds(
    Metadata,
    request_id=st.text().map(RequestId),
    key_id=st.none() | st.text().map(KeyId),
    actor=texts,
    client_address=texts,
    idempotency_key=texts,
    traceparent=texts,
    key_kind=texts,
    reason=texts,
)


def pending(events: list[Event], metadata: Metadata | None = None) -> list[PendingEvent]:
    """Return a stream's events, from its first, in the form in which they are appended."""
    decided: list[Decided] = []
    state: Customer | None = None
    for number, event in enumerate(events):
        state = evolve(state, event)
        decided.append(
            Decided(
                key=KEY,
                version=Version(number),
                event=event,
                after=state,
                event_id=EventId(f"evt_{number}"),
                metadata=metadata or Metadata(request_id=RequestId("req_1")),
            )
        )
    return envelope.encode(decided)


def recorded(event: PendingEvent, position: int = 1) -> RecordedEvent:
    """Return what the store gives back for what it was given."""
    return RecordedEvent(
        position=Position(position),
        key=event.key,
        version=Version(event.expected_version + 1),
        previous_position=Position(position - 1),
        event_id=event.event_id,
        type=event.type,
        schema_version=event.schema_version,
        payload=event.payload,
        state=event.state,
        metadata=event.metadata,
        recorded_at=AT,
    )


def stored(events: list[Event], metadata: Metadata | None = None) -> list[RecordedEvent]:
    return [recorded(event, n) for n, event in enumerate(pending(events, metadata), start=1)]


def changed(event: RecordedEvent, **fields: object) -> RecordedEvent:
    return msgspec.structs.replace(event, **fields)


CREATED = CustomerCreated(
    id=CustomerId("cus_1"),
    livemode=False,
    created=1,
    commercial=Commercial(invoice_prefix="ABC"),
    personal=Personal(name="Jane"),
)
RENAMED = CustomerUpdated(
    updated=2, personal=Delta(changes={"name": "June"}, previous={"name": "Jane"})
)
REPREFIXED = CustomerUpdated(
    updated=3,
    commercial=Delta(changes={"invoice_prefix": "DEF"}, previous={"invoice_prefix": "ABC"}),
)
DELETED = CustomerDeleted(deleted_at=4)


# --- There and back -----------------------------------------------------------------------------


@given(events=histories)
def test_every_event_comes_back_as_it_was(events: list[Event]) -> None:
    assert [envelope.decode_event(event) for event in stored(events)] == events


@given(events=histories)
def test_the_state_beside_each_delta_is_the_fold_up_to_it(events: list[Event]) -> None:
    states = envelope.decode_customers(stored(events))
    assert states == [fold(events[: count + 1]) for count in range(len(events))]


@given(events=histories)
def test_the_fold_of_what_is_stored_is_the_fold_of_what_was_decided(events: list[Event]) -> None:
    decoded = [envelope.decode_event(event) for event in stored(events)]
    assert fold(decoded) == fold(events)
    assert pending(decoded) == pending(events)


@given(events=histories, metadata=metadatas)
def test_metadata_come_back_with_every_event(events: list[Event], metadata: Metadata) -> None:
    for event in stored(events, metadata):
        assert envelope.decode_metadata(event) == metadata


@given(events=histories)
def test_only_a_first_event_stands_without_a_state(events: list[Event]) -> None:
    encoded = pending(events)
    assert [event.state is None for event in encoded] == [
        event.expected_version == NO_VERSION for event in encoded
    ]
    assert all(event.schema_version == SCHEMA_VERSION for event in encoded)


def test_an_event_is_encoded_with_what_the_append_must_check() -> None:
    created, renamed, prefixed, deleted = pending([CREATED, RENAMED, REPREFIXED, DELETED])
    assert [e.expected_version for e in (created, renamed, prefixed, deleted)] == [0, 1, 2, 3]
    assert [e.invoice_prefix for e in (created, renamed, prefixed, deleted)] == [
        "ABC",
        None,
        "DEF",
        None,
    ]
    assert [e.type for e in (created, renamed, prefixed, deleted)] == [
        "CustomerCreated",
        "CustomerUpdated",
        "CustomerUpdated",
        "CustomerDeleted",
    ]
    assert renamed.event_id == "evt_1"
    assert renamed.key == KEY


def test_nothing_in_gives_nothing_out() -> None:
    assert envelope.encode([]) == []
    assert envelope.decode_customers([]) == []


# --- The stored form, which must never change ---------------------------------------------------


def test_the_stored_form_is_as_it_has_always_been() -> None:
    created, renamed, _, deleted = pending([CREATED, RENAMED, REPREFIXED, DELETED])
    assert created.payload == (
        '{"id":"cus_1","livemode":false,"created":1,"commercial":{"invoice_prefix":"ABC"},'
        '"personal":{"name":"Jane"}}'
    )
    assert renamed.payload == (
        '{"updated":2,"personal":{"changes":{"name":"June"},"previous":{"name":"Jane"}}}'
    )
    assert renamed.state == (
        '{"id":"cus_1","livemode":false,"created":1,"updated":2,'
        '"commercial":{"invoice_prefix":"ABC"},"personal":{"name":"June"}}'
    )
    assert deleted.payload == '{"deleted_at":4}'
    assert created.metadata == '{"request_id":"req_1"}'


@given(events=histories)
def test_personal_values_stand_in_their_own_part_alone(events: list[Event]) -> None:
    personal = set(Personal.__struct_fields__)
    for event in pending(events):
        for text in filter(None, (event.payload, event.state)):
            parts = msgspec.json.decode(text, type=dict[str, object])
            assert personal.isdisjoint(parts)
            assert personal.isdisjoint(
                msgspec.convert(parts.get("commercial", {}), dict[str, object])
            )


# --- What cannot be read ------------------------------------------------------------------------

FIRST, SECOND, *_ = stored([CREATED, RENAMED])


@pytest.mark.parametrize(
    "broken",
    [
        changed(FIRST, type="CustomerMerged"),
        changed(FIRST, type=""),
        changed(FIRST, schema_version=0),
        changed(FIRST, schema_version=SCHEMA_VERSION + 1),
        changed(FIRST, payload=""),
        changed(FIRST, payload="{"),
        changed(FIRST, payload="null"),
        changed(FIRST, payload="{}"),
        changed(FIRST, payload=FIRST.payload.replace('"created":1', '"created":"1"')),
        changed(FIRST, payload=FIRST.payload.replace('"Jane"', "7")),
    ],
    ids=lambda event: f"{event.type}-{event.schema_version}-{event.payload[:12]}",
)
def test_an_event_of_unknown_form_is_undecodable(broken: RecordedEvent) -> None:
    with pytest.raises(Undecodable):
        envelope.decode_event(broken)
    with pytest.raises(Undecodable):
        envelope.decode_customers([FIRST, broken])


@pytest.mark.parametrize(
    "broken",
    [
        changed(SECOND, state=""),
        changed(SECOND, state="null"),
        changed(SECOND, state="{}"),
        changed(SECOND, state='{"id":7}'),
        changed(SECOND, type="CustomerMerged"),
        changed(SECOND, schema_version=SCHEMA_VERSION + 1),
        changed(SECOND, state=None),
        changed(SECOND, state=None, type="CustomerDeleted", payload='{"deleted_at":4}'),
    ],
    ids=lambda event: f"{event.type}-{event.schema_version}-{event.state}",
)
def test_a_state_that_is_broken_or_missing_is_undecodable(broken: RecordedEvent) -> None:
    with pytest.raises(Undecodable):
        envelope.decode_customers([broken])


def test_a_state_is_read_without_its_delta() -> None:
    [customer] = envelope.decode_customers([changed(SECOND, payload="{}")])
    assert isinstance(customer, Customer)
    assert customer.personal.name == "June"


@pytest.mark.parametrize("text", ["", "{}", '{"request_id":1}', "[]"])
def test_broken_metadata_are_undecodable(text: str) -> None:
    with pytest.raises(Undecodable):
        envelope.decode_metadata(changed(FIRST, metadata=text))


def test_what_a_later_version_adds_is_passed_over() -> None:
    later = changed(FIRST, payload=FIRST.payload.replace("{", '{"colour":"blue",', 1))
    assert envelope.decode_event(later) == CREATED
