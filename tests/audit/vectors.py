"""The vectors of ``docs/audit-vectors.json``, made by the product.

``python -m tests.audit.vectors > docs/audit-vectors.json`` writes them anew.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final

import msgspec

from chaching.audit.entries import StoredEvent, entry_of
from chaching.audit.exports import EXPORT_FORMAT, ExportWriter, Header
from chaching.audit.hashing import CHAIN_START, EMPTY_ROOT, chain_hash, leaf_hash
from chaching.audit.notes import Checkpoint, SigningKey
from chaching.audit.tree import (
    Frontier,
    Node,
    Span,
    consistency_spans,
    inclusion_spans,
    span_hash,
    subtrees,
)

KEY: Final = SigningKey(bytes(range(32)))
ORIGIN: Final = "chaching/00000000-0000-4000-8000-000000000000"
SIZE: Final = 7


def event(position: int, **changes: object) -> StoredEvent:
    """Return an event that differs from the others as little as its place makes it."""
    plain = StoredEvent(
        position=position,
        account="acct_1",
        livemode=False,
        stream=f"cus_{position}",
        version=1,
        previous_position=0,
        event_id=f"evt_{position}",
        type="CustomerCreated",
        schema_version=1,
        payload='{"id":"cus_1"}',
        state=None,
        metadata='{"request_id":"req_1"}',
        invoice_prefix=None,
        recorded_at=f"2026-01-02T03:04:05.00000{position}Z",
    )
    return msgspec.structs.replace(plain, **changes)


EVENTS: Final = (
    event(1),
    event(2, livemode=True, invoice_prefix="ABC123"),
    event(3, invoice_prefix=""),
    event(
        4,
        stream="cus_1",
        version=2,
        previous_position=1,
        type="CustomerUpdated",
        payload='{ "name": "J\u00f6rg \u65e5\u672c \U0001f0a1" }',
        state="{}",
    ),
    event(5, account="acct_2", recorded_at="1999-12-31T23:59:59.999999Z"),
    event(6, stream="cus_1", version=3, previous_position=4, payload="", metadata=" {\n}\t"),
    event(7, schema_version=-1, previous_position=2**40),
)
ENTRIES: Final = [entry_of(each) for each in EVENTS]
LEAVES: Final = [leaf_hash(entry) for entry in ENTRIES]


def vectors() -> dict[str, Any]:
    roots = [_root(size) for size in range(SIZE + 1)]
    checkpoint = Checkpoint(origin=ORIGIN, size=SIZE, root=roots[SIZE])
    note = KEY.sign(checkpoint)
    return {
        "entries": [
            {
                "event": msgspec.to_builtins(each),
                "entry": entry.hex(),
                "leaf_hash": leaf_hash(entry).hex(),
            }
            for each, entry in zip(EVENTS, ENTRIES, strict=True)
        ],
        "chain": [link.hex() for link in _links()],
        "roots": [root.hex() for root in roots],
        "inclusion": [
            {"index": index, "size": size, "hashes": _hashes(inclusion_spans(index, size))}
            for size in range(1, SIZE + 1)
            for index in range(size)
        ],
        "consistency": [
            {"from": size, "to": later, "hashes": _hashes(consistency_spans(size, later))}
            for later in range(SIZE + 1)
            for size in range(later + 1)
        ],
        "public_key": KEY.public.verifier(ORIGIN),
        "checkpoint": note,
        "export": _export(note),
    }


def _root(size: int) -> bytes:
    frontier = Frontier()
    frontier.extend(LEAVES[:size])
    return frontier.root() if size else EMPTY_ROOT


def _links() -> list[bytes]:
    links = [CHAIN_START]
    for leaf in LEAVES:
        links.append(chain_hash(links[-1], leaf))
    return links[1:]


def _hashes(spans: list[Span]) -> list[str]:
    return [each.hex() for each in proof_of(spans)]


def proof_of(spans: list[Span]) -> list[bytes]:
    nodes = {node for span in spans for node in subtrees(span)}
    hashes: dict[Node, bytes] = {}
    for node in nodes:
        frontier = Frontier()
        frontier.extend(LEAVES[node.number << node.level :][: 1 << node.level])
        hashes[node] = frontier.root()
    return [span_hash(span, hashes) for span in spans]


def _export(note: str) -> str:
    writer = ExportWriter()
    header = Header(
        format=EXPORT_FORMAT, account="acct_1", mode="test", start=1, end=SIZE, note=note
    )
    lines = [writer.header(header)]
    lines += [
        writer.event(each, proof_of(inclusion_spans(each.position - 1, SIZE)))
        for each in EVENTS[:6]
        if each.account == "acct_1" and not each.livemode
    ]
    return b"".join([*lines, writer.end()]).decode()


if __name__ == "__main__":
    json.dump(vectors(), sys.stdout, indent=1, ensure_ascii=True)
    sys.stdout.write("\n")
