"""What the API answers of the audit: checkpoints and proofs, each as an object."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from chaching.audit.entries import StoredEvent, entry_of
from chaching.audit.hashing import leaf_hash, to_base64
from chaching.audit.stored import Fetches, KeptCheckpoint, proofs
from chaching.audit.tree import consistency_spans, inclusion_spans


class AuditCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A signed checkpoint; everything but ``note`` repeats what the note says."""

    object: str = "audit.checkpoint"
    note: str
    origin: str
    root_hash: str
    size: int


class AuditProof(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it is stored, and the proof that it is in the tree of a signed checkpoint."""

    object: str = "audit.proof"
    event: StoredEvent
    hashes: Sequence[str]
    index: int
    leaf_hash: str
    note: str
    size: int


class AuditConsistency(msgspec.Struct, frozen=True, kw_only=True):
    """The proof that the tree of one size is the beginning of that of another."""

    object: str = "audit.consistency"
    start: int = msgspec.field(name="from")
    hashes: Sequence[str]
    end: int = msgspec.field(name="to")


def checkpoint_answer(kept: KeptCheckpoint) -> AuditCheckpoint:
    checkpoint = kept.checkpoint
    return AuditCheckpoint(
        note=kept.signed.note,
        origin=checkpoint.origin,
        root_hash=to_base64(checkpoint.root),
        size=checkpoint.size,
    )


async def proof_answer(fetches: Fetches, event: StoredEvent, kept: KeptCheckpoint) -> AuditProof:
    """Return the proof of an event that a checkpoint covers; raises TreeBroken or Unavailable."""
    size, index = kept.checkpoint.size, event.position - 1
    [hashes] = await proofs(fetches, [inclusion_spans(index, size)])
    return AuditProof(
        event=event,
        hashes=[to_base64(each) for each in hashes],
        index=index,
        leaf_hash=to_base64(leaf_hash(entry_of(event))),
        note=kept.signed.note,
        size=size,
    )


async def consistency_answer(fetches: Fetches, start: int, end: int) -> AuditConsistency:
    """Return the proof for two sizes that the tree has had; raises TreeBroken or Unavailable."""
    [hashes] = await proofs(fetches, [consistency_spans(start, end)])
    return AuditConsistency(start=start, hashes=[to_base64(each) for each in hashes], end=end)
