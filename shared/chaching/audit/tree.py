"""The Merkle tree of RFC 6962, section 2.1: growing it, what proofs are made of, checking them.

A node is a complete subtree: over ``2 ** level`` leaves from leaf ``number << level`` on. It never
changes once it is complete, whatever follows, so nodes can be stored. Every hash of a proof is
the hash of a span of leaves, and every span is a few complete subtrees side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from chaching.audit.hashing import EMPTY_ROOT, NODE_PREFIX, node_hash

BLOCK_LEVEL: Final = 8
BLOCK_LEAVES: Final = 1 << BLOCK_LEVEL


class Node(NamedTuple):
    """A complete subtree: level 0 are the leaves; the numbers of each level count from 0."""

    level: int
    number: int


class Span(NamedTuple):
    """Leaves side by side, from ``start`` up to but without ``end``."""

    start: int
    end: int


class Frontier:
    """The right edge of a growing tree: the complete subtrees that it is made of, largest first."""

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        """Go on from a tree; ``peaks`` are the hashes of ``peaks_of(size)``, in that order."""
        self.size = size
        self._peaks = list(peaks)

    def extend(self, leaves: Iterable[bytes]) -> list[tuple[Node, bytes]]:
        """Append the hashes of leaves; return the nodes from ``BLOCK_LEVEL`` on that they made."""
        made: list[tuple[Node, bytes]] = []
        peaks, index = self._peaks, self.size
        for leaf in leaves:
            top, level, at = leaf, 0, index
            while at & 1:
                top = sha256(NODE_PREFIX + peaks.pop() + top).digest()
                level += 1
                at >>= 1
                if level >= BLOCK_LEVEL:
                    made.append((Node(level, at), top))
            peaks.append(top)
            index += 1
        self.size = index
        return made

    def root(self) -> bytes:
        """Return the root hash at the present size."""
        return _folded(self._peaks) if self._peaks else EMPTY_ROOT


def peaks_of(size: int) -> list[Node]:
    """Return the complete subtrees of a tree of some size, largest first."""
    return subtrees(Span(0, size))


def subtrees(span: Span) -> list[Node]:
    """Return the complete subtrees that a span of a proof is made of, from left to right."""
    nodes: list[Node] = []
    start, end = span
    while start < end:
        level = (end - start).bit_length() - 1
        nodes.append(Node(level, start >> level))
        start += 1 << level
    return nodes


def inclusion_spans(index: int, size: int) -> list[Span]:
    """Return what an inclusion proof of a leaf in a tree consists of (RFC 6962, 2.1.1)."""
    spans: list[Span] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            spans.append(Span(middle, end))
            end = middle
        else:
            spans.append(Span(start, middle))
            start = middle
    return spans[::-1]


def consistency_spans(size: int, later_size: int) -> list[Span]:
    """Return what a consistency proof of two trees consists of (RFC 6962, 2.1.2)."""
    if size in (0, later_size):
        return []
    spans: list[Span] = []
    start, end = 0, later_size
    while size < end:
        middle = start + _split(end - start)
        if size <= middle:
            spans.append(Span(middle, end))
            end = middle
        else:
            spans.append(Span(start, middle))
            start = middle
    if start > 0:  # otherwise whoever checks has this hash: it is the root of the older tree
        spans.append(Span(start, end))
    return spans[::-1]


def span_hash(span: Span, hashes: Mapping[Node, bytes]) -> bytes:
    """Return the hash over a span, given those of its subtrees; EMPTY_ROOT over no leaf at all."""
    return (
        _folded([hashes[node] for node in subtrees(span)]) if span.start < span.end else EMPTY_ROOT
    )


def block_node(node: Node, block_leaves: Sequence[bytes]) -> bytes:
    """Return the hash of a node below ``BLOCK_LEVEL``, given the leaves of its block."""
    start = (node.number << node.level) % BLOCK_LEAVES
    hashes = list(block_leaves[start : start + (1 << node.level)])
    while len(hashes) > 1:
        hashes = [node_hash(left, right) for left, right in _pairs(hashes)]
    return hashes[0]


def is_included(leaf: bytes, index: int, size: int, hashes: Sequence[bytes], root: bytes) -> bool:
    """Check an inclusion proof: the leaf with this hash stands at ``index`` under the root."""
    if not 0 <= index < size:
        return False
    found, at, last = leaf, index, size - 1
    for sibling in hashes:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(sibling, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def is_consistent(
    size: int, root: bytes, later_size: int, later_root: bytes, hashes: Sequence[bytes]
) -> bool:
    """Check a consistency proof: the older tree is the beginning of the later one."""
    if size == later_size:
        return not hashes and root == later_root
    if size == 0 or size > later_size:
        return size == 0 and not hashes
    path = [root, *hashes] if size & (size - 1) == 0 else list(hashes)
    if not path:
        return False
    at, last = size - 1, later_size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    older = later = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            older, later = node_hash(sibling, older), node_hash(sibling, later)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            later = node_hash(later, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and older == root and later == later_root


def _split(leaves: int) -> int:
    """Return the largest power of two below a number of leaves."""
    return 1 << ((leaves - 1).bit_length() - 1)


def _folded(hashes: Sequence[bytes]) -> bytes:
    folded = hashes[-1]
    for left in reversed(hashes[:-1]):
        folded = node_hash(left, folded)
    return folded


def _pairs(hashes: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(hashes[::2], hashes[1::2], strict=True)
