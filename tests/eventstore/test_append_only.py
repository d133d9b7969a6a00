"""What is refused to everybody, and what each of the roles can do: this and nothing else."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
import pytest
from tests.eventstore.items import APPEND, append_batch, appended, commands, item

from chaching.eventstore.database import Database, Session
from chaching.eventstore.statements import statement

ROLES: Final = ("chaching_auditor", "chaching_gateway", "chaching_projector", "chaching_relay")
TABLE_RIGHTS: Final = (
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "TRUNCATE",
    "REFERENCES",
    "TRIGGER",
)
GRANTED: Final = {
    ("chaching_auditor", "audit.nodes"): {"SELECT", "INSERT"},
    ("chaching_auditor", "audit.runs"): {"SELECT", "INSERT"},
    ("chaching_auditor", "audit.signed_checkpoints"): {"SELECT", "INSERT"},
    ("chaching_auditor", "event_store.checkpoints"): {"SELECT", "UPDATE"},
    ("chaching_auditor", "event_store.events"): {"SELECT"},
    ("chaching_auditor", "event_store.log_head"): {"SELECT"},
    ("chaching_auditor", "schema_history.migrations"): {"SELECT"},
    ("chaching_gateway", "audit.nodes"): {"SELECT"},
    ("chaching_gateway", "audit.runs"): {"SELECT"},
    ("chaching_gateway", "audit.signed_checkpoints"): {"SELECT"},
    ("chaching_gateway", "event_store.api_keys"): {"SELECT"},
    ("chaching_gateway", "event_store.checkpoints"): {"SELECT"},
    ("chaching_gateway", "event_store.data_keys"): {"SELECT"},
    ("chaching_gateway", "event_store.event_blocks"): {"SELECT"},
    ("chaching_gateway", "event_store.events"): {"SELECT"},
    ("chaching_gateway", "event_store.idempotency_keys"): {"SELECT"},
    ("chaching_gateway", "event_store.log_head"): {"SELECT"},
    ("chaching_gateway", "event_store.master_keys"): {"SELECT"},
    ("chaching_gateway", "event_store.seal"): {"SELECT"},
    ("chaching_gateway", "read_model.customers"): {"SELECT"},
    ("chaching_gateway", "read_model.parked_streams"): {"SELECT"},
    ("chaching_gateway", "read_model.search_entries"): {"SELECT"},
    ("chaching_gateway", "schema_history.migrations"): {"SELECT"},
    ("chaching_projector", "event_store.checkpoints"): {"SELECT", "UPDATE"},
    ("chaching_projector", "event_store.data_keys"): {"SELECT"},
    ("chaching_projector", "event_store.events"): {"SELECT"},
    ("chaching_projector", "event_store.log_head"): {"SELECT"},
    ("chaching_projector", "event_store.master_keys"): {"SELECT"},
    ("chaching_projector", "read_model.customers"): {"SELECT", "INSERT", "UPDATE"},
    ("chaching_projector", "read_model.parked_streams"): {"SELECT", "INSERT", "UPDATE", "DELETE"},
    ("chaching_projector", "read_model.search_entries"): {"SELECT", "INSERT", "UPDATE", "DELETE"},
    ("chaching_projector", "read_model.search_renewals"): {"SELECT", "INSERT", "DELETE"},
    ("chaching_projector", "schema_history.migrations"): {"SELECT"},
    ("chaching_relay", "event_store.broker_purge"): {"SELECT", "UPDATE"},
    ("chaching_relay", "event_store.checkpoints"): {"SELECT", "UPDATE"},
    ("chaching_relay", "event_store.data_keys"): {"SELECT"},
    ("chaching_relay", "event_store.events"): {"SELECT"},
    ("chaching_relay", "event_store.log_head"): {"SELECT"},
    ("chaching_relay", "event_store.master_keys"): {"SELECT"},
    ("chaching_relay", "schema_history.migrations"): {"SELECT"},
}
EXECUTABLE: Final = {
    ("chaching_gateway", "event_store.admit_master_key"),
    ("chaching_gateway", "event_store.append_events"),
    ("chaching_gateway", "event_store.forget_idempotency_keys"),
    ("chaching_gateway", "event_store.seal_blocks"),
}
SCHEMAS: Final = {
    ("chaching_auditor", "audit"),
    ("chaching_auditor", "event_store"),
    ("chaching_auditor", "schema_history"),
    ("chaching_gateway", "audit"),
    ("chaching_gateway", "event_store"),
    ("chaching_gateway", "read_model"),
    ("chaching_gateway", "schema_history"),
    ("chaching_projector", "event_store"),
    ("chaching_projector", "read_model"),
    ("chaching_projector", "schema_history"),
    ("chaching_relay", "event_store"),
    ("chaching_relay", "schema_history"),
}
SEAL: Final = statement("chaching.eventstore", "seal_blocks")
LIST_TAIL: Final = statement("chaching_api.reads", "list_tail")
CHECKPOINTS: Final = ("audit", "projection.customers", "projection.search", "relay")


@asynccontextmanager
async def acting_as(database: Database, role: str) -> AsyncGenerator[Session]:
    """Borrow a session that has the rights of a role, and none of its owner's."""
    async with database.session() as session:
        await session.execute(f"SET ROLE {role}")
        yield session
        await session.execute("RESET ROLE")


