"""The parameters of checkpoints and proofs of the log."""

from __future__ import annotations

from typing import Final

import msgspec

from chaching_api.bodies import Tree
from chaching_api.errors import Malformed
from chaching_api.parameter_tables import Table, read
from chaching_api.parameter_types import Integer, Required


class ConsistencyInput(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes of two trees, the smaller of which is to be proved the beginning of the other."""

    start: int
    end: int


def read_checkpoint(tree: Tree) -> None:
    """Refuse every parameter with Malformed."""
    read(tree, CHECKPOINT)


def read_proof(tree: Tree) -> int:
    """Read the position that is to be proved; raises Malformed."""
    position: int = read(tree, PROOF)["position"]
    return position


def read_consistency(tree: Tree) -> ConsistencyInput:
    """Read the sizes of the trees that are to be compared; raises Malformed."""
    given = read(tree, CONSISTENCY)
    return ConsistencyInput(start=given["from"], end=given["to"])


def check_sizes(wanted: ConsistencyInput, *, largest: int) -> None:
    """Refuse sizes that no two trees have had in this order with Malformed."""
    Integer(minimum=0, maximum=largest).read(f"{wanted.end}", "to")
    if wanted.start > wanted.end:
        raise Malformed(
            f"Invalid from: {wanted.start}; it must not be after to, which is {wanted.end}",
            param="from",
        )


CHECKPOINT: Final[Table] = {}
PROOF: Final[Table] = {"position": Required(Integer(minimum=1))}
CONSISTENCY: Final[Table] = {
    "from": Required(Integer(minimum=0)),
    "to": Required(Integer(minimum=0)),
}

DECLARED: Final = frozenset(name for table in (PROOF, CONSISTENCY) for name in table)
