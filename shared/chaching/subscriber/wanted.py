"""Which events a subscriber wants. Pure."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from chaching.domain.ids import Mode
from chaching.subscriber.events import Received


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the subscriber asked for; None means all."""

    accounts: Collection[str] | None = None
    modes: Collection[Mode] | None = None
    types: Collection[str] | None = None

    def has(self, message: Received) -> bool:
        known = message.known
        return (
            (self.accounts is None or known.account in self.accounts)
            and (self.modes is None or known.mode in self.modes)
            and (self.types is None or known.type in self.types)
        )
