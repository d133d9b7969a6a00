"""From a request to the read model and back, on real servers and real processes, under faults."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.support.acknowledged import (
    Load,
    assert_log_is_dense,
    assert_nothing_acknowledged_is_missing,
)
from tests.support.audited import KEY
from tests.support.gateways import Client
from tests.support.keyrings import KEYRING
from tests.support.newcomers import assert_history_can_be_filled_again
from tests.support.read_model import assert_read_model_is_the_fold
from tests.support.running import running
from tests.support.service import Service, service

from chaching.audit.verifying import verify
from chaching.eventstore.store import EventStore

WRITES_BETWEEN_FAULTS = 150
FAULT_LIMIT_S = 240


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncGenerator[Service]:
    async with service(tmp_path) as running_service:
        yield running_service


@pytest.fixture
async def whole_with_two_gateways(tmp_path: Path) -> AsyncGenerator[Service]:
    async with service(tmp_path, gateways=2) as running_service:
        yield running_service


async def row_body(whole: Service, customer_id: str) -> bytes | None:
    """Return what the read model alone says of a customer."""
    async with whole.database() as database:
        row = await database.fetch_row(
            "SELECT body FROM read_model.customers WHERE id = $1", customer_id
        )
    return None if row is None else row["body"].encode()


async def settled(whole: Service) -> None:
    async with whole.database() as database:
        await whole.settled(database)


async def assert_all_is_well(whole: Service, client: Client, load: Load) -> None:
    async with whole.database() as database:
        await whole.settled(database)
        assert await assert_log_is_dense(database) > load.answers
        assert await assert_read_model_is_the_fold(database) >= len(load.customers)
        verdict = await verify(database, keys=[KEY.public])
        assert (verdict.first_bad, verdict.hashed) == (None, verdict.events)
    await assert_nothing_acknowledged_is_missing(client, load.customers)


async def create(client: Client, form: str) -> str:
    answer = await client.create(form)
    assert answer.status == 200, answer
    return answer.json["id"]


async def test_a_customer_goes_through_log_broker_and_projector_into_the_read_model(
    whole: Service,
) -> None:
    async with whole.client() as client:
        customer_id = await create(client, "name=Jane Doe&phone=+123456789")
        await settled(whole)
        created = await client.retrieve(customer_id)
        assert created.body == await row_body(whole, customer_id)
        await client.update(customer_id, "metadata[plan]=premium")
        await settled(whole)
        updated = await client.retrieve(customer_id)
        assert updated.json["metadata"] == {"plan": "premium"}
        assert updated.body == await row_body(whole, customer_id)
        await client.delete(customer_id)
        await settled(whole)
        deleted = await client.retrieve(customer_id)
        assert deleted.json == {"id": customer_id, "object": "customer", "deleted": True}
        assert deleted.body == await row_body(whole, customer_id)


async def test_without_the_broker_every_request_succeeds_and_every_read_is_exact(
    whole: Service,
) -> None:
    async with whole.client() as client:
        before = await create(client, "name=Before")
        await whole.settle_topology()
        await settled(whole)
        await whole.rabbitmq.kill()
        await client.update(before, "name=During")
        during = await create(client, "name=Born during")
        assert (await client.retrieve(before)).json["name"] == "During"
        assert (await client.retrieve(during)).json["name"] == "Born during"
        events = (await client.send("GET", "/v1/events?limit=2")).json["data"]
        assert [(event["type"], event["data"]["object"]["id"]) for event in events] == [
            ("customer.created", during),
            ("customer.updated", before),
        ]
        await whole.rabbitmq.start()
        await settled(whole)
        assert (await client.retrieve(before)).body == await row_body(whole, before)
        assert (await client.retrieve(during)).body == await row_body(whole, during)


async def test_the_read_model_survives_the_loss_of_the_brokers_data(whole: Service) -> None:
    async with whole.client() as client:
        await create(client, "name=Before")
        await settled(whole)
        await whole.kill("projector")
        pending = [await create(client, f"name=Pending {number}") for number in range(20)]
        await whole.rabbitmq.kill()
        await whole.rabbitmq.wipe()
        await whole.rabbitmq.start()
        whole.spawn("projector")
        after = await create(client, "name=After")
        await settled(whole)
        for customer_id in (*pending, after):
            assert (await client.retrieve(customer_id)).body == await row_body(whole, customer_id)
    async with whole.database() as database:
        assert await assert_read_model_is_the_fold(database) == 22
        await assert_history_can_be_filled_again(database, whole.rabbitmq.url)


@pytest.mark.timeout(FAULT_LIMIT_S)
async def test_nothing_acknowledged_is_lost_when_every_part_is_killed_in_turn(
    whole_with_two_gateways: Service,
) -> None:
    whole = whole_with_two_gateways
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(whole.client(n)) for n in (0, 1)]
        load = Load(clients)
        await whole.settle_topology()
        async with running(load.run()):
            for name in ("projector", "relay", "auditor", "gateway-0", "gateway-1"):
                await load.more_answers(WRITES_BETWEEN_FAULTS)
                await whole.kill(name)
                whole.spawn(name)
            await load.more_answers(WRITES_BETWEEN_FAULTS)
            await whole.postgres.kill()
            await whole.postgres.start()
            await load.more_answers(WRITES_BETWEEN_FAULTS)
            await whole.rabbitmq.kill()
            await load.more_answers(WRITES_BETWEEN_FAULTS)
            await whole.rabbitmq.start()
            await load.more_answers(WRITES_BETWEEN_FAULTS)
        await assert_all_is_well(whole, clients[0], load)


@pytest.mark.timeout(FAULT_LIMIT_S)
async def test_a_paused_relay_and_projector_are_replaced_and_cannot_write_afterwards(
    whole: Service,
) -> None:
    async with whole.client() as client:
        load = Load([client])
        async with running(load.run()):
            await load.more_answers(WRITES_BETWEEN_FAULTS)
            paused = [whole.replace_paused(name) for name in ("relay", "projector")]
            await load.more_answers(WRITES_BETWEEN_FAULTS)
            async with whole.database() as database:
                await whole.followers_reach(database, await EventStore(database, KEYRING).head())
            for child in paused:
                child.send(signal.SIGCONT)
            await load.more_answers(WRITES_BETWEEN_FAULTS)
        await assert_all_is_well(whole, client, load)


async def test_two_gateways_keep_every_concurrent_update_of_one_customer(
    whole_with_two_gateways: Service,
) -> None:
    whole = whole_with_two_gateways
    async with whole.client(0) as first, whole.client(1) as second:
        customer_id = await create(first, "name=Contended")
        answers = await asyncio.gather(
            *(
                client.update(customer_id, f"metadata[{name}{number}]={number}")
                for number in range(24)
                for name, client in (("a", first), ("b", second))
            )
        )
        assert [answer.status for answer in answers] == [200] * 48
        for client in (first, second):
            found = (await client.retrieve(customer_id)).json["metadata"]
            assert set(found) == {f"{name}{number}" for name in "ab" for number in range(24)}
        await settled(whole)
    async with whole.database() as database:
        assert await assert_log_is_dense(database) == 49
        assert await assert_read_model_is_the_fold(database) == 1
