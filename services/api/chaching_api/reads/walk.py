"""A list without its waiting: whom it walks past, and the page from what was found. Pure.

All customers of an account and mode stand in one order, by second of creation and then by id, so no
two stand at one place and a page begins right beside the place where the one before it ended. A
walk goes from the newest down, or, before a cursor, from the oldest up; the page shows the newest
first either way, and has more when the walk could go on.

Bounds on ``created`` and cursors are both places, so the tighter of each side is all that is left
of them: one stretch between two places that are themselves outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from chaching.domain.customer import Customer
from chaching.domain.ids import CustomerId
from chaching.envelope import START, Position
from chaching_api.event_object import UnreadableCustomer
from chaching_api.parameter_types import INT64_MAX
from chaching_api.parameters import ListInput
from chaching_api.places import Place

NO_ID: Final = ""  # stands before every id


class Walk(msgspec.Struct, frozen=True, kw_only=True):
    """Past whom a list walks, from which end, and how many customers make a page."""

    after: Place
    before: Place
    from_oldest: bool
    email: str | None
    test_clock: str | None
    limit: int

    def meets(self, customer: Customer) -> bool:
        """Tell whether a customer is on the way; what SQL asks of rows is asked here again."""
        return (
            not customer.deleted
            and self.after < place_of(customer) < self.before
            and customer.commercial.test_clock == self.test_clock
            and (self.email is None or customer.personal.email == self.email)
        )


class Listed(msgspec.Struct, frozen=True):
    """A customer on a page: the bytes that a retrieve answers, or the state to render them from.

    In lists of the past it can be one of whom nothing can be told, or one who was ``erased`` since.
    """

    place: Place
    content: bytes | Customer | UnreadableCustomer
    erased: bool = False


class Tail(msgspec.Struct, frozen=True, kw_only=True):
    """The customers of an account and mode that the read model may not have as they are.

    ``unseen_events`` are beyond the read model and not in here either; who was erased among them is
    ``erased``, so that no list shows them. ``applied`` is how far the read model had come.
    """

    customers: Mapping[CustomerId, Customer] = {}
    unseen_events: int = 0
    erased: Sequence[CustomerId] = ()
    applied: Position = START


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What a list answers, the newest first."""

    customers: tuple[Listed, ...]
    has_more: bool
    unseen_events: int = 0


def place_of(customer: Customer) -> Place:
    return Place(customer.created, customer.id)


def walk_of(wanted: ListInput, cursor: Place | None) -> Walk:
    """Return the walk that a list asks for; ``cursor`` is the place of the one that it names."""
    after = Place(min(wanted.created.first, INT64_MAX), NO_ID)
    before = Place(min(wanted.created.last + 1, INT64_MAX), NO_ID)
    from_oldest = wanted.ending_before is not None
    if cursor is not None and from_oldest:
        after = max(after, cursor)
    elif cursor is not None:
        before = min(before, cursor)
    return Walk(
        after=after,
        before=before,
        from_oldest=from_oldest,
        email=wanted.email,
        test_clock=wanted.test_clock,
        limit=wanted.limit,
    )


def page_of(walk: Walk, rows: Sequence[Listed], tail: Tail) -> Page:
    """Return the page that the first ``limit + 1`` rows outside the tail and the tail make."""
    met = [Listed(place_of(c), c) for c in tail.customers.values() if walk.meets(c)]
    found = sorted([*rows, *met], key=_place, reverse=not walk.from_oldest)
    shown = found[: walk.limit]
    return Page(
        customers=tuple(reversed(shown) if walk.from_oldest else shown),
        has_more=len(found) > walk.limit,
        unseen_events=tail.unseen_events,
    )


def _place(listed: Listed) -> Place:
    return listed.place
