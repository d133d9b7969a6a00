"""The vectors of the document: the product makes them, the second implementation agrees."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from tests.audit import by_the_document as document
from tests.audit.vectors import vectors

from chaching.audit.exports import check_export
from chaching.audit.notes import parse_checkpoint, parse_public_key

DOCS: Final = Path(__file__).parents[2] / "docs"
VECTORS: Final[dict[str, Any]] = json.loads((DOCS / "audit-vectors.json").read_text())
LEAVES: Final[list[bytes]] = [bytes.fromhex(each["leaf_hash"]) for each in VECTORS["entries"]]


def hashes(told: dict[str, Any]) -> list[bytes]:
    return [bytes.fromhex(each) for each in told["hashes"]]


def test_the_product_makes_the_vectors() -> None:
    assert vectors() == VECTORS


def test_the_document_names_the_vectors_and_no_others() -> None:
    section = (DOCS / "audit-format.md").read_text().partition("## Vectors")[2]
    assert all(f"`{name}`" in section for name in VECTORS)


def test_the_second_implementation_makes_the_same_entries_and_leaves() -> None:
    for told in VECTORS["entries"]:
        entry = document.entry(told["event"])
        assert entry.hex() == told["entry"]
        assert document.leaf(entry).hex() == told["leaf_hash"]


def test_the_second_implementation_makes_the_same_chain_and_roots() -> None:
    assert [link.hex() for link in document.links(LEAVES)] == VECTORS["chain"]
    roots = [document.root(LEAVES[:size]) for size in range(len(LEAVES) + 1)]
    assert [root.hex() for root in roots] == VECTORS["roots"]


def test_the_second_implementation_makes_and_accepts_the_same_proofs() -> None:
    roots: list[bytes] = [bytes.fromhex(root) for root in VECTORS["roots"]]
    for told in VECTORS["inclusion"]:
        index: int = told["index"]
        size: int = told["size"]
        assert hashes(told) == document.inclusion(index, LEAVES[:size])
        assert document.root_of_inclusion(LEAVES[index], index, size, hashes(told)) == roots[size]
    for told in VECTORS["consistency"]:
        smaller: int = told["from"]
        size = told["to"]
        assert hashes(told) == document.consistency(smaller, LEAVES[:size])
        assert document.is_consistent(smaller, roots[smaller], size, roots[size], hashes(told))


def test_both_implementations_open_the_checkpoint() -> None:
    note, key = VECTORS["checkpoint"], VECTORS["public_key"]
    origin, size, root = document.opened(note, key)
    signed = parse_checkpoint(note)
    signed.check([parse_public_key(key)])
    said = signed.checkpoint
    assert (origin, size, root) == (said.origin, said.size, said.root)
    assert root.hex() == VECTORS["roots"][-1]


def test_both_implementations_accept_the_export() -> None:
    file, key = VECTORS["export"].encode(), VECTORS["public_key"]
    verdict = check_export(BytesIO(file), [parse_public_key(key)])
    assert (verdict.is_sound, verdict.events) == (True, document.check_export(file, key))
    assert verdict.events == 4
