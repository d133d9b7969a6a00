"""What those who run the service do about forgetting: erase a customer, change the master key.

An erasure goes the way of every command: load, decide, append; a lost race is decided again. It
needs no gateway. Wrapping data keys anew goes through them in batches; one that is destroyed at the
same moment stays destroyed, since only the wrapping that was read is replaced.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from chaching import envelope
from chaching.domain.customer import EraseCustomer, decide, evolve
from chaching.domain.ids import AccountId, CustomerId, EventId, RequestId, spell
from chaching.domain.values import ErasureReason
from chaching.envelope import Decided, Metadata, StreamKey, WrappedKey
from chaching.eventstore.database import Database, Row
from chaching.eventstore.encryption import Keyring
from chaching.eventstore.errors import Conflict
from chaching.eventstore.statements import statement
from chaching.eventstore.store import EventStore

ATTEMPTS_MAX: Final = 50
REWRAPPED_BATCH_MAX_KEYS: Final = 1_000
SESSIONS_MAX: Final = 2
# whoever is wrapped otherwise is looked for among all
STATEMENT_TIMEOUT_S: Final = 60.0

# what is told of a customer with personal values in the log that are not encrypted
NOT_ERASABLE: Final = (
    "This customer cannot be erased: personal values of it were stored before values were "
    "encrypted, and the log is never rewritten. Nothing was changed. Clear its personal attributes "
    "with an update and delete it: then only its history, events and backups tell them. Those are "
    "forgotten by moving to a new database; see docs/forgetting.md."
)

_MAY_REWRAP: Final = statement("chaching.eventstore", "may_rewrap")
_OTHERWISE: Final = statement("chaching.eventstore", "data_keys_wrapped_otherwise")
_REWRAP: Final = statement("chaching.eventstore", "rewrap_data_keys")
_DROP: Final = statement("chaching.eventstore", "drop_master_keys")


class ErasureRefused(Exception):  # noqa: N818 - a refusal is a normal outcome
    """What is asked cannot be done; the message is one line for a person."""


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """A customer who is erased, now or before."""

    id: CustomerId
    erased: bool = True
    already: bool


async def erase_customer(
    database_url: str,
    keyring: Keyring,
    key: StreamKey,
    *,
    actor: str,
    reason: ErasureReason | None = None,
) -> Erased:
    """Forget a customer for good, in the name of ``actor``.

    Raises:
        NoSuchCustomer: there is none in this account and mode.
        ErasureRefused: some of its values are not encrypted, or it keeps changing.
        WrongMasterKey: the database needs another one.
        Unavailable: the database does not answer.
    """
    async with _opened(database_url) as database:
        store = EventStore(database, keyring)
        await store.check_master_key()
        if await store.has_plain_events(key):
            raise ErasureRefused(f"{key.id}: {NOT_ERASABLE}")
        for _ in range(ATTEMPTS_MAX):
            try:
                return Erased(id=key.id, already=not await _erase(store, key, actor, reason))
            except Conflict:
                continue
    raise ErasureRefused(f"{key.id} is being changed all the time: try again")


async def _erase(
    store: EventStore, key: StreamKey, actor: str, reason: ErasureReason | None
) -> bool:
    """Tell whether there was something to erase."""
    loaded = await store.load(key)
    command = EraseCustomer(id=key.id, at=int(time.time()), reason=reason)
    event = decide(command, loaded.state)
    if event is None:
        return False
    decided = Decided(
        key=key,
        version=loaded.version,
        event=event,
        after=evolve(loaded.state, event),
        event_id=EventId(_new_id("evt_")),
        metadata=Metadata(request_id=RequestId(_new_id("req_")), actor=actor),
        data_key=loaded.data_key,
    )
    [pending] = envelope.encode([decided])
    await store.append(pending)
    return True


async def rewrap_data_keys(database_url: str, keyring: Keyring) -> int:
    """Wrap every data key with the first master key and drop the ids of the others.

    No process may wrap with another one any more. Returns how many were wrapped otherwise.

    Raises:
        ErasureRefused: the URL is not an owner's, or the schema is not current.
        WrongMasterKey: the database needs one that is not here.
        Unavailable: the database does not answer.
    """
    async with _opened(database_url) as database:
        [row] = await database.fetch(_MAY_REWRAP)
        if not row["may"]:
            raise ErasureRefused("use the owner's URL, on a database that is migrated")
        await EventStore(database, keyring).admit_master_key()
        rewrapped, after = 0, ("", "", False)
        while rows := await database.fetch(
            _OTHERWISE, keyring.ids[0], *after, REWRAPPED_BATCH_MAX_KEYS
        ):
            rewrapped += await _rewrap(database, keyring, rows)
            last = rows[-1]
            after = (last["stream"], last["account"], last["livemode"])
        await database.execute(_DROP, keyring.ids[0])
    return rewrapped


async def _rewrap(database: Database, keyring: Keyring, rows: list[Row]) -> int:
    keys = [
        StreamKey(AccountId(row["account"]), row["livemode"], CustomerId(row["stream"]))
        for row in rows
    ]
    olds = [WrappedKey(row["wrapped"]) for row in rows]
    news = [keyring.rewrapped(key, old) for key, old in zip(keys, olds, strict=True)]
    return await database.execute(
        _REWRAP,
        [key.account for key in keys],
        [key.livemode for key in keys],
        [key.id for key in keys],
        olds,
        news,
    )


@asynccontextmanager
async def _opened(database_url: str) -> AsyncGenerator[Database]:
    database = Database(
        database_url,
        name="erasing",
        sessions_max=SESSIONS_MAX,
        statement_timeout_s=STATEMENT_TIMEOUT_S,
    )
    await database.open()
    try:
        yield database
    finally:
        await database.close()


def _new_id(prefix: str) -> str:
    return spell(prefix, time.time_ns() // 1_000_000, secrets.randbits(64))
