"""Searches among a million customers of one account, and what their entries cost to keep.

``python -m tests.benchmarks.searches [customers]`` prints a table: p50 and p99 in ms of the first
page, of a page in the middle and of the total count of each query, then events a second with and
without entries. It fills a database of its own and drops it; every first page is checked.
"""

import asyncio
import secrets
import sys
import time
from collections.abc import Callable, Iterator

import msgspec
from tests.benchmarks.events import pending_creates
from tests.databases import administer, url_of
from tests.servers import Servers

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


class Customer(msgspec.Struct, frozen=True):
    """What the n-th customer is found by."""

    email: str
    name: str
    phone: str | None
    metadata: dict[str, str]


def customer(n: int) -> Customer:
    metadata = {"plan": "gold" if n % 10 < 3 else "basic", "order": f"order-{n}"}
    if n % 1000 == 0:
        metadata["vip"] = "yes"
    if n <= 300_000:
        metadata["cohort"] = "founders"
    return Customer(
        email=f"user{n}@mail{n % 1000}.example.com",
        name="Common Name" if n % 100 == 0 else f"{NAMES[n % 10]} Rosen-{n * 7919 % 1_000_003}",
        phone=None if n % 500 == 0 else f"+1{n * 6_700_417 % 10_000_000_000:010}",
        metadata=metadata,
    )


TEN = " OR ".join(
    [f'email:"user{n}@mail{n % 1000}.example.com"' for n in range(90_001, 90_001 * 11, 90_001)]
)
Fits = Callable[[Customer], bool]
QUERIES: dict[str, tuple[str, Fits | None]] = {
    "exact email": ('email:"user5005@mail5.example.com"', None),
    "exact name, 1 of 100": ('name:"common name"', lambda c: c.name == "Common Name"),
    "exact metadata, one": ('metadata["order"]:"order-777"', None),
    "exact metadata, 3 of 10": ('metadata["plan"]:"gold"', None),
    "exact metadata, the oldest 3 of 10": ('metadata["cohort"]:"founders"', None),
    "substring, few": ('email~"777777"', lambda c: "777777" in c.email),
    "substring of 3, many": ('name~"ann"', lambda c: "ann" in c.name.lower()),
    "substring of 3, none": ('name~"zzq"', lambda c: "zzq" in c.name),
    "metadata substring": ('metadata["order"]~"-99999"', None),
    "AND of few and many": (
        'name~"ann" AND metadata["order"]:"order-774"',
        None,
    ),
    "AND of many and many": ('name~"ann" AND metadata["plan"]:"gold"', None),
    "AND that nobody fits": ('name~"wei" AND name~"olga"', lambda _: False),
    "OR of ten": (TEN, None),
    "negation only": ('-email:"user5@mail5.example.com"', None),
    "negation, 1 of 50,000": ('-name~"rosen" -email~"0000"', None),
    "negation that nobody fits": ('-email~"example.com"', lambda _: False),
    "null phone, 1 of 500": ("phone:null", lambda c: c.phone is None),
    "null metadata, nearly all": ('metadata["vip"]:null', lambda c: "vip" not in c.metadata),
    "null metadata, nobody": ('metadata["plan"]:null', lambda _: False),
    "has metadata, 1 of 1000": ('-metadata["vip"]:null', lambda c: "vip" in c.metadata),
    "created, all": (f"created>{FIRST_AT}", None),
    "created, the oldest thousand": (f"created<{FIRST_AT + 1000}", None),
    "created, one": (f"created:{FIRST_AT + 5}", None),
    "created, old, and many": (f'created<{FIRST_AT + 500_000} name~"ann"', None),
}


