"""Durable appends a second: ours with 128 waiting, single-row inserts, a peer library.

``pgbench`` inserts the same event into a table of the same shape, indices and constraints, one
row and one commit at a time over 32 connections: what a store without grouping can reach at best
on this machine. ``eventsourcing`` appends the same payload through its own recorder.
"""

import asyncio
import re
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from tests.benchmarks.events import pending_create, pending_creates
from tests.support.keyrings import KEYRING

from chaching.eventstore.database import KEYED_LOOKUPS, Database
from chaching.eventstore.store import EventStore
from chaching.local.postgres_binaries import obtain_postgres

WAITING = 128
EVENTS = 128 * 400
PGBENCH_CONNECTIONS = 32
PGBENCH_S = 5
PEER_THREADS = 8
PEER_EVENTS = 4_000

SAME_SHAPE = """
    CREATE SCHEMA bench;
    CREATE SEQUENCE bench.positions CACHE 1;
    CREATE TABLE bench.events (LIKE event_store.events INCLUDING ALL);
    ALTER TABLE bench.events ALTER position SET DEFAULT nextval('bench.positions')
"""


class WrongData(Exception):  # noqa: N818 - says what is wrong
    """What a benchmark wrote is not what it was told to write."""


async def our_appends_per_s(database_url: str) -> float:
    """Append ``EVENTS`` with ``WAITING`` callers and check the log; events a second."""
    database = Database(database_url, name="bench", sessions_max=4, settings=KEYED_LOOKUPS)
    await database.open()
    store = EventStore(database, KEYRING)
    before = await store.head()
    events = pending_creates(EVENTS)
    ids = {event.event_id for event in events}

    async def caller() -> None:
        while events:
            await store.append(events.pop())

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(WAITING)))
    elapsed_s = time.perf_counter() - started
    rows = await database.fetch(
        "SELECT event_id, position FROM event_store.events WHERE position > $1", before
    )
    await database.close()
    if {row["event_id"] for row in rows} != ids:
        raise WrongData("the log does not hold exactly the acknowledged events")
    if sorted(row["position"] for row in rows) != list(range(before + 1, before + EVENTS + 1)):
        raise WrongData("positions are not dense")
    return EVENTS / elapsed_s


async def make_same_shape(database_url: str) -> None:
    database = Database(database_url, name="bench", sessions_max=1)
    await database.open()
    await database.execute(SAME_SHAPE)
    await database.close()


async def single_row_inserts_per_s(database_url: str) -> float:
    """Insert for ``PGBENCH_S`` with pgbench and count the rows; inserts a second."""
    binaries = await obtain_postgres()
    database = Database(database_url, name="bench", sessions_max=1)
    await database.open()
    counting = "SELECT count(*) FROM bench.events"
    [before] = await database.fetch(counting)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "insert.sql"
        script.write_text(_insert_script())
        answer = await asyncio.to_thread(_pgbench, binaries.bin_dir, script, database_url)
    [after] = await database.fetch(counting)
    await database.close()
    done = int(_number(r"transactions actually processed: (\d+)", answer))
    if after[0] - before[0] != done:
        raise WrongData("pgbench did not write a row for each transaction")
    return _number(r"tps = ([\d.]+)", answer)


def peer_appends_per_s(database_url: str) -> float:
    """Append the same payload with ``eventsourcing``; events a second of its best arrangement."""
    parts = urlsplit(database_url)
    store = PostgresDatastore(
        dbname=parts.path.lstrip("/"),
        host=parts.hostname or "",
        port=str(parts.port),
        user=parts.username or "",
        password=parts.password or "",
        pool_size=PEER_THREADS,
        max_overflow=0,
    )
    recorder = PostgresApplicationRecorder(store, events_table_name=f"peer_{uuid4().hex[:8]}")
    recorder.create_table()
    payload = pending_create().payload.encode()

    def append(_number: int) -> None:
        recorder.insert_events([StoredEvent(uuid4(), 1, "CustomerCreated", payload)])

    with ThreadPoolExecutor(PEER_THREADS) as threads:
        started = time.perf_counter()
        list(threads.map(append, range(PEER_EVENTS)))
        elapsed_s = time.perf_counter() - started
    stored = recorder.max_notification_id()
    store.close()
    if stored != PEER_EVENTS:
        raise WrongData("the peer library did not store every event")
    return PEER_EVENTS / elapsed_s


def _insert_script() -> str:
    event = pending_create()
    # pgbench would read ":x" inside the JSON as a variable
    payload, metadata = (re.sub(r":(?=\S)", ": ", t) for t in (event.payload, event.metadata))
    # the texts are our own; pgbench knows no parameters for them
    return f"""\\set r random(1, 9000000000000000)
INSERT INTO bench.events (account, livemode, stream, version, previous_position, event_id, type,
    schema_version, payload, metadata, invoice_prefix, recorded_at)
VALUES ('acct_bench', false, 'cus_' || :r, 1, 0, 'evt_' || lpad(:r::text, 22, '0'),
    'CustomerCreated', 1,
    '{payload}', '{metadata}', 'P' || :r, now());
"""  # noqa: S608


def _pgbench(bin_dir: Path, script: Path, database_url: str) -> str:
    words = [
        str(bin_dir / "pgbench"),
        *("--no-vacuum", "--protocol=prepared", "--jobs=2", f"--time={PGBENCH_S}"),
        *(f"--client={PGBENCH_CONNECTIONS}", f"--file={script}", database_url),
    ]
    return subprocess.run(  # noqa: S603 - fixed words
        words, check=True, capture_output=True, text=True, timeout=PGBENCH_S + 60
    ).stdout


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise WrongData(f"pgbench did not say {pattern!r}")
    return float(found[1])
