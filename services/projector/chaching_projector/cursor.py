"""Asks what to do with a batch of positions that has arrived. Pure.

Positions are dense, so a reader that stands at n knows that n + 1 is next. Lost, repeated and
reordered deliveries show at once: what is at or below the checkpoint was applied before, what
follows it without a gap can be applied, and anything else means that something is missing, which
the log has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from chaching.envelope import Position


class Skip(msgspec.Struct, frozen=True):
    """Everything in the batch was applied before."""


class Apply(msgspec.Struct, frozen=True):
    """These items of the batch (by index), in this order, follow the checkpoint without a gap."""

    picks: tuple[int, ...]


class CatchUp(msgspec.Struct, frozen=True):
    """What follows the checkpoint is not in the batch: read the log up to this position."""

    up_to: Position


Verdict: TypeAlias = Skip | Apply | CatchUp


def judge(checkpoint: Position, positions: Sequence[Position]) -> Verdict:
    """Return what to do next with a batch; after Apply and CatchUp ask again."""
    new: dict[int, int] = {}
    for index, position in enumerate(positions):
        if position > checkpoint:
            new.setdefault(position, index)
    if not new:
        return Skip()
    picks: list[int] = []
    following = checkpoint + 1
    while following in new:
        picks.append(new[following])
        following += 1
    return Apply(tuple(picks)) if picks else CatchUp(Position(max(new)))
