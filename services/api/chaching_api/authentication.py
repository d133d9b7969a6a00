"""Who calls: from the Authorization header to an ApiKey, with a short-lived memory.

A key found in the store is trusted for ``FRESH_S``, then looked up again in the background while
it goes on being used, and for at most ``TRUSTED_MAX_S`` in all; so a revoked key stops working
within that time, and a busy key costs a hash and a dictionary look-up. The memory is keyed by the
SHA-256 of the header; keys themselves are not kept.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

import msgspec

from chaching.eventstore.api_keys import ApiKey, key_hash
from chaching_api.errors import NotAllowed, NotAuthenticated

FRESH_S: Final = 2.0
TRUSTED_MAX_S: Final = 4.0
REMEMBERED_MAX_KEYS: Final = 10_000
KEY_CHARACTERS_MAX: Final = 255
SHOWN_CHARACTERS: Final = 4

NO_KEY: Final = (
    "You did not provide an API key. You need to provide your API key in the Authorization "
    "header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY') or Basic auth with "
    "the key as user name and an empty password."
)
PREFIXES: Final = tuple(f"{k}_{m}_" for k in ("sk", "rk", "pk") for m in ("test", "live"))

FindKey = Callable[[bytes], Awaitable[ApiKey | None]]


class _Remembered(msgspec.Struct):
    key: ApiKey | None
    masked: str
    found_at_s: float


class Authenticator:
    """Finds out who calls; ``find_key`` looks a key's hash up in the store."""

    def __init__(self, find_key: FindKey) -> None:
        self._find_key = find_key
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._lookups: dict[bytes, asyncio.Task[_Remembered]] = {}

    async def authenticate(self, authorization: str | None) -> ApiKey:
        """Return the key of an Authorization header.

        Raises:
            NotAuthenticated: there is none, or it opens nothing here.
            Unavailable: the store does not answer.
        """
        if not authorization:
            raise NotAuthenticated(NO_KEY)
        header_hash = hashlib.sha256(authorization.encode("utf-8", "surrogateescape")).digest()
        remembered = self._remembered.get(header_hash)
        age_s = time.monotonic() - remembered.found_at_s if remembered else TRUSTED_MAX_S
        if remembered is None or age_s >= TRUSTED_MAX_S:
            remembered = await self._looked_up(header_hash, authorization)
        elif age_s >= FRESH_S and header_hash not in self._lookups:
            self._look_up(header_hash, authorization)
        return _valid(remembered)

    async def _looked_up(self, header_hash: bytes, authorization: str) -> _Remembered:
        task = self._lookups.get(header_hash) or self._look_up(header_hash, authorization)
        return await asyncio.shield(task)

    def _look_up(self, header_hash: bytes, authorization: str) -> asyncio.Task[_Remembered]:
        plain = _plain_key(authorization)
        task = asyncio.get_running_loop().create_task(self._find(header_hash, plain))
        self._lookups[header_hash] = task
        task.add_done_callback(lambda done: self._looked(header_hash, done))
        return task

    def _looked(self, header_hash: bytes, task: asyncio.Task[_Remembered]) -> None:
        del self._lookups[header_hash]
        if not task.cancelled():
            task.exception()  # whoever awaits it is told; a background refresh is tried again

    async def _find(self, header_hash: bytes, plain: str) -> _Remembered:
        asked_at_s = time.monotonic()
        found = await self._find_key(key_hash(plain))
        remembered = _Remembered(found, masked(plain), asked_at_s)
        self._remembered[header_hash] = remembered
        self._remembered.move_to_end(header_hash)
        if len(self._remembered) > REMEMBERED_MAX_KEYS:
            self._remembered.popitem(last=False)
        return remembered


def require(key: ApiKey, right: str) -> None:
    """Refuse a key that lacks a right with NotAllowed."""
    if not key.may(right):
        raise NotAllowed(
            f"The provided key does not have the required permissions for this endpoint. "
            f"Having the '{right}' right would allow this request to continue."
        )


def masked(key: str) -> str:
    """Return a key with only its prefix and its last four characters to be read."""
    prefix = next((p for p in PREFIXES if key.startswith(p)), "")
    rest = key[len(prefix) :]
    shown = rest[-SHOWN_CHARACTERS:] if len(rest) > SHOWN_CHARACTERS else ""
    return prefix + "*" * (len(rest) - len(shown)) + shown


def _valid(remembered: _Remembered) -> ApiKey:
    key = remembered.key
    if key is None or key.revoked_at is not None:
        raise NotAuthenticated(f"Invalid API Key provided: {remembered.masked}")
    if key.kind == "publishable":
        raise NotAuthenticated(
            "This API call cannot be made with a publishable API key. Please use a secret API key.",
            reason="secret_key_required",
        )
    if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
        raise NotAuthenticated(
            f"Expired API Key provided: {remembered.masked}", reason="api_key_expired"
        )
    return key


def _plain_key(authorization: str) -> str:
    scheme, _, credentials = authorization.partition(" ")
    credentials = credentials.strip()
    match scheme.lower():
        case "bearer":
            plain = credentials
        case "basic":
            plain = _basic_user(credentials)
        case _:
            raise NotAuthenticated(NO_KEY)
    if not plain:
        raise NotAuthenticated(NO_KEY)
    if len(plain) > KEY_CHARACTERS_MAX or not (plain.isascii() and plain.isprintable()):
        shown = plain[:KEY_CHARACTERS_MAX].encode("ascii", "replace").decode()
        raise NotAuthenticated(f"Invalid API Key provided: {masked(shown)}")
    return plain


def _basic_user(credentials: str) -> str:
    try:
        decoded = base64.b64decode(credentials, validate=True).decode()
    except ValueError:  # not base64, or not UTF-8 inside
        raise NotAuthenticated(NO_KEY) from None
    return decoded.partition(":")[0]
