"""The example in docs/ is short, and does as a process what the guide says of it."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Final

import pytest
from tests.support.brokers import LOG_ID, own_prefix
from tests.support.gateways import plain_environment
from tests.support.subscribers import Copy, own_database, publish, without_queue
from tests.support.told import told_log

from chaching.broker import topology
from chaching.broker.connection import connected
from chaching.broker.messages import EventMessage
from chaching.local.processes import Child
from chaching.public_event import CUSTOMER_DELETED

ROOT: Final = Path(__file__).parents[2]
PROGRAM: Final = ROOT / "docs" / "examples" / "crm_contacts.py"
GUIDE: Final = ROOT / "docs" / "subscribing.md"
OPENED: Final = 'Subscription(os.environ["AMQP_URL"], queue="crm.contacts")'
LINES_MAX: Final = 60
TOLD: Final = told_log(300)
STOP_LIMIT_S: Final = 20.0


@pytest.fixture
async def prefix(amqp_url: str) -> AsyncGenerator[str]:
    async with own_prefix(amqp_url) as prefix:
        async with connected(amqp_url, name="tests") as connection:
            await topology.declare(connection, topology.names_under(prefix))
        yield prefix
        for queue in ("crm.contacts", "crm.contacts.parked"):
            await without_queue(amqp_url, f"{prefix}.{queue}")


@pytest.fixture
async def crm(database_admin_url: str) -> AsyncGenerator[Copy]:
    async with own_database(database_admin_url) as crm:
        yield crm


def expected(told: Sequence[EventMessage]) -> set[str]:
    """Return the ids of the customers that there are after these events."""
    last = {message.key.id: message.type for message in told}
    return {str(id_) for id_, type_ in last.items() if type_ != CUSTOMER_DELETED}


async def contacts(crm: Copy) -> set[str]:
    rows = await crm.database.fetch("SELECT * FROM contacts")
    assert all(row["email"] == "jenny@example.com" for row in rows)
    assert {(row["account"], row["mode"]) for row in rows} <= {("acct_1", "test")}
    return {row["customer_id"] for row in rows}


def test_the_example_has_less_than_60_lines_and_the_guide_says_how_many() -> None:
    lines = len(PROGRAM.read_text().splitlines())
    assert lines < LINES_MAX
    assert f"{lines} lines that keep a table of contacts" in GUIDE.read_text()
    assert f"examples/{PROGRAM.name}" in GUIDE.read_text()


async def test_the_example_keeps_the_contacts_and_goes_on_where_it_was_stopped(
    amqp_url: str, prefix: str, crm: Copy, tmp_path: Path
) -> None:
    text = PROGRAM.read_text()
    assert text.count(OPENED) == 1
    program = tmp_path / PROGRAM.name
    own = OPENED.replace('"crm.contacts"', f'"{prefix}.crm.contacts", prefix="{prefix}"')
    program.write_text(text.replace(OPENED, own))

    def start() -> Child:
        return Child.spawn(
            "example",
            [sys.executable, str(program)],
            env={**plain_environment(), "AMQP_URL": amqp_url, "DATABASE_URL": crm.url},
            log=tmp_path / "example.log",
        )

    await publish(amqp_url, prefix, TOLD[:100], LOG_ID)
    child = start()
    try:
        await crm.reaches(100)
        assert await contacts(crm) == expected(TOLD[:100])
        await child.end(signal.SIGTERM, STOP_LIMIT_S)
        await publish(amqp_url, prefix, TOLD[100:200], LOG_ID)
        child = start()
        await publish(amqp_url, prefix, TOLD[200:], LOG_ID)
        await crm.reaches(300)
        assert await contacts(crm) == expected(TOLD)
    finally:
        await child.end(signal.SIGTERM, STOP_LIMIT_S)
    assert child.exit_code == 0, (tmp_path / "example.log").read_text()
