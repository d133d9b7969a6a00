"""The local set-up's master key: made once, kept private, or taken from the environment.

A database that needs one gets no other.
"""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest
from tests.support.keyrings import KEYRING, MASTER_KEY

from chaching.eventstore.database import Database
from chaching.eventstore.encryption import Keyring
from chaching.eventstore.store import EventStore
from chaching.local.errors import LocalError
from chaching.local.master_key import (
    keyring,
    known_master_key,
    master_key_file,
    settled_master_key,
)

ANEW = "take another one"
OTHER = base64.b64encode(bytes(range(32))).decode()


async def settled(folder: Path, database: Database, **environ: str) -> str:
    return await settled_master_key(folder, database, anew=ANEW, environ=environ)


async def test_a_master_key_is_made_once_and_for_its_owner_alone(
    tmp_path: Path, database: Database
) -> None:
    made = await settled(tmp_path, database)
    assert await settled(tmp_path, database) == made
    await EventStore(database, Keyring.of(made)).admit_master_key()
    assert await settled(tmp_path, database) == made
    assert stat.S_IMODE(master_key_file(tmp_path).stat().st_mode) == 0o600
    assert len(keyring(tmp_path, {}).ids) == 1


async def test_a_database_that_needs_a_key_gets_no_new_one(
    tmp_path: Path, database: Database
) -> None:
    await EventStore(database, KEYRING).admit_master_key()
    with pytest.raises(LocalError) as raised:
        await settled(tmp_path, database)
    said = str(raised.value)
    assert said.startswith(f"{master_key_file(tmp_path)} is missing: put back")
    assert KEYRING.ids[0].hex() in said
    assert said.endswith(ANEW)
    assert not master_key_file(tmp_path).exists()
    assert await settled(tmp_path, database, MASTER_KEY=MASTER_KEY) == MASTER_KEY


async def test_another_database_s_key_is_refused_and_stays(
    tmp_path: Path, database: Database
) -> None:
    await EventStore(database, KEYRING).admit_master_key()
    master_key_file(tmp_path).write_text(OTHER)
    with pytest.raises(LocalError, match=r"master\.key is not the master key of this database"):
        await settled(tmp_path, database)
    with pytest.raises(LocalError, match=r"^MASTER_KEY is not the master key of this database"):
        await settled(tmp_path, database, MASTER_KEY=OTHER)
    assert master_key_file(tmp_path).read_text() == OTHER


def test_the_environment_goes_before_the_folder(tmp_path: Path) -> None:
    master_key_file(tmp_path).write_text(OTHER)
    assert keyring(tmp_path, {"MASTER_KEY": MASTER_KEY}).ids == KEYRING.ids


def test_what_cannot_be_a_master_key_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="MASTER_KEY is not usable") as raised:
        known_master_key(tmp_path, {"MASTER_KEY": "guessed"})
    assert "guessed" not in str(raised.value)
    with pytest.raises(LocalError, match="set MASTER_KEY"):
        keyring(tmp_path, {})
    master_key_file(tmp_path).write_text("broken")
    with pytest.raises(LocalError, match="32 bytes in base64"):
        keyring(tmp_path, {})
