"""The audit's format once more, written from ``docs/audit-format.md`` alone.

It uses nothing of the product and no library: the recursive definitions as they stand there, and
Ed25519 from RFC 8032. It is slow and says yes or no.
"""

from __future__ import annotations

import base64
import calendar
import hashlib
import json
import re
import time
from collections.abc import Sequence
from typing import Any, Final

# --- Entry --------------------------------------------------------------------------------------

COLUMNS: Final = (
    ("position", 20, 8),
    ("account", 25, "text"),
    ("livemode", 16, "boolean"),
    ("stream", 25, "text"),
    ("version", 23, 4),
    ("previous_position", 20, 8),
    ("event_id", 25, "text"),
    ("type", 25, "text"),
    ("schema_version", 21, 2),
    ("payload", 114, "text"),
    ("state", 114, "text"),
    ("metadata", 114, "text"),
    ("invoice_prefix", 25, "text"),
    ("recorded_at", 1184, "instant"),
)
INSTANT: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{6})Z")
YEAR_2000_S: Final = calendar.timegm((2000, 1, 1, 0, 0, 0))


def entry(event: dict[str, Any]) -> bytes:
    assert tuple(event) == tuple(name for name, _, _ in COLUMNS)
    text = bytearray(b"\x01\x00\x00\x00\x0e")
    for name, number, kind in COLUMNS:
        text += number.to_bytes(4, "big")
        if event[name] is None:
            assert name in {"state", "invoice_prefix"}
            text += b"\xff\xff\xff\xff"
        else:
            column = column_bytes(event[name], kind)
            text += len(column).to_bytes(4, "big") + column
    return bytes(text)


def column_bytes(value: Any, kind: str | int) -> bytes:
    if kind == "text":
        return str(value).encode()
    if kind == "boolean":
        return {False: b"\x00", True: b"\x01"}[value]
    if kind == "instant":
        found = INSTANT.fullmatch(value)
        assert found
        seconds = calendar.timegm(time.strptime(found[1], "%Y-%m-%dT%H:%M:%S")) - YEAR_2000_S
        return (seconds * 1_000_000 + int(found[2])).to_bytes(8, "big", signed=True)
    assert isinstance(kind, int)
    return int(value).to_bytes(kind, "big", signed=True)


# --- Hashes -------------------------------------------------------------------------------------


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def leaf(entry: bytes) -> bytes:
    return sha256(b"\x00", entry)


def links(leaves: Sequence[bytes]) -> list[bytes]:
    found = [bytes(32)]
    for each in leaves:
        found.append(sha256(b"\x02", found[-1], each))
    return found[1:]


