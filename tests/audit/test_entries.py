from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.audit import by_the_document as document

from chaching.audit.entries import FORMAT, NotAnEntry, StoredEvent, entry_of, event_of

EVENT: Final = StoredEvent(
    position=7,
    account="acct_1",
    livemode=False,
    stream="cus_1",
    version=2,
    previous_position=3,
    event_id="evt_1",
    type="CustomerUpdated",
    schema_version=1,
    payload='{"name": "Jörg"}',
    state=None,
    metadata="{}",
    invoice_prefix=None,
    recorded_at="2026-01-02T03:04:05.000006Z",
)

texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
bigints = st.integers(-(2**63), 2**63 - 1)
integers = st.integers(-(2**31), 2**31 - 1)
smallints = st.integers(-(2**15), 2**15 - 1)
instants = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(  # noqa: DTZ001 - named UTC below
    lambda at: at.isoformat(timespec="microseconds") + "Z"
)
events = st.builds(
    StoredEvent,
    position=bigints,
    account=texts,
    livemode=st.booleans(),
    stream=texts,
    version=integers,
    previous_position=bigints,
    event_id=texts,
    type=texts,
    schema_version=smallints,
    payload=texts,
    state=st.none() | texts,
    metadata=texts,
    invoice_prefix=st.none() | texts,
    recorded_at=instants,
)


def as_json(event: StoredEvent) -> dict[str, Any]:
    return msgspec.to_builtins(event)


@given(events)
def test_an_entry_says_all_of_its_event_and_nothing_else(event: StoredEvent) -> None:
    entry = entry_of(event)
    assert event_of(entry) == event
    assert entry_of(event_of(entry)) == entry


@given(events)
def test_the_document_says_the_same_entry(event: StoredEvent) -> None:
    if event.recorded_at >= "1000":  # how earlier years are read is the C library's
        assert document.entry(as_json(event)) == entry_of(event)


@given(events, events)
def test_two_events_never_have_one_entry(one: StoredEvent, other: StoredEvent) -> None:
    assert (one == other) == (entry_of(one) == entry_of(other))


@pytest.mark.parametrize(
    "change",
    [
        {"state": ""},
        {"invoice_prefix": ""},
        {"account": "acct_1c", "stream": "us_1"},
        {"payload": '{"name":"Jörg"}'},
        {"recorded_at": "2026-01-02T03:04:05.000007Z"},
        {"livemode": True},
    ],
)
def test_a_small_change_makes_another_entry(change: dict[str, Any]) -> None:
    assert entry_of(msgspec.structs.replace(EVENT, **change)) != entry_of(EVENT)


def test_an_entry_begins_with_its_format() -> None:
    assert entry_of(EVENT)[0] == FORMAT == 1
    with pytest.raises(NotAnEntry, match="format"):
        event_of(b"\x02" + entry_of(EVENT)[1:])
    with pytest.raises(NotAnEntry, match="format"):
        event_of(b"")


@given(st.data())
def test_an_entry_that_was_cut_or_has_more_is_none(data: st.DataObject) -> None:
    entry = entry_of(EVENT)
    with pytest.raises(NotAnEntry):
        event_of(entry[: data.draw(st.integers(0, len(entry) - 1))])
    with pytest.raises(NotAnEntry):
        event_of(entry + data.draw(st.binary(min_size=1)))


@given(st.binary(max_size=200))
def test_any_bytes_are_an_entry_or_refused(noise: bytes) -> None:
    for entry in (noise, bytes([FORMAT]) + noise):
        try:
            assert entry_of(event_of(entry)) == entry
        except NotAnEntry:
            continue


@pytest.mark.parametrize(
    "change",
    [
        {"position": 2**63},
        {"version": 2**31},
        {"schema_version": -(2**15) - 1},
        {"payload": "\ud800"},
        {"recorded_at": "2026-01-02T03:04:05Z"},
        {"recorded_at": "2026-01-02T03:04:05.6Z"},
        {"recorded_at": "2026-01-02 03:04:05.000006Z"},
        {"recorded_at": "2026-13-02T03:04:05.000006Z"},
        {"recorded_at": "infinity"},
    ],
)
def test_a_value_that_no_row_can_have_is_refused_by_name(change: dict[str, Any]) -> None:
    [name] = change
    with pytest.raises(NotAnEntry, match=name):
        entry_of(msgspec.structs.replace(EVENT, **change))


def test_an_instant_before_the_year_2000_counts_backwards() -> None:
    event = msgspec.structs.replace(EVENT, recorded_at="1999-12-31T23:59:59.999999Z")
    assert entry_of(event).endswith(b"\x00\x00\x00\x08" + (-1).to_bytes(8, "big", signed=True))
    assert datetime(2000, 1, 1, tzinfo=UTC).timestamp() == 946684800
