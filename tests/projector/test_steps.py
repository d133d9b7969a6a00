from __future__ import annotations

import msgspec
import pytest
from tests.broker.test_messages import recorded
from tests.support.customers import created, deleted, updated

from chaching.broker.messages import EventMessage
from chaching.domain.customer import Command, Customer, decide, evolve
from chaching.domain.values import Details
from chaching.envelope import Position
from chaching_projector.projections.customers.rows import row_of
from chaching_projector.projections.customers.steps import (
    Item,
    OutOfStep,
    Poison,
    item_of,
    step_of,
)


def items(*commands: Command) -> list[Item]:
    """The items of one customer's commands, from its creation on."""
    state: Customer | None = None
    found: list[Item] = []
    for version, command in enumerate(commands, 1):
        event = decide(command, state)
        assert event is not None
        found.append(item_of(recorded(event, state, version)))
        state = evolve(state, event)
    return found


def poison_of(item: Item) -> Poison:
    return Poison(key=item.key, version=item.version, position=item.position, reason="bad")


JENNY = (created("cus_1"), updated("cus_1", Details(name="Jen")), deleted("cus_1"))


def test_only_the_newest_event_of_a_customer_counts() -> None:
    step = step_of(items(*JENNY), ())
    [change] = step.changes
    assert (change.before, change.row.version, change.row.deleted) == (0, 3, True)
    assert step.end == 30


def test_a_later_step_follows_the_version_before_it() -> None:
    [change] = step_of(items(*JENNY)[1:2], ()).changes
    assert (change.before, change.first_position, change.row.version) == (1, 20, 2)


def test_versions_that_do_not_follow_are_a_bug() -> None:
    with pytest.raises(OutOfStep):
        step_of([items(*JENNY)[0], items(*JENNY)[2]], ())


def test_a_poisonous_event_parks_its_stream_after_what_came_before() -> None:
    first, second, third = items(*JENNY)
    step = step_of([first, poison_of(second), third], ())
    assert [change.row.version for change in step.changes] == [1]
    assert [(poison.version, poison.position) for poison in step.parked] == [(2, 20)]


def test_a_parked_stream_is_left_out() -> None:
    other = items(created("cus_2"))
    step = step_of([*items(*JENNY), *other], {JENNY_KEY})
    assert [change.row.key for change in step.changes] == [other[0].key]
    assert step.parked == ()


def test_a_refused_row_parks_its_stream_from_its_first_event_on() -> None:
    first, second, third = items(*JENNY)
    step = step_of([first, second, poison_of(third)], ())
    [refused] = step.changes
    again = step.without(refused, "no")
    assert again.changes == ()
    assert [(poison.version, poison.reason) for poison in again.parked] == [(1, "no")]
    assert again.end == step.end


def test_an_object_that_is_no_customer_parks_its_stream() -> None:
    [item] = items(created("cus_1"))
    assert isinstance(item, EventMessage)
    step = step_of([msgspec.structs.replace(item, object=msgspec.Raw(b"{}"))], ())
    assert step.changes == ()
    assert [poison.version for poison in step.parked] == [1]


def test_an_undecodable_event_is_poison() -> None:
    event = decide(created("cus_1"), None)
    assert event is not None
    strange = msgspec.structs.replace(recorded(event, None, 1), schema_version=99)
    item = item_of(strange)
    assert isinstance(item, Poison)
    assert (item.position, item.key) == (Position(10), JENNY_KEY)


def test_a_row_of_a_deleted_customer_has_no_personal_values() -> None:
    item = items(*JENNY)[2]
    assert isinstance(item, EventMessage)
    row = row_of(item)
    assert row.body == '{"id":"cus_1","object":"customer","deleted":true}'
    assert (row.email, row.name, row.phone, row.metadata, row.attached) == (
        None,
        None,
        None,
        None,
        "{}",
    )


JENNY_KEY = items(*JENNY)[0].key
