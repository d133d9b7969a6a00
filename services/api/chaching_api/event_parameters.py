"""The parameters of what tells about events: the event API, and the history of a customer."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET

from chaching.moments import Moment
from chaching_api.bodies import Tree
from chaching_api.expansions import Expansions
from chaching_api.moments import PastMoment
from chaching_api.parameter_tables import (
    CREATED,
    TEXT_CHARACTERS_MAX,
    Seconds,
    Table,
    only_one,
    read,
    seconds,
)
from chaching_api.parameter_types import Clamped, FilledText, Items, OneOf, Required

PAGE_DEFAULT_EVENTS: Final = 10
PAGE_MAX_EVENTS: Final = 100
EVENT_TYPES_MAX: Final = 20
EVERY_TYPE: Final = ("*",)
EVENT_ID_PATTERN: Final = "[A-Za-z0-9_]{1,255}"


class EventListInput(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of events asks for; at most one of the two cursors, each an event's id.

    ``types`` are names in which ``*`` stands for any characters.
    """

    limit: int = PAGE_DEFAULT_EVENTS
    starting_after: str | None = None
    ending_before: str | None = None
    created: Seconds = Seconds()
    delivery_success: bool | None = None
    types: tuple[str, ...] = EVERY_TYPE


class HistoryInput(msgspec.Struct, frozen=True, kw_only=True):
    """What a history asks for; at most one of the two cursors, each naming an event.

    It begins with what ``start`` names and ends with what ``end`` names; None: all there is.
    """

    start: Moment | None = None
    end: Moment | None = None
    limit: int = PAGE_DEFAULT_EVENTS
    starting_after: str | None = None
    ending_before: str | None = None


class DiffInput(msgspec.Struct, frozen=True, kw_only=True):
    """Between which two moments a customer is compared; ``end`` None: now."""

    start: Moment
    end: Moment | None = None


def read_event_list(tree: Tree) -> EventListInput:
    """Read the parameters of a list of events.

    Raises:
        Malformed: names the parameter at fault.
    """
    given = read(tree, EVENT_LIST)
    only_one(given, "starting_after", "ending_before")
    only_one(given, "type", "types")
    if "type" in given:
        given["types"] = (given.pop("type"),)
    if "delivery_success" in given:
        given["delivery_success"] = given["delivery_success"] == "true"
    return EventListInput(created=seconds(given.pop("created", UNSET)), **given)


def read_event_retrieve(tree: Tree) -> None:
    """Refuse what cannot be asked of an event: there is nothing to expand in it.

    Raises:
        Malformed: there is a parameter.
    """
    read(tree, EVENT_RETRIEVE)


def read_history(tree: Tree) -> HistoryInput:
    """Read the parameters of a history.

    Raises:
        Malformed: names the parameter at fault.
    """
    given = read(tree, HISTORY)
    only_one(given, "starting_after", "ending_before")
    return HistoryInput(start=given.pop("from", None), end=given.pop("to", None), **given)


def read_diff(tree: Tree) -> DiffInput:
    """Read between which two moments a customer is to be compared.

    Raises:
        Malformed: names the parameter at fault.
    """
    given = read(tree, DIFF)
    return DiffInput(start=given["from"], end=given.get("to"))


EVENT_LIST: Final[Table] = {
    "created": CREATED,
    "delivery_success": OneOf(("true", "false")),
    "ending_before": FilledText(TEXT_CHARACTERS_MAX),
    "expand": Expansions(root="event"),
    "limit": Clamped(minimum=1, maximum=PAGE_MAX_EVENTS, default=PAGE_DEFAULT_EVENTS),
    "starting_after": FilledText(TEXT_CHARACTERS_MAX),
    "type": FilledText(TEXT_CHARACTERS_MAX),
    "types": Items(FilledText(TEXT_CHARACTERS_MAX), EVENT_TYPES_MAX),
}
EVENT_RETRIEVE: Final[Table] = {"expand": Expansions(root="event")}

HISTORY: Final[Table] = {
    "ending_before": FilledText(TEXT_CHARACTERS_MAX),
    "from": PastMoment(),
    "limit": Clamped(minimum=1, maximum=PAGE_MAX_EVENTS, default=PAGE_DEFAULT_EVENTS),
    "starting_after": FilledText(TEXT_CHARACTERS_MAX),
    "to": PastMoment(),
}
DIFF: Final[Table] = {"from": Required(PastMoment()), "to": PastMoment()}

DECLARED: Final = frozenset(name for table in (EVENT_LIST, HISTORY, DIFF) for name in table)
