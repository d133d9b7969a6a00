"""The content header of a message as a frame of AMQP 0-9-1.

Every integer among the headers is written as a signed 64-bit one, whatever its value. pamqp takes
the smallest type that holds a value: then a position changes its type as it grows, typed languages
see a byte, a short, an int and a long in turn, and between 32,768 and 65,535 it is an unsigned
short, at which RabbitMQ's own client for Go closes the connection. All clients know this one.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Final

from chaching.broker.messages import CONTENT_TYPE, PERSISTENT, Wire

NAMES_REMEMBERED_MAX: Final = 256

_FRAME: Final = Struct(">BHI")
_HEADER_FRAME: Final = 2
_FRAME_END: Final = b"\xce"
_BASIC: Final = Struct(">HHQ")
_BASIC_CLASS: Final = 60
_WEIGHT: Final = 0
# content-type, headers, delivery-mode and message-id are there, and come in this order
_FLAGS: Final = 1 << 15 | 1 << 13 | 1 << 12 | 1 << 7
_FLAG_WORD: Final = Struct(">H").pack(_FLAGS)
_LENGTH: Final = Struct(">I")
_TEXT: Final = Struct(">cI")
_INTEGER: Final = Struct(">cq")


def content_header(wire: Wire, channel_number: int) -> bytes:
    """Return the frame that stands before the body of a message."""
    payload = _BASIC.pack(_BASIC_CLASS, _WEIGHT, len(wire.body)) + properties(wire)
    return _FRAME.pack(_HEADER_FRAME, channel_number, len(payload)) + payload + _FRAME_END


def properties(wire: Wire) -> bytes:
    """Return the properties of a message, its headers among them, as they stand in that frame."""
    fields = b"".join([_name(name) + _value(value) for name, value in wire.headers.items()])
    return b"".join(
        [
            _FLAG_WORD,
            _short_text(CONTENT_TYPE),
            _LENGTH.pack(len(fields)),
            fields,
            bytes([PERSISTENT]),
            _short_text(wire.message_id),
        ]
    )


def _value(value: str | int) -> bytes:
    if isinstance(value, int):
        return _INTEGER.pack(b"l", value)
    text = value.encode()
    return _TEXT.pack(b"S", len(text)) + text


def _short_text(text: str) -> bytes:
    encoded = text.encode()
    return bytes([len(encoded)]) + encoded


@lru_cache(maxsize=NAMES_REMEMBERED_MAX)
def _name(name: str) -> bytes:
    return _short_text(name)
