"""Identifiers: their types, and pure functions that spell them from given time and entropy.

An id is a prefix and 14 base-62 characters: seven that count milliseconds, so that new rows land
side by side in an index, and seven (41 bits) of entropy. The digits are in ASCII order, so ids
sort by time under the "C" collation. The time part lasts until the year 2081.

The id of an event says where the event stands: the 14 characters of its customer's id, seven of
entropy, and its version. So whoever has the id finds the event by the log's own key, and no index
of ids has to be kept. Events of customers whose id was chosen by a caller have plain ids.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal, NewType, TypeAlias

AccountId = NewType("AccountId", str)
CustomerId = NewType("CustomerId", str)
EventId = NewType("EventId", str)
KeyId = NewType("KeyId", str)
RequestId = NewType("RequestId", str)

Mode: TypeAlias = Literal["test", "live"]

DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PREFIX_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

ACCOUNT_ID_PATTERN: Final = "[A-Za-z0-9_-]{1,64}"
VERSIONS_MAX: Final = 2**31 - 1

_ACCOUNT_ID: Final = re.compile(ACCOUNT_ID_PATTERN)
_MADE_CUSTOMER_ID: Final = re.compile(r"cus_([0-9A-Za-z]{14})")
_TELLING_EVENT_ID: Final = re.compile(r"evt_([0-9A-Za-z]{14})[0-9A-Za-z]{7}([0-9A-Za-z]{1,6})")
_PAIRS: Final = tuple(first + second for first in DIGITS for second in DIGITS)
_PREFIX_PAIRS: Final = tuple(a + b for a in PREFIX_DIGITS for b in PREFIX_DIGITS)


def spell(prefix: str, now_ms: int, entropy: int) -> str:
    """Return ``prefix`` and 14 characters from unix milliseconds and a 64-bit random number."""
    return prefix + _time_digits(now_ms) + _seven_digits(entropy)


def spell_invoice_prefix(entropy: int) -> str:
    """Return eight characters of 0-9A-Z from a 64-bit random number."""
    rest, fourth = divmod(entropy, len(_PREFIX_PAIRS))
    rest, third = divmod(rest, len(_PREFIX_PAIRS))
    rest, second = divmod(rest, len(_PREFIX_PAIRS))
    first = rest % len(_PREFIX_PAIRS)
    return "".join([_PREFIX_PAIRS[pair] for pair in (first, second, third, fourth)])


def spell_event_id(customer_id: str, version: int, entropy: int) -> str | None:
    """Return an id that tells an event's customer and version; None for a chosen customer's id."""
    made = _MADE_CUSTOMER_ID.fullmatch(customer_id)
    if made is None:
        return None
    return f"evt_{made[1]}{_seven_digits(entropy)}{_digits(version)}"


def told_by_event_id(event_id: str) -> tuple[CustomerId, int] | None:
    """Return the customer and the version that an event's id tells, if it tells any."""
    telling = _TELLING_EVENT_ID.fullmatch(event_id)
    if telling is None:
        return None
    version = 0
    for digit in telling[2]:
        version = version * len(DIGITS) + DIGITS.index(digit)
    return (CustomerId(f"cus_{telling[1]}"), version) if version <= VERSIONS_MAX else None


def is_account_id(text: str) -> bool:
    """Tell whether a text can name an account: one word of a routing key, of bounded length."""
    return _ACCOUNT_ID.fullmatch(text) is not None


def mode_of(*, livemode: bool) -> Mode:
    return "live" if livemode else "test"


def _digits(number: int) -> str:
    """Return a natural number in as few digits as it takes."""
    rest, last = divmod(number, len(DIGITS))
    return (_digits(rest) if rest else "") + DIGITS[last]


@lru_cache(maxsize=16)
def _time_digits(now_ms: int) -> str:
    return _seven_digits(now_ms)


def _seven_digits(number: int) -> str:
    rest, third = divmod(number, len(_PAIRS))
    rest, second = divmod(rest, len(_PAIRS))
    rest, first = divmod(rest, len(_PAIRS))
    return DIGITS[rest % len(DIGITS)] + _PAIRS[first] + _PAIRS[second] + _PAIRS[third]
