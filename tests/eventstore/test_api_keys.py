from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from tests.databases import administer, url_of

from chaching.domain.ids import Mode
from chaching.eventstore import api_keys
from chaching.eventstore.api_keys import (
    DEFAULT_RIGHTS,
    EVERY_RIGHT,
    RIGHTS,
    ApiKey,
    IssuedKey,
    KeyKind,
    KeyRefused,
    KeyState,
    ListedKey,
    Right,
    create_key,
    find_keys,
    generate_key,
    key_hash,
    list_keys,
    masked,
    revoke_key,
    roll_key,
    state_of,
)
from chaching.eventstore.database import KEYED_LOOKUPS, Database
from chaching.eventstore.statements import statement

KEYS = 200
ROLLS = 8
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FIND_KEYS = statement("chaching.eventstore", "find_keys")
NOBODY = "key_00000000000000"


async def found(database: Database, key: str) -> ApiKey:
    [api_key] = await find_keys(database, [key_hash(key)])
    assert api_key is not None
    return api_key


async def secret_key(
    database_url: str,
    *,
    rights: Sequence[str] | None = None,
    expires_in_s: float | None = None,
) -> IssuedKey:
    return await create_key(
        database_url,
        account="acct_1",
        mode="test",
        kind="secret",
        rights=rights,
        expires_in_s=expires_in_s,
    )


async def listed(database_url: str, key_id: str) -> ListedKey:
    [key] = [key for key in await list_keys(database_url) if key.key_id == key_id]
    return key


# --- Creating and finding -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "mode", "prefix", "rights"),
    [
        ("secret", "test", "sk_test_", DEFAULT_RIGHTS),
        ("secret", "live", "sk_live_", DEFAULT_RIGHTS),
        ("restricted", "test", "rk_test_", ()),
        ("restricted", "live", "rk_live_", ()),
        ("publishable", "test", "pk_test_", ()),
        ("publishable", "live", "pk_live_", ()),
    ],
)
async def test_a_key_tells_its_kind_and_mode_and_is_found_by_its_hash(
    database_url: str,
    database: Database,
    kind: KeyKind,
    mode: Mode,
    prefix: str,
    rights: Sequence[Right],
) -> None:
    issued = await create_key(database_url, account="acct_1", mode=mode, kind=kind, name="Jane's")
    assert re.fullmatch(f"{prefix}[0-9A-Za-z]{{32}}", issued.key)
    api_key = await found(database, issued.key)
    assert api_key == ApiKey(
        key_id=issued.key_id,
        account=api_key.account,
        livemode=mode == "live",
        kind=kind,
        rights=frozenset(rights),
        name="Jane's",
        expires_at=None,
        revoked_at=None,
    )
    assert api_key.account == "acct_1"
    assert re.fullmatch("key_[0-9A-Za-z]{14}", api_key.key_id)


async def test_only_the_hash_and_the_mask_of_a_key_are_stored(
    database_url: str, database: Database
) -> None:
    key = (await secret_key(database_url)).key
    [row] = await database.fetch("SELECT k::text, key_hash, masked FROM event_store.api_keys AS k")
    random = key.removeprefix("sk_test_")
    for start in range(len(random) - api_keys.SHOWN_CHARACTERS):
        assert random[start : start + api_keys.SHOWN_CHARACTERS + 1] not in row[0]
    assert row[1] == key_hash(key)
    assert row[2] == f"sk_test_{'*' * 28}{key[-4:]}"


async def test_keys_are_found_together_each_in_its_place(
    database_url: str, database: Database
) -> None:
    first, second = await secret_key(database_url), await secret_key(database_url)
    wanted = [key_hash(key) for key in (second.key, f"{first.key}x", first.key, second.key, "")]
    keys = await find_keys(database, [*wanted, b""])
    assert [key.key_id if key else None for key in keys] == [
        *(second.key_id, None, first.key_id, second.key_id, None, None)
    ]
    assert await find_keys(database, []) == []


async def test_a_chosen_key_is_kept_and_made_once(database_url: str, database: Database) -> None:
    issued = [
        await create_key(
            database_url, account=account, mode="test", kind="secret", key="sk_test_12345"
        )
        for account in ("acct_1", "acct_2")
    ]
    assert [each.key for each in issued] == ["sk_test_12345"] * 2
    assert issued[0].key_id == issued[1].key_id
    assert (await found(database, "sk_test_12345")).account == "acct_1"
    [row] = await database.fetch("SELECT count(*) FROM event_store.api_keys")
    assert row[0] == 1


