"""Events among a million: ``python -m tests.benchmarks.event_lists [events]``.

First the price of finding events: durable appends with nobody sealing blocks, with blocks sealed
beside them as gateways do it, and with the two indices that blocks and telling ids stand in for;
databases of their own, rounds in turn. Half of the rounds' events are of one account, half of a
thousand. Then how long pages and look-ups take. Prints appends a second and milliseconds.
"""

import asyncio
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Final

import msgspec
from tests.benchmarks.appends import WAITING, WrongData
from tests.benchmarks.events import ACCOUNT, pending_create, pending_creates
from tests.databases import administer, url_of
from tests.servers import Servers
from tests.support.keyrings import KEYRING

from chaching.domain.ids import AccountId
from chaching.envelope import PendingEvent, Position
from chaching.eventstore.database import KEYED_LOOKUPS, Database
from chaching.eventstore.lookups import EventLookups, EventWalk
from chaching.eventstore.store import EventStore
from chaching.local.errors import LocalError
from chaching.public_event import PUBLIC_TYPES
from chaching.schema.migrations import migrate
from chaching_api.event_object import render_event
from chaching_api.sealing import seal_blocks

EVENTS: Final = 1_000_000
ACCOUNTS: Final = 1_000
APPENDED: Final = 128 * 100
APPEND_ROUNDS: Final = 10
ROUNDS: Final = 200
FILL_LIMIT_S: Final = 600.0
ALL: Final = tuple(PUBLIC_TYPES)
END: Final = Position(2**63 - 1)

INDICES: Final = """
    CREATE INDEX price_of_lists ON event_store.events (account, livemode, type, position);
    CREATE INDEX price_of_ids ON event_store.events (event_id)
"""
# nine of ten events are one account's, every tenth of them an update, every thousandth a deletion
FILL: Final = """
    INSERT INTO event_store.events
    SELECT n, CASE WHEN n % 10 = 0 THEN 'acct_' || n % $2 ELSE $1 END, false,
           'cus_' || lpad(n::text, 14, '0'), 1, 0, 'evt_' || lpad(n::text, 14, '0') || 'abcdefg1',
           CASE WHEN n % 1000 = 7 THEN 'CustomerDeleted' WHEN n % 10 = 3 THEN 'CustomerUpdated'
                ELSE 'CustomerCreated' END,
           1, $4, $5, $6, NULL, to_timestamp(n)
    FROM generate_series(1, $3::bigint) AS n
"""


class Way(msgspec.Struct, frozen=True):
    """One way to find events, in a database of its own, and the appends a second it left."""

    database: Database
    sealing: bool
    per_s: dict[int, list[float]]


async def opened(admin_url: str, name: str, more: str = "") -> Database:
    await administer(admin_url, f"CREATE DATABASE {name}")
    url = url_of(admin_url, name)
    await migrate(url)
    database = Database(
        url, name="bench", sessions_max=8, settings=KEYED_LOOKUPS, statement_timeout_s=FILL_LIMIT_S
    )
    await database.open()
    for sql in filter(None, more.split(";")):
        await database.execute(sql)
    return database


async def appends_per_s(way: Way, accounts: int) -> float:
    """Append with ``WAITING`` callers, sealing beside them where that is the way."""
    events = [spread(event, accounts, n) for n, event in enumerate(pending_creates(APPENDED))]
    store = EventStore(way.database, KEYRING)
    sealer = (
        asyncio.create_task(seal_blocks(EventLookups(way.database, KEYRING)))
        if way.sealing
        else None
    )

    async def caller() -> None:
        while events:
            await store.append(events.pop())

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(WAITING)))
    elapsed_s = time.perf_counter() - started
    if sealer is not None:
        sealer.cancel()
    return APPENDED / elapsed_s


def spread(event: PendingEvent, accounts: int, number: int) -> PendingEvent:
    account = AccountId(f"acct_{number % accounts}")
    return msgspec.structs.replace(event, key=msgspec.structs.replace(event.key, account=account))


async def show_prices(admin_url: str, names: dict[str, str]) -> None:
    ways = {
        "nobody seals": Way(await opened(admin_url, names["none"]), False, {}),
        "sealed beside": Way(await opened(admin_url, names["beside"]), True, {}),
        "two indices": Way(await opened(admin_url, names["indices"], INDICES), False, {}),
    }
    for round_ in range(APPEND_ROUNDS + 1):
        for accounts in (1, ACCOUNTS):
            for way in ways.values():
                per_s = await appends_per_s(way, accounts)
                if round_:  # the first one warms up
                    way.per_s.setdefault(accounts, []).append(per_s)
    plain = ways["nobody seals"].per_s
    for accounts in (1, ACCOUNTS):
        say(f"appends a second, {accounts:,} accounts")
        for name, way in ways.items():
            ratios = [a / b for a, b in zip(way.per_s[accounts], plain[accounts], strict=True)]
            say(f"  {name:20} {median(way.per_s[accounts]):>8,.0f}   {median(ratios):.3f}")
    for way in ways.values():
        await way.database.close()


