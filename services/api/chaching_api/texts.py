"""How refusals spell what they speak of: parameters in bracket form, values shortened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

SHOWN_VALUE_CHARACTERS_MAX: Final = 20
SHOWN_NAME_CHARACTERS_MAX: Final = 100
EDGE_CHARACTERS: Final = 4


def bracketed(path: Sequence[str]) -> str:
    """``("a", "b", "0")`` as ``a[b][0]``."""
    return path[0] + "".join([f"[{segment}]" for segment in path[1:]])


def shortened(text: str, limit: int = SHOWN_VALUE_CHARACTERS_MAX) -> str:
    """``aaaa...aaaa`` when the text is longer than ``limit`` characters."""
    if len(text) <= limit:
        return text
    return f"{text[:EDGE_CHARACTERS]}...{text[-EDGE_CHARACTERS:]}"


def listed(values: Sequence[str]) -> str:
    """``a, b, or c``."""
    if len(values) <= 2:  # noqa: PLR2004 - two need no comma
        return " or ".join(values)
    return f"{', '.join(values[:-1])}, or {values[-1]}"
