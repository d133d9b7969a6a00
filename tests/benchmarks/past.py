"""Looking back at a long log: ``python -m tests.benchmarks.past [customers]``.

Fills log and read model by SQL, a customer a second and one of them with 10,000 events, then times
what auditors ask, statements and folding included. Prints milliseconds.
"""

import asyncio
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from tests.benchmarks.appends import WrongData
from tests.benchmarks.events import ACCOUNT
from tests.databases import administer, url_of
from tests.servers import Servers
from tests.support.keyrings import KEYRING

from chaching.domain.ids import CustomerId
from chaching.envelope import Position, StreamKey, Version
from chaching.eventstore.database import KEYED_LOOKUPS, Database
from chaching.eventstore.past import PastEvents
from chaching.eventstore.store import EventStore
from chaching.history import entry_of
from chaching.local.errors import LocalError
from chaching.moments import AtPosition, AtVersion, During
from chaching.schema.migrations import migrate
from chaching_api.errors import Malformed
from chaching_api.event_parameters import HistoryInput
from chaching_api.parameters import ListInput
from chaching_api.reads.lists import Lists
from chaching_api.reads.past import Past
from chaching_api.reads.past_lists import PastLists
from chaching_api.reads.walk import walk_of

CUSTOMERS: Final = 500_000
LONG_EVENTS: Final = 10_000
FILL_LIMIT_S: Final = 600.0
ROUNDS: Final = 200
BEGIN: Final = datetime(2024, 1, 1, tzinfo=UTC)
LONG: Final = StreamKey(ACCOUNT, False, CustomerId("cus_long"))

FILL_LOG: Final = """
    INSERT INTO event_store.events
    SELECT n, $1, false, 'cus_' || lpad(n::text, 14, '0'), 1, 0, 'evt_' || n, 'CustomerCreated', 1,
           format('{"id":"cus_%s","livemode":false,"created":%s,"commercial":{"invoice_prefix":"P%s"},'
                  '"personal":{"email":"jane%s@example.com","name":"Jane Doe"}}',
                  lpad(n::text, 14, '0'), extract(epoch FROM $3::timestamptz)::bigint + n, n,
                  n % 10000)::json,
           NULL, '{"request_id":"req_1"}', NULL, $3::timestamptz + n * interval '1 second'
    FROM generate_series(1, $2::bigint) AS n
"""
FILL_LONG: Final = """
    INSERT INTO event_store.events
    SELECT $2::bigint + n, $1, false, 'cus_long', n,
           CASE WHEN n > 1 THEN $2::bigint + n - 1 ELSE 0 END,
           'evt_long' || n, CASE WHEN n = 1 THEN 'CustomerCreated' ELSE 'CustomerUpdated' END, 1,
           CASE WHEN n = 1
                THEN '{"id":"cus_long","livemode":false,"created":1,'
                     '"commercial":{"invoice_prefix":"L"}}'
                ELSE format('{"updated":%s,"commercial":{"changes":{"balance":%s},'
                            '"previous":{"balance":%s}}}', n, n, n - 1) END::json,
           CASE WHEN n > 1 THEN format('{"id":"cus_long","livemode":false,"created":1,"updated":%s,'
                '"commercial":{"invoice_prefix":"L","balance":%s}}', n, n) END::json,
           '{"request_id":"req_1"}', NULL, $3::timestamptz + ($2::bigint + n) * interval '1 second'
    FROM generate_series(1, $4::bigint) AS n
"""
FILL_ROWS: Final = """
    INSERT INTO read_model.customers
        (account, livemode, id, version, position, created, deleted, email, name, phone, metadata,
         test_clock, body, attached)
    SELECT account, livemode, stream, 1, position, (payload->>'created')::bigint, position % 50 = 0,
           CASE WHEN position % 50 > 0 THEN payload->'personal'->>'email' END, NULL, NULL, '{}',
           NULL, repeat('x', 700), '{}'
    FROM event_store.events
    WHERE version = 1
"""


