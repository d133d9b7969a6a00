"""The key that signs the log's checkpoints on this machine: made once, kept in the data folder."""

import base64
import os
import secrets
from pathlib import Path

from chaching.audit.notes import SEED_BYTES, BadKey, SigningKey
from chaching.local.errors import LocalError
from chaching.local.places import write_private

KEY_FILE = "audit-signing.key"
SETTING = "AUDIT_SIGNING_KEY"


def signing_key_text(data_dir: Path) -> str:
    """Answer the key of the environment, else of the data folder, where one is made if need be."""
    given = os.environ.get(SETTING)
    if given:
        return given
    file = data_dir / KEY_FILE
    if not file.exists():
        write_private(file, base64.b64encode(secrets.token_bytes(SEED_BYTES)) + b"\n")
    return _read(file)


def known_signing_key(data_dir: Path | None) -> SigningKey | None:
    """Answer the key of the environment, else that of a data folder, else None."""
    text = os.environ.get(SETTING)
    if not text and data_dir is not None and (data_dir / KEY_FILE).exists():
        text = _read(data_dir / KEY_FILE)
    if not text:
        return None
    try:
        return SigningKey.parse(text)
    except BadKey as error:
        raise LocalError(f"{SETTING} is not usable: {error}") from error


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError as error:
        raise LocalError(f"the signing key {file} cannot be read: {error.strerror}") from error
