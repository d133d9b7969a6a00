"""The master key of the local set-up: from the environment, else made once in the data folder.

It is made for a database that needs none yet. Where one is needed, a new one would only stand where
the lost one belongs, so the start is refused instead.

Whoever loses it loses every personal value in the database; whoever copies the data folder copies
both. That is fine on one machine; a deployment keeps it elsewhere (see deploy/README.md).
"""

import base64
import os
from collections.abc import Mapping
from pathlib import Path

from chaching.eventstore.database import Database
from chaching.eventstore.encryption import MASTER_KEY_BYTES, Keyring, MasterKeyError
from chaching.eventstore.errors import WrongMasterKey
from chaching.eventstore.store import EventStore
from chaching.local.errors import LocalError
from chaching.local.places import write_private

VARIABLE = "MASTER_KEY"


def master_key_file(data_dir: Path) -> Path:
    return data_dir / "master.key"


def known_master_key(data_dir: Path, environ: Mapping[str, str] = os.environ) -> str | None:
    """Answer the master key of the environment, else of the data folder, else None.

    Raises:
        LocalError: it is none, or its file cannot be read.
    """
    file = master_key_file(data_dir)
    text = environ.get(VARIABLE) or (_read(file) if file.exists() else None)
    if text is not None:
        checked(text, _source(data_dir, environ))
    return text


async def settled_master_key(
    data_dir: Path, database: Database, *, anew: str, environ: Mapping[str, str] = os.environ
) -> str:
    """Answer the master key that fits a migrated database; one that needs none yet gets a new one.

    ``anew`` says how to begin without the key.

    Raises:
        LocalError: it is missing, or another one.
        Unavailable: no answer in time.
    """
    known = known_master_key(data_dir, environ)
    text = known or base64.b64encode(os.urandom(MASTER_KEY_BYTES)).decode()
    try:
        await EventStore(database, Keyring.of(text)).check_master_key()
    except WrongMasterKey as error:
        source = _source(data_dir, environ)
        wrong = "is missing" if known is None else "is not the master key of this database"
        raise LocalError(
            f"{source} {wrong}: put back the one with the id {error.args[0]}; "
            f"without it no personal value can be read. To begin anew, {anew}"
        ) from error
    if known is None:
        write_private(master_key_file(data_dir), text.encode())
    return text


def keyring(data_dir: Path, environ: Mapping[str, str] = os.environ) -> Keyring:
    """Answer the keyring of the service that runs on a data folder, or of the environment."""
    known = known_master_key(data_dir, environ)
    if known is None:
        raise LocalError(f"set {VARIABLE} to what the personal values are encrypted with")
    return Keyring.of(known)


def checked(text: str, where: str) -> Keyring:
    """Answer the keyring that a text spells; LocalError, which does not repeat it."""
    try:
        return Keyring.of(text)
    except MasterKeyError as error:
        raise LocalError(f"{where} is not usable: {error}") from error


def _source(data_dir: Path, environ: Mapping[str, str]) -> str:
    """Answer where the master key is taken from."""
    return VARIABLE if environ.get(VARIABLE) else str(master_key_file(data_dir))


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError as error:
        raise LocalError(f"the master key in {file} cannot be read: {error.strerror}") from error
