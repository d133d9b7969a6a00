from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from tests.support.brokers import own_prefix


@pytest.fixture
async def prefix(amqp_url: str) -> AsyncGenerator[str]:
    """A prefix of names on the broker that no other test uses."""
    async with own_prefix(amqp_url) as prefix:
        yield prefix
