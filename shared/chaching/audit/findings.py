"""What a verification finds, and what it says in the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

What: TypeAlias = Literal[
    "event_changed",
    "event_missing",
    "event_repeated",
    "event_out_of_order",
    "event_beyond_head",
    "log_shortened",
    "tree_changed",
    "checkpoint_contradicted",
    "checkpoint_changed",
    "checkpoint_missing",
    "checkpoint_untrusted",
    "key_unknown",
    "checkpoint_foreign",
    "not_signed",
    "guard_missing",
]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something is not as it was: at which position first, and what.

    ``up_to`` is there when it cannot be told more exactly: the first bad position lies between
    the two. ``position`` is None when no event is concerned. ``key_unknown`` tells of no damage:
    what is signed there is signed by a key that was not given.
    """

    what: What
    position: int | None
    up_to: int | None = None
    message: str

    @property
    def rank(self) -> tuple[bool, int]:
        """Findings in the order of their positions, those without one last."""
        return (self.position is None, self.position or 0)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a verification.

    ``events`` were verified, those up to ``signed`` under a signed checkpoint; ``checkpoints`` were
    compared, with their signatures if ``signatures_checked``. ``first_bad`` is the finding at the
    first bad position; ``is_sound`` if there is none.
    """

    is_sound: bool
    events: int
    signed: int
    hashed: int
    checkpoints: int
    signatures_checked: bool
    first_bad: Finding | None
    elapsed_s: float


def first_of(findings: Sequence[Finding | None]) -> Finding | None:
    """Return the finding at the first position; of several there, the one that was named first."""
    found = [finding for finding in findings if finding is not None]
    return min(found, key=lambda finding: finding.rank) if found else None