async def test_a_key_can_expire(database_url: str, database: Database) -> None:
    issued = await secret_key(database_url, expires_in_s=3600)
    expires_at = (await found(database, issued.key)).expires_at
    assert expires_at is not None
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    assert abs(expires_at - in_an_hour) < timedelta(minutes=5)


async def test_a_key_opens_what_it_has_the_right_to(database_url: str, database: Database) -> None:
    reader = await secret_key(database_url, rights=["customers:read"])
    api_key = await found(database, reader.key)
    assert api_key.may("customers:read")
    for right in (*(RIGHTS - {"customers:read"}), "customers"):
        assert not api_key.may(right), right
    almighty = await secret_key(database_url, rights=[EVERY_RIGHT])
    for right in RIGHTS:
        assert (await found(database, almighty.key)).may(right), right


async def test_to_write_is_to_read_and_nothing_else(database_url: str, database: Database) -> None:
    issued = await secret_key(database_url, rights=["customers:write"])
    writer = await found(database, issued.key)
    assert {right for right in RIGHTS if writer.may(right)} == {"customers:read", "customers:write"}
    assert not writer.may("customers:erase")


def test_no_key_is_ever_made_twice() -> None:
    assert len({generate_key("secret", "test") for _ in range(KEYS)}) == KEYS


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("sk_test_wrong1234", "sk_test_*****1234"),
        ("sk_test_abcd", "sk_test_****"),
        ("rk_live_0123456789", "rk_live_******6789"),
        ("sk_live_", "sk_live_"),
        ("", ""),
        ("0123456789", "******6789"),
    ],
)
def test_a_masked_key_shows_its_prefix_and_its_last_four(key: str, shown: str) -> None:
    assert masked(key) == shown


@pytest.mark.parametrize("keys", [0, 10_000], ids=["empty", "filled"])
async def test_keys_are_looked_up_by_index_however_many_there_are(
    database_url: str, database: Database, keys: int
) -> None:
    await database.execute(
        """
        INSERT INTO event_store.api_keys (key_id, key_hash, account, livemode, kind, rights)
        SELECT 'key_' || n, sha256(n::text::bytea), 'acct_1', false, 'secret', '{}'
        FROM generate_series(1, $1::integer) AS n
        """,
        keys,
    )
    await database.execute("ANALYZE event_store.api_keys")
    gateway = Database(database_url, name="tests", sessions_max=1, settings=KEYED_LOOKUPS)
    await gateway.open()
    try:
        async with gateway.session() as session:
            await session.execute(f"PREPARE hot (bytea[]) AS {FIND_KEYS}")
            rows = await session.fetch(r"EXPLAIN EXECUTE hot ('{\\x00,\\x01}')")
    finally:
        await gateway.close()
    plan = "\n".join(row[0] for row in rows)
    assert "Index Scan using api_keys_key_hash_key" in plan
    assert "Seq Scan" not in plan


# --- Listing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expires_at", "revoked_at", "state"),
    [
        (None, None, "active"),
        (NOW + timedelta(microseconds=1), None, "expiring"),
        (NOW, None, "expired"),
        (NOW - timedelta(days=1), None, "expired"),
        (None, NOW, "revoked"),
        (NOW - timedelta(days=1), NOW - timedelta(days=2), "revoked"),
        (NOW + timedelta(days=1), NOW - timedelta(days=2), "revoked"),
    ],
)
def test_the_state_of_a_key_is_that_of_its_ends(
    expires_at: datetime | None, revoked_at: datetime | None, state: KeyState
) -> None:
    assert state_of(expires_at, revoked_at, now=NOW) == state


