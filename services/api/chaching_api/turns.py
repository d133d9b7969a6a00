"""Turns: within one process, commands to one customer follow one another.

Two that overtook each other would only conflict in the store and be decided again. Between
processes the store's expected version is what decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager


class Turns:
    """Locks by key that exist only while somebody holds or awaits them."""

    def __init__(self) -> None:
        self._taken: dict[Hashable, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def turn(self, key: Hashable) -> AsyncGenerator[None]:
        """Run the block when nobody else with this key does, in order of arrival."""
        lock, waiting = self._taken.get(key) or (asyncio.Lock(), 0)
        self._taken[key] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._taken[key]
            if waiting == 1:
                del self._taken[key]
            else:
                self._taken[key] = (lock, waiting - 1)
