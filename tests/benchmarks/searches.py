"""Searches among a million customers of one account, and what their entries cost to keep.

``python -m tests.benchmarks.searches [customers]`` prints a table: p50 and p99 in ms of the first
page, of a page in the middle and of a first page with its total count, for each query, then events
a second of rows and of entries. It fills a database of its own and drops it. Every first page is
checked against a plain look at every customer; a wrong one ends it.
"""

import asyncio
import itertools
import secrets
import sys
import time
from collections.abc import Iterator

import msgspec
from tests.benchmarks.appends import WrongData
from tests.benchmarks.events import pending_creates
from tests.databases import administer, url_of
from tests.servers import Servers
from tests.support.keyrings import KEYRING
from tests.support.search_reference import Known, fits

from chaching.domain.ids import AccountId, CustomerId
from chaching.envelope import Position, StreamKey
from chaching.eventstore.database import Database
from chaching.eventstore.lease import Lease
from chaching.eventstore.statements import statement
from chaching.eventstore.store import EventStore
from chaching.local.errors import LocalError
from chaching.schema.migrations import migrate
from chaching_api.errors import SearchTooBroad
from chaching_api.reads.search import SEARCHES, CustomerSearches
from chaching_api.reads.search_sql import Search
from chaching_api.search_page import TOP, Place
from chaching_api.search_query import parse
from chaching_projector.projections.customers.projection import CustomersProjection
from chaching_projector.projections.customers.steps import item_of
from chaching_projector.projections.customers.writer import SESSION_SETTINGS
from chaching_projector.projections.search.entries import entry_of
from chaching_projector.projections.search.projection import PACKAGE, SearchProjection

CUSTOMERS = 1_000_000
PORTION = 10_000
FILL_LIMIT_S = 900.0
REPEATS = 30
PAGE = 10
ACCOUNT = AccountId("acct_search")
FIRST_AT = 1_600_000_000
OLD_CUSTOMERS = 300_000
ONE_KIND_LIMIT_S = 6.0
PROJECTED_EVENTS = 20_000
PROJECTED_STEP = 1_000
NAMES = ("Jane", "Hannah", "Bo", "Maria", "Wei", "Anna", "Olga", "Pedro", "Yuki", "Annika")

FILL_ROWS = """
    INSERT INTO read_model.customers
        (account, livemode, id, version, position, created, deleted, body, attached)
    SELECT $1, false, 'cus_' || lpad(n::text, 14, '0'), 1, n, $2::bigint + n, false,
           '{"id":"cus_' || lpad(n::text, 14, '0') || '"' || repeat(' ', 700) || '}', '{}'
    FROM generate_series($3::bigint, $4::bigint) AS n
"""


def customer(n: int) -> Known:
    """Return the n-th customer, each one a second younger than the one before."""
    metadata = {"plan": "gold" if n % 10 < 3 else "basic", "order": f"order-{n}"}
    if n % 1000 == 0:
        metadata["vip"] = "yes"
    if n <= OLD_CUSTOMERS:
        metadata["cohort"] = "founders"
    return Known(
        id=f"cus_{n:014}",
        created=FIRST_AT + n,
        email=f"user{n}@mail{n % 1000}.example.com",
        name="Common Name" if n % 100 == 0 else f"{NAMES[n % 10]} Rosen-{n * 7919 % 1_000_003}",
        phone=None if n % 500 == 0 else f"+1{n * 6_700_417 % 10_000_000_000:010}",
        metadata=metadata,
    )


