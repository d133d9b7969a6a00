"""Where customers stand: all of an account and mode in one order, by creation and then by id."""

from __future__ import annotations

import msgspec


class Place(msgspec.Struct, frozen=True, order=True):
    """Where a customer stands: when it was created (unix seconds), and its id."""

    created: int
    id: str
