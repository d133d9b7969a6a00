"""Waiting as the tests do it: for a condition, with a limit, and failing with its name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

LIMIT_S: Final = 30.0
POLL_S: Final = 0.02


async def eventually(
    holds: Callable[[], Awaitable[bool]], what: str, *, limit_s: float = LIMIT_S
) -> None:
    """Return when ``holds`` answers true; fail after ``limit_s`` seconds."""
    deadline = time.monotonic() + limit_s
    while not await holds():
        assert time.monotonic() < deadline, f"not within {limit_s:.0f} s: {what}"
        await asyncio.sleep(POLL_S)
