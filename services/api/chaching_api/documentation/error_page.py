"""The page of the error codes, made from their table; an anchor for each code and each reason."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from http import HTTPStatus
from typing import Final

from chaching_api.documentation.error_codes import CODES, REASONS, CodeEntry
from chaching_api.documentation.page_frame import framed
from chaching_api.errors import ERRORS_PATH

REASON_ANCHOR: Final = "reason-"

_INTRODUCTION: Final = """\
<h1>Error codes</h1>
<p>Every error is a JSON object <code>{"error": {…}}</code>. Its <code>code</code> is one of those
below, for programs to decide by; <code>reason</code>, where there is one, is the finer cause;
<code>message</code> is for people; <code>param</code> names the parameter at fault. The header
<code>Stripe-Should-Retry</code> says whether sending the same request again can help.</p>
"""


def error_page() -> bytes:
    """Return the page as UTF-8."""
    title = "Error codes of the Chaching API"
    return framed(title, ERRORS_PATH, ("/openapi.json", "OpenAPI"), "".join(_parts()))


def _parts() -> Iterator[str]:
    yield _INTRODUCTION
    yield '<nav aria-label="Codes"><ul>\n'
    for code in CODES:
        yield f'<li><a href="#{code}"><code>{code}</code></a></li>\n'
    yield "</ul></nav>\n"
    for code, entry in CODES.items():
        yield from _section(code, entry)
    yield from _reasons()


def _section(code: str, entry: CodeEntry) -> Iterator[str]:
    statuses = ", ".join(f"{status} {HTTPStatus(status).phrase}" for status in entry.statuses)
    types = ", ".join(f"<code>{name}</code>" for name in entry.types)
    yield f'<section id="{code}">\n<h2><a href="#{code}"><code>{code}</code></a></h2>\n'
    yield f"<p>{escape(entry.meaning)}</p>\n<dl>\n"
    yield f"<dt>Status</dt><dd>{statuses}</dd>\n<dt>Type</dt><dd>{types}</dd>\n"
    yield f"<dt>What to do</dt><dd>{escape(entry.remedy)}</dd>\n"
    yield f"<dt>Send it again?</dt><dd>{escape(entry.again)}</dd>\n"
    if entry.reasons:
        links = ", ".join(_link(name) for name in entry.reasons)
        yield f"<dt>Reasons</dt><dd>{links}</dd>\n"
    yield "</dl>\n</section>\n"


def _reasons() -> Iterator[str]:
    yield '<section>\n<h2>Reasons</h2>\n<dl class="reasons">\n'
    for reason, meaning in REASONS.items():
        yield f'<dt id="{REASON_ANCHOR}{reason}"><code>{reason}</code></dt>'
        yield f"<dd>{escape(meaning)}</dd>\n"
    yield "</dl>\n</section>\n"


def _link(reason: str) -> str:
    return f'<a href="#{REASON_ANCHOR}{reason}"><code>{reason}</code></a>'
