"""The master key of the local set-up: from the environment, else made once in the data folder.

Whoever loses it loses every personal value in the database; whoever copies the data folder copies
both. That is fine on one machine; a deployment keeps it elsewhere (see deploy/README.md).
"""

import base64
import os
from collections.abc import Mapping
from pathlib import Path

from chaching.eventstore.encryption import MASTER_KEY_BYTES, Keyring, MasterKeyError
from chaching.local.errors import LocalError
from chaching.local.places import write_private

VARIABLE = "MASTER_KEY"


def master_key_file(data_dir: Path) -> Path:
    return data_dir / "master.key"


def make_master_key(data_dir: Path, environ: Mapping[str, str] = os.environ) -> str:
    """Answer the master key as the setting spells it; make one where there is none."""
    given = environ.get(VARIABLE)
    if given:
        checked(given, VARIABLE)
        return given
    file = master_key_file(data_dir)
    if not file.exists():
        write_private(file, base64.b64encode(os.urandom(MASTER_KEY_BYTES)))
    return _read(file)


def keyring(data_dir: Path, environ: Mapping[str, str] = os.environ) -> Keyring:
    """Answer the keyring of the service that runs on a data folder, or of the environment."""
    given = environ.get(VARIABLE)
    if given:
        return checked(given, VARIABLE)
    file = master_key_file(data_dir)
    if not file.exists():
        raise LocalError(f"set {VARIABLE} to what the personal values are encrypted with")
    return checked(_read(file), str(file))


def checked(text: str, where: str) -> Keyring:
    """Answer the keyring that a text spells; LocalError, which does not repeat it."""
    try:
        return Keyring.of(text)
    except MasterKeyError as error:
        raise LocalError(f"{where} is not usable: {error}") from error


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError as error:
        raise LocalError(f"the master key in {file} cannot be read: {error.strerror}") from error
