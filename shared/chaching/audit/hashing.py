"""The hashes of the audit: SHA-256 over inputs that can never be taken for one another.

Leaves and nodes are those of RFC 6962; the chain has a prefix of its own.
"""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32
LEAF_PREFIX: Final = b"\x00"
NODE_PREFIX: Final = b"\x01"
CHAIN_PREFIX: Final = b"\x02"

EMPTY_ROOT: Final = sha256(b"").digest()
CHAIN_START: Final = bytes(HASH_BYTES)


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of one event's entry."""
    return sha256(LEAF_PREFIX + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees under one node."""
    return sha256(NODE_PREFIX + left + right).digest()


def chain_hash(before: bytes, leaf: bytes) -> bytes:
    """Return the link of an event to the chain of all before it."""
    return sha256(CHAIN_PREFIX + before + leaf).digest()


def to_base64(value: bytes) -> str:
    """Return bytes as texts have them."""
    return base64.b64encode(value).decode()


def from_base64(text: str) -> bytes:
    """Return the bytes of a text; ValueError when it is not just how they are spelled."""
    value = base64.b64decode(text, validate=True)
    if to_base64(value) != text:
        raise ValueError("bits after the last byte are not zero")
    return value
