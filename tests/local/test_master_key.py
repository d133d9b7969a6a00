"""The local set-up's master key: made once, kept private, or taken from the environment."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from tests.support.keyrings import KEYRING, MASTER_KEY

from chaching.local.errors import LocalError
from chaching.local.master_key import keyring, make_master_key, master_key_file


def test_a_master_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    made = make_master_key(tmp_path, {})
    assert make_master_key(tmp_path, {}) == made
    assert stat.S_IMODE(master_key_file(tmp_path).stat().st_mode) == 0o600
    assert make_master_key(tmp_path / "..", {"MASTER_KEY": MASTER_KEY}) == MASTER_KEY
    assert len(keyring(tmp_path, {}).ids) == 1


def test_the_environment_goes_before_the_folder(tmp_path: Path) -> None:
    make_master_key(tmp_path, {})
    assert keyring(tmp_path, {"MASTER_KEY": MASTER_KEY}).ids == KEYRING.ids


def test_what_cannot_be_a_master_key_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="MASTER_KEY is not usable") as raised:
        make_master_key(tmp_path, {"MASTER_KEY": "guessed"})
    assert "guessed" not in str(raised.value)
    with pytest.raises(LocalError, match="set MASTER_KEY"):
        keyring(tmp_path, {})
    master_key_file(tmp_path).write_text("broken")
    with pytest.raises(LocalError, match="32 bytes in base64"):
        keyring(tmp_path, {})
