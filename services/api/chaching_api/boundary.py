"""The boundary around every endpoint: its request id, its headers, its failures, its log line.

Nothing that an endpoint raises passes as it is: every failure becomes the contract's envelope,
and only what is in the table of ``errors`` says more than that it was our fault. Each request
leaves one line in the log, with no value that a customer or a caller gave.

An endpoint is wrapped once, when the routes are made; a middleware would be wrapped anew around
every request.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from chaching.domain.ids import Mode, RequestId, mode_of
from chaching.runtime.logs import logger, write_line
from chaching_api import event_parameters, parameters, proof_parameters
from chaching_api.errors import BodyTooLarge, Failure, Malformed, UnknownUrl, envelope, failure_of
from chaching_api.fresh import new_id
from chaching_api.requests import (
    CALL,
    OWN_VERSION,
    REQUEST_ID,
    answered_version,
    end_call,
    is_customer_id,
    is_idempotency_key,
    public_url_of,
)

JSON: Final = "application/json"
SERVER_NAME: Final = "Chaching"
OUR_FAULT: Final = 500
LOGGED_ID_CHARACTERS_MAX: Final = 64

_DECLARED: Final = parameters.DECLARED | event_parameters.DECLARED | proof_parameters.DECLARED


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A success that is more than the bytes of a JSON object: headers of its own, another type.

    ``status`` is 200 for every operation of the API; pages can be answered with 304.
    """

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = {}
    content_type: str = JSON


Endpoint: TypeAlias = Callable[[web.Request], Awaitable[bytes | Answer]]
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RequestHandled(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The log line of a request; ``elapsed_ms`` until the answer is ready to be sent."""

    timestamp: str
    level: str
    event: str
    method: str
    route: str | None
    status: int
    elapsed_ms: float
    request_id: str
    account: str | None = None
    mode: Mode | None = None
    key_id: str | None = None
    customer: str | None = None
    code: str | None = None
    reason: str | None = None
    param: str | None = None


def bounded(endpoint: Endpoint) -> Handler:
    """Return the handler that answers with what ``endpoint`` returns or fails with."""

    async def handle(request: web.Request) -> web.Response:
        started_s = time.perf_counter()
        request_id = RequestId(new_id("req_"))
        request[REQUEST_ID] = request_id
        version = OWN_VERSION
        failure: Failure | None = None
        try:
            version = answered_version(request.headers.get("Stripe-Version"))
            answer = await endpoint(request)
        except Exception as raised:  # noqa: BLE001 - nothing that is raised leaves as it is
            failure = _failure(request, raised)
            answer = envelope(failure, public_url_of(request))
        finally:
            end_call(request)
        response = response_of(answer, failure, request_id, version)
        idempotency_key = request.headers.get("Idempotency-Key", "")
        if is_idempotency_key(idempotency_key):
            response.headers["Idempotency-Key"] = idempotency_key
        _log_request(request, response.status, failure, time.perf_counter() - started_s)
        return response

    return handle


def response_of(
    answer: bytes | Answer, failure: Failure | None, request_id: str, version: str
) -> web.Response:
    """Return the answer with the headers that every answer has."""
    headers = CIMultiDict(
        {
            "Content-Type": JSON,
            "Request-Id": request_id,
            "Stripe-Version": version,
            "Cache-Control": "no-cache, no-store",
            "Server": SERVER_NAME,
        }
    )
    if isinstance(answer, Answer):
        headers["Content-Type"] = answer.content_type
        headers.update(answer.headers)
        return web.Response(body=answer.body, status=answer.status, headers=headers)
    if failure is None:
        return web.Response(body=answer, headers=headers)
    headers.update(failure.headers)
    return web.Response(body=answer, status=failure.status, headers=headers)


async def unknown_url(request: web.Request) -> bytes:
    """Answer a request that no route takes."""
    raise UnknownUrl(request.method, request.path)


def _failure(request: web.Request, raised: Exception) -> Failure:
    match raised:
        case web.HTTPRequestEntityTooLarge():
            return failure_of(BodyTooLarge())
        case web.HTTPException():
            return failure_of(Malformed(f"The request cannot be read: {raised.reason}."))
        case web.RequestPayloadError():
            return failure_of(Malformed("The request's body cannot be read."))
        case _:
            failure = failure_of(raised)
            if failure.status == OUR_FAULT:
                logger().error("request_crashed", request_id=request[REQUEST_ID], exc_info=raised)
            return failure


def _log_request(
    request: web.Request, status: int, failure: Failure | None, elapsed_s: float
) -> None:
    resource = request.match_info.route.resource
    line = RequestHandled(
        timestamp=_timestamp(),
        level="info",
        event="request_handled",
        method=request.method,
        route=resource.canonical if resource else None,
        status=status,
        elapsed_ms=round(elapsed_s * 1000, 3),
        request_id=request[REQUEST_ID],
    )
    call = request.get(CALL)
    if call is not None:
        line.account = call.key.account
        line.mode = mode_of(livemode=call.key.livemode)
        line.key_id = call.key.key_id
    customer_id = request.match_info.get("customer", "")
    if is_customer_id(customer_id):
        line.customer = customer_id[:LOGGED_ID_CHARACTERS_MAX]
    if failure is not None:
        line.code, line.reason = failure.code, failure.reason
        line.param = _logged_param(failure.param)
    write_line(line)


def _logged_param(param: str | None) -> str | None:
    """Return the declared name at the head of ``param``; all else in it is the caller's own."""
    head = (param or "").partition("[")[0]
    return head if head in _DECLARED else None


def _timestamp() -> str:
    now_s = time.time()
    return f"{_second(int(now_s))}.{int(now_s % 1 * 1_000_000):06d}Z"


@lru_cache(maxsize=2)
def _second(unix_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix_s))
