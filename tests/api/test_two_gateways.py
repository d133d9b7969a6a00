"""Two gateway processes on one database: nothing lost, nothing doubled, nothing out of order."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.support.gateways import (
    ACCOUNT,
    KEY,
    Answer,
    Client,
    connected,
    gateway_process,
    store_key,
)

from chaching.domain.customer import fold
from chaching.domain.ids import AccountId, CustomerId
from chaching.envelope import START, RecordedEvent, StreamKey, decode_event
from chaching.eventstore.store import EventStore

UPDATES = 200
METADATA_KEYS = 50
CLAIMS = 40
CREATES = 40
ATTEMPTS_MAX = 20


@pytest.fixture
async def clients(database_url: str, tmp_path: Path) -> AsyncGenerator[list[Client]]:
    """A client of each of two gateways."""
    await store_key(database_url, KEY)
    async with AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(gateway_process(database_url, tmp_path / f"{n}.log"))
            for n in range(2)
        ]
        yield [await stack.enter_async_context(connected(gateway.url)) for gateway in running]


def key_of(customer_id: str) -> StreamKey:
    return StreamKey(AccountId(ACCOUNT), False, CustomerId(customer_id))


async def updated(client: Client, customer_id: str, form: str) -> Answer:
    """Update as official clients do: try again when another command came first."""
    answer = await client.update(customer_id, form)
    for _ in range(ATTEMPTS_MAX):
        if answer.status != 409:
            break
        assert answer.headers["Stripe-Should-Retry"] == "true"
        answer = await client.update(customer_id, form)
    return answer


async def whole_log(store: EventStore) -> list[RecordedEvent]:
    """Return the log, having checked that it is dense and that every stream's versions are."""
    events = await store.read_all(START, 5_000)
    assert [event.position for event in events] == list(range(1, len(events) + 1))
    newest: dict[StreamKey, RecordedEvent] = {}
    for event in events:
        before = newest.get(event.key)
        assert event.version == (before.version + 1 if before else 1)
        assert event.previous_position == (before.position if before else 0)
        newest[event.key] = event
    assert sorted(events, key=lambda event: event.recorded_at) == events
    return events


async def test_no_update_of_one_customer_is_lost(clients: list[Client], store: EventStore) -> None:
    await clients[0].create("id=cus_1")
    turns = itertools.cycle(clients)
    answers = await asyncio.gather(
        *(
            updated(
                next(turns),
                "cus_1",
                f"payment_method=pm_{n}" + (f"&metadata[k{n}]=v{n}" if n < METADATA_KEYS else ""),
            )
            for n in range(UPDATES)
        )
    )
    assert Counter(answer.status for answer in answers) == {200: UPDATES}

    loaded = await store.load(key_of("cus_1"))
    assert loaded.state is not None
    assert sorted(loaded.state.commercial.payment_methods) == sorted(
        f"pm_{n}" for n in range(UPDATES)
    )
    assert loaded.state.personal.metadata == {f"k{n}": f"v{n}" for n in range(METADATA_KEYS)}
    events = await whole_log(store)
    assert loaded.version == UPDATES + 1 == len(events)
    assert fold(decode_event(event) for event in events) == loaded.state
    first, second = [await client.retrieve("cus_1") for client in clients]
    assert first.body == second.body
    assert first.json["metadata"] == loaded.state.personal.metadata


async def test_of_concurrent_claims_on_one_prefix_exactly_one_wins(
    clients: list[Client], store: EventStore
) -> None:
    creates = [f"id=cus_new{n}&invoice_prefix=ACME" for n in range(CLAIMS // 2)]
    for n in range(CLAIMS // 2):
        await clients[0].create(f"id=cus_{n}")
    claims = [
        *(clients[n % 2].create(form) for n, form in enumerate(creates)),
        *(updated(clients[n % 2], f"cus_{n}", "invoice_prefix=ACME") for n in range(CLAIMS // 2)),
    ]
    answers = await asyncio.gather(*claims)
    [won] = [answer for answer in answers if answer.status == 200]
    assert won.json["invoice_prefix"] == "ACME"
    for answer in answers:
        if answer is not won:
            assert answer.status == 400
            assert f"taken by customer: {won.json['id']}." in answer.error["message"]
    assert len(await whole_log(store)) == CLAIMS // 2 + 1


async def test_of_concurrent_creates_with_one_id_exactly_one_wins(
    clients: list[Client], store: EventStore
) -> None:
    others = [
        asyncio.create_task(clients[n % 2].create(f"id=cus_other{n}")) for n in range(CREATES)
    ]
    answers = await asyncio.gather(
        *(clients[n % 2].create(f"id=cus_1&name=n{n}") for n in range(CREATES))
    )
    assert [answer.status for answer in await asyncio.gather(*others)] == [200] * CREATES
    [won] = [answer for answer in answers if answer.status == 200]
    for answer in answers:
        if answer is not won:
            assert (answer.status, answer.error["code"]) == (400, "resource_already_exists")
    assert (await clients[1].retrieve("cus_1")).body == won.body
    assert len(await whole_log(store)) == CREATES + 1


async def test_what_one_gateway_wrote_the_other_shows_at_once(clients: list[Client]) -> None:
    written = await clients[0].create("id=cus_1")
    for turn in range(20):
        writer, reader = clients[turn % 2], clients[1 - turn % 2]
        assert (await reader.retrieve("cus_1")).body == written.body
        written = await writer.update("cus_1", f"balance={turn + 1}")
        assert written.status == 200
    deleted = await clients[0].delete("cus_1")
    assert (await clients[1].retrieve("cus_1")).body == deleted.body
