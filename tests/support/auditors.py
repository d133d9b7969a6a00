"""An auditor as the tests start it: in a process of its own, as operators run it."""

from __future__ import annotations

import base64
import json
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.support.gateways import plain_environment

from chaching.local.processes import Child

SEED: Final = base64.b64encode(bytes(range(32))).decode()
STOP_LIMIT_S: Final = 20.0
AS_OPERATORS_RUN_IT: Final = ("-m", "chaching_api", "auditor")
# the same but for how soon another one takes over
IN_A_HURRY: Final = (
    "-c",
    """
import os
from chaching.audit.notes import SigningKey
from chaching.runtime import lifecycle, logs
from chaching_api.auditor import Auditor
logs.configure()
key = SigningKey.parse(os.environ["AUDIT_SIGNING_KEY"])
lifecycle.run(Auditor(os.environ["DATABASE_URL"], key, silence_max_s=0.3).run)
""",
)


class AuditorProcess:
    """An auditor that signs with the key of the tests."""

    def __init__(
        self,
        database_url: str,
        log: Path,
        *,
        seed: str = SEED,
        words: Sequence[str] = AS_OPERATORS_RUN_IT,
    ) -> None:
        self.log = log
        self._words = words
        self._environment = {
            **plain_environment(),
            "DATABASE_URL": database_url,
            "AUDIT_SIGNING_KEY": seed,
        }
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.mark().pid

    @property
    def exit_code(self) -> int | None:
        assert self._child is not None
        return self._child.exit_code

    def start(self) -> None:
        self._child = Child.spawn(
            "auditor",
            [sys.executable, *self._words],
            env=self._environment,
            log=self.log,
        )

    async def kill(self) -> None:
        """End it with SIGKILL, at whatever it is."""
        assert self._child is not None
        self._child.send(signal.SIGKILL)
        await self._child.wait()

    async def end(self) -> None:
        assert self._child is not None
        await self._child.end(signal.SIGTERM, STOP_LIMIT_S)

    async def wait(self) -> int:
        assert self._child is not None
        return await self._child.wait()

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of its log that name an event."""
        lines = [json.loads(line) for line in self.log.read_bytes().splitlines()]
        return [line for line in lines if line["event"] == event]


@asynccontextmanager
async def auditor_process(
    database_url: str, log: Path, words: Sequence[str] = AS_OPERATORS_RUN_IT
) -> AsyncGenerator[AuditorProcess]:
    """Run an auditor until the block ends; unless it was ended, it must then end with code 0."""
    auditor = AuditorProcess(database_url, log, words=words)
    auditor.start()
    try:
        yield auditor
    finally:
        ended = auditor.exit_code is not None
        await auditor.end()
    assert ended or auditor.exit_code == 0, f"see {log}"
