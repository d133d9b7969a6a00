"""Which events a subscriber wants. Pure."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from chaching.subscriber.events import Received


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the subscriber asked for; None means all."""

    accounts: frozenset[str] | None = None
    modes: frozenset[str] | None = None
    types: frozenset[str] | None = None

    def has(self, message: Received) -> bool:
        known = message.known
        return (
            (self.accounts is None or known.account in self.accounts)
            and (self.modes is None or known.mode in self.modes)
            and (self.types is None or known.type in self.types)
        )


def wanted_of(
    accounts: Collection[str] | None, modes: Collection[str] | None, types: Collection[str] | None
) -> Wanted:
    """Return what a subscriber asked for.

    Raises:
        TypeError: one text stands where several are meant; its letters would pass for them.
    """
    return Wanted(accounts=_several(accounts), modes=_several(modes), types=_several(types))


def _several(wanted: Collection[str] | None) -> frozenset[str] | None:
    if isinstance(wanted, str):
        raise TypeError(f"a text by itself is not several: write {{{wanted!r}}}")
    return None if wanted is None else frozenset(wanted)
