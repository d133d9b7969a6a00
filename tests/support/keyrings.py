"""The master key of the tests."""

from __future__ import annotations

import base64
from typing import Final

from chaching.eventstore.encryption import Keyring


def master_key(word: str) -> str:
    """Return a master key as the setting spells it, told from others by a word."""
    return base64.b64encode(word.encode().ljust(32, b"."))[:44].decode()


MASTER_KEY: Final = master_key("the master key of the tests")
KEYRING: Final = Keyring.of(MASTER_KEY)
