"""What subscribers, replays, failing statements and odd requests leave of a person."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from http import HTTPMethod
from pathlib import Path
from typing import Final

import pytest
from pamqp.common import FieldTable
from tests.support.brokers import Mailbox
from tests.support.canaries import Canaries, logged, purged, told_by_commands
from tests.support.gateways import CUSTOMERS, Client, store_key
from tests.support.service import Service, service
from tests.support.stored import files_with, found_in
from tests.support.waiting import LIMIT_S, eventually

from chaching.broker.connection import connected
from chaching.eventstore.database import Database
from chaching.eventstore.errors import ValueRefused
from chaching.subscriber import Event, Subscription

ID: Final = "cus_forgotten"
ERASER: Final = "sk_test_eraser"
ODD_FORMS: Final = (
    "email={0}&nonsense={0}",
    "{0}=1",
    "metadata={0}",
    "tax_exempt={0}",
    "email={0}@",
)
SERVERS_VIEW: Final = """
    SELECT a::text FROM pg_stat_activity AS a
    UNION ALL SELECT p::text FROM pg_prepared_statements AS p
    UNION ALL SELECT k::text FROM read_model.parked_streams AS k
"""


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncGenerator[Service]:
    async with service(tmp_path, PURGE_AFTER_S="0", LOG_LEVEL="debug") as running_service:
        yield running_service


async def replayed(whole: Service, queue: str, head: int) -> str:
    """Replay the log into a queue; return what came there."""
    async with connected(whole.rabbitmq.url, name="replayed") as connection:
        channel = await connection.channel(publisher_confirms=False)
        quorum: FieldTable = {"x-queue-type": "quorum"}
        await channel.queue_declare(queue, durable=True, arguments=quorum)
        await told_by_commands(whole, (f"replay --queue {queue} --from position:1",))
        mailbox = Mailbox()
        await channel.basic_consume(queue, mailbox.take, no_ack=True)
        await eventually(lambda: mailbox.has(head), "the replay is in the queue")
    return "\n".join(message.body.decode() for message in mailbox.messages)


async def subscribed(whole: Service, queue: str, head: int) -> list[Event]:
    """Return what a subscriber gets that begins now with the first event."""
    events: list[Event] = []
    async with asyncio.timeout(LIMIT_S):
        async for event in Subscription(whole.rabbitmq.url, queue):
            events.append(event)
            if event.position >= head:
                break
    return events


async def deleted(whole: Service, *queues: str) -> None:
    async with connected(whole.rabbitmq.url, name="deleted") as connection:
        channel = await connection.channel(publisher_confirms=False)
        for queue in queues:
            await channel.queue_delete(queue)


async def asked_oddly(client: Client, planted: list[str]) -> None:
    """Look for values and send requests with values that are refused."""
    for word in planted[:20]:
        for path in (f"?email={word}", f"/search?query=name:'{word}'", f"?{word}=1"):
            await client.send(HTTPMethod.GET, CUSTOMERS + path)
    for form in ODD_FORMS:
        answer = await client.update(ID, form.format(planted[2]))
        assert answer.status == 400, form


async def refused_by_the_server(database: Database, planted: list[str]) -> None:
    """Let statements fail whose parameters and rows hold values."""
    text = f'{{"{planted[2]}": "{planted[3]}\\u0000"}}'
    with pytest.raises(ValueRefused):
        await database.fetch("SELECT $1::text::jsonb", text)
    with pytest.raises(Exception, match="customers_deleted_have_no_email"):
        await database.execute("UPDATE read_model.customers SET deleted = true")


async def viewed_by_the_server(database: Database) -> str:
    return "\n".join(row[0] for row in await database.fetch(SERVERS_VIEW))


@pytest.mark.timeout(180)
async def test_no_canary_is_where_nobody_looks_and_a_newcomer_sees_none_after_the_erasure(
    whole: Service,
) -> None:
    canaries = Canaries()
    forms = [f"id={ID}&{canaries.form(1)}", canaries.form(2)]
    planted = canaries.planted
    await store_key(whole.postgres.admin_url, ERASER, rights=("*",))
    async with whole.client() as anybody, whole.database() as database:
        client = anybody.having(ERASER)
        assert (await client.create(forms[0])).status == 200
        assert (await client.update(ID, forms[1])).status == 200
        await whole.settled(database)
        told = await subscribed(whole, "crm", 2)
        assert found_in(repr(told), planted) == set(planted)
        assert found_in(await replayed(whole, "early", 2), planted) == set(planted)
        await asked_oddly(client, planted)
        await refused_by_the_server(database, planted)
        assert "customers_deleted_have_no_email" in whole.postgres.log.read_text()
        assert logged(whole, planted) == set()
        assert not found_in(await viewed_by_the_server(database), planted)

        assert (await client.send(HTTPMethod.POST, f"{CUSTOMERS}/{ID}/erase")).status == 200
        await whole.settled(database)
        await eventually(lambda: purged(database, 3), "the broker is purged")
        assert not found_in(await replayed(whole, "late", 3), planted)
        newcomer = await subscribed(whole, "newcomer", 3)
        assert [event.type.rpartition(".")[2] for event in newcomer] == [
            "created",
            "updated",
            "erased",
        ]
        assert not found_in(repr(newcomer), planted)
        assert files_with(whole.folder / "rabbitmq", planted)  # the subscribers' own
        await deleted(whole, "early", "crm")
        await whole.rabbitmq.stop()
        await whole.rabbitmq.start()
        assert files_with(whole.folder / "rabbitmq", planted) == {}
        assert logged(whole, planted) == set()
        gone_on = await subscribed(whole, "crm", 3)  # the second was not acknowledged
        assert [event.position for event in gone_on] == [2, 3]
        assert not found_in(repr(gone_on), planted)