async def fill(database: Database, customers: int) -> None:
    """Fill rows and entries; the index of terms is made anew at the end, which is faster."""
    await database.execute("DROP INDEX read_model.search_entries_terms")
    for first in range(1, customers + 1, PORTION):
        last = min(first + PORTION - 1, customers)
        await database.execute(FILL_ROWS, ACCOUNT, FIRST_AT, first, last)
        await database.execute(statement(PACKAGE, "write_entries"), *columns(first, last))
    await database.execute("SET maintenance_work_mem = '1GB'")
    await database.execute(
        "CREATE INDEX search_entries_terms ON read_model.search_entries USING gin (terms) "
        "WITH (fastupdate = on, gin_pending_list_limit = 1024)"
    )
    await database.execute("VACUUM ANALYZE read_model.search_entries, read_model.customers")


def columns(first: int, last: int) -> Iterator[list[object]]:
    rows: list[tuple[object, ...]] = []
    for n in range(first, last + 1):
        one = customer(n)
        key = StreamKey(ACCOUNT, False, CustomerId(f"cus_{n:014}"))
        metadata = msgspec.json.encode(one.metadata).decode()
        entry = entry_of(key, FIRST_AT + n, one.email, one.name, one.phone, metadata)
        found = entry.searchable
        who = (ACCOUNT, False, entry.created, key.id)
        what = (found.email, found.name, found.phone, entry.metadata, entry.terms)
        rows.append((*who, *what))
    return (list(column) for column in zip(*rows, strict=True))


class Times(msgspec.Struct):
    """How long the calls of one kind took."""

    each_ms: list[float] = []
    found: str = ""

    def at(self, share: float) -> str:
        ordered = sorted(self.each_ms)
        return f"{ordered[min(int(len(ordered) * share), len(ordered) - 1)]:8.1f}"


async def timed(
    searches: CustomerSearches, text: str, after: Place, *, counted: bool = False
) -> Times:
    search = Search(account=ACCOUNT, livemode=False, query=parse(text))
    times = Times()
    deadline = time.perf_counter() + 6
    for _ in range(REPEATS):
        started = time.perf_counter()
        try:
            found = await searches.find(search, after=after, limit=PAGE, counted=counted)
            times.found = f"{found.total_count}" if counted else f"{len(found.customers)}"
        except SearchTooBroad:
            times.found = "too broad"
        times.each_ms.append((time.perf_counter() - started) * 1000)
        if time.perf_counter() > deadline:
            break
    return times


async def measure(database_url: str, customers: int) -> None:
    database = Database(
        database_url, name="bench", sessions_max=1, statement_timeout_s=FILL_LIMIT_S
    )
    await database.open()
    started = time.perf_counter()
    await fill(database, customers)
    [size] = await database.fetch(
        "SELECT pg_size_pretty(pg_table_size('read_model.search_entries')),"
        " pg_size_pretty(pg_relation_size('read_model.search_entries_terms')),"
        " pg_size_pretty(pg_relation_size('read_model.search_entries_pkey'))"
    )
    say(f"{customers:,} customers in {time.perf_counter() - started:.0f} s; {tuple(size)}")
    await database.close()
    searching = Database(database_url, name="bench", sessions_max=1, settings=SEARCHES)
    await searching.open()
    searches = CustomerSearches(searching)
    middle = Place(FIRST_AT + customers // 2, "cus_")
    say(f"{'':36} {'first page':>17} {'middle page':>19} {'total count':>19}  found")
    for name, (text, _) in QUERIES.items():
        first = await timed(searches, text, TOP)
        deep = await timed(searches, text, middle)
        count = await timed(searches, text, TOP, counted=True)
        say(
            f"{name:36} {first.at(0.5)} {first.at(0.99)}   {deep.at(0.5)} {deep.at(0.99)}   "
            f"{count.at(0.5)} {count.at(0.99)}  {first.found}, {deep.found}, {count.found}"
        )
    await searching.close()


async def project(database_url: str) -> None:
    """Project creates into the read model, then their entries; print events a second of each."""
    database = Database(database_url, name="bench", sessions_max=4, settings=SESSION_SETTINGS)
    await database.open()
    store = EventStore(database)
    for first in range(0, PROJECTED_EVENTS, PROJECTED_STEP):
        del first
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
