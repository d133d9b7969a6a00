"""Identifiers: their types, and pure functions that spell them from given time and entropy.

An id is a prefix and 14 base-62 characters: seven that count milliseconds, so that new rows land
side by side in an index, and seven (41 bits) of entropy. The digits are in ASCII order, so ids
sort by time under the "C" collation. The time part lasts until the year 2081.
"""

from __future__ import annotations

from typing import Final, Literal, NewType, TypeAlias

AccountId = NewType("AccountId", str)
CustomerId = NewType("CustomerId", str)
EventId = NewType("EventId", str)
KeyId = NewType("KeyId", str)
RequestId = NewType("RequestId", str)

Mode: TypeAlias = Literal["test", "live"]

DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PREFIX_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
INVOICE_PREFIX_CHARACTERS: Final = 8

_PAIRS: Final = tuple(first + second for first in DIGITS for second in DIGITS)


def spell(prefix: str, now_ms: int, entropy: int) -> str:
    """Return ``prefix`` and 14 characters from unix milliseconds and a 64-bit random number."""
    return prefix + _seven_digits(now_ms) + _seven_digits(entropy)


def spell_invoice_prefix(entropy: int) -> str:
    """Return eight characters of 0-9A-Z from a 64-bit random number."""
    characters: list[str] = []
    for _ in range(INVOICE_PREFIX_CHARACTERS):
        entropy, digit = divmod(entropy, len(PREFIX_DIGITS))
        characters.append(PREFIX_DIGITS[digit])
    return "".join(characters)


def mode_of(*, livemode: bool) -> Mode:
    return "live" if livemode else "test"


def _seven_digits(number: int) -> str:
    rest, third = divmod(number, len(_PAIRS))
    rest, second = divmod(rest, len(_PAIRS))
    rest, first = divmod(rest, len(_PAIRS))
    return DIGITS[rest % len(DIGITS)] + _PAIRS[first] + _PAIRS[second] + _PAIRS[third]
