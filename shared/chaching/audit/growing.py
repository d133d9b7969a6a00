"""Growing the tree: hash what the log has beyond it, store the hashes, sign what they come to.

Theory of operation. The holder of the lease ``audit`` reads the log after the tree's end, in steps.
A step stores the leaf hashes and the chain of its events, and the nodes that they complete, and
moves the checkpoint, in one transaction; so the tree ends where the checkpoint stands, whenever
anybody looks, and a crash leaves a step done or not begun. The right edge of the tree is kept in
memory and read back by the next holder. A holder that was fenced stores nothing and signs nothing:
a signed checkpoint is stored in a transaction that asks for the lease, too.

A log must never sign two trees of which one is not the beginning of the other. So a new holder
first computes the newest signed root from what is stored, and goes on only if it is the same. What
a step has hashed stays in memory, so that nothing written to the tables meanwhile is built upon.

Appending does not wait for any of this, and does nothing for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chaching.audit.entries import FORMAT
from chaching.audit.hashing import chain_hash
from chaching.audit.notes import (
    Checkpoint,
    NotANote,
    SignedCheckpoint,
    SigningKey,
    Untrusted,
    origin_of,
    parse_checkpoint,
)
from chaching.audit.stored import (
    TreeBroken,
    newest_checkpoint,
    node_hashes,
    proofs,
    tree_end,
)
from chaching.audit.tree import Frontier, Node, Span, peaks_of
from chaching.envelope import Position
from chaching.eventstore.database import Database, Session
from chaching.eventstore.lease import Held, Lease
from chaching.eventstore.statements import statement

LEASE_NAME: Final = "audit"
RUN_MAX_EVENTS: Final = 1_024
STEP_EVENTS_MAX: Final = 4_096

_HEAD: Final = statement("chaching.eventstore", "head")
_LOG_ID: Final = statement("chaching.eventstore", "log_id")
_LEAF_HASHES: Final = statement("chaching.audit", "leaf_hashes")
_APPEND_RUNS: Final = statement("chaching.audit", "append_runs")
_APPEND_NODES: Final = statement("chaching.audit", "append_nodes")
_APPEND_CHECKPOINT: Final = statement("chaching.audit", "append_checkpoint")


class GrowingTree:
    """The tree in the hands of one holder; use it from one task, and no more after an error."""

    def __init__(
        self, database: Database, lease: Lease, held: Held, key: SigningKey, origin: str
    ) -> None:
        self._database = database
        self._lease = lease
        self._held = held
        self._key = key
        self._origin = origin
        self._frontier = Frontier()
        self._chain = b""
        self._newest: SignedCheckpoint | None = None

    @classmethod
    async def open(
        cls, database: Database, lease: Lease, held: Held, key: SigningKey
    ) -> GrowingTree:
        """Return the tree as it is stored.

        Raises:
            TreeBroken: what is stored does not fit together, or not with what was signed.
            Unavailable: no answer in time.
        """
        [row] = await database.fetch(_LOG_ID)
        tree = cls(database, lease, held, key, origin_of(row["log_id"]))
        await tree._read_back()
        return tree

    @property
    def size(self) -> int:
        """How many events the tree holds."""
        return self._frontier.size

    @property
    def is_signed(self) -> bool:
        """Whether this key signed a checkpoint of this log at the present size."""
        newest = self._newest
        return (
            newest is not None
            and newest.checkpoint.size == self.size
            and newest.checkpoint.origin == self._origin
            and newest.names(self._key.public)
        )

    async def catch_up(self) -> None:
        """Go on to where the log ends now; raises Fenced, TreeBroken or Unavailable."""
        [row] = await self._database.fetch(_HEAD)
        head: int = row["position"]
        while self.size < head:
            await self._step(min(head, self.size + STEP_EVENTS_MAX))

    async def sign(self) -> SignedCheckpoint:
        """Sign the tree as it is and keep the checkpoint; raises Fenced or Unavailable."""
        root = self._frontier.root()
        note = self._key.sign(Checkpoint(origin=self._origin, size=self.size, root=root))
        async with self._database.transaction() as session:
            await session.execute(_APPEND_CHECKPOINT, self.size, root, note)
            await self._advance(self.size, self.size, session)
        self._newest = parse_checkpoint(note)
        return self._newest

    async def _step(self, end: int) -> None:
        start = self.size
        leaves = await self._hashed(start, end)
        runs = self._runs(start + 1, leaves)
        made = self._frontier.extend(leaves)
        async with self._database.transaction() as session:
            await session.execute(_APPEND_RUNS, *zip(*runs, strict=True))
            if made:
                await session.execute(_APPEND_NODES, *_node_columns(made))
            await self._advance(start, end, session)

    def _runs(
        self, first_position: int, leaves: Sequence[bytes]
    ) -> list[tuple[int, int, bytes, bytes]]:
        """Return the rows of the runs of some leaves, with the chain that goes on over them."""
        runs: list[tuple[int, int, bytes, bytes]] = []
        for at in range(0, len(leaves), RUN_MAX_EVENTS):
            run = leaves[at : at + RUN_MAX_EVENTS]
            for leaf in run:
                self._chain = chain_hash(self._chain, leaf)
            runs.append((first_position + at, FORMAT, b"".join(run), self._chain))
        return runs

    async def _hashed(self, after: int, up_to: int) -> list[bytes]:
        """Return the leaf hashes of a stretch of the log, every position of which must be there."""
        rows = await self._database.fetch(_LEAF_HASHES, after, up_to)
        for wanted, (position, _) in enumerate(rows, after + 1):
            if position != wanted:
                raise TreeBroken(f"position {wanted} is not in the log")
        if len(rows) != up_to - after:
            raise TreeBroken(f"position {after + len(rows) + 1} is not in the log")
        return [leaf for _, leaf in rows]

    async def _advance(self, start: int, end: int, session: Session) -> None:
        await self._lease.advance(self._held, Position(start), Position(end), within=session)

    async def _read_back(self) -> None:
        end = await tree_end(self._database)
        if end.size != self._held.position:
            raise TreeBroken(f"the tree ends at {end.size}, its follower at {self._held.position}")
        self._chain = end.chain
        self._newest = await self._checked_newest(end.size)
        peaks = peaks_of(end.size)
        hashes = await node_hashes(self._database, set(peaks))
        self._frontier = Frontier(end.size, [hashes[peak] for peak in peaks])

    async def _checked_newest(self, size: int) -> SignedCheckpoint | None:
        """Return the newest signed checkpoint; its tree must be the beginning of the stored one."""
        try:
            kept = await newest_checkpoint(self._database)
            if kept is None:
                return None
            if kept.signed.names(self._key.public):
                kept.signed.check([self._key.public])
        except (NotANote, Untrusted) as error:
            raise TreeBroken(f"the newest signed checkpoint is not one: {error}") from error
        signed = kept.signed.checkpoint
        if signed.size > size:
            raise TreeBroken(f"the tree ends at {size} and was signed at {signed.size}")
        [[root]] = await proofs(self._database, [[Span(0, signed.size)]])
        if root != signed.root:
            raise TreeBroken(f"the tree at {signed.size} is not what was signed")
        return kept.signed


def _node_columns(
    made: Sequence[tuple[Node, bytes]],
) -> tuple[list[int], list[int], list[bytes]]:
    return (
        [node.level for node, _ in made],
        [node.number for node, _ in made],
        [node_hash for _, node_hash in made],
    )
