"""Lists over a million customers: ``python -m tests.benchmarks.lists [customers]``.

Fills the read model by SQL, one customer in a hundred on a test clock, then times pages as the
gateway reads them, statements and merging included, with an empty tail and with one as long as the
tail may be. Prints milliseconds.
"""

import asyncio
import secrets
import sys
import time
from typing import Final, TypeAlias

from tests.benchmarks.appends import WrongData
from tests.benchmarks.events import ACCOUNT, pending_creates
from tests.databases import administer, url_of
from tests.servers import Servers
from tests.support.keyrings import KEYRING

from chaching.eventstore.database import KEYED_LOOKUPS, Database
from chaching.eventstore.store import EventStore
from chaching.local.errors import LocalError
from chaching.schema.migrations import migrate
from chaching_api.parameter_tables import Seconds
from chaching_api.parameters import ListInput
from chaching_api.reads import lists
from chaching_api.reads.lists import Lists
from chaching_api.reads.walk import Place, walk_of

Asked: TypeAlias = tuple[ListInput, Place | None]

CUSTOMERS: Final = 1_000_000
FILL_LIMIT_S: Final = 600.0
ROUNDS: Final = 300
ROUNDS_WITH_A_TAIL: Final = 30
TAIL_SHORT_EVENTS: Final = 100
CUSTOMERS_A_SECOND: Final = 10

FILL: Final = """
    INSERT INTO read_model.customers
        (account, livemode, id, version, position, created, deleted, email, name, phone, metadata,
         test_clock, body, attached)
    SELECT $1, false, 'cus_' || lpad(n::text, 14, '0'), 1, n, n / $3, false,
           'jane' || n % 10000 || '@example.com', 'Jane Doe', '+123456789', '{}',
           CASE WHEN n % 100 = 0 THEN 'clock_1' END, repeat('x', 700), '{}'
    FROM generate_series(1, $2::bigint) AS n
"""


def places(customers: int) -> dict[str, Asked]:
    """What is asked for: the parameters of a list and where its cursor stands."""
    half = Place(customers // 2 // CUSTOMERS_A_SECOND, f"cus_{customers // 2:014}")
    deep = Place(100 // CUSTOMERS_A_SECOND, "cus_00000000000100")
    email = "jane77@example.com"
    middle = Seconds(half.created - 1_000, half.created)
    return {
        "first page": (ListInput(), None),
        "first page of 100": (ListInput(limit=100), None),
        "in the middle": (ListInput(starting_after=half.id), half),
        "last page": (ListInput(starting_after=deep.id), deep),
        "before the middle": (ListInput(ending_before=half.id), half),
        "by email": (ListInput(email=email), None),
        "by email, in the middle": (ListInput(email=email, starting_after=half.id), half),
        "by created": (ListInput(created=middle), None),
        "by clock": (ListInput(test_clock="clock_1"), None),
    }


async def timed(reading: Lists, asked: Asked, rounds: int) -> tuple[float, float]:
    """Return p50 and p99 of a page, in ms."""
    walk = walk_of(*asked)
    times_ms: list[float] = []
    for _ in range(rounds):
        started = time.perf_counter()
        page = await reading.page((ACCOUNT, False), walk)
        times_ms.append((time.perf_counter() - started) * 1000)
        if not page.customers:
            raise WrongData(f"nobody is on the page of {asked}")
    times_ms.sort()
    return times_ms[rounds // 2], times_ms[rounds * 99 // 100]


async def append_tail(store: EventStore, events: int) -> None:
    await asyncio.gather(*(store.append(pending) for pending in pending_creates(events)))


async def show(reading: Lists, customers: int, rounds: int, with_what: str) -> None:
    say(f"{customers:,} customers, {with_what}")
    for name, asked in places(customers).items():
        p50_ms, p99_ms = await timed(reading, asked, rounds)
        say(f"  {name:26} p50 {p50_ms:7.2f} ms   p99 {p99_ms:7.2f} ms")


async def measure(database_url: str, customers: int) -> None:
    await migrate(database_url)
    owner = Database(database_url, name="bench", sessions_max=1, statement_timeout_s=FILL_LIMIT_S)
    gateway = Database(database_url, name="bench", sessions_max=8, settings=KEYED_LOOKUPS)
    await owner.open()
    await gateway.open()
    await owner.execute(FILL, ACCOUNT, customers, CUSTOMERS_A_SECOND)
    await owner.execute("VACUUM ANALYZE read_model.customers")
    reading = Lists(gateway, KEYRING)
    await show(reading, customers, ROUNDS, "an empty tail")
    store = EventStore(gateway, KEYRING)
    for events in (TAIL_SHORT_EVENTS, lists.TAIL_MAX_EVENTS - TAIL_SHORT_EVENTS):
        await append_tail(store, events)
        tail = f"a tail of {await store.head():,} customers"
        await show(reading, customers, ROUNDS_WITH_A_TAIL, tail)
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
