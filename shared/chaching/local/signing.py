"""The key that signs the log's checkpoints on this machine: made once, kept in the data folder.

It is made for a log without checkpoints. Where it is lost, a new one would sign in its place and
nobody would be told, so the start is refused instead.
"""

import base64
import os
import secrets
from pathlib import Path
from typing import Final

from chaching.audit.notes import SEED_BYTES, BadKey, NotANote, SigningKey, parse_checkpoint
from chaching.eventstore.database import Database
from chaching.eventstore.statements import statement
from chaching.local.errors import LocalError
from chaching.local.places import write_private

KEY_FILE = "audit-signing.key"
SETTING = "AUDIT_SIGNING_KEY"

_NEWEST: Final = statement("chaching.audit", "newest_checkpoint")


async def settled_signing_key(data_dir: Path, database: Database, *, anew: str) -> str:
    """Answer the key of the environment, else of the data folder; a new log gets a new one.

    ``anew`` says how to begin without the key.

    Raises:
        LocalError: it is missing, and the log has checkpoints, or it is none.
        Unavailable: no answer in time.
    """
    given, file = os.environ.get(SETTING), data_dir / KEY_FILE
    if given or file.exists():
        text = given or _read(file)
        _parsed(text, SETTING if given else str(file))
        return text
    for row in await database.fetch(_NEWEST):
        raise LocalError(
            f"{file} is missing: put back the one{_named(row['note'])} which signed the log; "
            f"without it nobody can tell its next checkpoints from a stranger's. To sign with "
            f"another one from here on, set {SETTING}; to begin anew, {anew}"
        )
    made = base64.b64encode(secrets.token_bytes(SEED_BYTES))
    write_private(file, made + b"\n")
    return made.decode()


def _named(note: str) -> str:
    """Answer how the key is named that signed a stored note, which may be damaged."""
    try:
        signatures = parse_checkpoint(note).signatures
    except NotANote:
        return ""
    return f" with the key id {', '.join(one.key_id.hex() for one in signatures)},"


def known_signing_key(data_dir: Path | None) -> SigningKey | None:
    """Answer the key of the environment, else that of a data folder, else None."""
    text, source = os.environ.get(SETTING), SETTING
    if not text and data_dir is not None and (data_dir / KEY_FILE).exists():
        text, source = _read(data_dir / KEY_FILE), str(data_dir / KEY_FILE)
    return _parsed(text, source) if text else None


def _parsed(text: str, source: str) -> SigningKey:
    try:
        return SigningKey.parse(text)
    except BadKey as error:
        raise LocalError(f"{source} is not usable: {error}") from error


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError as error:
        raise LocalError(f"the signing key {file} cannot be read: {error.strerror}") from error