async def executed_as(database: Database, role: str, sql: str, *arguments: object) -> int:
    """Execute a statement with the rights of a role; a session that fails is thrown away."""
    async with acting_as(database, role) as session:
        return await session.execute(sql, *arguments)


async def refused(database: Database, role: str, sql: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await executed_as(database, role, sql)


# --- The log refuses change ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE event_store.events SET payload = '{}'",
        "UPDATE event_store.events SET payload = payload WHERE false",
        "DELETE FROM event_store.events",
        "DELETE FROM event_store.events WHERE position = 99",
        "TRUNCATE event_store.events",
        "TRUNCATE event_store.events, event_store.log_head CASCADE",
        """
        INSERT INTO event_store.events SELECT * FROM event_store.events
        ON CONFLICT ON CONSTRAINT events_pkey DO UPDATE SET payload = '{}'
        """,
        """
        MERGE INTO event_store.events AS e USING event_store.log_head AS h
        ON e.position = h.position WHEN MATCHED THEN DELETE
        """,
        "WITH gone AS (DELETE FROM event_store.events RETURNING *) SELECT count(*) FROM gone",
    ],
)
async def test_the_log_refuses_to_be_changed_even_by_its_owner(
    database: Database, sql: str
) -> None:
    await append_batch(database, item("cus_1"))
    before = await database.fetch("SELECT e::text FROM event_store.events AS e")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="the log is append-only"):
        await database.execute(sql)
    after = await database.fetch("SELECT e::text FROM event_store.events AS e")
    assert [row[0] for row in after] == [row[0] for row in before]


@pytest.mark.parametrize("table", ["runs", "nodes", "signed_checkpoints"])
@pytest.mark.parametrize(
    "sql", ["UPDATE audit.{} SET {}", "DELETE FROM audit.{}", "TRUNCATE audit.{}"]
)
async def test_the_logs_hashes_and_checkpoints_refuse_to_be_changed_even_by_their_owner(
    database: Database, table: str, sql: str
) -> None:
    column = {"runs": "format = 1", "nodes": "level = 8", "signed_checkpoints": "size = 1"}[table]
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="the log is append-only"):
        await database.execute(sql.format(table, column))


@pytest.mark.parametrize(
    ("column", "value"),
    [("version", "2"), ("previous_position", "1"), ("previous_position", "9"), ("position", "1")],
)
async def test_an_event_that_does_not_follow_cannot_be_stored_past_the_function(
    database: Database, column: str, value: str
) -> None:
    await append_batch(database, item("cus_1"))
    values = {
        "position": "2",
        "account": "'acct_1'",
        "livemode": "false",
        "stream": "'cus_2'",
        "version": "1",
        "previous_position": "0",
        "event_id": "'evt_x'",
        "type": "'CustomerCreated'",
        "schema_version": "1",
        "payload": "'{}'",
        "metadata": "'{}'",
        "recorded_at": "now()",
        column: value,
    }
    sql = f"INSERT INTO event_store.events ({', '.join(values)}) VALUES ({', '.join(values.values())})"  # noqa: E501, S608 - words of this test
    with pytest.raises((asyncpg.CheckViolationError, asyncpg.UniqueViolationError)):
        await database.execute(sql)


# --- What the catalogue says --------------------------------------------------------------------


async def test_each_role_has_exactly_its_rights_on_tables(database: Database) -> None:
    rows = await database.fetch(
        """
        SELECT r AS role, format('%s.%s', n.nspname, c.relname) AS name, p AS privilege
        FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        CROSS JOIN unnest($1::text[]) AS r
        CROSS JOIN unnest($2::text[]) AS p
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
          AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
          AND (has_table_privilege(r, c.oid, p)
               OR p IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
                  AND has_any_column_privilege(r, c.oid, p))
        """,
        list(ROLES),
        list(TABLE_RIGHTS),
    )
    found: dict[tuple[str, str], set[str]] = {}
    for role, name, privilege in rows:
        found.setdefault((role, name), set()).add(privilege)
    assert found == GRANTED