def root(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return sha256()
    if len(leaves) == 1:
        return leaves[0]
    k = largest_power_below(len(leaves))
    return sha256(b"\x01", root(leaves[:k]), root(leaves[k:]))


def largest_power_below(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


# --- Proofs -------------------------------------------------------------------------------------


def inclusion(i: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = largest_power_below(len(leaves))
    if i < k:
        return [*inclusion(i, leaves[:k]), root(leaves[k:])]
    return [*inclusion(i - k, leaves[k:]), root(leaves[:k])]


def consistency(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    return [] if m in {0, len(leaves)} else subproof(m, leaves, whole=True)


def subproof(m: int, leaves: Sequence[bytes], *, whole: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [root(leaves)]
    k = largest_power_below(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole=whole), root(leaves[k:])]
    return [*subproof(m - k, leaves[k:], whole=False), root(leaves[:k])]


def root_of_inclusion(leaf_hash: bytes, i: int, n: int, hashes: Sequence[bytes]) -> bytes | None:
    """Return the root that a proof leads to, by undoing the definition from its last hash on."""
    if n == 1:
        return leaf_hash if not hashes and i == 0 else None
    if not hashes or not 0 <= i < n:
        return None
    k = largest_power_below(n)
    *inner, last = hashes
    if i < k:
        left = root_of_inclusion(leaf_hash, i, k, inner)
        return left and sha256(b"\x01", left, last)
    right = root_of_inclusion(leaf_hash, i - k, n - k, inner)
    return right and sha256(b"\x01", last, right)


def roots_of_consistency(
    m: int, n: int, hashes: Sequence[bytes], known: bytes | None
) -> tuple[bytes, bytes] | None:
    """Return both roots that a proof leads to; ``known`` is the older one where it is not said."""
    if m == n:
        if known is not None:
            return (known, known) if not hashes else None
        return (hashes[0], hashes[0]) if len(hashes) == 1 else None
    if not hashes:
        return None
    k = largest_power_below(n)
    *inner, last = hashes
    if m <= k:
        found = roots_of_consistency(m, k, inner, known)
        return found and (found[0], sha256(b"\x01", found[1], last))
    found = roots_of_consistency(m - k, n - k, inner, None)
    return found and (sha256(b"\x01", last, found[0]), sha256(b"\x01", last, found[1]))


def is_consistent(m: int, old: bytes, n: int, new: bytes, hashes: Sequence[bytes]) -> bool:
    if m > n:
        return False
    if m == 0:
        return not hashes
    return roots_of_consistency(m, n, hashes, old) == (old, new)


# --- Checkpoint ---------------------------------------------------------------------------------


def opened(note: str, public_key: str) -> tuple[str, int, bytes]:
    """Return origin, size and root of a note that the key signed; anything else is an error."""
    text, _, signatures = note.rpartition("\n\n")
    origin, size, root_hash = text.split("\n")
    public = public_bytes(public_key, origin)
    wanted = sha256(origin.encode(), b"\n\x01", public)[:4]
    good = 0
    assert signatures.endswith("\n")
    for line in signatures[:-1].split("\n"):
        dash, name, encoded = line.split(" ")
        signed = base64.b64decode(encoded, validate=True)
        assert dash == "\u2014"
        if name == origin and signed[:4] == wanted:
            assert ed25519_is_signed(public, f"{text}\n".encode(), signed[4:])
            good += 1
    assert good, "nobody we trust signed it"
    return origin, int(size), base64.b64decode(root_hash, validate=True)


def public_bytes(public_key: str, origin: str) -> bytes:
    if len(public_key) == 44:
        return base64.b64decode(public_key, validate=True)
    name, key_id, encoded = public_key.split("+", 2)
    typed = base64.b64decode(encoded, validate=True)
    assert name == origin
    assert typed[0] == 1
    assert sha256(name.encode(), b"\n", typed)[:4].hex() == key_id
    return typed[1:]


# --- Export -------------------------------------------------------------------------------------


def check_export(file: bytes, public_key: str) -> int:
    """Return how many events a file proves; one that is not in order is an error."""
    *lines, rest = file.split(b"\n")
    assert rest == b""
    header, end = json.loads(lines[0]), json.loads(lines[-1])
    assert set(header) == {"format", "account", "mode", "from", "to", "note"}
    assert header["format"] == "chaching-audit-export/1"
    _, size, root_hash = opened(header["note"], public_key)
    assert header["to"] <= size
    newest: dict[tuple[bool, str], tuple[int, int]] = {}
    before = header["from"] - 1
    for line in lines[1:-1]:
        told = json.loads(line)
        assert set(told) == {"event", "hashes"}
        event = told["event"]
        at, stream = event["position"], (event["livemode"], event["stream"])
        assert before < at <= header["to"]
        assert event["account"] == header["account"]
        assert header["mode"] in {None, "live" if event["livemode"] else "test"}
        hashes = [base64.b64decode(text, validate=True) for text in told["hashes"]]
        assert root_of_inclusion(leaf(entry(event)), at - 1, size, hashes) == root_hash
        if stream in newest:
            assert newest[stream] == (event["version"] - 1, event["previous_position"])
        newest[stream] = (event["version"], at)
        before = at
    digest = hashlib.sha256(b"".join(line + b"\n" for line in lines[:-1])).hexdigest()
    assert end == {"events": len(lines) - 2, "sha256": digest}
    return len(lines) - 2


# --- Ed25519, RFC 8032 --------------------------------------------------------------------------

P: Final = 2**255 - 19
Q: Final = 2**252 + 27742317777372353535851937790883648493
D: Final = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_1: Final = pow(2, (P - 1) // 4, P)

Point = tuple[int, int, int, int]


def ed25519_is_signed(public: bytes, text: bytes, signature: bytes) -> bool:
    if len(signature) != 64:
        return False
    a, r = point(public), point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= Q:
        return False
    h = hashlib.sha512(signature[:32] + public + text).digest()
    left = times(s, base_point())
    right = added(r, times(int.from_bytes(h, "little") % Q, a))
    same_x = (left[0] * right[2] - right[0] * left[2]) % P == 0
    return same_x and (left[1] * right[2] - right[1] * left[2]) % P == 0


def point(encoded: bytes) -> Point | None:
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    x = x_of(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


def x_of(y: int, sign: int) -> int | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    if y >= P or (square == 0 and sign):
        return None
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_1 % P
    if (x * x - square) % P:
        return None
    return P - x if x & 1 != sign else x


def base_point() -> Point:
    y = 4 * pow(5, -1, P) % P
    x = x_of(y, 0)
    assert x is not None
    return (x, y, 1, x * y % P)


def added(a: Point, b: Point) -> Point:
    m, n = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    t, z = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = n - m, z - t, z + t, n + m
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(scalar: int, base: Point) -> Point:
    found: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            found = added(found, base)
        base = added(base, base)
        scalar >>= 1
    return found
