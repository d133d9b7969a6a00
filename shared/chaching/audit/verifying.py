"""Verifying the log: recompute everything from its rows, and name the first bad position.

Theory of operation. What log, tree and checkpoints say of their size is read at one instant; what
is appended later is left alone. Then the log is read in stretches, each in a statement of its own,
so that no snapshot is held for long. Of every stretch it is checked: that every position is there
once and every event follows on the one before it in its stream; that its leaves are the stored
ones; the chain at the end of every run; the nodes that are complete now; and, where a signed
checkpoint has just this size, its root and its signature. The first stretch with a finding is the
last that is read. Memory is bounded by a stretch of hashes, whatever the log's size.

Who can write to every table can make rows and tree fit each other again, but not the signatures,
nor the checkpoints that are kept elsewhere. Then no single leaf is known to be wrong, and the
finding is a range: from the first position that no good checkpoint covers to the size of the one
that is contradicted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol, TypeAlias

import msgspec

from chaching.audit.entries import FORMAT
from chaching.audit.findings import Finding, Verdict, first_of
from chaching.audit.hashing import CHAIN_START, HASH_BYTES, chain_hash, leaf_hash
from chaching.audit.notes import PublicKey
from chaching.audit.rows import Row
from chaching.audit.stored import copy_rows
from chaching.audit.tree import BLOCK_LEVEL, Frontier, Node
from chaching.audit.witnesses import Kept, Witnesses
from chaching.eventstore import database
from chaching.eventstore.database import Session
from chaching.eventstore.statements import statement

STRETCH_EVENTS: Final = 65_536
UNSIGNED_MAX_S: Final = 3_600.0
VERSIONS_GUARD: Final = "events_stream_version_key"

Progress: TypeAlias = Callable[[int, int], None]

_OVERVIEW: Final = statement("chaching.audit", "overview")
_GUARDS: Final = statement("chaching.audit", "guards")
_RUNS: Final = statement("chaching.audit", "runs")
_OTHER_NODES: Final = statement("chaching.audit", "other_nodes")
_REPEATED_VERSION: Final = statement("chaching.audit", "repeated_version")
_AGE: Final = statement("chaching.audit", "age")


class Reads(Protocol):
    """What a verification needs of a database."""

    async def fetch(self, sql: str, *arguments: object) -> list[database.Row]: ...

    def session(self) -> AbstractAsyncContextManager[Session]: ...


class _Overview(msgspec.Struct, frozen=True, kw_only=True):
    """What log, tree and checkpoints say of their own size; None where there is nothing."""

    heads: int
    head: int | None
    log_id: str | None
    first_position: int | None
    last_position: int | None
    follower: int | None
    hashed: int | None
    nodes: int
    newest_checkpoint: int | None


class _Run(msgspec.Struct, frozen=True):
    """The stored hashes of events side by side, with the chain at their end."""

    first: int
    format: int
    leaves: bytes
    chain: bytes

    @property
    def last(self) -> int:
        return self.first - 1 + len(self.leaves) // HASH_BYTES


async def verify(
    reads: Reads,
    *,
    keys: Sequence[PublicKey] = (),
    kept: Sequence[Kept] = (),
    progress: Progress = lambda _done, _of: None,
) -> Verdict:
    """Verify the whole log, as one database or session sees it.

    With ``keys`` signatures are checked; ``progress`` is told events done and to be done.

    Raises:
        Unavailable: the database does not answer.
    """
    [row] = await reads.fetch(_OVERVIEW)
    overview = _Overview(**{name: row[name] for name in _Overview.__struct_fields__})
    return await _Verification(reads, overview, keys, kept, progress).run()


class _Verification:
    """One verification: how far it has come, and the tree and chain computed so far."""

    def __init__(
        self,
        reads: Reads,
        overview: _Overview,
        keys: Sequence[PublicKey],
        kept: Sequence[Kept],
        progress: Progress,
    ) -> None:
        self._reads = reads
        self._overview = overview
        self._progress = progress
        self._signatures_checked = bool(keys)
        self._last = overview.last_position or 0
        self._hashed = overview.hashed or 0
        self._frontier = Frontier()
        self._chain = CHAIN_START
        self._witnesses = Witnesses(
            reads, overview.log_id or "", overview.newest_checkpoint or 0, keys, kept
        )

    async def run(self) -> Verdict:
        started_s = time.monotonic()
        found = first_of([self._before_the_first(), await self._grown([])])
        while found is None and self._frontier.size < max(self._last, self._hashed):
            found = await self._stretch(self._frontier.size)
            self._progress(self._frontier.size, self._last)
        if found is None:
            found = await self._at_the_end()
        return Verdict(
            is_sound=found is None,
            events=self._frontier.size,
            signed=self._witnesses.covered,
            hashed=min(self._hashed, self._frontier.size),
            checkpoints=self._witnesses.compared,
            signatures_checked=self._signatures_checked,
            first_bad=found,
            elapsed_s=time.monotonic() - started_s,
        )

    def _before_the_first(self) -> Finding | None:
        first = self._overview.first_position
        if first is None or first > 0:
            return None
        return Finding(
            what="event_out_of_order",
            position=first,
            message=f"an event stands at position {first}, before the first one",
        )

    async def _stretch(self, start: int) -> Finding | None:
        """Verify the events after a position as far as the runs go that begin soon after it."""
        runs, gap = await self._runs(start)
        end = runs[-1].last if runs else min(start + STRETCH_EVENTS, self._last)
        if gap is not None and not runs:
            return gap
        leaves, disorder = await self._leaves(start, end)
        bad = first_of([_compared(runs, start, leaves), disorder, gap])
        if bad is not None and bad.position is not None and bad.position <= end:
            leaves = leaves[: bad.position - start - 1]
        return first_of([self._chained(runs, start, leaves), await self._grown(leaves), bad])

    async def _runs(self, start: int) -> tuple[list[_Run], Finding | None]:
        """Return the runs that follow on one another, and where one does not that should."""
        until = min(start + STRETCH_EVENTS, self._hashed)
        rows = await self._reads.fetch(_RUNS, start, until)
        runs: list[_Run] = []
        end = start
        for row in rows:
            run = _Run(row["first_position"], row["format"], row["leaf_hashes"], row["chain_hash"])
            if run.first != end + 1:
                break
            if run.format != FORMAT:
                return runs, _tree_changed(run, f"the format {run.format} is unknown")
            runs.append(run)
            end = run.last
        if len(runs) == len(rows) and end >= until:
            return runs, None
        message = f"the stored hash of the event at position {end + 1} is missing or in disorder"
        return runs, Finding(what="tree_changed", position=end + 1, message=message)

    async def _leaves(self, start: int, end: int) -> tuple[list[bytes], Finding | None]:
        """Return the leaf hashes of events, up to the first that is missing or in disorder."""
        stretch = _Stretch(start)
        async with self._reads.session() as session:
            await copy_rows(session, start, min(end, self._last), stretch.take)
        if stretch.found is None and len(stretch.leaves) < end - start:
            stretch.found = self._missing(start + len(stretch.leaves) + 1)
        return stretch.leaves, stretch.found

    def _missing(self, position: int) -> Finding:
        if position <= self._last:
            message = f"there is no event at position {position}"
            return Finding(what="event_missing", position=position, message=message)
        message = f"the log ends before position {position}, and {self._hashed} events were hashed"
        return Finding(what="log_shortened", position=position, message=message)

    def _chained(self, runs: Sequence[_Run], start: int, leaves: Sequence[bytes]) -> Finding | None:
        """Go on with the chain; compare it at the end of each run."""
        chain, position = self._chain, start
        ends = {run.last: run for run in runs}
        for leaf in leaves:
            chain = chain_hash(chain, leaf)
            position += 1
            run = ends.get(position)
            if run is not None and run.chain != chain:
                return _tree_changed(run, "the stored chain is another")
        self._chain = chain
        return None

    async def _grown(self, leaves: Sequence[bytes]) -> Finding | None:
        """Let the tree grow; compare it with each checkpoint on the way, and its nodes."""
        start, made = self._frontier.size, list[tuple[Node, bytes]]()
        found: Finding | None = None
        while found is None:
            size = await self._witnesses.next_size()
            if size is None or size > start + len(leaves):
                break
            at = max(size, self._frontier.size)
            made += self._frontier.extend(leaves[self._frontier.size - start : at - start])
            found = self._witnesses.compare(at, self._frontier.root())
        if found is None:
            made += self._frontier.extend(leaves[self._frontier.size - start :])
        return first_of([await self._other_node(made), found])

    async def _other_node(self, made: Sequence[tuple[Node, bytes]]) -> Finding | None:
        stored = [(n, h) for n, h in made if (n.number + 1) << n.level <= self._hashed]
        rows = await self._reads.fetch(
            _OTHER_NODES,
            [node.level for node, _ in stored],
            [node.number for node, _ in stored],
            [node_hash for _, node_hash in stored],
        )
        if not rows:
            return None
        [row] = rows
        first, last = row["number"] << row["level"], (row["number"] + 1) << row["level"]
        message = f"the stored node over positions {first + 1} to {last} is another, or missing"
        return Finding(what="tree_changed", position=first + 1, up_to=last, message=message)

    async def _at_the_end(self) -> Finding | None:
        """Find what can be told of the whole only; damage goes before doubt."""
        size = await self._witnesses.next_size()
        beyond = None if size is None else self._witnesses.beyond(self._last)
        damages = [beyond, self._other_head(), self._other_tree()]
        doubt = self._witnesses.doubt
        if doubt is None:
            damages.append(await self._unsigned())
        return first_of([*damages, await self._guard()]) or doubt

    def _other_head(self) -> Finding | None:
        head, last = self._overview.head, self._last
        if self._overview.heads != 1 or head is None:
            message = f"the log has {self._overview.heads} heads"
            return Finding(what="tree_changed", position=None, message=message)
        if head > last:
            message = f"the head of the log is at {head}, and its last event at {last}"
            return Finding(what="log_shortened", position=last + 1, message=message)
        if head < last:
            message = f"the head of the log is at {head}, and events stand beyond it"
            return Finding(what="event_beyond_head", position=head + 1, message=message)
        return None

    def _other_tree(self) -> Finding | None:
        wanted = sum(
            self._hashed >> level
            for level in range(BLOCK_LEVEL, max(self._hashed.bit_length(), BLOCK_LEVEL))
        )
        if self._overview.follower != self._hashed:
            message = f"the auditor stands at {self._overview.follower}, its tree at {self._hashed}"
        elif self._overview.nodes != wanted:
            message = f"the tree has {self._overview.nodes} nodes, where {wanted} belong"
        else:
            return None
        position = min(self._overview.follower or 0, self._hashed) + 1
        return Finding(what="tree_changed", position=min(position, self._last), message=message)

    async def _unsigned(self) -> Finding | None:
        first = self._witnesses.covered + 1
        rows = await self._reads.fetch(_AGE, first)
        if not rows or rows[0]["age_s"] <= UNSIGNED_MAX_S:
            return None
        message = "no signed checkpoint covers the events from here on, which are not new"
        return Finding(what="not_signed", position=first, up_to=self._last, message=message)

    async def _guard(self) -> Finding | None:
        guards = [row["guard"] for row in await self._reads.fetch(_GUARDS)]
        if not guards:
            return None
        if VERSIONS_GUARD in guards:
            [row] = await self._reads.fetch(_REPEATED_VERSION, self._last)
            position: int | None = row["position"]
            if position is not None:
                message = f"the version of the event at position {position} stands twice"
                return Finding(what="event_out_of_order", position=position, message=message)
        names = ", ".join(guards)
        message = f"what keeps the tables from being changed is not in force: {names}"
        return Finding(what="guard_missing", position=None, message=message)


class _Stretch:
    """Takes the rows of a stretch: leaf hashes, until a row is not the one that must follow."""

    def __init__(self, start: int) -> None:
        self.leaves: list[bytes] = []
        self.found: Finding | None = None
        self._next = start + 1

    def take(self, rows: Sequence[Row]) -> None:
        if self.found is not None:
            return
        wanted = self._next
        for position, follows, entry in rows:
            if position != wanted:
                self.found = _disorder(position, wanted)
                break
            self.leaves.append(leaf_hash(entry))
            if not follows:
                message = f"the event at position {position} does not follow on its predecessor"
                self.found = Finding(what="event_out_of_order", position=position, message=message)
                break
            wanted += 1
        self._next = wanted


def _disorder(position: int, wanted: int) -> Finding:
    if position < wanted:
        message = f"more than one event stands at position {position}"
        return Finding(what="event_repeated", position=position, message=message)
    message = f"there is no event at position {wanted}"
    return Finding(what="event_missing", position=wanted, message=message)


def _compared(runs: Sequence[_Run], start: int, leaves: Sequence[bytes]) -> Finding | None:
    """Return the first event whose leaf hash is not the stored one."""
    for run in runs:
        own = leaves[run.first - start - 1 : run.last - start]
        if run.leaves.startswith(b"".join(own)):
            continue
        same = 0
        while own[same] == run.leaves[same * HASH_BYTES : (same + 1) * HASH_BYTES]:
            same += 1
        position = run.first + same
        message = f"the event at position {position} is not the one that was hashed"
        return Finding(what="event_changed", position=position, message=message)
    return None


def _tree_changed(run: _Run, what: str) -> Finding:
    message = f"the stored hashes of positions {run.first} to {run.last}: {what}"
    return Finding(what="tree_changed", position=run.first, up_to=run.last, message=message)
