"""Requests that no client library would send, as the bytes of a connection.

``CANARY`` stands wherever a request says something of its own, so that what it must not get into
can be searched for it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from tests.fuzz.given import Framed
from tests.support.gateways import KEY

Chance: TypeAlias = random.Random

CANARY: Final = "canary7391"
PIPELINED_MAX: Final = 3
LONG_LINE_BYTES: Final = 20_000
MANY_HEADERS: Final = 300

SOUND: Final = (
    *(("GET", "/v1/customers/cus_1"), ("DELETE", "/v1/customers/cus_2"), ("GET", "/healthz")),
    *(("POST", "/v1/customers"), ("POST", "/v1/customers"), ("POST", "/v1/customers/cus_1")),
)
METHODS: Final = (
    *("GET", "POST", "DELETE", "HEAD", "PUT", "PATCH", "OPTIONS", "TRACE", "QUERY"),
    *("CONNECT", "PROPFIND", "get", "P\u00d6ST", "", CANARY, "GET\t", "GET,POST", "M" * 300),
)
PATHS: Final = (
    *(
        "/v1/customers",
        "/v1/customers",
        f"/v1/customers/{CANARY}@",
        "/v1/customers/cus_1",
        "/healthz",
    ),
    *("/", "*", "", "//", "/..", "/v1/../v1/customers", "/v1/customers/", "/v1/customers/search"),
    *("/%76%31/customers", "/v1%2Fcustomers", "/v1/customers/%00", "/v1/customers/%ff%fe", "/%"),
    *("/v1/customers/%zz", "/v1/customers/%F0%9F%8E%89", "/v1/customers/a%0d%0aX: y", "/v1/c\\d"),
    *(f"http://{CANARY}/v1/customers", f"http://{CANARY}:80/v1/customers/cus_1?expand[]=tax"),
    *("https://[::1]/v1/customers", "http://[", "http://a:b:c/", "ftp://x/v1/customers", "x:y"),
    *(f"/v1/customers#{CANARY}", f"/v1/customers?#{CANARY}", f"/{CANARY} {CANARY}", "/\u00e9"),
    "/" + "a" * LONG_LINE_BYTES,
)
QUERIES: Final = (
    *("?", f"?{CANARY}={CANARY}", "?expand[]=tax", "?a[", "?%00", "?name=%ff", "??&&=="),
    *("?name=\x80", "?" + "&".join(f"a{index}" for index in range(1_100)), "?" + "[" * 5_000),
)
VERSIONS: Final = (
    *("HTTP/1.0", "HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "HTTP/9.9", "HTTP/1.10", "http/1.1", ""),
    *("HTTP/1.1 ", "ICE/1.0", CANARY),
)
_KEYED: Final = f"Host: gateway\r\nAuthorization: Bearer {KEY}"
FITTING_HEADERS: Final = (
    *(_KEYED, _KEYED, f"{_KEYED}\r\nStripe-Version: 2024-06-20", "Host: gateway"),
    *(f"{_KEYED}\r\nIdempotency-Key: {CANARY}", f"{_KEYED}\r\nExpect: 100-continue"),
)
HEADERS: Final = (
    *("Host: another", "Connection: close", "Connection: keep-alive", "Connection: upgrade, x"),
    *("Upgrade: websocket\r\nConnection: upgrade", "Upgrade: h2c", "Expect: 100-continue"),
    *(f"Expect: {CANARY}", "Content-Encoding: gzip", "Content-Encoding: br", "TE: trailers"),
    *(f"Stripe-Version: {CANARY}", "Stripe-Version: 2024-06-20", f"traceparent: {CANARY}"),
    *(f"Chaching-Reason: {CANARY}", f"Chaching-Reason: {CANARY * 80}", "Chaching-Reason: \x7f\x80"),
    *("Stripe-Version: \u0662\u0660\u0662\u0664-06-20", f"Idempotency-Key: {CANARY}"),
    *(f"Idempotency-Key: {CANARY * 40}", "Idempotency-Key: ", "Idempotency-Key: \x7f\x80"),
    *(f"Authorization: Basic {CANARY}", "Authorization: Basic ==", "Authorization: Bearer \xff"),
    *(f"Authorization: {CANARY}", f"Authorization: Bearer sk_live_{CANARY}", "Authorization:"),
    *(f"Content-Type: text/{CANARY}", "Content-Type: multipart/form-data", "Content-Type: \xff"),
    *("Content-Type: application/json", "Content-Type: application/x-www-form-urlencoded"),
    *("Range: bytes=0-1", "If-None-Match: *", "Cookie: a=b; c", "Accept: text/html", "Trailer: X"),
    *(f"X-HTTP-Method-Override: {CANARY}", "Sec-WebSocket-Key: x", "X: " + "a" * LONG_LINE_BYTES),
    *(f"{CANARY}", f": {CANARY}", f"X {CANARY}: y", f" folded {CANARY}", f"X: a\0{CANARY}", "X:"),
    *(f"X\u00e9: {CANARY}", f"X: \x80\xff{CANARY}", f"X: a\n{CANARY}: b", f"X: a\r{CANARY}"),
    "\r\n".join(f"X-{index}: {CANARY}" for index in range(MANY_HEADERS)),
)
BODIES: Final = (
    *(
        b"",
        b"",
        b"",
        b"name=Jane",
        b"id=cus_1",
        b"id=cus_2",
        f"name={CANARY}".encode(),
        f"{CANARY}={CANARY}".encode(),
    ),
    *(b"email=5", b"metadata[k]=%zz", b"a[[]]=1", b"name=a&name=b", b"\xff\xfe", b"\0" * 20),
    *(b'{"name": "J"}', f'{{"{CANARY}": 1}}'.encode(), b'{"a": NaN}', b"[" * 3_000, b'"\\ud800"'),
    b"&".join([b"k%d=v" % index for index in range(1_001)]),
)
LENGTHS: Final = (
    *(
        "0",
        "-1",
        "+9",
        " 9",
        "9 9",
        "0x9",
        "abc",
        "1e3",
        "",
        "9,9",
        "99999999999999999999",
        "\u0669",
    ),
)


def framed(chance: Chance) -> Framed:
    """Return one connection's bytes: a request, sound or not, or several in a row."""
    requests = [_request(chance) for _ in range(chance.choice((1, 1, 1, 2, PIPELINED_MAX)))]
    raw = b"".join(raw for _, raw in requests)
    if chance.random() < 0.1:
        raw = _broken(raw, chance)
    heads = any(method == "HEAD" for method, _ in requests)
    return Framed(raw=raw, requests=len(requests), asks_for_heads=heads)


