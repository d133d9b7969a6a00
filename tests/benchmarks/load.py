"""A load of one request over and over: 64 connections, each waiting for its answer."""

import asyncio
import gc
import itertools
import time
from collections.abc import Callable

import msgspec

CONNECTIONS = 64
HEADERS_END = b"\r\n\r\n"
LENGTH = b"content-length:"
OK = b"HTTP/1.1 200"


class Load(msgspec.Struct):
    """What a load came to: answers with 200, other answers, seconds, latencies in ms."""

    good: int = 0
    bad: int = 0
    elapsed_s: float = 0
    latencies_ms: list[float] = []

    @property
    def per_s(self) -> float:
        return self.good / self.elapsed_s

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.latencies_ms)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


class _Connection(asyncio.Protocol):
    def __init__(self, next_request: Callable[[], bytes], load: Load, until_s: float) -> None:
        self._next_request = next_request
        self._load = load
        self._until_s = until_s
        self._received = b""
        self._sent_s = 0.0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        end = received.find(HEADERS_END)
        if end < 0 or len(received) < end + len(HEADERS_END) + _length(received[:end]):
            self._received = received
            return
        self._received = b""
        now_s = time.perf_counter()
        self._load.latencies_ms.append((now_s - self._sent_s) * 1000)
        if received.startswith(OK):
            self._load.good += 1
        else:
            self._load.bad += 1
        if now_s < self._until_s:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if not self.done.done():
            self.done.set_result(None)

    def _send(self) -> None:
        self._sent_s = time.perf_counter()
        self._transport.write(self._next_request())


def _length(headers: bytes) -> int:
    lowered = headers.lower()
    start = lowered.index(LENGTH) + len(LENGTH)
    end = lowered.find(b"\r", start)
    return int(lowered[start : end if end > 0 else None])


def request_bytes(
    method: str, path: str, *, key: str = "", body: str = "", header: str = ""
) -> bytes:
    """Return the bytes of one HTTP/1.1 request, with one more header if given."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {key}"]
    if header:
        lines.append(header)
    if body:
        lines += [
            "Content-Type: application/x-www-form-urlencoded",
            f"Content-Length: {len(body)}",
        ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def numbered(request: bytes, place: bytes) -> Callable[[], bytes]:
    """Return what makes a request that is new each time: a number of nine digits at a place."""
    before, after = request.split(place)
    numbers = itertools.count(100_000_000)
    return lambda: b"%b%d%b" % (before, next(numbers), after)


async def load(port: int, request: bytes | Callable[[], bytes], *, for_s: float) -> Load:
    """Send a request, or one made anew each time, over ``CONNECTIONS`` connections.

    Without collections of garbage here, whose pauses would be taken for the server's.
    """
    gc.disable()
    try:
        return await _load(port, request if callable(request) else lambda: request, for_s)
    finally:
        gc.enable()


async def _load(port: int, next_request: Callable[[], bytes], for_s: float) -> Load:
    result = Load()
    started = time.perf_counter()
    connections: list[_Connection] = []
    for _ in range(CONNECTIONS):
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(next_request, result, started + for_s), "127.0.0.1", port
        )
        connections.append(connection)
    async with asyncio.timeout(for_s + 30):
        await asyncio.gather(*(connection.done for connection in connections))
    result.elapsed_s = time.perf_counter() - started
    return result
