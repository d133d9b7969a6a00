"""Which events a subscriber wants. Pure.

A wish that no event can fulfil is a mistake, so it is refused when it is made, not found out by
silence: a type that is misspelt, a mode that there is not, nothing at all. In types ``*`` stands
for any text, so ``customer.*`` takes those too that come after this version of the library.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final, get_args

import msgspec

from chaching.domain.ids import Mode, is_account_id
from chaching.subscriber.events import EVENT_TYPES, Received

MODES: Final = frozenset[str](get_args(Mode))
ANY: Final = "*"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the subscriber asked for; None means all. ``types`` fits those that are wanted."""

    accounts: frozenset[str] | None = None
    modes: frozenset[str] | None = None
    types: re.Pattern[str] | None = None

    def has(self, message: Received) -> bool:
        known = message.known
        return (
            (self.accounts is None or known.account in self.accounts)
            and (self.modes is None or known.mode in self.modes)
            and (self.types is None or self.types.fullmatch(known.type) is not None)
        )


def wanted_of(
    accounts: Collection[str] | None, modes: Collection[str] | None, types: Collection[str] | None
) -> Wanted:
    """Return what a subscriber asked for.

    Raises:
        TypeError: one text stands where several are meant; its letters would pass for them.
        ValueError: no event can ever be what one of them asks for.
    """
    accounts = _several("accounts", accounts)
    for account in accounts or ():
        if not is_account_id(account):
            raise ValueError(f"{account!r} is no account: 1 to 64 of A-Z, a-z, 0-9, _ and -")
    modes = _several("modes", modes)
    for mode in modes or ():
        if mode not in MODES:
            raise ValueError(f"{mode!r} is no mode: {_listed(MODES)}")
    types = _several("types", types)
    return Wanted(accounts=accounts, modes=modes, types=None if types is None else _fitting(types))


def _several(name: str, wanted: Collection[str] | None) -> frozenset[str] | None:
    if isinstance(wanted, str):
        raise TypeError(f"a text by itself is not several: write {name}={{{wanted!r}}}")
    if wanted is None:
        return None
    if not wanted:
        raise ValueError(f"{name} is empty, so no event would come: leave it out to get all")
    return frozenset(wanted)


def _fitting(types: Collection[str]) -> re.Pattern[str]:
    """Return what fits any of the types, each of which fits one that is known."""
    expressions = [re.escape(wanted).replace(re.escape(ANY), ".*") for wanted in sorted(types)]
    for wanted, expression in zip(sorted(types), expressions, strict=True):
        if not any(re.fullmatch(expression, known) for known in EVENT_TYPES):
            raise ValueError(
                f"{wanted!r} fits no type of events that this version of the library knows: "
                f"{_listed(EVENT_TYPES)}. With * as in 'customer.*' those that come later fit, too"
            )
    return re.compile("|".join(f"(?:{expression})" for expression in expressions))


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