async def timed(name: str, ask: Callable[[], Awaitable[object]], rounds: int = ROUNDS) -> None:
    """Print p50 and p99 of a question, in ms."""
    times_ms: list[float] = []
    for _ in range(rounds):
        started_s = time.perf_counter()
        if await ask() is None:
            raise WrongData(f"nothing is answered to {name}")
        times_ms.append((time.perf_counter() - started_s) * 1000)
    times_ms.sort()
    p50_ms, p99_ms = times_ms[rounds // 2], times_ms[rounds * 99 // 100]
    say(f"  {name:44} p50 {p50_ms:7.2f} ms   p99 {p99_ms:7.2f} ms")


async def ask_of_one(past: Past, customers: int) -> None:
    one = StreamKey(ACCOUNT, False, CustomerId(f"cus_{customers // 2:014}"))
    half = BEGIN + timedelta(seconds=customers // 2)
    moments = {
        "by version": AtVersion(Version(1)),
        "by position": AtPosition(Position(customers // 2)),
        "by time": During(half, half + timedelta(seconds=1)),
    }
    for name, moment in moments.items():
        await timed(f"a customer of one event, {name}", lambda m=moment: past.event_at(one, m, ""))
    middle = customers + LONG_EVENTS // 2
    then = BEGIN + timedelta(seconds=middle)
    for name, moment in {
        "by version": AtVersion(Version(LONG_EVENTS // 2)),
        "by position": AtPosition(Position(middle)),
        "by time": During(then, then + timedelta(seconds=1)),
    }.items():
        await timed(f"a customer of 10,000, {name}", lambda m=moment: past.event_at(LONG, m, ""))
    for limit in (10, 100):
        await timed(f"a page of {limit} of its history", lambda n=limit: page(past, n))
    cursor = HistoryInput(starting_after=f"evt_long{LONG_EVENTS - 1}")
    await timed("its last page, by an event's id", lambda: past.page(LONG, cursor), 20)


async def page(past: Past, limit: int) -> object:
    found = await past.page(LONG, HistoryInput(limit=limit))
    return None if found is None else [entry_of(event) for event in found.events]


async def ask_of_all(lists: PastLists, past: Past, customers: int) -> None:
    now = await past.log_at(AtPosition(Position(customers + LONG_EVENTS)), "")
    half_way = await past.log_at(AtPosition(Position(customers // 2)), "")
    for name, then in {"now": now, "half way": half_way}.items():
        for wanted, told in (
            (ListInput(), "a page of 10"),
            (ListInput(limit=100), "a page of 100"),
        ):
            walk = walk_of(wanted, None)
            await timed(
                f"{told} as of {name}", lambda w=walk, t=then: lists.page((ACCOUNT, False), w, t)
            )
    rare = walk_of(ListInput(email="nobody@example.com"), None)

    async def refused() -> str:
        try:
            await lists.page((ACCOUNT, False), rare, half_way)
        except Malformed as told:
            return told.message
        return "there are so few that all were looked at"

    await timed("an email of nobody, until it is refused", refused, 10)


async def measure(database_url: str, customers: int) -> None:
    await migrate(database_url)
    owner = Database(database_url, name="bench", sessions_max=1, statement_timeout_s=FILL_LIMIT_S)
    gateway = Database(database_url, name="bench", sessions_max=8, settings=KEYED_LOOKUPS)
    await owner.open()
    await gateway.open()
    await owner.execute(FILL_LOG, ACCOUNT, customers, BEGIN)
    await owner.execute(FILL_LONG, ACCOUNT, customers, BEGIN, LONG_EVENTS)
    head = customers + LONG_EVENTS
    await owner.execute("UPDATE event_store.log_head SET position = $1", head)
    await owner.execute("UPDATE event_store.checkpoints SET position = $1", head)
    await owner.execute(FILL_ROWS)
    await owner.execute("VACUUM ANALYZE event_store.events, read_model.customers")
    events = PastEvents(gateway, KEYRING)
    past = Past(EventStore(gateway, KEYRING), events)
    say(f"{customers:,} customers, {head:,} events")
    await ask_of_one(past, customers)
    await ask_of_all(PastLists(gateway, events, Lists(gateway, KEYRING)), past, customers)
    await gateway.close()
    await owner.close()


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def main() -> None:
    customers = int(sys.argv[1]) if len(sys.argv) > 1 else CUSTOMERS
    servers = Servers()
    try:
        admin_url = servers.database_url()
        name = f"bench_{secrets.token_hex(4)}"
        asyncio.run(administer(admin_url, f"CREATE DATABASE {name}"))
        try:
            asyncio.run(measure(url_of(admin_url, name), customers))
        finally:
            asyncio.run(administer(admin_url, f"DROP DATABASE {name} WITH (FORCE)"))
    except LocalError as error:
        sys.exit(str(error))
    finally:
        servers.close()


if __name__ == "__main__":
    main()
