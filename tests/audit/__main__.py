"""``make audit``: the auditor's promises at full length, with what they cost on this machine.

- A thousand random histories: as of every version, position and time each customer is what was
  answered at that moment.
- A replay of a log into an empty read model gives the same bytes, at a rate that is printed.
- The comparison of the read model with the log, at a rate that is printed, finds no difference; and
  it finds the one that is then made.

Ends with 1 when one of them does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import secrets
import sys
import time
from typing import Final

from tests.databases import administer, url_of
from tests.servers import Servers
from tests.support.customers import append_customers
from tests.support.histories import live_through, run
from tests.support.keyrings import KEYRING
from tests.support.replays import emptied, replayed, rows_of

from chaching.comparison.ranges import Progress, compare_all
from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore
from chaching.local.errors import LocalError
from chaching.schema.migrations import migrate

HISTORIES: Final = 1_000
CUSTOMERS: Final = 20_000
UPDATES: Final = 4
STATEMENT_LIMIT_S: Final = 120.0
SESSIONS: Final = 4


def main() -> int:
    options = _options()
    servers = Servers()
    try:
        admin_url = servers.database_url()
        name = f"audit_{secrets.token_hex(4)}"
        asyncio.run(administer(admin_url, f"CREATE DATABASE {name}"))
        try:
            database_url = url_of(admin_url, name)
            asyncio.run(migrate(database_url))
            live(database_url, options.histories)
            sound = asyncio.run(replay_and_compare(database_url, options.customers))
        finally:
            asyncio.run(administer(admin_url, f"DROP DATABASE {name} WITH (FORCE)"))
    except LocalError as error:
        sys.exit(str(error))
    finally:
        servers.close()
    return 0 if sound else 1


def live(database_url: str, histories: int) -> None:
    """Live through random histories; one that is not as answered ends it with what it was."""
    started_s = time.perf_counter()
    lived: list[int] = []
    run(
        database_url,
        lambda database, runner: lived.append(live_through(database, runner, histories)),
    )
    elapsed_s = time.perf_counter() - started_s
    say(f"{lived[0]:,} random histories, as of every version, position and time: {elapsed_s:.0f} s")


async def replay_and_compare(database_url: str, customers: int) -> bool:
    database = Database(
        database_url, name="audit", sessions_max=SESSIONS, statement_timeout_s=STATEMENT_LIMIT_S
    )
    await database.open()
    try:
        store = EventStore(database, KEYRING)
        await append_customers(store, customers=customers, updates=UPDATES)
        return await replays_the_same(database_url, database, store) and await compares(
            database_url, database
        )
    finally:
        await database.close()


async def replays_the_same(database_url: str, database: Database, store: EventStore) -> bool:
    """Project the log twice, the second time into an empty read model; compare the bytes."""
    digests: list[str] = []
    for what in ("projected", "replayed into an empty read model"):
        await emptied(database)
        started_s = time.perf_counter()
        head = await replayed(database_url, store)
        rate = head / (time.perf_counter() - started_s)
        rows = await rows_of(database)
        digests.append(hashlib.sha256("\n".join(rows).encode()).hexdigest())
        say(f"{head:,} events {what}: {rate:,.0f} events/s, {len(rows):,} rows {digests[-1][:16]}")
    return digests[0] == digests[1]


async def compares(database_url: str, database: Database) -> bool:
    """Compare as often as there are processors, then once more after a row was changed."""
    for workers in sorted({1, os.cpu_count() or 1}):
        progress = await compare_all(database_url, KEYRING, workers=workers)
        tell(progress, workers)
        if progress.difference_count:
            return False
    await database.execute(
        "UPDATE read_model.customers SET body = replace(body, 'Jenny', 'Jane') "
        "WHERE id = 'cus_000001'"
    )
    found = (await compare_all(database_url, KEYRING, workers=1)).differences
    say(f"after a change of one row: {[one.attributes for one in found]}")
    return [one.attributes for one in found] == [("body.name",)]


def tell(progress: Progress, workers: int) -> None:
    say(
        f"{progress.events:,} events compared with the rows, workers {workers}: "
        f"{progress.events_per_s:,} events/s, differences: {progress.difference_count}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.audit", description=__doc__)
    parser.add_argument("--histories", type=int, default=HISTORIES)
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    return parser.parse_args()


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
