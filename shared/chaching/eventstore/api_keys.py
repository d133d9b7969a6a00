"""API keys: who calls, for which account and mode, with which rights.

A key is its kind, its mode and 32 random characters (190 bits), so a plain SHA-256 of it cannot
be searched backwards; only that hash is stored, and beside it the key masked, for a person to
recognise it by. The plain key is seen once, when it is made.

The gateway only looks keys up. Who administers them has the owner's URL: creates, lists, rolls and
revokes. A key is never changed and its row never deleted; it only ever gets an end, so the rows
tell who could do what at which time. The database sees to that with triggers.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias, get_args

import msgspec

from chaching.domain.ids import DIGITS, AccountId, KeyId, Mode, mode_of, spell
from chaching.eventstore.database import Database, Row, Session
from chaching.eventstore.statements import statement

KeyKind: TypeAlias = Literal["secret", "restricted", "publishable"]
KeyState: TypeAlias = Literal["active", "expiring", "expired", "revoked"]
Right: TypeAlias = Literal["customers:read", "customers:write", "events:read", "audit", "erase"]

KEY_RANDOM_CHARACTERS: Final = 32
SHOWN_CHARACTERS: Final = 4
LISTED_BATCH_MAX_KEYS: Final = 500
EVERY_RIGHT: Final = "*"
RIGHTS: Final[frozenset[str]] = frozenset({*get_args(Right), EVERY_RIGHT})
DEFAULT_RIGHTS: Final[Sequence[Right]] = ("customers:read", "customers:write", "events:read")
USUAL_RIGHTS: Final[Mapping[KeyKind, Sequence[Right]]] = {
    "secret": DEFAULT_RIGHTS,
    "restricted": (),
    "publishable": (),
}
_KIND_PREFIXES: Final[dict[KeyKind, str]] = {
    "secret": "sk",
    "restricted": "rk",
    "publishable": "pk",
}
_KEY_ID: Final = re.compile(r"key_[0-9A-Za-z]{14}")
PREFIXES: Final = tuple(f"{k}_{m}_" for k in _KIND_PREFIXES.values() for m in get_args(Mode))

_MAY_ADMINISTER: Final = statement("chaching.eventstore", "may_administer_keys")
_CREATE: Final = statement("chaching.eventstore", "create_key")
_FIND: Final = statement("chaching.eventstore", "find_keys")
_LIST: Final = statement("chaching.eventstore", "list_keys")
_LOCK: Final = statement("chaching.eventstore", "lock_key")
_EXPIRE: Final = statement("chaching.eventstore", "expire_key")
_REVOKE: Final = statement("chaching.eventstore", "revoke_key")


class KeyRefused(Exception):  # noqa: N818 - a refusal is a normal outcome
    """What is asked cannot be done to a key; the message is one line for a person."""


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


class IssuedKey(msgspec.Struct, frozen=True):
    """A key as it is shown this once, and the id that names it from then on."""

    key: str
    key_id: KeyId


class ListedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as those see it who administer it; ``masked`` is unknown for the oldest ones."""

    key_id: KeyId
    masked: str | None
    kind: KeyKind
    mode: Mode
    account: AccountId
    rights: Sequence[str]
    name: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    replaces: KeyId | None
    replaced_by: KeyId | None
    state: KeyState


def key_hash(key: str) -> bytes:
    """Return the SHA-256 under which a key is stored."""
    return hashlib.sha256(key.encode()).digest()


def masked(key: str) -> str:
    """Return a key with only its prefix and its last four characters to be read."""
    prefix = next((p for p in PREFIXES if key.startswith(p)), "")
    rest = key[len(prefix) :]
    shown = rest[-SHOWN_CHARACTERS:] if len(rest) > SHOWN_CHARACTERS else ""
    return prefix + "*" * (len(rest) - len(shown)) + shown


def generate_key(kind: KeyKind, mode: Mode) -> str:
    """Return a new random key."""
    random = "".join(secrets.choice(DIGITS) for _ in range(KEY_RANDOM_CHARACTERS))
    return f"{_KIND_PREFIXES[kind]}_{mode}_{random}"


def state_of(
    expires_at: datetime | None, revoked_at: datetime | None, *, now: datetime
) -> KeyState:
    """Return how a key stands at an instant; expiring means that its end is set and to come."""
    if revoked_at is not None:
        return "revoked"
    if expires_at is None:
        return "active"
    return "expired" if expires_at <= now else "expiring"


async def find_keys(database: Database, wanted: Sequence[bytes]) -> Sequence[ApiKey | None]:
    """Return the key of each hash, in order, None where there is none; raises Unavailable.

    Keys are hashed before they are looked for, and whoever asks cannot choose what a hash begins
    with, so how long a look-up takes tells nothing of a key.
    """
    rows = {row["key_hash"]: row for row in await database.fetch(_FIND, list(wanted))}
    return [_found(rows.get(key_hash), key_hash) for key_hash in wanted]


async def create_key(
    database_url: str,
    *,
    account: str,
    mode: Mode,
    kind: KeyKind,
    rights: Sequence[str] | None = None,
    expires_in_s: float | None = None,
    name: str | None = None,
    key: str | None = None,
) -> IssuedKey:
    """Store a key (a new random one unless given); without rights it gets the usual ones.

    A given key that is stored already stays as it is, under the id that it has.

    Raises:
        KeyRefused: the URL is not an owner's, or the schema is not current.
        Unavailable: the database does not answer.
    """
    plain = key or generate_key(kind, mode)
    wanted = _Wanted(
        account=AccountId(account),
        livemode=mode == "live",
        kind=kind,
        rights=USUAL_RIGHTS[kind] if rights is None else rights,
        name=name,
        expires_in_s=expires_in_s,
    )
    async with _administering(database_url) as session:
        return await _store(session, plain, wanted)