async def test_keys_are_listed_in_the_order_of_their_making(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "LISTED_BATCH_MAX_KEYS", 2)
    instants = iter(range(1_700_000_000_000_000_000, 1_800_000_000_000_000_000, 10**9))
    monkeypatch.setattr("time.time_ns", lambda: next(instants))
    made: list[IssuedKey] = []
    for account, mode in (("acct_1", "test"), ("acct_1", "live"), ("acct_2", "test")) * 2:
        made.append(
            await create_key(
                database_url, account=account, mode="live" if mode == "live" else "test",
                kind="restricted", rights=["audit"], name=f"{account} {mode}",
            )
        )  # fmt: skip
    ids = [issued.key_id for issued in made]
    assert [key.key_id for key in await list_keys(database_url)] == ids
    ones = [key.key_id for key in await list_keys(database_url, account="acct_1")]
    assert ones == [ids[0], ids[1], ids[3], ids[4]]
    assert [key.key_id for key in await list_keys(database_url, mode="live")] == [ids[1], ids[4]]
    [first, second] = await list_keys(database_url, account="acct_2", mode="test")
    assert [first.key_id, second.key_id] == [ids[2], ids[5]]
    assert first.masked == masked(made[2].key)
    assert (first.kind, first.mode, first.account) == ("restricted", "test", "acct_2")
    assert (first.rights, first.name, first.state) == (("audit",), "acct_2 test", "active")
    assert (first.expires_at, first.revoked_at, first.replaces) == (None, None, None)
    assert abs(first.created_at - datetime.now(UTC)) < timedelta(minutes=5)


# --- Rolling ------------------------------------------------------------------------------------


async def test_a_rolled_key_opens_what_the_old_one_opened_which_expires(
    database_url: str, database: Database
) -> None:
    old = await create_key(
        database_url,
        account="acct_1",
        mode="live",
        kind="restricted",
        rights=["audit", "customers:read"],
        name="Jane's",
    )
    new = await roll_key(database_url, old.key_id)
    assert re.fullmatch("rk_live_[0-9A-Za-z]{32}", new.key)
    assert (new.key != old.key, new.key_id != old.key_id) == (True, True)
    before, after = await found(database, old.key), await found(database, new.key)
    for field in ("account", "livemode", "kind", "rights", "name"):
        assert getattr(after, field) == getattr(before, field), field
    assert (after.expires_at, after.revoked_at) == (None, None)
    ended, successor = (
        await listed(database_url, old.key_id),
        await listed(database_url, new.key_id),
    )
    assert (ended.state, ended.replaced_by) == ("expired", new.key_id)
    assert (successor.state, successor.replaces) == ("active", old.key_id)


async def test_a_rolled_key_may_go_on_for_a_while(database_url: str) -> None:
    old = await secret_key(database_url)
    await roll_key(database_url, old.key_id, expires_in_s=3600)
    key = await listed(database_url, old.key_id)
    assert key.state == "expiring"
    assert key.expires_at is not None
    assert abs(key.expires_at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=5)


async def test_rolling_never_lets_a_key_live_longer(database_url: str) -> None:
    old = await secret_key(database_url, expires_in_s=60)
    before = await listed(database_url, old.key_id)
    await roll_key(database_url, old.key_id, expires_in_s=3600)
    assert (await listed(database_url, old.key_id)).expires_at == before.expires_at


async def test_rolling_ends_a_key_sooner_that_would_expire_later(database_url: str) -> None:
    old = await secret_key(database_url, expires_in_s=3600)
    await roll_key(database_url, old.key_id)
    assert (await listed(database_url, old.key_id)).state == "expired"


async def test_of_many_who_roll_a_key_at_once_one_succeeds(database_url: str) -> None:
    old = await secret_key(database_url)
    outcomes = await asyncio.gather(
        *(roll_key(database_url, old.key_id, expires_in_s=60) for _ in range(ROLLS)),
        return_exceptions=True,
    )
    [new] = [outcome for outcome in outcomes if isinstance(outcome, IssuedKey)]
    refusals = [outcome for outcome in outcomes if isinstance(outcome, KeyRefused)]
    assert len(refusals) == ROLLS - 1
    assert {str(refusal) for refusal in refusals} == {
        f"{old.key_id} was rolled before: {new.key_id} took its place"
    }
    assert len(await list_keys(database_url)) == 2


async def test_a_key_that_is_over_is_not_rolled(database_url: str) -> None:
    expired = await secret_key(database_url, expires_in_s=0)
    revoked = await secret_key(database_url)
    await revoke_key(database_url, revoked.key_id)
    before = await list_keys(database_url)
    for issued, state in ((expired, "expired"), (revoked, "revoked")):
        with pytest.raises(KeyRefused, match=f"^{issued.key_id} is {state} and cannot be rolled"):
            await roll_key(database_url, issued.key_id)
    assert await list_keys(database_url) == before


# --- Revoking -----------------------------------------------------------------------------------


async def test_a_key_is_revoked_once_and_for_good(database_url: str) -> None:
    issued, other = await secret_key(database_url), await secret_key(database_url)
    await revoke_key(database_url, issued.key_id)
    first = await listed(database_url, issued.key_id)
    assert first.state == "revoked"
    assert first.revoked_at is not None
    await revoke_key(database_url, issued.key_id)
    assert await listed(database_url, issued.key_id) == first
    assert (await listed(database_url, other.key_id)).state == "active"


