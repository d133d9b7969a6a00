"""What a row of the read model must be, from the fold of the deltas alone. Pure.

Neither the state beside an event nor the projector's code has a part in it: what is compared here
was made in two ways. Rows are compared byte for byte, but for ``metadata``, which PostgreSQL keeps
in a spelling of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from chaching.broker.messages import attached
from chaching.domain.customer import Customer
from chaching.domain.customer_object import render
from chaching.envelope import Position, Version

NOTHING_ATTACHED: Final = "{}"
JSON_COLUMNS: Final = frozenset({"attached", "body", "metadata"})


class CustomerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of read_model.customers without its key; the last three are JSON."""

    version: Version
    position: Position
    created: int
    deleted: bool
    email: str | None
    name: str | None
    phone: str | None
    test_clock: str | None
    attached: str
    body: str
    metadata: str | None


class Differing(msgspec.Struct, frozen=True):
    """An attribute that is not what it must be; a path leads into JSON, as in ``body.name``."""

    attribute: str
    expected: Any
    found: Any


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def expected_row(customer: Customer, version: Version, position: Position) -> CustomerRow:
    """Return the row of a customer as the event at a version and position left it."""
    personal = None if customer.deleted else customer.personal
    return CustomerRow(
        version=version,
        position=position,
        created=customer.created,
        deleted=customer.deleted,
        email=personal and personal.email,
        name=personal and personal.name,
        phone=personal and personal.phone,
        test_clock=customer.commercial.test_clock,
        attached=NOTHING_ATTACHED if customer.deleted else _encode(attached(customer)).decode(),
        body=render(customer).decode(),
        metadata=None if personal is None else _encode(personal.metadata).decode(),
    )


def differences(expected: CustomerRow, found: CustomerRow) -> list[Differing]:
    """Return in what a row is not as it must be; none when it is."""
    differing: list[Differing] = []
    for column in CustomerRow.__struct_fields__:
        wanted, there = getattr(expected, column), getattr(found, column)
        if wanted == there:
            continue
        if column in JSON_COLUMNS:
            differing += in_json(column, wanted, there)
        else:
            differing.append(Differing(column, wanted, there))
    return differing


def in_json(column: str, wanted: str | None, there: str | None) -> list[Differing]:
    """Return in which leaves a text of JSON is not as it must be, or that it is spelt otherwise."""
    try:
        meant, read = _decoded(wanted), _decoded(there)
    except msgspec.DecodeError:
        return [Differing(column, wanted, there)]
    differing = list(_leaves(column, meant, read))
    if differing or column == "metadata":
        return differing
    return [Differing(f"{column} (its spelling)", wanted, there)]


def _decoded(text: str | None) -> Any:
    return None if text is None else _decode(text)


def _leaves(path: str, wanted: Any, there: Any) -> Iterator[Differing]:
    if isinstance(wanted, dict) and isinstance(there, dict):
        meant, read = cast("Mapping[str, Any]", wanted), cast("Mapping[str, Any]", there)
        for name in {**meant, **read}:
            if name not in meant or name not in read or meant[name] != read[name]:
                yield from _leaves(f"{path}.{name}", meant.get(name), read.get(name))
    elif wanted != there:
        yield Differing(path, wanted, there)