def _request(chance: Chance) -> tuple[str, bytes]:
    """A sound request in which now and then one part is odd."""
    method, path = chance.choice(SOUND)
    query, version, headers, framing = (
        "",
        "HTTP/1.1",
        chance.choices(FITTING_HEADERS, k=1),
        _measured,
    )
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
        match chance.randrange(7):
            case 0:
                method = chance.choice(METHODS)
            case 1:
                path = chance.choice(PATHS)
            case 2:
                query = chance.choice(QUERIES)
            case 3:
                version = chance.choice(VERSIONS)
            case 4:
                headers += chance.choices(HEADERS, k=chance.choice((1, 1, 2)))
            case _:
                framing = chance.choice(FRAMINGS)
    lines, body = framing(chance.choice(BODIES if method == "POST" else BODIES[:3]), chance)
    told = [f"{method} {path}{query} {version}", *headers, *lines]
    return method, "\r\n".join(told).encode("utf-8", "surrogatepass") + b"\r\n\r\n" + body


def _measured(body: bytes, chance: Chance) -> tuple[list[str], bytes]:
    media = chance.choice(("application/x-www-form-urlencoded", "application/json"))
    return [f"Content-Type: {media}", f"Content-Length: {len(body)}"], body


def _mismeasured(body: bytes, chance: Chance) -> tuple[list[str], bytes]:
    length = max(0, len(body) + chance.choice((-3, -1, 1, 5, 10**7)))
    return [f"Content-Length: {length}"], body


def _misnumbered(body: bytes, chance: Chance) -> tuple[list[str], bytes]:
    return [f"Content-Length: {chance.choice(LENGTHS)}"], body


def _measured_twice(body: bytes, chance: Chance) -> tuple[list[str], bytes]:
    second = chance.choice((f"{len(body)}", f"{len(body) + 1}", "0", "x"))
    return [f"Content-Length: {len(body)}", f"Content-Length: {second}"], body


def _unmeasured(body: bytes, chance: Chance) -> tuple[list[str], bytes]:
    del chance
    return [], body


def _chunked(body: bytes, chance: Chance) -> tuple[list[str], bytes]:
    coding = chance.choice(("chunked", "chunked", "Chunked", "gzip, chunked", "identity", CANARY))
    size = chance.choice(("%x", "%X", "%x;ext=1", "%x ", "0%x", "-%x", "%xg", "x%x")) % len(body)
    ending = chance.choice(
        (b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"0\n\n", b"", b"zz\r\n")
    )
    end = chance.choice((b"\r\n", b"\r\n", b"\n", b""))
    lines = [f"Transfer-Encoding: {coding}"]
    if chance.random() < 0.2:
        lines.append(f"Content-Length: {len(body)}")
    return lines, size.encode() + b"\r\n" + body + end + ending


Framing: TypeAlias = Callable[[bytes, Chance], tuple[list[str], bytes]]
FRAMINGS: Final[Sequence[Framing]] = (
    *(_measured, _measured, _measured, _mismeasured, _misnumbered, _measured_twice),
    *(_unmeasured, _chunked, _chunked),
)


def _broken(raw: bytes, chance: Chance) -> bytes:
    at = chance.randrange(len(raw))
    piece = chance.choice(
        (b"", b"\0", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\xff", b" ", b":", b"%")
    )
    return raw[:at] + piece + raw[at + chance.choice((0, 1, 1, 20)) :]
