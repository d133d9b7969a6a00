"""One event as one line: JSON with all that its message says, or text for a person.

A line of text has the time, position, type, customer, account and mode, what changed (old → new for
each leaf), who asked (the key's id), in which request and why. Values are shortened, and whatever
could move a terminal's cursor is spelled out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias, cast

import click
import msgspec

from chaching.broker.messages import encode, message_of
from chaching.cli.output import shortened, visible
from chaching.domain.customer import (
    CustomerCreated,
    CustomerDeleted,
    CustomerErased,
    CustomerUpdated,
)
from chaching.domain.ids import mode_of
from chaching.envelope import (
    LogId,
    Metadata,
    RecordedEvent,
    Undecodable,
    decode_event,
    decode_metadata,
)
from chaching.public_event import PUBLIC_TYPES

VALUE_CHARACTERS_MAX: Final = 40
NAME_CHARACTERS_MAX: Final = 60
REASON_CHARACTERS_MAX: Final = 80
FORGOTTEN: Final = "(forgotten)"
CHANGES_SHOWN_MAX_LEAVES: Final = 8
TYPE_CHARACTERS: Final = 16
POSITION_CHARACTERS: Final = 7
ATTRIBUTE_PREFIX: Final = "cloudEvents:"

Leaf: TypeAlias = tuple[str, str]
Style: TypeAlias = Callable[[str], str]

PLAIN: Final[Style] = click.style
DIM: Final[Style] = partial(click.style, dim=True)
BOLD: Final[Style] = partial(click.style, bold=True)
COLOURS_OF_TYPES: Final[Mapping[str, Style]] = {
    "customer.created": partial(click.style, fg="green"),
    "customer.updated": partial(click.style, fg="yellow"),
    "customer.deleted": partial(click.style, fg="red"),
}

_encode = msgspec.json.Encoder().encode


def json_line(recorded: RecordedEvent, log_id: LogId) -> str:
    """Return what the event's message says, and who asked in which request, as one JSON object.

    The facts of the headers stand at the top, the body in ``data``. An event that this code cannot
    read has ``error`` instead of ``data``; one of a customer who was erased by now, ``erased``.
    """
    metadata = _metadata_of(recorded)
    try:
        wire = encode(message_of(recorded), log_id)
    except Undecodable as error:
        told: dict[str, object] = {
            "id": recorded.event_id,
            "type": _type_of(recorded),
            "time": recorded.recorded_at,
            "subject": recorded.key.id,
            "position": recorded.position,
            "version": recorded.version,
            "account": recorded.key.account,
            "mode": mode_of(livemode=recorded.key.livemode),
            "error": str(error),
        }
    else:
        told = {name.removeprefix(ATTRIBUTE_PREFIX): value for name, value in wire.headers.items()}
        told["data"] = msgspec.Raw(wire.body)
    told |= {
        "request_id": metadata and metadata.request_id,
        "key_id": metadata and metadata.key_id,
        "actor": metadata and metadata.actor,
        "idempotency_key": metadata and metadata.idempotency_key,
        "reason": metadata and metadata.reason,
    }
    if recorded.erased:
        told["erased"] = True
    return _encode(told).decode()


def text_line(recorded: RecordedEvent, *, colour: bool) -> str:
    """Return an event as a person reads it."""
    metadata = _metadata_of(recorded)
    who = "who asked cannot be read" if metadata is None else _asked(metadata)
    try:
        changes = _changes(recorded)
    except Undecodable as error:
        changes = f"cannot be read: {error}"
    kind = _type_of(recorded)
    at = recorded.recorded_at
    parts = (
        (f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z", DIM),
        (f"{recorded.position:>{POSITION_CHARACTERS}}", PLAIN),
        (f"{kind:{TYPE_CHARACTERS}}", COLOURS_OF_TYPES.get(kind, PLAIN)),
        (recorded.key.id, BOLD),
        (f"{recorded.key.account}/{mode_of(livemode=recorded.key.livemode)}", PLAIN),
        (changes, PLAIN),
        (who, DIM),
        (_because(metadata), DIM),
    )
    said = ((visible(text), style) for text, style in parts if text)
    return "  ".join(style(text) if colour else text for text, style in said)


def _metadata_of(recorded: RecordedEvent) -> Metadata | None:
    try:
        return decode_metadata(recorded)
    except Undecodable:
        return None


def _asked(metadata: Metadata) -> str:
    return f"{metadata.key_id or metadata.actor or '-'} {metadata.request_id}"


def _because(metadata: Metadata | None) -> str:
    if metadata is None or metadata.reason is None:
        return ""
    return f"because: {shortened(metadata.reason, REASON_CHARACTERS_MAX)}"


def _type_of(recorded: RecordedEvent) -> str:
    return PUBLIC_TYPES.get(recorded.type, recorded.type)


def _changes(recorded: RecordedEvent) -> str:
    match decode_event(recorded):
        case CustomerCreated() as event:
            given = (_plain(event.personal), _plain(event.commercial))
            return _listed([leaf for values in given for leaf in _given_leaves(values)])
        case CustomerUpdated() as event:
            personal, commercial = (
                _leaves(delta.changes, delta.previous)
                for delta in (event.personal, event.commercial)
            )
            if recorded.erased:
                personal = ((name, FORGOTTEN) for name in event.personal.changes)
            return _listed([*personal, *commercial])
        case CustomerDeleted():
            return ""
        case CustomerErased() as event:
            return event.reason or ""


def _listed(leaves: Sequence[Leaf]) -> str:
    shown = [f"{shortened(n, NAME_CHARACTERS_MAX)}: {v}" for n, v in leaves]
    more = len(shown) - CHANGES_SHOWN_MAX_LEAVES
    return ", ".join(shown[:CHANGES_SHOWN_MAX_LEAVES]) + (f" and {more} more" if more > 0 else "")


def _leaves(
    changes: Mapping[str, object], previous: Mapping[str, object], prefix: str = ""
) -> Iterator[Leaf]:
    for name, new in changes.items():
        old = previous.get(name)
        after, before = _members(new), _members(old)
        if after is not None and before is not None:
            yield from _leaves(after, before, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", f"{_value(old)} → {_value(new)}"


def _given_leaves(values: Mapping[str, object], prefix: str = "") -> Iterator[Leaf]:
    for name, value in values.items():
        members = _members(value)
        if members is not None:
            yield from _given_leaves(members, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _value(value)


def _members(value: object) -> dict[str, object] | None:
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def _plain(values: msgspec.Struct) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(values)
    return plain


def _value(value: object) -> str:
    return shortened(_encode(value).decode(), VALUE_CHARACTERS_MAX)
