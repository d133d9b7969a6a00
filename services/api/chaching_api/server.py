"""The HTTP server around the application: limits, and its own failures in the envelope.

aiohttp answers a request that it cannot parse by itself, in plain text, and logs the bytes that
came; one that it refuses before any endpoint is asked (``OPTIONS *``, an unknown ``Expect``) gets
plain text too. All are replaced here: the answer is the contract's envelope and the log names only
the kind of fault.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler
from yarl import URL

from chaching.domain.ids import RequestId
from chaching.runtime.logs import logger
from chaching_api.boundary import response_of
from chaching_api.errors import Failure, Malformed, UnknownUrl, envelope, failure_of
from chaching_api.fresh import new_id
from chaching_api.requests import OWN_VERSION, PUBLIC_URL

KEEPALIVE_TIMEOUT_S: Final = 75.0
LINGERING_S: Final = 2.0
SHUTDOWN_TIMEOUT_S: Final = 10.0
LINE_BYTES_MAX: Final = 16_384
BACKLOG_CONNECTIONS: Final = 1_024
CLIENT_FAULT_MAX: Final = 499
NOT_FOUND: Final = 404
NO_TARGET: Final = URL("*", encoded=True)


class EnvelopeRequestHandler(RequestHandler):
    """Answers what never reached the application as the contract answers everything."""

    __slots__ = ("_public_url",)

    def tell_errors_at(self, public_url: str | None) -> None:
        """Say where the pages of the service are reached, which explain the errors."""
        self._public_url = public_url

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it holds the request's own bytes
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        if status <= CLIENT_FAULT_MAX:
            failure = failure_of(
                Malformed(
                    "The request is not well-formed HTTP/1.1, or a line or "
                    "header of it is too long."
                )
            )
        else:
            failure = failure_of(exc if isinstance(exc, Exception) else RuntimeError())
        return self._closing(failure, exc)

    def log_exception(self, *args: object, **kw: object) -> None:
        """Log a crash; a body that cannot be read was answered as such and is none of ours."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kw)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; endpoints never raise aiohttp's own errors, so one here was its own."""
        if isinstance(resp, web.HTTPException):
            if resp.status == NOT_FOUND:
                failure = failure_of(UnknownUrl(request.method, request.path))
            else:
                failure = failure_of(Malformed(f"The request cannot be served: {resp.reason}."))
            resp = self._closing(failure, resp)
        return await super().finish_response(request, resp, start_time)

    def _closing(self, failure: Failure, fault: BaseException | None) -> web.Response:
        """Return the answer to what no endpoint saw; the connection is closed after it."""
        request_id = RequestId(new_id("req_"))
        logger().warning(
            "request_unreadable",
            request_id=request_id,
            status=failure.status,
            fault=type(fault).__name__,
        )
        body = envelope(failure, self._public_url)
        response = response_of(body, failure, request_id, OWN_VERSION)
        response.force_close()
        return response


class EnvelopeServer(web.Server):
    """Makes an EnvelopeRequestHandler for every connection."""

    public_url: str | None

    def __call__(self) -> RequestHandler:
        handler = EnvelopeRequestHandler(self, loop=self._loop, **self._kwargs)
        handler.tell_errors_at(self.public_url)
        return handler


class EnvelopeRunner(web.AppRunner):
    """Runs an application behind an EnvelopeServer."""

    __slots__ = ()

    def __init__(self, app: web.Application, **limits: Any) -> None:
        super().__init__(
            app,
            access_log=None,
            keepalive_timeout=KEEPALIVE_TIMEOUT_S,
            lingering_time=LINGERING_S,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
            shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            **limits,
        )

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = EnvelopeServer
        assert isinstance(server, EnvelopeServer)  # noqa: S101 - it has just become one
        server.public_url = self.app.get(PUBLIC_URL)
        server.request_factory = _with_target(server.request_factory)
        return server


def _with_target(make: Callable[..., web.BaseRequest]) -> Callable[..., web.BaseRequest]:
    """Give a request without a target, which aiohttp's parser lets through, one that nobody has."""

    def make_request(message: RawRequestMessage, *rest: Any) -> web.BaseRequest:
        # typed as always there; its absence would end the connection without an answer
        if cast("URL | None", message.url) is None:
            message = message._replace(url=NO_TARGET)
        return make(message, *rest)

    return make_request
