"""A projector as the tests start it: in a process of its own, following the log by itself."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.support.gateways import plain_environment
from tests.support.keyrings import MASTER_KEY

from chaching.local.processes import Child

STOP_LIMIT_S: Final = 20.0


@asynccontextmanager
async def projector_process(database_url: str, log: Path) -> AsyncGenerator[None]:
    """Run a projector without a broker until the block ends; it must then end with code 0."""
    child = Child.spawn(
        "projector",
        [sys.executable, "-m", "chaching_projector"],
        env={**plain_environment(), "DATABASE_URL": database_url, "MASTER_KEY": MASTER_KEY},
        log=log,
    )
    try:
        yield
    finally:
        await child.end(signal.SIGTERM, STOP_LIMIT_S)
    assert child.exit_code == 0, f"see {log}"