async def test_a_key_is_named_by_its_id_alone(database_url: str) -> None:
    issued = await secret_key(database_url)
    for name in (issued.key, masked(issued.key), "", f"{issued.key_id} ", "key_\udcff" + "x" * 13):
        for change in (roll_key, revoke_key):
            with pytest.raises(KeyRefused) as refused:
                await change(database_url, name)
            assert str(refused.value) == "a key is named by its id, key_…: see `chaching keys list`"
    for change in (roll_key, revoke_key):
        with pytest.raises(KeyRefused, match=f"^no key has the id {NOBODY}: see"):
            await change(database_url, NOBODY)
    assert [key.state for key in await list_keys(database_url)] == ["active"]


# --- What the database itself refuses -----------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM event_store.api_keys",
        "TRUNCATE event_store.api_keys",
        "UPDATE event_store.api_keys SET rights = '{*}'",
        "UPDATE event_store.api_keys SET account = 'acct_2'",
        "UPDATE event_store.api_keys SET livemode = true",
        "UPDATE event_store.api_keys SET kind = 'secret'",
        "UPDATE event_store.api_keys SET key_hash = sha256('x')",
        "UPDATE event_store.api_keys SET key_id = 'key_x'",
        "UPDATE event_store.api_keys SET name = 'x'",
        "UPDATE event_store.api_keys SET masked = 'x'",
        "UPDATE event_store.api_keys SET created_at = now()",
        "UPDATE event_store.api_keys SET replaces = key_id",
        "UPDATE event_store.api_keys SET revoked_at = NULL",
        "UPDATE event_store.api_keys SET revoked_at = now()",
        "UPDATE event_store.api_keys SET expires_at = NULL",
        "UPDATE event_store.api_keys SET expires_at = expires_at + interval '1 s'",
    ],
)
async def test_even_the_owner_only_ever_ends_a_key(
    database_url: str, database: Database, sql: str
) -> None:
    issued = await create_key(
        database_url, account="acct_1", mode="test", kind="restricted", expires_in_s=60
    )
    await revoke_key(database_url, issued.key_id)
    before = await list_keys(database_url)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="a key only ever gets an end"):
        await database.execute(sql)
    assert await list_keys(database_url) == before


async def test_the_gateways_role_reads_what_lets_a_caller_in_and_nothing_else(
    database: Database,
) -> None:
    rows = await database.fetch(
        """
        SELECT attname::text, p
        FROM pg_attribute
        CROSS JOIN unnest('{SELECT,INSERT,UPDATE,REFERENCES}'::text[]) AS p
        WHERE attrelid = 'event_store.api_keys'::regclass AND attnum > 0
          AND has_column_privilege('chaching_gateway', attrelid, attnum, p)
        """
    )
    assert {(row[0], row[1]) for row in rows} == {
        (column, "SELECT")
        for column in (
            *("key_id", "key_hash", "account", "livemode", "kind"),
            *("rights", "name", "expires_at", "revoked_at"),
        )
    }


async def test_the_gateways_role_finds_keys_and_administers_none(
    database_url: str, database: Database
) -> None:
    issued = await secret_key(database_url)
    gateway_url = f"{database_url}?role=chaching_gateway"
    gateway = Database(gateway_url, name="tests", sessions_max=1)
    await gateway.open()
    try:
        assert (await found(gateway, issued.key)).key_id == issued.key_id
    finally:
        await gateway.close()
    for attempt in (
        secret_key(gateway_url),
        list_keys(gateway_url),
        roll_key(gateway_url, issued.key_id),
        revoke_key(gateway_url, issued.key_id),
    ):
        with pytest.raises(KeyRefused, match="use the owner's URL"):
            await attempt
    assert await found(database, issued.key) is not None
    assert [key.state for key in await list_keys(database_url)] == ["active"]


async def test_without_the_current_schema_it_is_said_what_to_do(database_admin_url: str) -> None:
    name = f"empty_{secrets.token_hex(6)}"
    await administer(database_admin_url, f"CREATE DATABASE {name}")
    with pytest.raises(KeyRefused, match="run `chaching migrate`"):
        await list_keys(url_of(database_admin_url, name))
    await administer(database_admin_url, f"DROP DATABASE {name} WITH (FORCE)")
