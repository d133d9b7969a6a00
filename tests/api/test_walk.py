"""The page that rows and tail make is the page of the customers as they truly are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaching.domain.customer import Commercial, Customer, Personal
from chaching.domain.ids import CustomerId
from chaching_api.parameter_tables import Seconds
from chaching_api.parameter_types import INT64_MAX, INT64_MIN
from chaching_api.parameters import ListInput
from chaching_api.reads.walk import Listed, Page, Place, Tail, Walk, page_of, place_of, walk_of

Question: TypeAlias = tuple[ListInput, Place | None]
Merge: TypeAlias = Callable[[Walk, Sequence[Listed], Tail], Page]

IDS = [CustomerId(f"cus_{letter}") for letter in "ABCabc12"]
EMAILS = st.none() | st.sampled_from(["a@x.io", "A@x.io"])
CLOCKS = st.none() | st.sampled_from(["clock_1", "clock_2"])
SECONDS = st.integers(-1, 3)

customers = st.builds(
    Customer,
    id=st.sampled_from(IDS),
    livemode=st.just(False),
    created=SECONDS,
    deleted=st.booleans(),
    commercial=st.builds(Commercial, invoice_prefix=st.just("P"), test_clock=CLOCKS),
    personal=st.builds(Personal, email=EMAILS),
)
everyone = st.lists(customers, unique_by=lambda customer: customer.id)
places = st.builds(Place, SECONDS, st.sampled_from(IDS))
limits = st.integers(1, 4)


@st.composite
def asked(draw: st.DrawFn) -> Question:
    cursor = draw(st.none() | places)
    upwards = draw(st.booleans())
    wanted = ListInput(
        limit=draw(limits),
        starting_after=cursor.id if cursor and not upwards else None,
        ending_before=cursor.id if cursor and upwards else None,
        email=draw(EMAILS),
        test_clock=draw(CLOCKS),
        created=Seconds(draw(SECONDS), draw(SECONDS)) if draw(st.booleans()) else Seconds(),
    )
    return wanted, cursor


def true_page(wanted: ListInput, cursor: Place | None, everybody: list[Customer]) -> Page:
    """Filter, sort and cut, said as plainly as the contract says it."""
    found = [
        customer
        for customer in everybody
        if not customer.deleted
        and (wanted.email is None or customer.personal.email == wanted.email)
        and customer.commercial.test_clock == wanted.test_clock
        and wanted.created.first <= customer.created <= wanted.created.last
    ]
    found.sort(key=lambda customer: (customer.created, customer.id), reverse=True)
    if cursor is not None and wanted.starting_after:
        found = [c for c in found if (c.created, c.id) < (cursor.created, cursor.id)]
    if cursor is not None and wanted.ending_before:
        found = [c for c in found if (c.created, c.id) > (cursor.created, cursor.id)]
        shown = found[-wanted.limit :]
    else:
        shown = found[: wanted.limit]
    listed = tuple(Listed(place_of(customer), customer) for customer in shown)
    return Page(customers=listed, has_more=len(found) > wanted.limit)


def rows_of(walk: Walk, stored: list[Customer], left_out: set[CustomerId]) -> list[Listed]:
    """What the page's statement finds."""
    met = [c for c in stored if c.id not in left_out and walk.meets(c)]
    listed = [Listed(place_of(customer), customer) for customer in met]
    listed.sort(key=lambda one: one.place, reverse=not walk.from_oldest)
    return listed[: walk.limit + 1]


def is_true(
    merge: Merge, question: Question, stored: list[Customer], moved_on: list[Customer]
) -> bool:
    tail = {customer.id: customer for customer in moved_on}
    truth = [*(customer for customer in stored if customer.id not in tail), *moved_on]
    walk = walk_of(*question)
    page = merge(walk, rows_of(walk, stored, set(tail)), Tail(customers=tail))
    return page == true_page(*question, truth)


