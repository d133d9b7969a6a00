"""The row of a customer, as a message says it.

The object's bytes go into the row as they came; a few columns are read out of them for searching.
Of a deleted or an erased customer only the stub is left.
"""

from __future__ import annotations

from typing import Final

import msgspec

from chaching.broker.messages import EventMessage
from chaching.domain.customer_object import DeletedCustomerObject, render_erased
from chaching.envelope import Position, StreamKey, Undecodable, Version
from chaching.public_event import CUSTOMER_DELETED, CUSTOMER_ERASED

NOTHING_ATTACHED: Final = "{}"
INT64_MAX: Final = 2**63 - 1


class CustomerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of read_model.customers; ``metadata``, ``body`` and ``attached`` are JSON."""

    key: StreamKey
    version: Version
    position: Position
    created: int
    deleted: bool = False
    email: str | None = None
    name: str | None = None
    phone: str | None = None
    metadata: str | None = None
    test_clock: str | None
    body: str
    attached: str = NOTHING_ATTACHED


class _Columns(msgspec.Struct, frozen=True, kw_only=True):
    created: int
    email: str | None
    metadata: msgspec.Raw
    name: str | None
    phone: str | None
    test_clock: str | None


_decode_columns = msgspec.json.Decoder(_Columns).decode
_encode = msgspec.json.Encoder().encode


def row_of(message: EventMessage) -> CustomerRow:
    """Return the row of the customer as it stands after a message.

    Raises:
        Undecodable: the message's object is not a customer.
    """
    try:
        columns = _decode_columns(message.object)
    except msgspec.MsgspecError as error:
        raise Undecodable(f"the object of a message is broken: {error}") from error
    if abs(columns.created) > INT64_MAX:
        raise Undecodable("the object of a message was created out of all time")
    if message.type == CUSTOMER_ERASED:
        return _stub_row(message, columns, render_erased(message.key.id))
    if message.type == CUSTOMER_DELETED:
        stub = _encode(DeletedCustomerObject(id=message.key.id))
        return _stub_row(message, columns, stub)
    return CustomerRow(
        key=message.key,
        version=message.version,
        position=message.position,
        created=columns.created,
        email=columns.email,
        name=columns.name,
        phone=columns.phone,
        metadata=_text(columns.metadata),
        test_clock=columns.test_clock,
        body=_text(message.object),
        attached=_text(message.attached),
    )


def _stub_row(message: EventMessage, columns: _Columns, stub: bytes) -> CustomerRow:
    return CustomerRow(
        key=message.key,
        version=message.version,
        position=message.position,
        created=columns.created,
        deleted=True,
        test_clock=columns.test_clock,
        body=stub.decode(),
    )


def _text(raw: msgspec.Raw) -> str:
    return bytes(raw).decode()