# --- How long it takes --------------------------------------------------------------------------


async def fill(database: Database, events: int) -> None:
    example = pending_create()
    await database.execute(
        FILL, ACCOUNT, ACCOUNTS, events, example.payload, example.state, example.metadata
    )
    await database.execute("UPDATE event_store.log_head SET position = $1", events)
    await database.execute("VACUUM ANALYZE event_store.events")


def walks(events: int) -> dict[str, EventWalk]:
    first = EventWalk(
        whose=(ACCOUNT, False),
        types=ALL,
        after=Position(0),
        before=END,
        from_oldest=False,
        limit=10,
    )
    half = Position(events // 2)
    rare = (AccountId("acct_10"), False)

    def but(**other: object) -> EventWalk:
        return msgspec.structs.replace(first, **other)

    return {
        "first page": first,
        "first page of 100": but(limit=100),
        "in the middle": but(before=half),
        "last page": but(before=Position(50)),
        "before the middle": but(after=half, from_oldest=True),
        "deletions only": but(types=("CustomerDeleted",)),
        "of a small account": but(whose=rare, limit=100),
    }


async def timed(ask: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Return p50 and p99, in ms."""
    times_ms: list[float] = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        await ask()
        times_ms.append((time.perf_counter() - started) * 1000)
    times_ms.sort()
    return times_ms[ROUNDS // 2], times_ms[ROUNDS * 99 // 100]


async def show_times(lookups: EventLookups, events: int, with_what: str) -> None:
    say(f"{events:,} events, {with_what}")
    for name, walk in walks(events).items():

        async def page(walk: EventWalk = walk) -> None:
            found = (await lookups.page(walk)).events
            if not found:
                raise WrongData(f"there is nothing on the page of {walk}")
            for event in found:
                if event.type == "CustomerCreated":
                    render_event(event)

        p50_ms, p99_ms = await timed(page)
        say(f"  {name:22} p50 {p50_ms:6.2f} ms   p99 {p99_ms:6.2f} ms")
    told = f"evt_{events // 2 + 1:014}abcdefg1"
    for name, ask in (
        ("by id", lambda: lookups.find((ACCOUNT, False), told)),
        ("by time", lambda: lookups.positions_before([events // 3, events // 2])),
    ):
        if not await ask():
            raise WrongData(f"nothing is found {name}")
        p50_ms, p99_ms = await timed(ask)
        say(f"  {name:22} p50 {p50_ms:6.2f} ms   p99 {p99_ms:6.2f} ms")


async def show_lists(admin_url: str, name: str, events: int) -> None:
    database = await opened(admin_url, name)
    await fill(database, events)
    lookups = EventLookups(database, KEYRING)
    started = time.perf_counter()
    while await lookups.seal():
        pass
    elapsed_s = time.perf_counter() - started
    sizing = "SELECT pg_total_relation_size('event_store.event_blocks') AS bytes"
    [size] = await database.fetch(sizing)
    per_s, bytes_each = events / elapsed_s, size["bytes"] / events
    say(f"sealed {per_s:,.0f} events a second; {bytes_each:.1f} bytes each")
    await show_times(lookups, events, "all sealed")
    store = EventStore(database, KEYRING)
    await asyncio.gather(*(store.append(pending) for pending in pending_creates(4_999)))
    await show_times(lookups, events, "4,999 beyond what is sealed")
    await database.close()


async def measure(admin_url: str, names: dict[str, str], events: int) -> None:
    await show_prices(admin_url, names)
    await show_lists(admin_url, names["lists"], events)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    events = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    servers = Servers()
    mark = secrets.token_hex(4)
    names = {kind: f"bench_{mark}_{kind}" for kind in ("none", "beside", "indices", "lists")}
    try:
        admin_url = servers.database_url()
        try:
            asyncio.run(measure(admin_url, names, events))
        finally:
            for name in names.values():
                asyncio.run(administer(admin_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
    except LocalError as error:
        sys.exit(str(error))
    finally:
        servers.close()


if __name__ == "__main__":
    main()
