"""What PostgreSQL copies out is what is hashed, and what its columns say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import pytest
from tests.eventstore.items import append_batch, item
from tests.support.audited import append_events, chance

from chaching.audit.entries import NotAnEntry, StoredEvent, entry_of, event_of
from chaching.audit.hashing import leaf_hash
from chaching.audit.rows import Row, Rows
from chaching.audit.stored import SESSION_SETTINGS, copy_rows, event_at
from chaching.eventstore.database import Database
from chaching.eventstore.statements import statement

EVENTS: Final = 300
LEAF_HASHES: Final = statement("chaching.audit", "leaf_hashes")
LOG_ROWS: Final = statement("chaching.audit", "log_rows")


async def rows_of(database: Database, after: int = 0, up_to: int = EVENTS) -> list[Row]:
    found: list[Row] = []
    async with database.session() as session:
        await copy_rows(session, after, up_to, found.extend)
    return found


async def copied(database: Database) -> bytes:
    chunks: list[bytes] = []
    async with database.session() as session:
        await session.copy_out(LOG_ROWS, 0, EVENTS, take=chunks.append)
    return b"".join(chunks)


async def test_an_entry_is_the_row_as_its_columns_say_it(database: Database) -> None:
    await append_events(database, EVENTS, chance(1))
    rows = await rows_of(database)
    assert [row.position for row in rows] == list(range(1, EVENTS + 1))
    assert all(row.follows for row in rows)
    for row in rows:
        event = await event_at(database, row.position)
        assert event is not None
        assert entry_of(event) == row.entry
        assert event_of(row.entry) == event
    hashed = await database.fetch(LEAF_HASHES, 0, EVENTS)
    leaves = [(row[0], row[1]) for row in hashed]
    assert leaves == [(row.position, leaf_hash(row.entry)) for row in rows]


async def test_what_an_entry_says_is_what_the_columns_say(database: Database) -> None:
    await append_events(database, 50, chance(4))
    columns = ", ".join(StoredEvent.__struct_fields__)
    stored = await database.fetch(f"SELECT {columns} FROM event_store.events ORDER BY position")  # noqa: S608 - of the log
    for position, row in enumerate(stored, 1):
        event = await event_at(database, position)
        assert event is not None
        told = {name: getattr(event, name) for name in StoredEvent.__struct_fields__}
        recorded_at = datetime.fromisoformat(told.pop("recorded_at"))
        assert {**told, "recorded_at": recorded_at} == {n: row[n] for n in [*told, "recorded_at"]}


async def test_every_column_of_the_log_is_in_an_entry(database: Database) -> None:
    """Who adds a column to the log gives entries a new format, or what it holds is not audited."""
    found = await database.fetch(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'event_store.events'::regclass "
        "AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    )
    assert tuple(row[0] for row in found) == StoredEvent.__struct_fields__


async def test_it_does_not_matter_how_the_copy_is_cut(database: Database) -> None:
    await append_events(database, 40, chance(2))
    whole, text = await rows_of(database), await copied(database)
    random = chance(3)
    for pieces in (1, 2, 5, 50, len(text)):
        cuts = sorted(random.sample(range(len(text)), pieces - 1)) if pieces > 1 else []
        cutter, found = Rows(), list[Row]()
        for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
            found.extend(cutter.cut(text[start:end]))
        assert found == whole


@pytest.mark.parametrize(
    ("change", "first_to_follow_on_nothing"),
    [
        ("version = 3", 2),
        ("previous_position = 0", 2),
        ("previous_position = 2", 2),
        ("stream = 'cus_9'", 2),
        ("account = 'acct_9'", 2),
        ("livemode = true", 2),
    ],
)
async def test_an_event_must_follow_on_the_one_before_it_in_its_stream(
    database: Database, change: str, first_to_follow_on_nothing: int
) -> None:
    await append_batch(database, item("cus_1"))
    await append_batch(database, item("cus_1", 1))
    await append_batch(database, item("cus_1", 2))
    for name in ("events_version_follows", "events_position_follows", "events_stream_version_key"):
        await database.execute(f"ALTER TABLE event_store.events DROP CONSTRAINT {name}")
    await database.execute("ALTER TABLE event_store.events DISABLE TRIGGER ALL")
    sql = f"UPDATE event_store.events SET {change} WHERE position = 2"  # noqa: S608 - see above
    await database.execute(sql)
    rows = await rows_of(database)
    strays = [row.position for row in rows if not row.follows]
    assert strays[0] == first_to_follow_on_nothing


NULLABLE: Final = {"state", "invoice_prefix"}


@pytest.mark.parametrize("column", [n for n in StoredEvent.__struct_fields__ if n != "position"])
async def test_a_null_makes_another_entry_and_leaves_the_neighbours_as_they_were(
    database: Database, column: str
) -> None:
    await append_batch(database, item("cus_1"), item("cus_2", prefix="P1"), item("cus_3"))
    before = await rows_of(database)
    for name in ("events_stream_version_key", "events_version_follows"):
        await database.execute(f"ALTER TABLE event_store.events DROP CONSTRAINT {name}")
    await database.execute("ALTER TABLE event_store.events DISABLE TRIGGER ALL")
    if column not in NULLABLE:
        drop = f"ALTER TABLE event_store.events ALTER COLUMN {column} DROP NOT NULL"
        await database.execute(drop)
    sql = f"UPDATE event_store.events SET {column} = NULL WHERE position = 2"  # noqa: S608 - a column
    await database.execute(sql)
    after = await rows_of(database)
    assert [row.position for row in after] == [1, 2, 3]
    assert (after[0], after[2]) == (before[0], before[2])
    assert (after[1].entry == before[1].entry) == (column == "state")
    if column not in NULLABLE:
        with pytest.raises(NotAnEntry):
            event_of(after[1].entry)


async def test_a_large_log_is_handed_over_in_pieces(database_url: str, database: Database) -> None:
    """Memory is bounded by what is on its way, not by the stretch that is asked for."""
    text = f'"{"x" * 100_000}"'
    await append_batch(database, *(item(f"cus_{n}", payload=text) for n in range(30)))
    sizes: list[int] = []

    def take(rows: Sequence[Row]) -> None:
        sizes.append(sum(len(row.entry) for row in rows))

    reading = Database(database_url, name="tests", sessions_max=1, settings=SESSION_SETTINGS)
    await reading.open()
    async with reading.session() as session:
        await copy_rows(session, 0, 30, take)
    await reading.close()
    assert sum(sizes) > 3_000_000
    assert max(sizes) < 1_000_000
