"""Who calls: from the Authorization header to an ApiKey, with a short-lived memory.

Theory of operation. A key that the store knows is trusted for ``FRESH_S`` after it was asked for,
then looked up again in the background while it goes on being used, and for at most
``TRUSTED_MAX_S`` in all; so a revoked or rolled key stops opening within that time, and a busy key
costs a hash and a dictionary look-up. A key that the store does not know is not remembered: it
opens as soon as it is made.

No two plain keys are ever compared. A key is hashed as it comes in, and memory and store are asked
by its SHA-256, of which a caller cannot choose a single bit; so the time an answer takes tells
nothing of any key.

A flood of wrong keys costs each of them a hash and a share of an indexed look-up: look-ups travel
in groups, one group at a time. Keys that opened before travel in groups of their own, so they never
stand in line behind unknown ones, and unknown ones never push them out of the memory. When
``UNKNOWN_WAITING_MAX_KEYS`` unknown keys wait, further ones are refused with Overloaded.

Who is refused by a rate limit is told so ``REFUSAL_PAUSE_S`` later. An answer at once would let
a caller who asks in a tight loop take the whole process: every turn of the event loop would first
serve all its connections, and a good request, which needs several turns, would wait for each.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias

import msgspec

from chaching.eventstore.api_keys import ApiKey, Right, key_hash, masked
from chaching.eventstore.errors import Unavailable
from chaching.eventstore.grouping import Group
from chaching_api.errors import NotAllowed, NotAuthenticated
from chaching_api.rate_limits import RateLimits

FRESH_S: Final = 2.0
TRUSTED_MAX_S: Final = 4.0
REMEMBERED_MAX_KEYS: Final = 10_000
UNKNOWN_WAITING_MAX_KEYS: Final = 1_024
KEY_CHARACTERS_MAX: Final = 255
REFUSAL_PAUSE_S: Final = 0.5
PAUSED_MAX_REFUSALS: Final = 2_000

NO_KEY: Final = (
    "You did not provide an API key. You need to provide your API key in the Authorization "
    "header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY') or Basic auth with "
    "the key as user name and an empty password."
)

FindKeys: TypeAlias = Callable[[Sequence[bytes]], Awaitable[Sequence[ApiKey | None]]]
Found: TypeAlias = ApiKey | None


class _Known(msgspec.Struct, frozen=True):
    key: ApiKey
    asked_at_s: float


class Authenticator:
    """Finds out who calls; ``find_keys`` looks hashes of keys up in the store.

    ``limits``, if there are any, bound how much each key may ask and how many wrong keys an address
    may send.
    """

    def __init__(self, find_keys: FindKeys, limits: RateLimits | None = None) -> None:
        self.limits = limits
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._lookups: dict[bytes, asyncio.Task[Found]] = {}
        self._paused = 0
        self._of_known: Group[bytes, Found] = Group(find_keys, outages=(Unavailable,))
        self._of_unknown: Group[bytes, Found] = Group(
            find_keys, waiting_max=UNKNOWN_WAITING_MAX_KEYS, outages=(Unavailable,)
        )

    @property
    def known_keys(self) -> int:
        """How many keys are remembered."""
        return len(self._known)

    @property
    def keys_looked_up(self) -> int:
        """How many keys the store is being asked for, or is to be."""
        return len(self._lookups)

    async def authenticate(self, authorization: str | None, address: str | None = None) -> ApiKey:
        """Return the key of an Authorization header that came from an address.

        Raises:
            NotAuthenticated: there is none, or it opens nothing here.
            RateLimited: the address sent too many wrong keys.
            Unavailable: the store does not answer.
            Overloaded: too many unknown keys wait to be looked up.
        """
        plain = _plain_key(authorization)
        hashed = key_hash(plain)
        known = self._known.get(hashed)
        if known is None:
            return _valid(await self._first_found(hashed, address), plain)
        age_s = time.monotonic() - known.asked_at_s
        if age_s >= TRUSTED_MAX_S:
            return _valid(await self._looked_up(hashed, self._of_known), plain)
        if age_s >= FRESH_S and hashed not in self._lookups:
            self._look_up(hashed, self._of_known)
        return _valid(known.key, plain)

    async def pause(self) -> None:
        """Let somebody who is refused wait, unless too many wait already."""
        if self._paused >= PAUSED_MAX_REFUSALS:
            return
        self._paused += 1
        try:
            await asyncio.sleep(REFUSAL_PAUSE_S)
        finally:
            self._paused -= 1

    async def _first_found(self, hashed: bytes, address: str | None) -> Found:
        limits = self.limits
        if limits is None:
            return await self._looked_up(hashed, self._of_unknown)
        limits.suspect(address, time.monotonic_ns())
        is_wrong = False
        try:
            found = await self._looked_up(hashed, self._of_unknown)
            is_wrong = found is None
        finally:
            if not is_wrong:
                limits.trust(address)
        return found

    async def _looked_up(self, hashed: bytes, group: Group[bytes, Found]) -> Found:
        task = self._lookups.get(hashed) or self._look_up(hashed, group)
        return await asyncio.shield(task)

    def _look_up(self, hashed: bytes, group: Group[bytes, Found]) -> asyncio.Task[Found]:
        task = asyncio.get_running_loop().create_task(self._find(hashed, group))
        self._lookups[hashed] = task
        task.add_done_callback(lambda done: self._looked(hashed, done))
        return task

    def _looked(self, hashed: bytes, task: asyncio.Task[Found]) -> None:
        del self._lookups[hashed]
        if not task.cancelled():
            task.exception()  # whoever awaits it is told; a background look-up is tried again

    async def _find(self, hashed: bytes, group: Group[bytes, Found]) -> Found:
        asked_at_s = time.monotonic()
        found = await group.submit(hashed)
        self._known.pop(hashed, None)
        if found is not None:
            self._known[hashed] = _Known(found, asked_at_s)
            if len(self._known) > REMEMBERED_MAX_KEYS:
                self._known.popitem(last=False)
        return found


def require(key: ApiKey, right: Right) -> None:
    """Refuse a key that lacks a right with NotAllowed."""
    if not key.may(right):
        raise NotAllowed(
            f"The provided key does not have the required permissions for this endpoint. "
            f"Having the '{right}' right would allow this request to continue."
        )


def _valid(key: ApiKey | None, plain: str) -> ApiKey:
    if key is None or key.revoked_at is not None:
        raise NotAuthenticated(f"Invalid API Key provided: {masked(plain)}")
    if key.kind == "publishable":
        raise NotAuthenticated(
            "This API call cannot be made with a publishable API key. Please use a secret API key.",
            reason="secret_key_required",
        )
    if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
        raise NotAuthenticated(
            f"Expired API Key provided: {masked(plain)}", reason="api_key_expired"
        )
    return key


def _plain_key(authorization: str | None) -> str:
    if not authorization:
        raise NotAuthenticated(NO_KEY)
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
