"""``/openapi.json``, ``/asyncapi.json`` and ``/docs``: what is here, for programs and for people.

No key is needed. All of it is made before the first request and served as bytes; a caller that
names the digest it has already gets 304, one that puts a slash behind a page's address 308. The
pages may load nothing but what this service serves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from http import HTTPMethod, HTTPStatus
from typing import Final

from aiohttp import web

from chaching_api.boundary import JSON, Answer, bounded
from chaching_api.documentation.assets import ASSETS, Content, content, read_content
from chaching_api.documentation.document import encoded_document
from chaching_api.documentation.error_page import error_page
from chaching_api.documentation.events import document as events_document
from chaching_api.documentation.events.page import PATH as EVENTS_PATH
from chaching_api.documentation.events.page import events_page
from chaching_api.errors import ERRORS_PATH, UnknownUrl

ASSETS_PATH: Final = "/docs/assets/"
HTML: Final = "text/html; charset=utf-8"

_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@cache
def _pages() -> Mapping[str, Content]:
    return {
        "/docs": read_content("reference.html"),
        EVENTS_PATH: content(events_page(), HTML),
        ERRORS_PATH: content(error_page(), HTML),
        "/openapi.json": content(encoded_document(), JSON),
        "/asyncapi.json": content(events_document.encoded_document(), JSON),
    }


def routes() -> list[web.RouteDef]:
    """Return the routes of the document, the pages and their files."""
    pages = [
        web.get(path, bounded(_serving(page)), allow_head=False) for path, page in _pages().items()
    ]
    slashed = [
        web.route("*", f"{path}/", bounded(_leading_to(path)))  # none of the API's operations
        for path, page in _pages().items()
        if page.content_type == HTML
    ]
    return [*pages, *slashed, web.get(f"{ASSETS_PATH}{{file}}", bounded(_asset), allow_head=False)]


def _serving(page: Content) -> Callable[[web.Request], Awaitable[Answer]]:
    async def serve(request: web.Request) -> Answer:
        return _answer(request, page)

    return serve


def _leading_to(path: str) -> Callable[[web.Request], Awaitable[Answer]]:
    """Return what sends a reader who put a slash behind a page's address to the page."""
    # relative, since the service may lie below a path
    location = {"Location": f"../{path.rpartition('/')[2]}"}

    async def lead(request: web.Request) -> Answer:
        if request.method != HTTPMethod.GET:
            raise UnknownUrl(request.method, request.path)
        return Answer(
            body=b"",
            headers={**_HEADERS, **location},
            content_type=HTML,
            status=HTTPStatus.PERMANENT_REDIRECT,
        )

    return lead


async def _asset(request: web.Request) -> Answer:
    asset = ASSETS.get(request.match_info["file"])
    if asset is None:
        raise UnknownUrl(request.method, request.path)
    return _answer(request, asset)


def _answer(request: web.Request, page: Content) -> Answer:
    headers = {**_HEADERS, "ETag": page.etag}
    if page.etag in request.headers.get("If-None-Match", ""):
        return Answer(
            body=b"",
            headers=headers,
            content_type=page.content_type,
            status=HTTPStatus.NOT_MODIFIED,
        )
    return Answer(body=page.body, headers=headers, content_type=page.content_type)
