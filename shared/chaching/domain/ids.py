"""Identifiers: their types, and pure functions that spell them from given time and entropy.

An id is a prefix and 14 base-62 characters: seven that count milliseconds, so that new rows land
side by side in an index, and seven (41 bits) of entropy. The digits are in ASCII order, so ids
sort by time under the "C" collation. The time part lasts until the year 2081.
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

_ACCOUNT_ID: Final = re.compile(ACCOUNT_ID_PATTERN)
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


def is_account_id(text: str) -> bool:
    """Tell whether a text can name an account: one word of a routing key, of bounded length."""
    return _ACCOUNT_ID.fullmatch(text) is not None


def mode_of(*, livemode: bool) -> Mode:
    return "live" if livemode else "test"


@lru_cache(maxsize=16)
def _time_digits(now_ms: int) -> str:
    return _seven_digits(now_ms)


def _seven_digits(number: int) -> str:
    rest, third = divmod(number, len(_PAIRS))
    rest, second = divmod(rest, len(_PAIRS))
    rest, first = divmod(rest, len(_PAIRS))
    return DIGITS[rest % len(DIGITS)] + _PAIRS[first] + _PAIRS[second] + _PAIRS[third]
