"""A proxy before a gateway that fails on purpose, and remembers what was asked of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, Literal, TypeAlias

import aiohttp
import msgspec
from aiohttp import web

from chaching.local.ports import LOOPBACK
from chaching_api.errors import Failure, envelope

# an answer of the proxy's own; or the gateway's, which never arrives because the connection is cut
Fault: TypeAlias = Failure | Literal["lost"]

FORWARD_TIMEOUT_S: Final = 60.0
ANOTHER_HOP: Final = frozenset(
    {"connection", "content-length", "date", "host", "keep-alive", "transfer-encoding"}
)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A request, and the status that its caller was shown; None where it was shown none."""

    method: str
    path: str
    idempotency_key: str | None
    status: int | None


class FaultyGateway:
    """Fails the first requests to a path as it was told, and passes on all the others."""

    def __init__(
        self, gateway_url: str, faults: Mapping[str, Sequence[Fault]], client: aiohttp.ClientSession
    ) -> None:
        self.url = ""
        self.seen: list[Seen] = []
        self._gateway_url = gateway_url
        self._faults = {path: list(planned) for path, planned in faults.items()}
        self._client = client

    def seen_at(self, path: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.path == path]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        planned = self._faults.get(request.path)
        fault = planned.pop(0) if planned else None
        if isinstance(fault, Failure):
            response = web.Response(
                status=fault.status,
                body=envelope(fault),
                headers={"Content-Type": "application/json", **fault.headers},
            )
        else:
            response = await self._forwarded(request)
        self.seen.append(
            Seen(
                method=request.method,
                path=request.path,
                idempotency_key=request.headers.get("Idempotency-Key"),
                status=None if fault == "lost" else response.status,
            )
        )
        if fault == "lost" and request.transport is not None:
            request.transport.abort()
        return response

    async def _forwarded(self, request: web.Request) -> web.Response:
        async with self._client.request(
            request.method,
            self._gateway_url + request.raw_path,
            data=await request.read(),
            headers=_passed_on(request.headers),
        ) as answer:
            return web.Response(
                status=answer.status, body=await answer.read(), headers=_passed_on(answer.headers)
            )


@asynccontextmanager
async def faulty_gateway(
    gateway_url: str, faults: Mapping[str, Sequence[Fault]]
) -> AsyncGenerator[FaultyGateway]:
    """Serve on a port of its own before a gateway until the block ends."""
    timeout = aiohttp.ClientTimeout(total=FORWARD_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as client:
        faulty = FaultyGateway(gateway_url, faults, client)
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", faulty.answer)
        runner = web.AppRunner(application)
        try:
            await runner.setup()
            await web.TCPSite(runner, LOOPBACK, 0).start()
            faulty.url = f"http://{LOOPBACK}:{runner.addresses[0][1]}"
            yield faulty
        finally:
            await runner.cleanup()


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in ANOTHER_HOP}