async def test_each_role_may_execute_exactly_its_functions(database: Database) -> None:
    rows = await database.fetch(
        """
        SELECT r AS role, format('%s.%s', n.nspname, p.proname) AS name
        FROM pg_proc AS p
        JOIN pg_namespace AS n ON n.oid = p.pronamespace
        CROSS JOIN unnest($1::text[]) AS r
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
          AND p.prorettype <> 'trigger'::regtype
          AND has_function_privilege(r, p.oid, 'EXECUTE')
        """,
        list(ROLES),
    )
    assert {tuple(row) for row in rows} == EXECUTABLE


async def test_each_role_sees_exactly_its_schemas_and_creates_in_none(database: Database) -> None:
    rows = await database.fetch(
        """
        SELECT r AS role, n.nspname::text AS name, has_schema_privilege(r, n.oid, 'CREATE')
        FROM pg_namespace AS n
        CROSS JOIN unnest($1::text[]) AS r
        WHERE n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
          AND has_schema_privilege(r, n.oid, 'USAGE') AND n.nspname <> 'public'
        """,
        list(ROLES),
    )
    assert {(role, name) for role, name, _ in rows} == SCHEMAS
    assert not any(creates for _, _, creates in rows)


async def test_no_role_is_more_than_an_ordinary_user(database: Database) -> None:
    rows = await database.fetch(
        """
        SELECT rolname::text, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,
               rolcanlogin,
               EXISTS (SELECT FROM pg_auth_members AS m WHERE m.member = r.oid),
               EXISTS (SELECT FROM pg_class AS c WHERE c.relowner = r.oid),
               EXISTS (SELECT FROM pg_proc AS p WHERE p.proowner = r.oid),
               has_schema_privilege(r.oid, 'public', 'CREATE'),
               has_database_privilege(r.oid, current_database(), 'CREATE')
        FROM pg_roles AS r
        WHERE rolname = ANY ($1)
        """,
        list(ROLES),
    )
    assert {row[0] for row in rows} == set(ROLES)
    for _, *powers in rows:
        can_log_in = powers.pop(5)
        assert can_log_in is True
        assert not any(powers)


async def test_the_append_function_cannot_be_led_astray_by_a_search_path(
    database: Database,
) -> None:
    [row] = await database.fetch(
        "SELECT prosecdef, proconfig FROM pg_proc WHERE proname = 'append_events'"
    )
    assert row[0] is True
    assert "search_path=pg_catalog, pg_temp" in row[1]


# --- What really happens ------------------------------------------------------------------------


async def test_the_gateway_appends_through_the_function_only(database: Database) -> None:
    async with acting_as(database, "chaching_gateway") as session:
        assert await append_batch(session, item("cus_1")) == [appended(1, 1)]
        rows = await session.fetch("SELECT position FROM event_store.events")
        assert [row[0] for row in rows] == [1]


async def test_the_gateway_seals_blocks_and_cannot_write_them_itself(database: Database) -> None:
    await append_batch(database, *(item(f"cus_{number}") for number in range(1_000)))
    async with acting_as(database, "chaching_gateway") as session:
        assert (await session.fetch(SEAL, 5))[0]["sealed"] == 1
        rows = await session.fetch("SELECT cardinality(offsets) FROM event_store.event_blocks")
        assert [row[0] for row in rows] == [1_000]
    for sql in (
        "INSERT INTO event_store.event_blocks VALUES ('acct_1', false, 'a', 1, '{1}')",
        "UPDATE event_store.event_blocks SET offsets = '{}'",
        "DELETE FROM event_store.event_blocks",
        "UPDATE event_store.seal SET position = 0",
    ):
        await refused(database, "chaching_gateway", sql)


