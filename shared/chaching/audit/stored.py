"""The tree as it is stored: its end, its nodes, its signed checkpoints, and the log beneath it.

Leaves are stored in runs, nodes from ``BLOCK_LEVEL`` on by themselves; a smaller node is computed
from the 256 leaves of its block. So a proof costs two blocks and a few look-ups, however long the
log is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec

from chaching.audit.entries import FORMAT, StoredEvent, event_of
from chaching.audit.hashing import CHAIN_START, HASH_BYTES
from chaching.audit.notes import Checkpoint, SignedCheckpoint, parse_checkpoint
from chaching.audit.rows import Row, Rows
from chaching.audit.tree import (
    BLOCK_LEAVES,
    BLOCK_LEVEL,
    Node,
    Span,
    block_node,
    span_hash,
    subtrees,
)
from chaching.eventstore import database
from chaching.eventstore.database import KEYED_LOOKUPS, Session
from chaching.eventstore.statements import statement

SESSION_SETTINGS: Final = KEYED_LOOKUPS

_LOG_ROWS: Final = statement("chaching.audit", "log_rows")
_LAST_RUN: Final = statement("chaching.audit", "last_run")
_BLOCK_LEAVES: Final = statement("chaching.audit", "block_leaves")
_NODES: Final = statement("chaching.audit", "nodes")
_EVENT_AT: Final = statement("chaching.audit", "event_at")
_NEWEST_CHECKPOINT: Final = statement("chaching.audit", "newest_checkpoint")


class Fetches(Protocol):
    """A database or a session."""

    async def fetch(self, sql: str, *arguments: object) -> list[database.Row]: ...


class TreeBroken(Exception):  # noqa: N818 - says what the tree is
    """What is stored does not fit together; nothing may be built on it before it is looked at."""


class TreeEnd(msgspec.Struct, frozen=True):
    """How many events the tree holds, and the last link of their chain."""

    size: int
    chain: bytes


class KeptCheckpoint(msgspec.Struct, frozen=True):
    """A signed checkpoint and when it was signed."""

    signed: SignedCheckpoint
    signed_at: datetime

    @property
    def checkpoint(self) -> Checkpoint:
        return self.signed.checkpoint


async def copy_rows(
    session: Session, after: int, up_to: int, take: Callable[[Sequence[Row]], None]
) -> None:
    """Hand over the rows of a stretch of the log, in order of position; raises Unavailable."""
    rows = Rows()
    await session.copy_out(_LOG_ROWS, after, up_to, take=lambda copied: take(rows.cut(copied)))


async def tree_end(fetches: Fetches) -> TreeEnd:
    """Return where the tree ends; raises Unavailable."""
    rows = await fetches.fetch(_LAST_RUN)
    return TreeEnd(rows[0]["size"], rows[0]["chain_hash"]) if rows else TreeEnd(0, CHAIN_START)


async def newest_checkpoint(fetches: Fetches) -> KeptCheckpoint | None:
    """Return the newest signed checkpoint, if there is any.

    Raises:
        NotANote: what is stored is none.
        Unavailable: no answer in time.
    """
    rows = await fetches.fetch(_NEWEST_CHECKPOINT)
    if not rows:
        return None
    [row] = rows
    return KeptCheckpoint(parse_checkpoint(row["note"]), row["signed_at"])


async def event_at(fetches: Fetches, position: int) -> StoredEvent | None:
    """Return the event at a position, whoever's it is; raises NotAnEntry or Unavailable."""
    rows = await fetches.fetch(_EVENT_AT, position)
    if not rows:
        return None
    return event_of(bytes([FORMAT]) + rows[0]["entry"])


async def proofs(fetches: Fetches, wanted: Sequence[Sequence[Span]]) -> list[list[bytes]]:
    """Return the hashes over the spans of some proofs, in two statements for all of them.

    Raises:
        TreeBroken: a node that must be there is missing.
        Unavailable: no answer in time.
    """
    different = {span for spans in wanted for span in spans}
    nodes = {node for span in different for node in subtrees(span)}
    hashes = await node_hashes(fetches, nodes)
    found = {span: span_hash(span, hashes) for span in different}
    return [[found[span] for span in spans] for spans in wanted]


async def node_hashes(fetches: Fetches, nodes: set[Node]) -> dict[Node, bytes]:
    """Return the hashes of nodes; raises TreeBroken or Unavailable as ``proofs`` does."""
    stored = [node for node in nodes if node.level >= BLOCK_LEVEL]
    small = [node for node in nodes if node.level < BLOCK_LEVEL]
    hashes = await _stored_hashes(fetches, stored) if stored else {}
    if small:
        leaves = await _leaves_of_blocks(fetches, {_block(node) for node in small})
        hashes.update((node, _small_hash(node, leaves)) for node in small)
    return hashes


async def _stored_hashes(fetches: Fetches, nodes: Sequence[Node]) -> dict[Node, bytes]:
    levels, numbers = [node.level for node in nodes], [node.number for node in nodes]
    rows = await fetches.fetch(_NODES, levels, numbers)
    found = {Node(row["level"], row["number"]): row["hash"] for row in rows}
    if missing := set(nodes) - found.keys():
        raise TreeBroken(f"a stored node is missing: {min(missing)}")
    return found


async def _leaves_of_blocks(fetches: Fetches, blocks: set[int]) -> dict[int, Sequence[bytes]]:
    rows = await fetches.fetch(_BLOCK_LEAVES, [block * BLOCK_LEAVES + 1 for block in blocks])
    return {row["first_position"] // BLOCK_LEAVES: cut_hashes(row["leaf_hashes"]) for row in rows}


def cut_hashes(joined: bytes) -> list[bytes]:
    """Return hashes that were stored one after the other."""
    return [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]


def _block(node: Node) -> int:
    return (node.number << node.level) // BLOCK_LEAVES


def _small_hash(node: Node, leaves: Mapping[int, Sequence[bytes]]) -> bytes:
    block = leaves.get(_block(node), ())
    if (node.number + 1 << node.level) - _block(node) * BLOCK_LEAVES > len(block):
        raise TreeBroken(f"stored leaves are missing under the node {node}")
    return block_node(node, block)
