"""What every page has around its content: the head, the bar with the other pages, the foot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Final

PAGES: Final[Mapping[str, str]] = {
    "/docs": "API reference",
    "/docs/events": "Events",
    "/docs/errors": "Error codes",
}
_CODE: Final = re.compile(r"`([^`]+)`")


def framed(title: str, here: str, document: tuple[str, str], content: str) -> bytes:
    """Return a page as UTF-8: ``here`` is its path, ``document`` a path and a name."""
    others = {path: name for path, name in PAGES.items() if path != here}
    links = " ".join(f'<a href="{path}">{name}</a>' for path, name in [*others.items(), document])
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="icon" href="/docs/assets/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/docs/assets/pages.css">
</head>
<body>
<header class="bar">
<a class="name" href="/docs">Chaching</a>
<nav aria-label="Pages">{links}</nav>
</header>
<main class="prose">
{content}</main>
</body>
</html>
""".encode()


def marked(text: str) -> str:
    """Return a sentence as HTML; what stands between backticks is code."""
    return _CODE.sub(r"<code>\1</code>", escape(text))
