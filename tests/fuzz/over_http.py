"""Raw requests over a socket to a gateway, and the judge of what it answers and logs.

Whatever comes, the answers are JSON, refusals in the envelope, none of them 5xx; or the connection
is closed, where nothing can be answered. The log tells of every answer and has no word of what was
sent, but for an id in a path, which is opaque.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from http import HTTPMethod, HTTPStatus
from typing import Any, Final

import msgspec
from tests.fuzz.framing import CANARY, framed
from tests.fuzz.given import Framed, keep
from tests.support.gateways import Answer, Client
from tests.support.waiting import LIMIT_S

CONNECTIONS_MAX: Final = 16
QUIET_LIMIT_S: Final = 1.0
READ_BYTES_MAX: Final = 65_536
EXPECTED: Final = frozenset({200, 400, 401, 404, 413})
KNOWN_METHODS: Final = frozenset({*HTTPMethod, "PROPFIND", "QUERY"})
OWN_EVENTS: Final = frozenset(
    {"gateway_started", "gateway_stopped", "request_handled", "request_unreadable"}
)


class Unsound(AssertionError):  # noqa: N818 - what the bytes showed
    """A connection's bytes were not answered as they must; the message names their file."""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What a number of connections were answered; ``silent`` ones were closed without a word."""

    connections: int
    statuses: Counter[int]
    request_ids: list[str]
    silent: int


async def try_many(
    client: Client, seed: int, connections: int, limit_s: float = LIMIT_S
) -> Answered:
    """Send the connections of a seed, some at a time, and judge every answer.

    Raises:
        Unsound: the bytes of one connection are kept in a file.
    """
    statuses: Counter[int] = Counter()
    request_ids: list[str] = []
    silent = done = 0
    remaining = _drawn(seed, connections, time.monotonic() + limit_s)

    async def work() -> None:
        nonlocal silent, done
        for sent in remaining:
            answers = await try_one(client, sent)
            silent += not answers
            done += 1
            statuses.update(answer.status for answer in answers)
            request_ids.extend(answer.headers["Request-Id"] for answer in answers)

    async with asyncio.TaskGroup() as workers:
        for _ in range(CONNECTIONS_MAX):
            workers.create_task(work())
    return Answered(connections=done, statuses=statuses, request_ids=request_ids, silent=silent)


async def try_one(client: Client, sent: Framed) -> list[Answer]:
    """Send the bytes of one connection and judge what comes back; raises Unsound."""
    received = b""
    try:
        received = await _received(client, sent)
        answers = list(_answers(received, sent))
        for answer in answers:
            judge_answer(answer)
    except (AssertionError, ValueError, LookupError, TimeoutError) as fault:
        raise Unsound(f"{keep(sent)}: {fault!r} in {received[:500]!r}") from fault
    return answers


def judge_answer(answer: Answer) -> None:
    """An answer is JSON with the contract's headers; a refusal is in the envelope."""
    assert answer.status in EXPECTED, answer
    assert answer.headers["Content-Type"] == "application/json", answer
    assert answer.headers["Server"] == "Chaching", answer
    assert answer.headers["Cache-Control"] == "no-cache, no-store", answer
    assert answer.headers["Request-Id"].startswith("req_"), answer
    if answer.status == HTTPStatus.OK:
        assert isinstance(answer.json, dict)
    elif answer.body:
        assert answer.error["message"].isprintable(), answer


def judge_log(lines: list[dict[str, Any]], answered: Answered) -> None:
    """The log has its own words only, and a line for every answer."""
    told: set[str] = set()
    for line in lines:
        assert line["event"] in OWN_EVENTS, line
        assert CANARY not in f"{ {**line, 'customer': ''} }", line
        assert line.get("method", "GET") in KNOWN_METHODS, line
        told.add(line.get("request_id", ""))
    missing = set(answered.request_ids) - told
    assert not missing, missing


def _drawn(seed: int, connections: int, deadline_s: float) -> Iterator[Framed]:
    for number in range(connections):
        if time.monotonic() > deadline_s:
            return
        yield framed(random.Random(f"{seed}-{number}"))  # noqa: S311 - the same from the same seed


async def _received(client: Client, sent: Framed) -> bytes:
    """Return what comes until every request has its answer, or all is quiet, or it is closed."""
    received = b""
    async with client.connection() as (reader, writer):
        try:
            async with asyncio.timeout(QUIET_LIMIT_S):
                writer.write(sent.raw)
                while more := await reader.read(READ_BYTES_MAX):
                    received += more
                    if len(list(_answers(received, sent, whole=False))) >= sent.requests:
                        break
        except TimeoutError:
            writer.write_eof()
            while more := await reader.read(READ_BYTES_MAX):
                received += more
        except ConnectionError:
            pass  # closed before all was taken: what came is what it said
    return received


def _answers(received: bytes, sent: Framed, *, whole: bool = True) -> Iterator[Answer]:
    """Yield the answers in what was received; where it must be ``whole`` no byte may be left."""
    while received:
        head, end, rest = received.partition(b"\r\n\r\n")
        status, headers = _head(head)
        if end and status == HTTPStatus.CONTINUE:
            received = rest
            continue
        length = 0 if sent.asks_for_heads and not rest.startswith(b"{") else _length(headers)
        if not end or len(rest) < length:
            assert not whole, "an answer that breaks off"
            return
        yield Answer(status, headers, rest[:length])
        received = rest[length:]


def _head(head: bytes) -> tuple[int, Mapping[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = (line.partition(": ") for line in lines)
    return int(first.split(" ")[1]), {name: value for name, _, value in fields}


def _length(headers: Mapping[str, str]) -> int:
    return int(headers.get("Content-Length", "0"))
