"""How refusals spell what they speak of: parameters in bracket form, values shortened."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

SHOWN_VALUE_CHARACTERS_MAX: Final = 20
SHOWN_NAME_CHARACTERS_MAX: Final = 100
SHOWN_PART_CHARACTERS_MAX: Final = 14  # six of them, in brackets, fit into a shown name
EDGE_CHARACTERS: Final = 4

_LONG_PART: Final = re.compile(rf"[^\[\]]{{{SHOWN_PART_CHARACTERS_MAX + 1},}}")


def bracketed(path: Sequence[str]) -> str:
    """``("a", "b", "0")`` as ``a[b][0]``."""
    return path[0] + "".join([f"[{segment}]" for segment in path[1:]])


def shortened(text: str, limit: int = SHOWN_VALUE_CHARACTERS_MAX) -> str:
    """``aaaa...aaaa`` when the text is longer than ``limit`` characters."""
    if len(text) <= limit:
        return text
    return _edges(text)


def shown_name(name: str) -> str:
    """``metadata[aaaa...aaaa]``: a name in bracket form stays in that form when it is shortened."""
    if len(name) <= SHOWN_NAME_CHARACTERS_MAX:
        return name
    parts = _LONG_PART.sub(lambda part: _edges(part[0]), name)
    return shortened(parts, SHOWN_NAME_CHARACTERS_MAX)


def printable(text: str) -> str:
    """A text with a replacement character for everything that cannot be seen or moves the rest."""
    if text.isprintable():
        return text
    return "".join([c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text])


def listed(values: Sequence[str]) -> str:
    """``a, b, or c``."""
    if len(values) <= 2:  # noqa: PLR2004 - two need no comma
        return " or ".join(values)
    return f"{', '.join(values[:-1])}, or {values[-1]}"


def _edges(text: str) -> str:
    return f"{text[:EDGE_CHARACTERS]}...{text[-EDGE_CHARACTERS:]}"
