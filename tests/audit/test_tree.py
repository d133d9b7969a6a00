from __future__ import annotations

from hashlib import sha256
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.audit import by_the_document as document

from chaching.audit.hashing import CHAIN_START, EMPTY_ROOT, chain_hash, leaf_hash
from chaching.audit.tree import (
    BLOCK_LEVEL,
    Frontier,
    Node,
    Span,
    block_node,
    consistency_spans,
    inclusion_spans,
    is_consistent,
    is_included,
    peaks_of,
    span_hash,
    subtrees,
)

SIZE_MAX: Final = 130
LEAVES: Final = [leaf_hash(bytes([number])) for number in range(SIZE_MAX)]
ROOTS: Final = [document.root(LEAVES[:size]) for size in range(SIZE_MAX + 1)]
# the entries and roots by which implementations of RFC 6962 are tested all over the field
KNOWN_ENTRIES: Final = (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)  # fmt: skip
KNOWN_ROOTS: Final = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def hashes_over(spans: list[Span], leaves: list[bytes] = LEAVES) -> list[bytes]:
    """Return the hashes of a proof, each subtree of it computed by the document."""
    nodes = {node for span in spans for node in subtrees(span)}
    hashes = {
        node: document.root(leaves[node.number << node.level :][: 1 << node.level])
        for node in nodes
    }
    return [span_hash(span, hashes) for span in spans]


def test_the_roots_are_those_that_the_field_knows() -> None:
    frontier = Frontier()
    for entry, root in zip(KNOWN_ENTRIES, KNOWN_ROOTS, strict=True):
        frontier.extend([leaf_hash(bytes.fromhex(entry))])
        assert frontier.root().hex() == root


def test_a_tree_of_every_size_has_the_root_of_the_definition() -> None:
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT == ROOTS[0]
    for size, leaf in enumerate(LEAVES, 1):
        frontier.extend([leaf])
        assert frontier.root() == ROOTS[size]


@given(st.lists(st.integers(0, 40), max_size=8))
def test_it_does_not_matter_in_which_steps_a_tree_grows(steps: list[int]) -> None:
    frontier, size = Frontier(), 0
    for step in steps:
        frontier.extend(LEAVES[size : size + step])
        size = min(size + step, SIZE_MAX)
        assert frontier.root() == ROOTS[size]
        hashes = {
            n: document.root(LEAVES[n.number << n.level :][: 1 << n.level]) for n in peaks_of(size)
        }
        read_back = Frontier(size, [hashes[node] for node in peaks_of(size)])
        assert read_back.root() == ROOTS[size]
        frontier = read_back


def test_every_leaf_of_every_tree_is_included_and_at_no_other_place() -> None:
    for size in range(1, SIZE_MAX + 1):
        for index in range(size):
            hashes = hashes_over(inclusion_spans(index, size))
            assert is_included(LEAVES[index], index, size, hashes, ROOTS[size])
            assert not is_included(LEAVES[index], index ^ 1, size, hashes, ROOTS[size]) or size == 1
            assert not is_included(LEAVES[index], index, size, hashes, ROOTS[size - 1])
            assert not is_included(LEAVES[index], index, 2 * size, hashes, ROOTS[size])


def test_every_tree_is_the_beginning_of_every_later_one() -> None:
    for later in range(SIZE_MAX + 1):
        for size in range(later + 1):
            hashes = hashes_over(consistency_spans(size, later))
            assert is_consistent(size, ROOTS[size], later, ROOTS[later], hashes)
            if size not in {0, later}:
                assert not is_consistent(size, ROOTS[size - 1], later, ROOTS[later], hashes)
                assert not is_consistent(size, ROOTS[size], later, ROOTS[later - 1], hashes)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8, 9, 31, 32, 33, 65, 128, 130])
