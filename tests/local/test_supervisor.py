import asyncio
import base64
import os
import signal
import socket
from pathlib import Path

import pytest
from tests.support.audited import audited_log, chance
from tests.support.keyrings import MASTER_KEY

from chaching.eventstore.api_keys import list_keys, revoke_key
from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore
from chaching.local.errors import LocalError
from chaching.local.ports import LOOPBACK, free_port
from chaching.local.processes import Mark
from chaching.local.signing import KEY_FILE
from chaching.local.state import RunState
from chaching.local.supervisor import (
    LOCAL_KEY,
    RunSettings,
    banner,
    is_on_this_machine,
    prepared,
    refuse_taken_port,
    run,
    sole_run,
    until_signalled,
    with_role,
)

LIMIT_S = 20.0
OTHER_KEY = base64.b64encode(bytes(range(32))).decode()


def settings_for(folder: Path, port: int, database_url: str | None = None) -> RunSettings:
    return RunSettings(
        data_dir=folder,
        host=LOOPBACK,
        port=port,
        database_url=database_url,
        amqp_url=f"amqp://{LOOPBACK}:1/",
    )


def test_a_second_run_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    first, second = sole_run(tmp_path), sole_run(tmp_path)
    with first, pytest.raises(LocalError, match=f"process {os.getpid()}"), second:
        pytest.fail("two runs held one folder")
    with sole_run(tmp_path):
        pass


def test_a_taken_port_is_refused_not_changed(tmp_path: Path) -> None:
    port = free_port()
    refuse_taken_port(settings_for(tmp_path, port))
    with socket.create_server((LOOPBACK, port)), pytest.raises(LocalError, match=str(port)):
        refuse_taken_port(settings_for(tmp_path, port))


async def test_a_database_that_does_not_answer_is_said_in_one_line(tmp_path: Path) -> None:
    nobody = f"postgresql://nobody@{LOOPBACK}:{free_port()}/none"
    settings = settings_for(tmp_path, free_port(), nobody)
    said: list[str] = []
    with pytest.raises(LocalError, match="the database cannot be used"):
        await asyncio.wait_for(run(settings, said.append), LIMIT_S)


async def refusal(settings: RunSettings) -> str:
    """Return why a run ends at its start, before it has said anything."""
    said: list[str] = []
    with pytest.raises(LocalError) as raised:
        await asyncio.wait_for(run(settings, said.append), LIMIT_S)
    assert said == []
    return str(raised.value)


async def test_a_missing_or_another_master_key_ends_the_run_before_a_service_starts(
    tmp_path: Path, database_url: str, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MASTER_KEY", raising=False)
    await store.admit_master_key()
    settings = settings_for(tmp_path, free_port(), database_url)
    assert "master.key is missing" in await refusal(settings)
    assert not (tmp_path / "master.key").exists()
    (tmp_path / "master.key").write_text(OTHER_KEY)
    said = await refusal(settings)
    assert "is not the master key of this database" in said
    assert "\n" not in said
    assert not (tmp_path / "logs").exists()


async def test_a_missing_or_broken_signing_key_ends_the_run_before_a_service_starts(
    tmp_path: Path, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUDIT_SIGNING_KEY", raising=False)
    audited = await audited_log(database, database_url, (3,), chance(1))
    monkeypatch.setenv("MASTER_KEY", MASTER_KEY)
    settings = settings_for(tmp_path, free_port(), database_url)
    said = await refusal(settings)
    assert f"{KEY_FILE} is missing: put back the one with the key id" in said
    assert audited.signed[-1].signatures[0].key_id.hex() in said
    assert "\n" not in said
    assert not (tmp_path / KEY_FILE).exists()
    monkeypatch.setenv("AUDIT_SIGNING_KEY", "guessed")
    said = await refusal(settings)
    assert said.startswith("AUDIT_SIGNING_KEY is not usable")
    assert "guessed" not in said


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_the_work_in_order(which: signal.Signals) -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            os.kill(os.getpid(), which)
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), which)  # an impatient second one changes nothing
            await asyncio.sleep(0)
            ended.set()

    await asyncio.wait_for(until_signalled(work()), LIMIT_S)
    assert ended.is_set()


def test_a_url_carries_the_role() -> None:
    assert with_role("postgresql://h/d", "r") == "postgresql://h/d?role=r"
    assert with_role("postgresql://h/d?a=b", "r") == "postgresql://h/d?a=b&role=r"


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("postgresql://u:p@127.0.0.1:5432/d", True),
        ("postgresql://localhost/d", True),
        ("postgresql:///d?host=/run", True),
        ("postgresql:///d", False),
        ("postgresql:///d?host=db.example.com", False),
        ("postgresql://localhost/d?hostaddr=192.0.2.1", False),
        ("postgresql://u:p@[::1]/d", True),
        ("postgresql://u:p@db.example.com/d", False),
    ],
)
def test_the_key_that_everyone_knows_stays_on_this_machine(url: str, here: bool) -> None:
    assert is_on_this_machine(url) is here


async def test_a_local_key_that_was_revoked_is_not_shown_but_how_to_make_another(
    database_url: str,
) -> None:
    state = RunState(
        data_dir="/data",
        supervisor=Mark.of("s", os.getpid()),
        gateway="http://g",
        database=database_url,
    )
    shown = banner(state, 1.0, await prepared(database_url))
    assert f"-u {LOCAL_KEY}:" in shown
    assert "keys create" not in shown
    [key] = await list_keys(database_url)
    await revoke_key(database_url, key.key_id)
    shown = banner(state, 1.0, await prepared(database_url))
    assert LOCAL_KEY not in shown
    assert "chaching keys create --account acct_local --mode test --right '*'" in shown
