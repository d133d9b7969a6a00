"""The comparison finds whatever is not the fold of the log, and nothing else."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator
from typing import Final

import msgspec
import pytest
from tests.support.comparing import LET_CHANGE, compared, damage, damaged, the_difference
from tests.support.customers import append as appended
from tests.support.customers import append_customers, created, erased, key_of, updated
from tests.support.keyrings import KEYRING
from tests.support.projected import Projected, projected_in
from tests.support.searchable import Customers

from chaching.comparison import folding, ranges, strays
from chaching.comparison.folding import Applied, Difference, Range, RangeComparison
from chaching.comparison.ranges import Progress, compare_all
from chaching.domain.values import Details
from chaching.envelope import RecordedEvent
from chaching.eventstore.database import Database, Row
from chaching.eventstore.statements import statement
from chaching.eventstore.store import EventStore

CUSTOMERS: Final = 30
CUSTOMER: Final = "cus_000007"
DELETED: Final = "cus_000010"
READ_ROWS: Final = statement("chaching.comparison", "read_rows")


@pytest.fixture
async def projected(database_url: str, store: EventStore) -> AsyncGenerator[Projected]:
    async with projected_in(database_url, store) as projected:
        yield projected


@pytest.fixture
async def filled(store: EventStore, projected: Projected) -> EventStore:
    """A log of some customers, all of it projected."""
    await append_customers(store, customers=CUSTOMERS, updates=3)
    await projected.but()
    return store


async def test_a_read_model_that_is_the_fold_has_no_difference(
    database_url: str, filled: EventStore
) -> None:
    progress = await compared(database_url)
    head = await filled.head()
    assert (progress.difference_count, progress.differences) == (0, [])
    assert (progress.position, progress.events) == (head, head)
    assert progress.customers == CUSTOMERS
    assert progress.events_per_s > 0


async def test_an_empty_log_has_no_difference(database_url: str) -> None:
    progress = await compared(database_url)
    assert (progress.events, progress.customers, progress.difference_count) == (0, 0, 0)


@pytest.mark.parametrize("events", [1, 7])
async def test_however_the_log_is_cut_every_customer_is_compared_once(
    database_url: str,
    filled: EventStore,
    projected: Projected,
    monkeypatch: pytest.MonkeyPatch,
    events: int,
) -> None:
    monkeypatch.setattr(ranges, "RANGE_EVENTS", events)
    monkeypatch.setattr(folding, "ROWS_MAX_CUSTOMERS", 2)
    for account, mode in (("acct_0", False), ("acct_1", True), ("acct_2", False)):
        await Customers(filled, account, livemode=mode).add(CUSTOMER)
    await projected.but()
    progress = await compared(database_url)
    assert (progress.events, progress.customers) == (await filled.head(), CUSTOMERS + 3)
    assert progress.difference_count == 0


async def test_workers_in_processes_of_their_own_come_to_the_same(
    database_url: str, database: Database, filled: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "RANGE_EVENTS", 20)
    await damage(database, "UPDATE read_model.customers SET name = 'X' WHERE id = $1", CUSTOMER)
    heard: list[int] = []

    def told(progress: Progress) -> None:
        heard.append(progress.events)

    progress = await compare_all(database_url, KEYRING, workers=2, told=told)
    assert (progress.events, progress.customers) == (await filled.head(), CUSTOMERS)
    assert heard == sorted(heard)
    assert len(heard) > 2
    [difference] = progress.differences
    assert difference.attributes == ("name",)


# --- Damage of the read model -------------------------------------------------------------------


CHANGED_ROWS: Final = {
    "name = 'X'": ("name",),
    "email = NULL": ("email",),
    "created = created + 1": ("created",),
    "position = position - 1": ("position",),
    "test_clock = 'clock_1'": ("test_clock",),
    'metadata = \'{"count": "9"}\'': ("metadata.count",),
    'metadata = metadata || \'{"more": "1"}\'': ("metadata.more",),
    "metadata = NULL": ("metadata",),
    "body = replace(body, 'Jenny', 'Jane')": ("body.name",),
    "body = replace(body, '\"balance\":3', '\"balance\":4')": ("body.balance",),
    "body = replace(body, ',', ', ')": ("body (its spelling)",),
    "body = 'x'": ("body",),
    "attached = replace(attached, '\"sources\":[]', '\"sources\":[1]')": ("attached.sources",),
    "name = 'X', phone = '+1'": ("name", "phone"),
}


async def test_a_row_that_was_changed_is_named_by_what_was_changed(
    database_url: str, database: Database, filled: EventStore
) -> None:
    key = key_of(CUSTOMER)
    newest = await filled.load(key)
    for change, attributes in CHANGED_ROWS.items():
        async with damaged(database, "read_model.customers", change, "id = $1", CUSTOMER):
            assert await the_difference(database_url) == Difference(
                kind="row_differs",
                account=key.account,
                mode="test",
                customer=key.id,
                version=newest.version,
                attributes=attributes,
            )
    assert (await compared(database_url)).difference_count == 0


async def test_values_are_told_only_when_they_are_asked_for(
    database_url: str, database: Database, filled: EventStore
) -> None:
    assert await filled.head() > 0
    await damage(database, "UPDATE read_model.customers SET name = 'X' WHERE id = $1", CUSTOMER)
    silent = msgspec.json.encode(await the_difference(database_url))
    assert b"Jenny" not in silent
    telling = await the_difference(database_url, with_values=True)
    assert [(one.expected, one.found) for one in telling.values] == [("Jenny Rosen", "X")]


async def test_what_a_deleted_customer_left_behind_is_found(
    database_url: str, database: Database, filled: EventStore
) -> None:
    assert await filled.head() > 0
    await damage(database, "UPDATE read_model.customers SET phone = '+1' WHERE id = $1", DELETED)
    assert (await the_difference(database_url)).attributes == ("phone",)


async def test_a_row_that_is_gone_or_behind_is_found(
    database_url: str, database: Database, filled: EventStore
) -> None:
    await damage(database, "DELETE FROM read_model.customers WHERE id = $1", CUSTOMER)
    difference = await the_difference(database_url)
    assert (difference.kind, difference.customer) == ("row_missing", CUSTOMER)
    other = "cus_000003"
    await damage(database, "UPDATE read_model.customers SET version = 2 WHERE id = $1", other)
    missing, behind = (await compared(database_url)).differences
    kinds = {one.customer: (one.kind, one.version) for one in (missing, behind)}
    newest = (await filled.load(key_of(other))).version
    assert kinds[key_of(other).id] == ("row_behind", newest)


async def test_a_customer_that_is_parked_is_told_as_that(
    database_url: str, database: Database, filled: EventStore
) -> None:
    waiting = (await filled.read_stream(key_of(CUSTOMER)))[2]
    await damage(
        database,
        "UPDATE read_model.customers SET version = 2, position = 0 WHERE id = $1",
        CUSTOMER,
    )
    await damage(
        database,
        "INSERT INTO read_model.parked_streams VALUES ($1, false, $2, 3, $3, 'a test')",
        key_of(CUSTOMER).account,
        CUSTOMER,
        waiting.position,
    )
    assert (await the_difference(database_url)).kind == "row_parked"


async def test_a_row_of_nobody_is_found(
    database_url: str, database: Database, filled: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await filled.head() > 0
    monkeypatch.setattr(strays, "WALKED_MAX_ROWS", 7)
    await damage(
        database,
        """
        INSERT INTO read_model.customers
            (account, livemode, id, version, position, created, deleted, body, attached)
        SELECT account, true, id, version, position, created, deleted, body, attached
        FROM read_model.customers WHERE id = $1
        """,
        CUSTOMER,
    )
    difference = await the_difference(database_url)
    assert (difference.kind, difference.mode) == ("row_of_nobody", "live")
    assert difference.customer == CUSTOMER


async def test_of_many_differences_the_first_are_named_and_all_are_counted(
    database_url: str, database: Database, filled: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await filled.head() > 0
    monkeypatch.setattr(ranges, "NAMED_MAX_DIFFERENCES", 4)
    await database.execute("UPDATE read_model.customers SET name = 'X' WHERE NOT deleted")
    progress = await compared(database_url)
    assert (len(progress.differences), progress.difference_count) == (4, 27)


# --- Erased customers ---------------------------------------------------------------------------


async def test_an_erased_customer_has_no_difference(
    database_url: str, filled: EventStore, projected: Projected
) -> None:
    await appended(filled, erased(CUSTOMER))
    await appended(filled, erased(DELETED))
    await projected.but()
    progress = await compared(database_url)
    assert (progress.events, progress.differences) == (await filled.head(), [])


async def test_a_row_that_has_yet_to_apply_an_erasure_is_no_difference(
    database_url: str, filled: EventStore, projected: Projected
) -> None:
    await appended(filled, erased(CUSTOMER))
    assert (await compared(database_url)).differences == []
    await projected.but()
    assert (await compared(database_url)).differences == []


async def test_what_was_folded_before_an_erasure_is_blanked_by_what_is_read_after_it(
    database: Database, filled: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await filled.read_stream(key_of(CUSTOMER))
    await appended(filled, erased(CUSTOMER))
    after = await filled.read_stream(key_of(CUSTOMER))
    head = await filled.head()
    comparison = RangeComparison(database, KEYRING, Applied(head, head), with_values=False)
    monkeypatch.setattr(comparison, "_past", Between([*before[:2], *after[2:]]))
    compared = await comparison.compare(Range(ranges.FIRST_ID, ranges.LAST_ID))
    assert [one.kind for one in compared.differences] == ["row_behind"]


async def test_what_an_erased_customer_left_behind_is_found(
    database_url: str, database: Database, filled: EventStore, projected: Projected
) -> None:
    await appended(filled, erased(CUSTOMER))
    await projected.but()
    await damage(database, "UPDATE read_model.customers SET name = 'X' WHERE id = $1", CUSTOMER)
    assert (await the_difference(database_url)).attributes == ("name",)


class Between:
    """Reads what was read before and after an erasure as one stream."""

    def __init__(self, events: list[RecordedEvent]) -> None:
        self._chunks = [events[:2], events[2:], []]

    async def read_streams(self, *_: object) -> list[RecordedEvent]:
        return self._chunks.pop(0)


# --- The states beside the events ---------------------------------------------------------------


CHANGED_STATES: Final = {
    ('"name":"Jenny Rosen"', '"name":"Jane"'): ("name",),
    ('"count":"1"', '"count":"9"'): ("metadata.count",),
    ('"updated":', '"updated":1'): ("updated",),
    ('"balance":2', '"balance":2,"tax_exempt":"exempt"'): ("tax_exempt",),
    ('"livemode":false', '"livemode":true'): ("livemode",),
    ('"commercial":', '"deleted":true,"commercial":'): ("deleted",),
}


async def test_a_state_that_is_not_the_fold_of_the_deltas_is_found(
    database_url: str, database: Database, filled: EventStore
) -> None:
    assert await filled.head() > 0
    state = (await filled.read_stream(key_of(CUSTOMER)))[2].state or ""
    change, where = "state = $2", "stream = $1 AND version = 3"
    for (old, new), attributes in CHANGED_STATES.items():
        assert old in state
        changed = state.replace(old, new)
        async with damaged(database, "event_store.events", change, where, CUSTOMER, changed):
            difference = await the_difference(database_url)
            assert (difference.kind, difference.version) == ("state_differs", 3)
            assert difference.attributes == attributes


async def test_a_delta_that_was_changed_shows_in_every_later_state_and_in_the_row(
    database_url: str, database: Database, filled: EventStore
) -> None:
    assert await filled.head() > 0
    await database.execute(LET_CHANGE)
    await damage(
        database,
        "UPDATE event_store.events SET payload = $2 WHERE stream = $1 AND version = 1",
        CUSTOMER,
        (await filled.read_stream(key_of(CUSTOMER)))[0].payload.replace("Jenny", "Jane"),
    )
    found = (await compared(database_url)).differences
    assert [(one.kind, one.version) for one in found] == [
        *(("state_differs", version) for version in (2, 3, 4)),
        ("row_differs", 4),
    ]
    assert found[-1].attributes == ("name", "body.name")


BROKEN_EVENTS: Final = (
    *("schema_version = 99", "payload = '{}'", "state = NULL", "version = 9"),
    "type = 'CustomerCreated', state = NULL",
)


async def test_an_event_that_cannot_be_folded_is_named(
    database_url: str, database: Database, filled: EventStore
) -> None:
    assert await filled.head() > 0
    where = "stream = $1 AND version = 2"
    for change in BROKEN_EVENTS:
        async with damaged(database, "event_store.events", change, where, CUSTOMER):
            difference = await the_difference(database_url)
            assert (difference.kind, difference.customer) == ("event_broken", CUSTOMER)
            assert difference.detail


# --- Others go on writing -----------------------------------------------------------------------


async def test_a_projector_that_is_behind_makes_no_difference(
    database_url: str, store: EventStore, projected: Projected
) -> None:
    await append_customers(store, customers=CUSTOMERS, updates=3)
    for position in (0, 1, 40, 77):
        await projected.up_to(position)
        progress = await compared(database_url)
        assert (progress.position, progress.difference_count) == (position, 0)
        assert progress.events == position


async def test_a_projector_that_moves_meanwhile_makes_no_difference(
    database_url: str,
    store: EventStore,
    projected: Projected,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await append_customers(store, customers=CUSTOMERS, updates=3)
    await projected.up_to(40)
    monkeypatch.setattr(folding, "ROWS_MAX_CUSTOMERS", 3)
    fetch, balances = Database.fetch, itertools.count(10)

    async def moving(self: Database, sql: str, *arguments: object) -> list[Row]:
        if sql == READ_ROWS:
            await appended(store, updated(CUSTOMER, Details(balance=next(balances))))
            await projected.up_to(min(projected.position + 12, await store.head()))
        return await fetch(self, sql, *arguments)

    monkeypatch.setattr(Database, "fetch", moving)
    progress = await compared(database_url)
    assert progress.differences == []
    assert projected.position > 100


async def test_a_row_that_is_ahead_is_compared_at_its_own_version(
    database_url: str, database: Database, store: EventStore, projected: Projected
) -> None:
    await appended(store, created("cus_1"))
    await projected.but()
    await appended(store, updated("cus_1", Details(name="Jane")))
    await projected.but()
    behind = "UPDATE event_store.checkpoints SET position = 1 WHERE name = 'projection.customers'"
    await damage(database, behind)
    assert (await compared(database_url)).difference_count == 0
    await damage(database, "UPDATE read_model.customers SET name = 'X'")
    assert (await the_difference(database_url)).attributes == ("name",)
    await damage(database, "UPDATE read_model.customers SET name = 'Jane', version = 3")
    assert (await the_difference(database_url)).attributes == ("version",)
