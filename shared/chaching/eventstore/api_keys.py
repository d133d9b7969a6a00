"""API keys: who calls, for which account and mode, with which rights.

A key is its kind, its mode and 32 random characters (190 bits), so a plain SHA-256 of it cannot
be searched backwards; only that hash is stored. The plain key is seen once, when it is made.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias

import msgspec

from chaching.domain.ids import DIGITS, AccountId, KeyId, Mode, spell
from chaching.eventstore.database import Database
from chaching.eventstore.statements import statement

KeyKind: TypeAlias = Literal["secret", "restricted", "publishable"]

KEY_RANDOM_CHARACTERS: Final = 32
EVERY_RIGHT: Final = "*"
DEFAULT_RIGHTS: Final = ("customers:read", "customers:write")
_KIND_PREFIXES: Final[dict[KeyKind, str]] = {
    "secret": "sk",
    "restricted": "rk",
    "publishable": "pk",
}

_CREATE: Final = statement("chaching.eventstore", "create_key")
_FIND: Final = statement("chaching.eventstore", "find_key")


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a key opens. The key itself is not in here."""

    key_id: KeyId
    account: AccountId
    livemode: bool
    kind: KeyKind
    rights: frozenset[str]
    name: str | None
    expires_at: datetime | None
    revoked_at: datetime | None

    def may(self, right: str) -> bool:
        """Tell whether the key has a right, by name or in a wider one; to write is to read."""
        if right in self.rights or EVERY_RIGHT in self.rights:
            return True
        resource, _, level = right.rpartition(":")
        return level == "read" and f"{resource}:write" in self.rights


def key_hash(key: str) -> bytes:
    """Return the SHA-256 under which a key is stored."""
    return hashlib.sha256(key.encode()).digest()


def generate_key(kind: KeyKind, mode: Mode) -> str:
    """Return a new random key."""
    random = "".join(secrets.choice(DIGITS) for _ in range(KEY_RANDOM_CHARACTERS))
    return f"{_KIND_PREFIXES[kind]}_{mode}_{random}"


async def find_key(database: Database, wanted_hash: bytes) -> ApiKey | None:
    """Return the key with a hash; raises Unavailable.

    Keys are hashed before they are looked for, so how long a look-up takes tells nothing of a key.
    """
    row = await database.fetch_row(_FIND, wanted_hash)
    if row is None or not hmac.compare_digest(row["key_hash"], wanted_hash):
        return None
    return ApiKey(
        key_id=row["key_id"],
        account=row["account"],
        livemode=row["livemode"],
        kind=row["kind"],
        rights=frozenset(row["rights"]),
        name=row["name"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )


async def create_key(
    database_url: str,
    *,
    account: str,
    mode: Mode,
    kind: KeyKind,
    rights: Sequence[str] = DEFAULT_RIGHTS,
    expires_in_s: int | None = None,
    name: str | None = None,
    key: str | None = None,
) -> str:
    """Store a key (a new random one unless given) and return it; an owner's URL is needed.

    Raises:
        Unavailable: the database does not answer.
    """
    plain = key or generate_key(kind, mode)
    expires_at = None
    if expires_in_s is not None:
        expires_at = datetime.now(UTC) + timedelta(seconds=expires_in_s)
    database = Database(database_url, name="keys", sessions_max=1)
    await database.open()
    try:
        await database.execute(
            _CREATE,
            spell("key_", time.time_ns() // 1_000_000, secrets.randbits(64)),
            key_hash(plain),
            account,
            mode == "live",
            kind,
            list(rights),
            name,
            expires_at,
        )
    finally:
        await database.close()
    return plain
