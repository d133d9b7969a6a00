from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from tests.domain.strategies import ID, commands, histories, updates

from chaching.domain.customer import (
    Command,
    Commercial,
    CreateCustomer,
    Customer,
    CustomerCreated,
    CustomerDeleted,
    CustomerUpdated,
    DeleteCustomer,
    Event,
    Personal,
    Rejected,
    UpdateCustomer,
    decide,
    evolve,
    fold,
)
from chaching.domain.delta import Delta, apply
from chaching.domain.values import Details


def decided(command: Command, state: Customer | None) -> Event | None:
    try:
        return decide(command, state)
    except Rejected:
        return None


def living(customer: Customer | None) -> Customer:
    assert customer is not None
    return msgspec.structs.replace(customer, deleted=False)


@given(histories)
def test_a_customer_is_the_fold_of_its_events_in_any_cut(events: list[Event]) -> None:
    whole = fold(events)
    for cut in range(len(events) + 1):
        assert fold(events[cut:], fold(events[:cut])) == whole


@given(histories)
def test_the_first_event_creates_and_nothing_follows_a_deletion(events: list[Event]) -> None:
    first, *rest = events
    assert isinstance(first, CustomerCreated)
    assert not any(isinstance(event, CustomerCreated) for event in rest)
    assert not any(isinstance(event, CustomerDeleted) for event in events[:-1])


@given(histories, updates)
def test_what_was_done_once_is_not_done_again(events: list[Event], command: UpdateCustomer) -> None:
    state = fold(events)
    event = decided(command, state)
    if event is not None:
        assert decided(command, evolve(state, event)) is None


@given(histories, updates)
def test_an_update_that_emits_changes_the_customer(
    events: list[Event], command: UpdateCustomer
) -> None:
    state = fold(events)
    event = decided(command, state)
    if event is None:
        return
    after = evolve(state, event)
    assert state is not None
    assert (after.commercial, after.personal) != (state.commercial, state.personal)
    assert after.updated == command.at


@given(histories)
def test_every_update_can_be_taken_back(events: list[Event]) -> None:
    state: Customer | None = None
    for event in events:
        after = evolve(state, event)
        if isinstance(event, CustomerUpdated):
            assert state is not None
            assert apply(state.commercial, event.commercial.changes) == after.commercial
            assert apply(after.commercial, event.commercial.previous) == state.commercial
            assert apply(state.personal, event.personal.changes) == after.personal
            assert apply(after.personal, event.personal.previous) == state.personal
        state = after


@given(histories, commands)
def test_a_deleted_customer_refuses_everything(events: list[Event], command: Command) -> None:
    state = msgspec.structs.replace(living(fold(events)), deleted=True)
    with pytest.raises(Rejected):
        decide(command, state)


@given(histories, commands)
def test_a_command_does_not_change_the_state_it_is_decided_on(
    events: list[Event], command: Command
) -> None:
    state = fold(events)
    before = msgspec.json.encode(state)
    decided(command, state)
    assert msgspec.json.encode(state) == before


@given(histories)
def test_every_default_stays_attached(events: list[Event]) -> None:
    commercial = living(fold(events)).commercial
    default = commercial.invoice_settings.default_payment_method
    assert default is None or default in commercial.payment_methods + commercial.sources
    assert commercial.sources == tuple(filter(None, [commercial.default_source]))


@given(histories)
def test_events_come_back_from_json_as_they_were(events: list[Event]) -> None:
    for event in events:
        assert msgspec.json.decode(msgspec.json.encode(event), type=type(event)) == event


@given(histories)
def test_a_customer_comes_back_from_json_as_it_was(events: list[Event]) -> None:
    customer = fold(events)
    assert msgspec.json.decode(msgspec.json.encode(customer), type=Customer) == customer


@given(histories)
def test_stored_events_fold_to_the_same_customer(events: list[Event]) -> None:
    stored = [msgspec.json.decode(msgspec.json.encode(e), type=type(e)) for e in events]
    assert fold(stored) == fold(events)


@given(histories)
def test_a_customer_leads_its_life_once(events: list[Event]) -> None:
    customer = living(fold(events))
    create = CreateCustomer(id=ID, livemode=False, at=1, invoice_prefix="DDD", details=Details())
    with pytest.raises(Rejected):
        decide(create, customer)
    assert isinstance(decide(DeleteCustomer(id=ID, at=1), customer), CustomerDeleted)


def test_an_event_with_no_change_is_an_empty_delta() -> None:
    assert not Delta()
    assert apply(Personal(), {}) == Personal()
    assert apply(Commercial(invoice_prefix="A"), {}) == Commercial(invoice_prefix="A")
