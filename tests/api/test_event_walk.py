from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaching.domain.ids import AccountId
from chaching.envelope import EVENT_TYPES, Position
from chaching.eventstore.lookups import EventWalk
from chaching.public_event import PUBLIC_TYPES
from chaching_api.event_parameters import EventListInput
from chaching_api.reads.event_walk import END, Stretch, event_walk_of, types_like

WHOSE = (AccountId("acct_1"), True)
ALL = ("CustomerCreated", "CustomerUpdated", "CustomerDeleted", "CustomerErased")


def walk(
    wanted: EventListInput, cursor: int | None = None, after: int = 0, before: int = END
) -> EventWalk | None:
    stretch = Stretch(Position(after), Position(before))
    return event_walk_of(WHOSE, wanted, None if cursor is None else Position(cursor), stretch)


def ends(found: EventWalk | None) -> tuple[int, int, bool]:
    assert found is not None
    return found.after, found.before, found.from_oldest


def test_every_type_of_the_log_has_a_public_name_of_its_own() -> None:
    assert PUBLIC_TYPES.keys() == EVENT_TYPES.keys()
    assert len(set(PUBLIC_TYPES.values())) == len(PUBLIC_TYPES)


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("*", ALL),
        ("**", ALL),
        ("customer.*", ALL),
        ("customer.updated", ("CustomerUpdated",)),
        ("*.deleted", ("CustomerDeleted",)),
        ("*ated", ("CustomerCreated", "CustomerUpdated")),
        ("c*.*d", ALL),
        ("customer.updated*", ("CustomerUpdated",)),
        ("customer.*.created", ()),
        ("customer.createdcreated*created", ()),
        ("customer", ()),
        ("Customer.*", ()),
        ("CustomerCreated", ()),
        ("invoice.*", ()),
        ("customer.c?eated", ()),
    ],
)
def test_a_star_stands_for_any_characters_and_nothing_else_does(
    pattern: str, meant: tuple[str, ...]
) -> None:
    assert types_like([pattern]) == meant


def test_of_several_patterns_one_must_fit_and_a_type_counts_once() -> None:
    assert types_like(["customer.deleted", "*.d*", "nope"]) == ("CustomerDeleted",)


@given(st.text("*.acedtu", max_size=12))
def test_a_pattern_means_what_its_expression_means(pattern: str) -> None:
    expression = re.compile(".*".join(map(re.escape, pattern.split("*"))))
    meant = [stored for stored, name in PUBLIC_TYPES.items() if expression.fullmatch(name)]
    assert list(types_like([pattern])) == meant


def test_a_pattern_of_nothing_but_stars_costs_no_more_than_its_length() -> None:
    assert types_like(["*a" * 2_500]) == ()


def test_without_anything_said_a_walk_goes_down_all_of_the_log() -> None:
    assert walk(EventListInput()) == EventWalk(
        whose=WHOSE,
        types=ALL,
        after=Position(0),
        before=END,
        from_oldest=False,
        limit=10,
    )


def test_a_cursor_and_the_seconds_leave_the_tighter_of_each_side() -> None:
    down, up = EventListInput(starting_after="evt_1"), EventListInput(ending_before="evt_1")
    assert ends(walk(down, 7, after=3, before=9)) == (3, 7, False)
    assert ends(walk(down, 9, after=3, before=7)) == (3, 7, False)
    assert ends(walk(up, 5, after=3, before=9)) == (5, 9, True)
    assert ends(walk(up, 3, after=5, before=9)) == (5, 9, True)


@pytest.mark.parametrize(
    "found",
    [
        walk(EventListInput(types=("invoice.*",))),
        walk(EventListInput(delivery_success=False)),
        walk(EventListInput(), after=7, before=8),
        walk(EventListInput(), after=9, before=3),
        walk(EventListInput(starting_after="evt_1"), 1),
    ],
)
def test_where_no_event_can_be_there_is_no_walk(found: EventWalk | None) -> None:
    assert found is None


def test_every_event_is_delivered_where_there_are_no_webhooks() -> None:
    assert walk(EventListInput(delivery_success=True)) == walk(EventListInput())
