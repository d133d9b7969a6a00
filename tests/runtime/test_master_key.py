"""A process with the wrong master key ends at its start, with one line that does not repeat it."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from tests.support.customers import append, created
from tests.support.gateways import plain_environment
from tests.support.keyrings import KEYRING, master_key
from tests.support.waiting import eventually

from chaching.eventstore.store import EventStore
from chaching.local.ports import free_port
from chaching.local.processes import Child

WRONG = master_key("a wrong master key")
STOP_LIMIT_S = 10.0
PROCESSES = {
    "gateway": ["chaching_api", "gateway"],
    "relay": ["chaching_api", "relay"],
    "projector": ["chaching_projector"],
}


@pytest.mark.parametrize("name", PROCESSES)
async def test_a_wrong_master_key_ends_a_process_with_one_line(
    store: EventStore, database_url: str, amqp_url: str, tmp_path: Path, name: str
) -> None:
    await append(store, created("cus_1"))
    log = tmp_path / "log"
    settings = {"DATABASE_URL": database_url, "AMQP_URL": amqp_url, "PORT": f"{free_port()}"}
    child = Child.spawn(
        name,
        [sys.executable, "-m", *PROCESSES[name]],
        env={**plain_environment(), **settings, "MASTER_KEY": WRONG},
        log=log,
    )

    async def has_ended() -> bool:
        return child.exit_code is not None

    try:
        await eventually(has_ended, f"the {name} ends")
    finally:
        await child.end(signal.SIGTERM, STOP_LIMIT_S)
    assert child.exit_code == 1
    lines = [line for line in log.read_text().splitlines() if not line.startswith("{")]
    assert len(lines) == 1
    assert lines[0].startswith("chaching: MASTER_KEY is not the one of this database")
    assert KEYRING.ids[0].hex() in lines[0]
    assert WRONG not in log.read_text()
