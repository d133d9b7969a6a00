from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.frame import unmarshal
from pamqp.header import ContentHeader
from tests.broker.test_broker import created_message
from tests.support.brokers import LOG_ID

from chaching.broker.framing import content_header
from chaching.broker.messages import Wire, encode

CHANNEL: Final = 7
INT64: Final = st.integers(-(2**63), 2**63 - 1)
names = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=40)
wires = st.builds(
    Wire,
    routing_key=st.just("customer.created.test.acct_1"),
    message_id=st.text(max_size=60),
    headers=st.dictionaries(names, INT64 | st.text(max_size=300), max_size=20),
    body=st.binary(max_size=50),
)


def read_back(frame: bytes) -> ContentHeader:
    read, channel, header = unmarshal(frame)
    assert (read, channel) == (len(frame), CHANNEL)
    assert isinstance(header, ContentHeader)
    return header


@given(wires)
def test_a_content_header_is_read_as_it_was_meant(wire: Wire) -> None:
    header = read_back(content_header(wire, CHANNEL))
    assert header.body_size == len(wire.body)
    properties = header.properties
    assert (properties.content_type, properties.delivery_mode) == ("application/json", 2)
    assert (properties.message_id or "", properties.headers or {}) == (
        wire.message_id,
        wire.headers,
    )


@pytest.mark.parametrize("position", [1, 127, 128, 32_767, 32_768, 65_536, 2**31, 2**32, 2**63 - 1])
def test_an_integer_is_a_64_bit_one_whatever_its_value(position: int) -> None:
    frame = content_header(encode(created_message(position), LOG_ID), CHANNEL)
    assert b"\x08positionl" + position.to_bytes(8, "big") in frame


def test_every_integer_of_a_message_is_written_so() -> None:
    wire = encode(created_message(3), LOG_ID)
    frame = content_header(wire, CHANNEL)
    integers = [name for name, value in wire.headers.items() if isinstance(value, int)]
    assert integers == ["position", "previous_position", "version", "schema_version"]
    for name in integers:
        assert bytes([len(name)]) + name.encode() + b"l" in frame
