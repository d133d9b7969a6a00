from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from chaching.domain.ids import Mode
from chaching.eventstore.api_keys import (
    DEFAULT_RIGHTS,
    EVERY_RIGHT,
    ApiKey,
    KeyKind,
    create_key,
    find_key,
    generate_key,
    key_hash,
)
from chaching.eventstore.database import Database

KEYS = 200


async def found(database: Database, key: str) -> ApiKey:
    api_key = await find_key(database, key_hash(key))
    assert api_key is not None
    return api_key


@pytest.mark.parametrize(
    ("kind", "mode", "prefix"),
    [
        ("secret", "test", "sk_test_"),
        ("secret", "live", "sk_live_"),
        ("restricted", "test", "rk_test_"),
        ("restricted", "live", "rk_live_"),
        ("publishable", "test", "pk_test_"),
        ("publishable", "live", "pk_live_"),
    ],
)
async def test_a_key_tells_its_kind_and_mode_and_is_found_by_its_hash(
    database_url: str, database: Database, kind: KeyKind, mode: Mode, prefix: str
) -> None:
    key = await create_key(database_url, account="acct_1", mode=mode, kind=kind, name="Jane's")
    assert re.fullmatch(f"{prefix}[0-9A-Za-z]{{32}}", key)
    api_key = await found(database, key)
    assert api_key == ApiKey(
        key_id=api_key.key_id,
        account=api_key.account,
        livemode=mode == "live",
        kind=kind,
        rights=frozenset(DEFAULT_RIGHTS),
        name="Jane's",
        expires_at=None,
        revoked_at=None,
    )
    assert api_key.account == "acct_1"
    assert re.fullmatch("key_[0-9A-Za-z]{14}", api_key.key_id)


async def test_only_the_hash_of_a_key_is_stored(database_url: str, database: Database) -> None:
    key = await create_key(database_url, account="acct_1", mode="test", kind="secret")
    [row] = await database.fetch("SELECT k::text, key_hash FROM event_store.api_keys AS k")
    assert key not in row[0]
    assert key.rpartition("_")[2] not in row[0]
    assert row[1] == key_hash(key)


async def test_an_unknown_key_is_not_found(database_url: str, database: Database) -> None:
    key = await create_key(database_url, account="acct_1", mode="test", kind="secret")
    assert await find_key(database, key_hash(f"{key}x")) is None
    assert await find_key(database, b"") is None


async def test_a_chosen_key_is_kept_and_made_once(database_url: str, database: Database) -> None:
    for account in ("acct_1", "acct_2"):
        made = await create_key(
            database_url, account=account, mode="test", kind="secret", key="sk_test_12345"
        )
        assert made == "sk_test_12345"
    assert (await found(database, "sk_test_12345")).account == "acct_1"
    [row] = await database.fetch("SELECT count(*) FROM event_store.api_keys")
    assert row[0] == 1


async def test_a_key_can_expire(database_url: str, database: Database) -> None:
    key = await create_key(
        database_url, account="acct_1", mode="test", kind="secret", expires_in_s=3600
    )
    expires_at = (await found(database, key)).expires_at
    assert expires_at is not None
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    assert abs(expires_at - in_an_hour) < timedelta(minutes=5)


async def test_a_key_opens_what_it_has_the_right_to(database_url: str, database: Database) -> None:
    key = await create_key(
        database_url, account="acct_1", mode="test", kind="restricted", rights=["customers:read"]
    )
    api_key = await found(database, key)
    assert api_key.may("customers:read")
    assert not api_key.may("customers:write")
    assert not api_key.may("customers")
    almighty = await create_key(
        database_url, account="acct_1", mode="test", kind="secret", rights=[EVERY_RIGHT]
    )
    assert (await found(database, almighty)).may("audit")


def test_no_key_is_ever_made_twice() -> None:
    assert len({generate_key("secret", "test") for _ in range(KEYS)}) == KEYS
