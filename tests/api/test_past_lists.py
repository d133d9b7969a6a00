"""A list as of a position is the list of then, whatever the read model knows now."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Final

import msgspec
import pytest
from msgspec import UNSET
from tests.support.customers import whole_log
from tests.support.gateways import ACCOUNT
from tests.support.keyrings import KEYRING
from tests.support.projected import Projected, projected_in
from tests.support.searchable import Customers

from chaching import envelope
from chaching.domain.customer import Customer, DeleteCustomer, UpdateCustomer, evolve
from chaching.domain.ids import AccountId, CustomerId
from chaching.domain.values import Details
from chaching.envelope import Position, RecordedEvent
from chaching.eventstore.database import KEYED_LOOKUPS, Database
from chaching.eventstore.instants import Recorded
from chaching.eventstore.past import PastEvents
from chaching.eventstore.store import EventStore
from chaching_api.errors import Malformed, ProjectionBehind
from chaching_api.moments import CLOCKS_APART_MAX_S
from chaching_api.parameter_tables import Seconds
from chaching_api.parameters import ListInput
from chaching_api.places import Place
from chaching_api.reads import lists, past_lists
from chaching_api.reads.lists import Lists
from chaching_api.reads.past_lists import PastLists
from chaching_api.reads.walk import Page, Walk, place_of, walk_of

SEED: Final = 20_260_303
WRITES: Final = 90
LISTS: Final = 120
SIZES_MIN: Final = 4
IDS: Final = [f"cus_{letter}{number}" for letter in "aAbB" for number in range(6)]
EMAILS: Final = (None, "a@x.io", "b@x.io")
CLOCKS: Final = (None, None, "clock_1", "clock_2")
SECONDS: Final = range(100, 106)
WHOSE: Final = (AccountId(ACCOUNT), False)


@pytest.fixture
async def projected(database_url: str, store: EventStore) -> AsyncGenerator[Projected]:
    async with projected_in(database_url, store) as projected:
        yield projected


@pytest.fixture
async def keyed(database_url: str) -> AsyncGenerator[Database]:
    """A database as the gateway opens it."""
    database = Database(database_url, name="tests", sessions_max=2, settings=KEYED_LOOKUPS)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def reading(keyed: Database) -> PastLists:
    return PastLists(keyed, PastEvents(keyed, KEYRING), Lists(keyed, KEYRING))


# --- What happens, and what lists of then must show ---------------------------------------------


async def random_writes(store: EventStore, chance: random.Random, writes: int) -> None:
    """Let customers come, change and go, in either mode and under the same ids."""
    worlds = {mode: Customers(store, livemode=mode) for mode in (False, True)}
    alive: dict[bool, set[str]] = {False: set(), True: set()}
    unused = {mode: chance.sample(IDS, len(IDS)) for mode in (False, True)}
    for number in range(writes):
        mode = chance.random() < 0.3
        choice = chance.random()
        if unused[mode] and (choice < 0.4 or not alive[mode]):
            customer_id = unused[mode].pop()
            await worlds[mode].add(customer_id, at=chance.choice(SECONDS), **details(chance))
            alive[mode].add(customer_id)
        elif alive[mode]:
            customer_id = chance.choice(sorted(alive[mode]))
            if choice < 0.85:
                changed = Details(balance=number, **details(chance))
                await worlds[mode].tell(
                    UpdateCustomer(id=CustomerId(customer_id), at=number, details=changed)
                )
            else:
                await worlds[mode].tell(DeleteCustomer(id=CustomerId(customer_id), at=number))
                alive[mode].discard(customer_id)


def details(chance: random.Random) -> dict[str, Any]:
    clock = chance.choice(CLOCKS)
    return {"email": chance.choice(EMAILS), "test_clock": UNSET if clock is None else clock}


def everybody(log: Sequence[RecordedEvent], position: int) -> list[Customer]:
    """Fold the deltas of the account and mode up to a position."""
    states: dict[str, Customer] = {}
    for recorded in log[:position]:
        if (recorded.key.account, recorded.key.livemode) == WHOSE:
            event = envelope.decode_event(recorded)
            states[recorded.key.id] = evolve(states.get(recorded.key.id), event)
    return list(states.values())


def true_page(wanted: ListInput, cursor: Place | None, then: Sequence[Customer]) -> Page:
    """Filter, sort and cut, said as plainly as the contract says it."""
    found = [
        customer
        for customer in then
        if not customer.deleted
        and (wanted.email is None or customer.personal.email == wanted.email)
        and customer.commercial.test_clock == wanted.test_clock
        and wanted.created.first <= customer.created <= wanted.created.last
    ]
    found.sort(key=place_of, reverse=True)
    if cursor is not None and wanted.starting_after is not None:
        found = [customer for customer in found if place_of(customer) < cursor]
    if cursor is not None and wanted.ending_before is not None:
        found = [customer for customer in found if place_of(customer) > cursor]
        return page(found[-wanted.limit :], has_more=len(found) > wanted.limit)
    return page(found[: wanted.limit], has_more=len(found) > wanted.limit)


def page(customers: Sequence[Customer], *, has_more: bool) -> Page:
    return Page(
        customers=tuple(past_lists.Listed(place_of(c), c) for c in customers), has_more=has_more
    )


def random_list(chance: random.Random, then: Sequence[Customer]) -> tuple[ListInput, Place | None]:
    cursor = chance.choice([None, *(place_of(customer) for customer in then)])
    upwards = chance.random() < 0.5
    wanted = ListInput(
        limit=chance.choice((1, 2, 3, 10)),
        starting_after=cursor.id if cursor and not upwards else None,
        ending_before=cursor.id if cursor and upwards else None,
        email=chance.choice(EMAILS),
        test_clock=chance.choice(CLOCKS),
        created=chance.choice((Seconds(), Seconds(102, 104), Seconds(103))),
    )
    return wanted, cursor


def at(log: Sequence[RecordedEvent], position: int) -> Recorded:
    return Recorded(Position(position), log[position - 1].recorded_at if position else None)


async def every_list_is_of_then(
    store: EventStore, reading: PastLists, chance: random.Random
) -> set[int]:
    """Ask for random lists as of random positions; return how many customers were on the pages."""
    log = await whole_log(store)
    sizes: set[int] = set()
    for _ in range(LISTS):
        position = chance.randint(0, len(log))
        then = everybody(log, position)
        wanted, cursor = random_list(chance, then)
        found = await reading.page(WHOSE, walk_of(wanted, cursor), at(log, position))
        assert found == true_page(wanted, cursor, then), (position, wanted, cursor)
        sizes.add(len(found.customers))
    return sizes


@pytest.mark.parametrize("lag", [0, 20, WRITES])
@pytest.mark.parametrize("stretch", [1, 2000])
async def test_random_lists_of_the_past_are_the_lists_of_then(
    store: EventStore,
    projected: Projected,
    reading: PastLists,
    monkeypatch: pytest.MonkeyPatch,
    lag: int,
    stretch: int,
) -> None:
    monkeypatch.setattr(past_lists, "STRETCH_MAX_CUSTOMERS", stretch)
    monkeypatch.setattr(past_lists, "STATES_MAX_CUSTOMERS", stretch)
    chance = random.Random(SEED + lag)  # noqa: S311 - no secret
    await random_writes(store, chance, WRITES)
    await projected.but(lag)
    assert len(await every_list_is_of_then(store, reading, chance)) >= SIZES_MIN


async def test_a_projector_that_moves_while_a_list_is_read_loses_and_doubles_nobody(
    store: EventStore,
    projected: Projected,
    reading: PastLists,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = random.Random(SEED)  # noqa: S311 - no secret
    await random_writes(store, chance, WRITES)
    tail = Lists.tail

    async def moving(self: Lists, whose: lists.AccountMode) -> lists.Tail:
        found = await tail(self, whose)
        await projected.up_to(min(projected.position + 3, await store.head()))
        return found

    monkeypatch.setattr(Lists, "tail", moving)
    assert len(await every_list_is_of_then(store, reading, chance)) >= SIZES_MIN


# --- Planted bugs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(c.deleted OR c.test_clock IS NOT NULL)", "c.test_clock IS NOT NULL"),
        ("(c.deleted OR c.test_clock IS NOT NULL)", "c.deleted"),
        ("e.position <= $8", "e.position < $8"),
        ("(c.created, c.id) < ($5, $6)", "(c.created, c.id) <= ($5, $6)"),
    ],
    ids=["no deleted", "no clocks", "one too early", "the cursor again"],
)
async def test_a_walk_past_other_customers_is_found_out(
    store: EventStore,
    projected: Projected,
    reading: PastLists,
    monkeypatch: pytest.MonkeyPatch,
    old: str,
    new: str,
) -> None:
    for way in ("newest", "oldest"):
        sql = (files("chaching_api.reads") / "sql" / f"past_places_from_{way}.sql").read_text()
        assert old in sql
        monkeypatch.setattr(past_lists, f"_FROM_{way.upper()}", sql.replace(old, new))
    chance = random.Random(SEED)  # noqa: S311 - no secret
    await random_writes(store, chance, WRITES)
    await projected.but()
    with pytest.raises((AssertionError, Malformed)):
        await every_list_is_of_then(store, reading, chance)


async def test_a_list_of_the_past_without_the_tail_is_found_out(
    store: EventStore,
    projected: Projected,
    reading: PastLists,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tail = Lists.tail

    async def empty(self: Lists, whose: lists.AccountMode) -> lists.Tail:
        return msgspec.structs.replace(await tail(self, whose), customers={})

    monkeypatch.setattr(Lists, "tail", empty)
    chance = random.Random(SEED)  # noqa: S311 - no secret
    await random_writes(store, chance, WRITES)
    await projected.but(20)
    with pytest.raises(AssertionError):
        await every_list_is_of_then(store, reading, chance)


# --- Bounds -------------------------------------------------------------------------------------


def newest_first(limit: int, **filters: Any) -> Walk:
    return walk_of(ListInput(limit=limit, **filters), None)


async def test_a_page_that_takes_too_long_to_fill_is_short_and_says_where_it_goes_on(
    store: EventStore,
    projected: Projected,
    reading: PastLists,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(past_lists, "LOOKED_AT_MAX_CUSTOMERS", 4)
    monkeypatch.setattr(past_lists, "STRETCH_MAX_CUSTOMERS", 2)
    world = Customers(store)
    for number in range(12):
        email = "rare@x.io" if number in {11, 2} else None
        await world.add(f"cus_{number:02}", at=100 + number, email=email)
    await projected.but()
    log = await whole_log(store)
    then = at(log, len(log))
    first = await reading.page(WHOSE, newest_first(1, email="rare@x.io"), then)
    assert ([one.place.id for one in first.customers], first.has_more) == (["cus_11"], True)
    rest = walk_of(
        ListInput(limit=1, email="rare@x.io", starting_after="cus_11"), Place(111, "cus_11")
    )
    with pytest.raises(Malformed) as refused:
        await reading.page(WHOSE, rest, then)
    assert refused.value.message.endswith("ask again with created[lte]=107.")
    further = newest_first(1, email="rare@x.io", created=Seconds(last=103))
    assert [one.place.id for one in (await reading.page(WHOSE, further, then)).customers] == [
        "cus_02"
    ]
    upwards = ListInput(limit=1, email="no@x.io", ending_before="cus_00")
    with pytest.raises(Malformed, match=r"created\[gte\]=104"):
        await reading.page(WHOSE, walk_of(upwards, Place(100, "cus_00")), then)


async def test_a_list_that_would_have_gaps_is_refused(
    store: EventStore,
    projected: Projected,
    reading: PastLists,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lists, "TAIL_MAX_EVENTS", 3)
    world = Customers(store)
    for number in range(8):
        await world.add(f"cus_{number}")
    await projected.up_to(4)
    log = await whole_log(store)
    with pytest.raises(ProjectionBehind, match="1 events are missing"):
        await reading.page(WHOSE, newest_first(10), at(log, 5))
    exact = await reading.page(WHOSE, newest_first(10), at(log, 4))
    assert len(exact.customers) == 4
    await projected.up_to(5)
    assert len((await reading.page(WHOSE, newest_first(10), at(log, 8))).customers) == 8


async def test_those_who_came_after_are_not_walked_past(
    store: EventStore,
    projected: Projected,
    reading: PastLists,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(past_lists, "LOOKED_AT_MAX_CUSTOMERS", 3)
    world = Customers(store)
    for number in range(20):
        await world.add(f"cus_{number:02}", at=1_700_000_000 + 1_000 * number)
    await projected.but()
    await database.execute("ALTER TABLE event_store.events DISABLE TRIGGER events_refuse_change")
    await database.execute(
        "UPDATE event_store.events SET recorded_at = to_timestamp(1699999000 + 1000 * position)"
    )
    log = await whole_log(store)
    for position in (1, 5, 12):
        found = await reading.page(WHOSE, newest_first(1), at(log, position))
        assert [one.place.id for one in found.customers] == [f"cus_{position - 1:02}"]


async def test_a_gateways_clock_may_be_ahead_of_the_databases(
    store: EventStore, projected: Projected, reading: PastLists
) -> None:
    ahead = int(datetime.now(UTC).timestamp()) + CLOCKS_APART_MAX_S
    await Customers(store).add("cus_1", at=ahead)
    await projected.but()
    log = await whole_log(store)
    found = await reading.page(WHOSE, newest_first(10), at(log, 1))
    assert [one.place for one in found.customers] == [Place(ahead, "cus_1")]