TEN = " OR ".join(
    [f'email:"user{n}@mail{n % 1000}.example.com"' for n in range(90_001, 90_001 * 11, 90_001)]
)
QUERIES = {
    "exact email": 'email:"user5005@mail5.example.com"',
    "exact name, 1 of 100": 'name:"common name"',
    "exact metadata, one": 'metadata["order"]:"order-777"',
    "exact metadata, 3 of 10": 'metadata["plan"]:"gold"',
    "exact metadata, the oldest 300,000": 'metadata["cohort"]:"founders"',
    "substring, few": 'email~"777777"',
    "substring of 3, 3 of 10": 'name~"ann"',
    "substring of 3, nobody": 'name~"zzq"',
    "metadata substring, few": 'metadata["order"]~"-99999"',
    "AND of many and one": 'metadata["plan"]:"gold" AND metadata["order"]:"order-771"',
    "AND of many and many": 'name~"ann" AND metadata["plan"]:"gold"',
    "AND of many and many, nobody": 'name~"wei" AND name~"olga"',
    "OR of ten": TEN,
    "negation, nearly all": '-email:"user5@mail5.example.com"',
    "negation, 1 of 100": '-name~"rosen" -email~"0000"',
    "negation, nobody": '-email~"example.com"',
    "null phone, 1 of 500": "phone:null",
    "null metadata, nearly all": 'metadata["vip"]:null',
    "null metadata, nobody": 'metadata["plan"]:null',
    "has metadata, 1 of 1000": '-metadata["vip"]:null',
    "created, all": f"created>{FIRST_AT}",
    "created, the oldest thousand": f"created<{FIRST_AT + 1000}",
    "created, one": f"created:{FIRST_AT + 5}",
    "created before, and many": f'created<{FIRST_AT + 500_000} name~"ann"',
}


async def fill(database_url: str, customers: int) -> None:
    """Fill rows and entries; the index of terms is made anew at the end, which is faster."""
    database = Database(
        database_url, name="bench", sessions_max=1, statement_timeout_s=FILL_LIMIT_S
    )
    await database.open()
    [index] = await database.fetch(
        "SELECT indexdef FROM pg_indexes WHERE indexname = 'search_entries_terms'"
    )
    await database.execute("DROP INDEX read_model.search_entries_terms")
    for first in range(1, customers + 1, PORTION):
        last = min(first + PORTION - 1, customers)
        await database.execute(FILL_ROWS, ACCOUNT, FIRST_AT, first, last)
        await database.execute(statement(PACKAGE, "write_entries"), *columns(first, last))
    await database.execute("SET maintenance_work_mem = '1GB'")
    await database.execute(index[0])
    await database.execute("VACUUM ANALYZE read_model.search_entries, read_model.customers")
    await database.close()


def columns(first: int, last: int) -> Iterator[list[object]]:
    rows: list[tuple[object, ...]] = []
    for n in range(first, last + 1):
        one = customer(n)
        key = StreamKey(ACCOUNT, False, CustomerId(one.id))
        metadata = msgspec.json.encode(one.metadata).decode()
        entry = entry_of(key, one.created, one.email, one.name, one.phone, metadata)
        found = entry.searchable
        what = (found.email, found.name, found.phone, entry.metadata, entry.terms)
        rows.append((ACCOUNT, False, entry.created, key.id, *what))
    return (list(column) for column in zip(*rows, strict=True))


def expected(text: str, customers: int) -> list[str]:
    """Return the ids of the first page, from a look at every customer."""
    query = parse(text)
    fitting = (one for n in range(customers, 0, -1) if fits(query, one := customer(n)))
    return [one.id for one in itertools.islice(fitting, PAGE)]


class Times(msgspec.Struct):
    """How long the calls of one kind took, and what the last one came to."""

    each_ms: list[float] = []
    ids: list[str] | None = None
    total_count: int | None = None

    def at(self, share: float) -> str:
        ordered = sorted(self.each_ms)
        return f"{ordered[min(int(len(ordered) * share), len(ordered) - 1)]:7.1f}"

    def __str__(self) -> str:
        return f"{self.at(0.5)} {self.at(0.99)}{'!' if self.ids is None else ' '}"


async def timed(
    searches: CustomerSearches, text: str, after: Place, *, counted: bool = False
) -> Times:
    search = Search(account=ACCOUNT, livemode=False, query=parse(text))
    times = Times()
    ends = time.perf_counter() + ONE_KIND_LIMIT_S
    while len(times.each_ms) < REPEATS and time.perf_counter() < ends:
        started = time.perf_counter()
        try:
            found = await searches.find(search, after=after, limit=PAGE, counted=counted)
        except SearchTooBroad:
            times.ids = None
        else:
            times.ids = [listed.place.id for listed in found.customers]
            times.total_count = found.total_count
        times.each_ms.append((time.perf_counter() - started) * 1000)
    return times