@pytest.mark.parametrize("role", ["chaching_auditor", "chaching_relay", "chaching_projector"])
async def test_who_follows_the_log_cannot_append(database: Database, role: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await executed_as(database, role, APPEND, commands(item("cus_1")))


NOBODYS: Final = (
    "INSERT INTO event_store.events SELECT * FROM event_store.events",
    "UPDATE event_store.events SET payload = '{}'",
    "DELETE FROM event_store.events",
    "TRUNCATE event_store.events",
    "UPDATE event_store.log_head SET position = 0",
    "ALTER TABLE event_store.events DISABLE TRIGGER events_refuse_change",
    "DROP TRIGGER events_refuse_change ON event_store.events",
    "ALTER TABLE event_store.checkpoints DISABLE ROW LEVEL SECURITY",
    "CREATE TABLE event_store.mine (a int)",
    "INSERT INTO event_store.api_keys SELECT * FROM event_store.api_keys",
    "UPDATE event_store.api_keys SET rights = '{*}'",
    "INSERT INTO event_store.checkpoints (name) VALUES ('mine')",
    "DELETE FROM event_store.checkpoints",
    "DELETE FROM read_model.customers",
    "UPDATE schema_history.migrations SET sha256 = ''",
    "UPDATE audit.runs SET leaf_hashes = ''",
    "DELETE FROM audit.nodes",
    "TRUNCATE audit.signed_checkpoints",
    "ALTER TABLE audit.runs DISABLE TRIGGER ALL",
    "CREATE TABLE audit.mine (a int)",
)
OTHERS: Final = (
    ("chaching_auditor", "SELECT * FROM event_store.api_keys"),
    ("chaching_auditor", "SELECT * FROM event_store.idempotency_keys"),
    ("chaching_auditor", "SELECT * FROM read_model.customers"),
    ("chaching_gateway", "INSERT INTO audit.runs SELECT * FROM audit.runs"),
    ("chaching_gateway", "INSERT INTO audit.nodes SELECT * FROM audit.nodes"),
    (
        "chaching_gateway",
        "INSERT INTO audit.signed_checkpoints SELECT * FROM audit.signed_checkpoints",
    ),
    ("chaching_relay", "SELECT * FROM audit.runs"),
    ("chaching_projector", "SELECT * FROM audit.signed_checkpoints"),
    ("chaching_relay", "SELECT * FROM event_store.api_keys"),
    ("chaching_projector", "SELECT * FROM event_store.api_keys"),
    ("chaching_relay", "SELECT * FROM read_model.customers"),
    ("chaching_relay", "SELECT * FROM read_model.parked_streams"),
    ("chaching_gateway", "SELECT * FROM read_model.parked_streams"),
    ("chaching_gateway", "INSERT INTO read_model.customers SELECT * FROM read_model.customers"),
    ("chaching_gateway", "UPDATE read_model.customers SET body = ''"),
    ("chaching_gateway", "UPDATE event_store.checkpoints SET position = 0"),
    ("chaching_gateway", "SELECT * FROM event_store.log_head FOR UPDATE"),
)


@pytest.mark.parametrize("role", ROLES)
async def test_no_role_can_touch_what_is_nobodys(database: Database, role: str) -> None:
    for sql in NOBODYS:
        await refused(database, role, sql)


async def test_no_role_reads_or_writes_what_is_anothers(database: Database) -> None:
    for role, sql in OTHERS:
        await refused(database, role, sql)


async def test_the_gateway_reads_who_is_parked_and_not_why(database: Database) -> None:
    await database.execute(
        "INSERT INTO read_model.parked_streams VALUES ('acct_1', false, 'cus_1', 1, 1, 'secret')"
    )
    async with acting_as(database, "chaching_gateway") as session:
        rows = await session.fetch(LIST_TAIL, "acct_1", False, 1, 1)
        assert len(rows) == 1
        rows = await session.fetch("SELECT account, livemode, id FROM read_model.parked_streams")
        assert [tuple(row) for row in rows] == [("acct_1", False, "cus_1")]
    await refused(database, "chaching_gateway", "SELECT reason FROM read_model.parked_streams")


# --- Checkpoints row by row ---------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
async def test_everyone_sees_every_checkpoint(database: Database, role: str) -> None:
    async with acting_as(database, role) as session:
        rows = await session.fetch("SELECT name FROM event_store.checkpoints ORDER BY name")
    assert tuple(row[0] for row in rows) == CHECKPOINTS


@pytest.mark.parametrize(
    ("role", "own"),
    [
        ("chaching_auditor", {"audit"}),
        ("chaching_relay", {"relay"}),
        ("chaching_projector", {"projection.customers", "projection.search"}),
    ],
)
async def test_a_follower_moves_its_own_checkpoints_only(
    database: Database, role: str, own: set[str]
) -> None:
    async with acting_as(database, role) as session:
        move = "UPDATE event_store.checkpoints SET position = 7 WHERE name = $1"
        for name in CHECKPOINTS:
            assert await session.execute(move, name) == (name in own)
        moved = await session.execute("UPDATE event_store.checkpoints SET position = 8")
        assert moved == len(own)
    rows = await database.fetch("SELECT name, position FROM event_store.checkpoints")
    assert {row[0]: row[1] for row in rows} == {name: 8 * (name in own) for name in CHECKPOINTS}


@pytest.mark.parametrize(
    ("role", "own", "others"),
    [
        ("chaching_auditor", "audit", "relay2"),
        ("chaching_relay", "relay", "projection.mine"),
        ("chaching_projector", "projection.customers", "relay2"),
    ],
)
async def test_a_follower_cannot_turn_its_checkpoint_into_another(
    database: Database, role: str, own: str, others: str
) -> None:
    rename = "UPDATE event_store.checkpoints SET name = $2 WHERE name = $1"
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await executed_as(database, role, rename, own, others)