async def list_keys(
    database_url: str, *, account: str | None = None, mode: Mode | None = None
) -> list[ListedKey]:
    """Return all keys, or those of an account or a mode, in the order of their making.

    Raises:
        KeyRefused: the URL is not an owner's, or the schema is not current.
        Unavailable: the database does not answer.
    """
    livemode = None if mode is None else mode == "live"
    listed: list[ListedKey] = []
    async with _administering(database_url) as session:
        while True:
            after = listed[-1].key_id if listed else ""
            rows = await session.fetch(_LIST, account, livemode, None, after, LISTED_BATCH_MAX_KEYS)
            listed += [_listed(row) for row in rows]
            if len(rows) < LISTED_BATCH_MAX_KEYS:
                return listed


async def roll_key(database_url: str, named: str, *, expires_in_s: float = 0.0) -> IssuedKey:
    """Make a new key that opens what an old one opens and until then, if the old one had an end.

    The old one expires after some seconds.

    Both happen in one transaction, and a key is rolled once: whoever comes second is told which
    key replaced it.

    Raises:
        KeyRefused: there is no such key, or it is over, or it was rolled before; or as above.
        Unavailable: the database does not answer.
    """
    key_id = _checked_id(named)
    async with _administering(database_url) as session:
        await session.execute("BEGIN")
        # the lock comes first: what is read after it is what the last roll left
        await session.fetch(_LOCK, key_id)
        old = _rollable(key_id, await session.fetch(_LIST, None, None, key_id, "", 1))
        wanted = _Wanted(
            account=old.account,
            livemode=old.mode == "live",
            kind=old.kind,
            rights=old.rights,
            name=old.name,
            expires_in_s=_seconds_left(old.expires_at),
            replaces=old.key_id,
        )
        issued = await _store(session, generate_key(old.kind, old.mode), wanted)
        await session.execute(_EXPIRE, key_id, expires_in_s)
        await session.execute("COMMIT")
    return issued


def _seconds_left(expires_at: datetime | None) -> float | None:
    return None if expires_at is None else (expires_at - datetime.now(UTC)).total_seconds()


async def revoke_key(database_url: str, named: str) -> None:
    """End a key for good; one that is revoked stays revoked since then.

    Raises:
        KeyRefused: there is no such key; or as above.
        Unavailable: the database does not answer.
    """
    key_id = _checked_id(named)
    async with _administering(database_url) as session:
        if not await session.execute(_REVOKE, key_id):
            raise _no_such_key(key_id)


class _Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a key that is to be stored opens, for how long, and whose place it takes."""

    account: AccountId
    livemode: bool
    kind: KeyKind
    rights: Sequence[str]
    name: str | None
    expires_in_s: float | None = None
    replaces: KeyId | None = None


@asynccontextmanager
async def _administering(database_url: str) -> AsyncGenerator[Session]:
    database = Database(database_url, name="keys", sessions_max=1)
    await database.open()
    try:
        async with database.session() as session:
            [row] = await session.fetch(_MAY_ADMINISTER)
            if not row["is_there"]:
                raise KeyRefused("the database's schema is not current: run `chaching migrate`")
            if not row["may"]:
                raise KeyRefused("this database user may not administer keys: use the owner's URL")
            yield session
    finally:
        await database.close()


async def _store(session: Session, plain: str, wanted: _Wanted) -> IssuedKey:
    hashed = key_hash(plain)
    rows = await session.fetch(
        _CREATE,
        spell("key_", time.time_ns() // 1_000_000, secrets.randbits(64)),
        hashed,
        masked(plain),
        wanted.account,
        wanted.livemode,
        wanted.kind,
        list(wanted.rights),
        wanted.name,
        wanted.expires_in_s,
        wanted.replaces,
    )
    [row] = rows or await session.fetch(_FIND, [hashed])
    return IssuedKey(plain, row["key_id"])


def _found(row: Row | None, wanted_hash: bytes) -> ApiKey | None:
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


def _listed(row: Row) -> ListedKey:
    return ListedKey(
        key_id=row["key_id"],
        masked=row["masked"],
        kind=row["kind"],
        mode=mode_of(livemode=row["livemode"]),
        account=row["account"],
        rights=tuple(row["rights"]),
        name=row["name"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        replaces=row["replaces"],
        replaced_by=row["replaced_by"],
        state=state_of(row["expires_at"], row["revoked_at"], now=row["asked_at"]),
    )


def _rollable(key_id: KeyId, rows: Sequence[Row]) -> ListedKey:
    if not rows:
        raise _no_such_key(key_id)
    old = _listed(rows[0])
    if old.replaced_by is not None:
        raise KeyRefused(f"{key_id} was rolled before: {old.replaced_by} took its place")
    if old.state in ("expired", "revoked"):
        raise KeyRefused(f"{key_id} is {old.state} and cannot be rolled: create a new key")
    return old


def _checked_id(text: str) -> KeyId:
    """Return what can be an id; anything else may be a key itself and is not repeated."""
    if not _KEY_ID.fullmatch(text):
        raise KeyRefused("a key is named by its id, key_…: see `chaching keys list`")
    return KeyId(text)


def _no_such_key(key_id: KeyId) -> KeyRefused:
    return KeyRefused(f"no key has the id {key_id}: see `chaching keys list`")
