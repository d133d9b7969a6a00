"""The files that the pages are made of, read once: our own, and Swagger UI's as it is published."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

import msgspec

SWAGGER_UI: Final = "swagger-ui"
_TYPES: Final[Mapping[str, str]] = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}


class Content(msgspec.Struct, frozen=True):
    """What is served at one address; ``etag`` is its quoted digest."""

    body: bytes
    content_type: str
    etag: str


def content(body: bytes, content_type: str) -> Content:
    return Content(body, content_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def read_content(path: str) -> Content:
    """Return a file of this package, by its path in it; its ending tells its type."""
    body = files(__name__).joinpath(path).read_bytes()
    return content(body, _TYPES[path.rpartition(".")[2]])


ASSETS: Final[Mapping[str, Content]] = {
    "icon.svg": read_content("icon.svg"),
    "pages.css": read_content("pages.css"),
    "reference.js": read_content("reference.js"),
    "subscriber.txt": read_content("subscriber.txt"),
    "swagger-ui.css": read_content(f"{SWAGGER_UI}/swagger-ui.css"),
    "swagger-ui-bundle.js": read_content(f"{SWAGGER_UI}/swagger-ui-bundle.js"),
    "swagger-ui-bundle.js.LICENSE.txt": read_content(
        f"{SWAGGER_UI}/swagger-ui-bundle.js.LICENSE.txt"
    ),
}