def test_proofs_are_hash_by_hash_those_of_the_document(size: int) -> None:
    for index in range(size):
        proof = hashes_over(inclusion_spans(index, size))
        assert proof == document.inclusion(index, LEAVES[:size])
        assert document.root_of_inclusion(LEAVES[index], index, size, proof) == ROOTS[size]
    for smaller in range(size + 1):
        proof = hashes_over(consistency_spans(smaller, size))
        assert proof == document.consistency(smaller, LEAVES[:size])
        assert document.is_consistent(smaller, ROOTS[smaller], size, ROOTS[size], proof)


broken = st.sampled_from(["flip", "drop", "repeat", "swap", "add"])


def damaged(hashes: list[bytes], how: str, at: int) -> list[bytes]:
    changed = list(hashes)
    if how == "add" or not changed:
        return [*changed, LEAVES[at % SIZE_MAX]]
    at %= len(changed)
    if how == "flip":
        changed[at] = bytes([changed[at][0] ^ 1]) + changed[at][1:]
    elif how == "drop":
        del changed[at]
    elif how == "repeat":
        changed.insert(at, changed[at])
    else:
        changed[at], changed[-1] = changed[-1], changed[at]
    return changed


@given(st.data(), broken)
def test_a_damaged_proof_proves_nothing(data: st.DataObject, how: str) -> None:
    size = data.draw(st.integers(2, SIZE_MAX))
    index, at = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, 200))
    smaller = data.draw(st.integers(1, size - 1))
    inclusion = hashes_over(inclusion_spans(index, size))
    consistency = hashes_over(consistency_spans(smaller, size))
    worse = damaged(inclusion, how, at)
    if worse != inclusion:
        assert not is_included(LEAVES[index], index, size, worse, ROOTS[size])
        assert document.root_of_inclusion(LEAVES[index], index, size, worse) != ROOTS[size]
    worse = damaged(consistency, how, at)
    if worse != consistency:
        assert not is_consistent(smaller, ROOTS[smaller], size, ROOTS[size], worse)
        assert not document.is_consistent(smaller, ROOTS[smaller], size, ROOTS[size], worse)


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=12), st.data())
def test_both_implementations_say_the_same_of_any_hashes(
    hashes: list[bytes], data: st.DataObject
) -> None:
    size, index = data.draw(st.integers(1, SIZE_MAX)), data.draw(st.integers(0, SIZE_MAX))
    root = document.root_of_inclusion(LEAVES[0], index, size, hashes)
    assert is_included(LEAVES[0], index, size, hashes, root or ROOTS[size]) == bool(root)
    smaller = data.draw(st.integers(0, SIZE_MAX))
    roots = (
        document.roots_of_consistency(smaller, size, hashes, ROOTS[smaller])
        if 0 < smaller <= size
        else None
    )
    old, new = roots or (ROOTS[smaller], ROOTS[size])
    assert is_consistent(smaller, old, size, new, hashes) == document.is_consistent(
        smaller, old, size, new, hashes
    )


def test_nodes_are_made_when_they_are_complete_and_only_then() -> None:
    leaves = [sha256(number.to_bytes(2, "big")).digest() for number in range(1100)]
    frontier = Frontier()
    made = [node for leaf in leaves for node in frontier.extend([leaf])]
    assert [node for node, _ in made] == [
        Node(8, 0),
        *(Node(8, 1), Node(9, 0)),
        Node(8, 2),
        *(Node(8, 3), Node(9, 1), Node(10, 0)),
    ]
    for node, made_hash in made:
        assert made_hash == document.root(leaves[node.number << node.level :][: 1 << node.level])
    assert made == Frontier().extend(leaves)


def test_a_small_node_is_computed_from_the_leaves_of_its_block() -> None:
    leaves = [sha256(number.to_bytes(2, "big")).digest() for number in range(512)]
    for level in range(BLOCK_LEVEL):
        for number in range(512 >> level):
            own = leaves[number << level :][: 1 << level]
            block = leaves[256:] if number << level >= 256 else leaves[:256]
            assert block_node(Node(level, number), block) == document.root(own)


def test_the_chain_is_that_of_the_document() -> None:
    link, found = CHAIN_START, list[bytes]()
    for leaf in LEAVES:
        link = chain_hash(link, leaf)
        found.append(link)
    assert found == document.links(LEAVES)