@given(asked(), everyone, everyone)
def test_rows_outside_the_tail_and_the_tail_make_the_true_page(
    question: Question, stored: list[Customer], moved_on: list[Customer]
) -> None:
    assert is_true(page_of, question, stored, moved_on)


@given(limits, everyone)
def test_walking_on_beside_each_page_meets_everybody_once_from_either_end(
    limit: int, everybody: list[Customer]
) -> None:
    tail = Tail(customers={customer.id: customer for customer in everybody})
    whole = page_of(walk_of(ListInput(limit=100), None), [], tail).customers

    def page(wanted: ListInput, cursor: Place) -> Page:
        return page_of(walk_of(wanted, cursor), [], tail)

    def older(cursor: Place) -> Page:
        return page(ListInput(limit=limit, starting_after=cursor.id), cursor)

    def newer(cursor: Place) -> Page:
        return page(ListInput(limit=limit, ending_before=cursor.id), cursor)

    found = older(Place(INT64_MAX, "z"))
    down = [*found.customers]
    while found.has_more:
        found = older(down[-1].place)
        down += found.customers
    found = newer(Place(INT64_MIN, "-"))
    up = [*found.customers]
    while found.has_more:
        found = newer(up[0].place)
        up = [*found.customers, *up]
    assert tuple(down) == tuple(up) == whole


@pytest.mark.parametrize(
    ("created", "inside", "outside"),
    [
        (Seconds(5, 5), [5], [4, 6]),
        (Seconds(5, INT64_MAX), [5, INT64_MAX - 1], [4]),
        (Seconds(INT64_MIN, 5), [INT64_MIN, 5], [6]),
        (Seconds(INT64_MIN, INT64_MIN - 1), [], [INT64_MIN, 0]),
        (Seconds(INT64_MAX + 1, INT64_MAX), [], [0, INT64_MAX - 1]),
        (Seconds(6, 5), [], [5, 6]),
    ],
)
def test_a_stretch_of_seconds_becomes_two_places_that_64_bits_can_hold(
    created: Seconds, inside: list[int], outside: list[int]
) -> None:
    walk = walk_of(ListInput(created=created), None)
    for second in (walk.after.created, walk.before.created):
        assert INT64_MIN <= second <= INT64_MAX
    for second in inside:
        assert walk.after < Place(second, "cus_1") < walk.before
    for second in outside:
        assert not walk.after < Place(second, "cus_1") < walk.before


def without_the_tail(walk: Walk, rows: Sequence[Listed], tail: Tail) -> Page:
    return page_of(walk, rows, msgspec.structs.replace(tail, customers={}))


def without_the_row_that_tells_more(walk: Walk, rows: Sequence[Listed], tail: Tail) -> Page:
    return page_of(walk, rows[: walk.limit], tail)


def that_forgets_the_filters(walk: Walk, rows: Sequence[Listed], tail: Tail) -> Page:
    living = {key: c for key, c in tail.customers.items() if not c.deleted}
    everywhere = msgspec.structs.replace(walk, after=Place(INT64_MIN, ""), email=None)
    return page_of(everywhere, rows, Tail(customers=living))


@pytest.mark.parametrize(
    "planted", [without_the_tail, without_the_row_that_tells_more, that_forgets_the_filters]
)
def test_another_merge_is_found_out(planted: Merge) -> None:
    stored = [living(customer_id) for customer_id in IDS]
    moved_on = [living(IDS[0], "a@x.io"), living(IDS[1], "b@x.io")]
    every = ListInput(limit=len(IDS) - 1), None
    by_email = ListInput(email="a@x.io"), None
    nobody: list[Customer] = []
    cases = [(every, stored, nobody), (every, stored, moved_on), (by_email, stored, moved_on)]
    assert not all(is_true(planted, *case) for case in cases)
    assert all(is_true(page_of, *case) for case in cases)


def living(customer_id: CustomerId, email: str | None = None) -> Customer:
    return Customer(
        id=customer_id,
        livemode=False,
        created=1,
        commercial=Commercial(invoice_prefix="P"),
        personal=Personal(email=email),
    )
