"""The checkpoints a log is held against: those that it keeps itself, and those kept elsewhere.

They are asked for in the order of their sizes, while the tree is computed anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from chaching.audit.findings import Finding, What
from chaching.audit.notes import (
    NotANote,
    PublicKey,
    SignedCheckpoint,
    UnknownKey,
    Untrusted,
    origin_of,
    parse_checkpoint,
)
from chaching.audit.stored import Fetches
from chaching.eventstore.database import Row
from chaching.eventstore.statements import statement

READ_MAX_CHECKPOINTS: Final = 1_000

_CHECKPOINTS: Final = statement("chaching.audit", "checkpoints")


class Kept(msgspec.Struct, frozen=True):
    """A checkpoint that was kept elsewhere, and what to call it: the name of its file."""

    name: str
    signed: SignedCheckpoint


class _Witness(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint that is to be compared; ``fault``: what is wrong with it, whatever the log.

    A fault of one that was kept elsewhere says nothing of the log.
    """

    name: str
    size: int
    root: bytes
    origin: str | None
    fault: tuple[What, str] | None = None
    is_kept: bool = False


class Witnesses:
    """All checkpoints of one log; ``covered`` is the size of the largest that proved true.

    ``doubt`` is the first finding that speaks of a checkpoint alone, and of no damage to the log:
    its key was not given, or it was kept elsewhere and is forged or another log's.
    """

    def __init__(
        self,
        fetches: Fetches,
        log_id: str,
        newest_number: int,
        keys: Sequence[PublicKey],
        kept: Sequence[Kept],
    ) -> None:
        """Use the stored ones up to a number; without keys, no signature is checked."""
        self._fetches = fetches
        self._newest_number = newest_number
        self._keys = keys
        self._kept = deque(sorted(kept, key=lambda k: k.signed.checkpoint.size))
        self._stored: deque[_Witness] = deque()
        self._number = 0
        self._origins = {origin_of(log_id)}
        self._covered_before = 0
        self.covered = 0
        self.compared = 0
        self.doubt: Finding | None = None

    async def next_size(self) -> int | None:
        """Return the size of the next checkpoint to compare, None when there is none left."""
        if not self._stored and self._number < self._newest_number:
            await self._read()
        sizes = [witness.size for witness in list(self._stored)[:1]]
        sizes += [kept.signed.checkpoint.size for kept in list(self._kept)[:1]]
        return min(sizes, default=None)

    def compare(self, size: int, root: bytes) -> Finding | None:
        """Compare the next checkpoint with the tree, which has its size, or more in disorder."""
        witness = self._take()
        self.compared += 1
        if witness.fault is not None:
            fault = self._fault_found(witness, size)
            if not (witness.is_kept or fault.what == "key_unknown"):
                return fault
            self.doubt = self.doubt or fault
            if witness.is_kept:
                return None
        if witness.size != size:
            return self._finding(
                "checkpoint_changed", size, f"{witness.name} is smaller than the one before it"
            )
        if witness.root != root:
            return self._finding(
                "checkpoint_contradicted",
                size,
                f"{witness.name} has another root over the first {size} events than the log",
            )
        if witness.fault is None and size > self.covered:
            self._covered_before, self.covered = self.covered, size
        return None

    def beyond(self, last: int) -> Finding:
        """Return that the next checkpoint covers more than the log has."""
        witness = self._take()
        if witness.is_kept and witness.fault is not None:
            return self._fault_found(witness, witness.size)
        return Finding(
            what="log_shortened",
            position=last + 1,
            message=f"{witness.name} covers {witness.size} events, and the log has {last}",
        )

    def _take(self) -> _Witness:
        kept_size = self._kept[0].signed.checkpoint.size if self._kept else None
        if self._stored and (kept_size is None or self._stored[0].size <= kept_size):
            witness = self._stored.popleft()
            if witness.origin is not None:
                self._origins.add(witness.origin)
            return witness
        return self._kept_witness(self._kept.popleft())

    def _fault_found(self, witness: _Witness, size: int) -> Finding:
        """Return what is wrong with a checkpoint: with the note itself where it was kept."""
        assert witness.fault is not None  # noqa: S101 - the caller has looked
        what, message = witness.fault[0], f"{witness.name} {witness.fault[1]}"
        if witness.is_kept:
            return Finding(what=what, position=None, message=message)
        return self._finding(what, size, message)

    def _finding(self, what: What, size: int, message: str) -> Finding:
        before = self._covered_before if size == self.covered else self.covered
        if size == 0:
            return Finding(what=what, position=None, message=message)
        return Finding(what=what, position=before + 1, up_to=size, message=message)

    async def _read(self) -> None:
        rows = await self._fetches.fetch(_CHECKPOINTS, self._number, READ_MAX_CHECKPOINTS)
        for row in rows:
            if row["number"] > self._newest_number:
                break
            witness = self._stored_witness(row)
            if row["number"] != self._number + 1:
                fault: tuple[What, str] = (
                    "checkpoint_missing",
                    "is not preceded by the one before it",
                )
                witness = msgspec.structs.replace(witness, fault=fault)
            self._number = row["number"]
            self._stored.append(witness)
        if not rows:
            self._number = self._newest_number

    def _stored_witness(self, row: Row) -> _Witness:
        name, size, root = f"signed checkpoint {row['number']}", row["size"], row["root_hash"]
        try:
            signed = parse_checkpoint(row["note"])
        except NotANote as error:
            fault: tuple[What, str] = ("checkpoint_changed", f"is not one: {error}")
            return _Witness(name=name, size=size, root=root, origin=None, fault=fault)
        said = signed.checkpoint
        fault_of_note = self._fault(signed)
        if (said.size, said.root) != (size, root):
            fault_of_note = ("checkpoint_changed", "says other than its note")
        return _Witness(
            name=name, size=said.size, root=said.root, origin=said.origin, fault=fault_of_note
        )

    def _kept_witness(self, kept: Kept) -> _Witness:
        said = kept.signed.checkpoint
        fault = self._fault(kept.signed)
        if fault is None and said.origin not in self._origins:
            fault = ("checkpoint_foreign", f"is of another log: {said.origin}")
        return _Witness(
            name=f"the checkpoint in {kept.name}",
            size=said.size,
            root=said.root,
            origin=said.origin,
            fault=fault,
            is_kept=True,
        )

    def _fault(self, signed: SignedCheckpoint) -> tuple[What, str] | None:
        if not self._keys:
            return None
        try:
            signed.check(self._keys)
        except UnknownKey as error:
            return ("key_unknown", f"is {error}")
        except Untrusted as error:
            return ("checkpoint_untrusted", f"is not to be trusted: {error}")
        return None