async def measure(database_url: str, customers: int) -> None:
    """Time and check every query."""
    database = Database(database_url, name="bench", sessions_max=1, settings=SEARCHES)
    await database.open()
    searches = CustomerSearches(database)
    middle = Place(FIRST_AT + customers // 2, "cus_")
    say("p50 and p99 in ms; ! ended for taking too long")
    say(f"{'':36}{'first page':>15} {'middle page':>17}  {'with its count':>16}")
    for name, text in QUERIES.items():
        first = await timed(searches, text, TOP)
        deep = await timed(searches, text, middle)
        count = await timed(searches, text, TOP, counted=True)
        if first.ids is not None and first.ids != expected(text, customers):
            raise WrongData(f"the first page of {text} is wrong")
        say(f"{name:36}{first}  {deep}  {count} {count.total_count}")
    await database.close()


async def sizes(database_url: str) -> None:
    database = Database(database_url, name="bench", sessions_max=1)
    await database.open()
    [row] = await database.fetch(
        "SELECT pg_size_pretty(pg_table_size('read_model.search_entries')),"
        " pg_size_pretty(pg_relation_size('read_model.search_entries_terms')),"
        " pg_size_pretty(pg_relation_size('read_model.search_entries_pkey'))"
    )
    await database.close()
    say(f"entries {row[0]}, index of terms {row[1]}, key {row[2]}")


async def project(database_url: str) -> None:
    """Project creates into the read model, then their entries; print events a second of each."""
    database = Database(database_url, name="bench", sessions_max=4, settings=SESSION_SETTINGS)
    await database.open()
    store = EventStore(database, KEYRING)
    for _ in range(0, PROJECTED_EVENTS, PROJECTED_STEP):
        await asyncio.gather(*(store.append(p) for p in pending_creates(PROJECTED_STEP)))
    lease = Lease(database, "projection.customers", "bench")
    held = await lease.acquire()
    assert held is not None
    projection = CustomersProjection(database, store, lease, held)
    events = [
        item_of(event)
        for after in range(0, PROJECTED_EVENTS, PROJECTED_STEP)
        for event in await store.read_all(Position(after), PROJECTED_STEP)
    ]
    started = time.perf_counter()
    for first in range(0, PROJECTED_EVENTS, PROJECTED_STEP):
        await projection.apply(events[first : first + PROJECTED_STEP])
    rows_s = time.perf_counter() - started
    search_lease = Lease(database, "projection.search", "bench")
    search_held = await search_lease.acquire()
    assert search_held is not None
    started = time.perf_counter()
    await SearchProjection(database, search_lease, search_held).catch_up()
    entries_s = time.perf_counter() - started
    await database.close()
    say(
        f"projecting {PROJECTED_EVENTS:,} creates: rows {PROJECTED_EVENTS / rows_s:,.0f}/s, "
        f"entries {PROJECTED_EVENTS / entries_s:,.0f}/s, "
        f"one after the other {PROJECTED_EVENTS / (rows_s + entries_s):,.0f}/s"
    )


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    customers = int(sys.argv[1]) if len(sys.argv) > 1 else CUSTOMERS
    servers = Servers()
    try:
        admin_url = servers.database_url()
        name = f"bench_{secrets.token_hex(4)}"
        asyncio.run(administer(admin_url, f"CREATE DATABASE {name}"))
        url = url_of(admin_url, name)
        try:
            asyncio.run(migrate(url))
            asyncio.run(fill(url, customers))
            asyncio.run(sizes(url))
            asyncio.run(measure(url, customers))
            asyncio.run(project(url))
        finally:
            asyncio.run(administer(admin_url, f"DROP DATABASE {name} WITH (FORCE)"))
    except LocalError as error:
        sys.exit(str(error))
    finally:
        servers.close()


if __name__ == "__main__":
    main()
