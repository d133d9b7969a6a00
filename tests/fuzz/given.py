"""Inputs, and how they are kept in a file to be tried again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

FAILURES: Final = Path("build/fuzz")


class Given(msgspec.Struct, frozen=True, kw_only=True, tag="given"):
    """What a gateway reads of a request: its raw body, its raw query and the body's type."""

    content_type: str | None
    body: bytes
    query: bytes = b""

    @property
    def size_bytes(self) -> int:
        return len(self.content_type or "") + len(self.body) + len(self.query)


class Framed(msgspec.Struct, frozen=True, kw_only=True, tag="framed"):
    """The bytes of one connection, how many requests they are meant to be, and if one is a HEAD."""

    raw: bytes
    requests: int
    asks_for_heads: bool


Input: TypeAlias = Given | Framed


def keep(given: Input) -> Path:
    """Write an input into a file of its own and return it."""
    encoded = msgspec.json.encode(given)
    name = hashlib.sha256(encoded).hexdigest()[:16]
    FAILURES.mkdir(parents=True, exist_ok=True)
    path = FAILURES / f"input-{name}.json"
    path.write_bytes(encoded)
    return path


def kept(path: Path) -> Input:
    """Return the input in a file."""
    return msgspec.json.decode(path.read_bytes(), type=Input)
