"""A short run of ``make campaign``, and the same without a database."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

import pytest
from tests.campaigns.kills import ROOT, STOP_LIMIT_S, Campaign, Places
from tests.support.brokers import LOG_ID, own_prefix
from tests.support.gateways import plain_environment
from tests.support.subscribers import own_database, publish, without_queue
from tests.support.told import told_log
from tests.support.waiting import eventually

from chaching.broker import topology
from chaching.broker.connection import connected
from chaching.broker.subscriber_queues import queues_of
from chaching.local.processes import Child
from chaching.subscriber.subscription import FLUSH_MAX_EVENTS

KILLS: Final = 5
EVENTS: Final = 1_500
TOLD_EVENTS: Final = 1_200
# what a crash can bring again: what was handled since the token moved, and the event in hand
NOTED_WITHIN_EVENTS: Final = FLUSH_MAX_EVENTS + 1


@pytest.fixture
async def places(
    amqp_url: str, database_admin_url: str, database_url: str, tmp_path: Path
) -> AsyncGenerator[Places]:
    """A service's database, and a subscriber's, with queues of their own."""
    async with own_prefix(amqp_url) as prefix, own_database(database_admin_url) as copy:
        async with connected(amqp_url, name="tests") as connection:
            await topology.declare(connection, topology.names_under(prefix))
        queues = queues_of(f"{prefix}.crm")
        yield Places(
            database_url=database_url,
            amqp_url=amqp_url,
            prefix=prefix,
            queue=queues.own,
            copy=copy,
            log=tmp_path / "subscriber.log",
        )
        for queue in (queues.own, queues.parked, queues.position):
            await without_queue(amqp_url, queue)


async def test_a_subscriber_that_is_killed_at_random_ends_with_the_read_model_and_nothing_twice(
    places: Places,
) -> None:
    figures = await Campaign(places, seed=11).run(kills=KILLS, events=EVENTS)
    assert (figures.kills, figures.events) == (KILLS, EVENTS)
    assert figures.customers > EVENTS / 10


async def test_without_a_database_a_killed_subscriber_misses_nothing_and_repeats_little(
    places: Places, tmp_path: Path
) -> None:
    written = tmp_path / "written"
    told = told_log(TOLD_EVENTS)
    await publish(places.amqp_url, places.prefix, told[:900], LOG_ID)
    for dies_at in ("taken:1", "taken:400", "taken:700", f"taken:{TOLD_EVENTS}"):
        child = iterating(places, written, dies_at)
        if dies_at == "taken:700":
            await publish(places.amqp_url, places.prefix, told[900:], LOG_ID)
        try:
            await eventually(lambda child=child: has_ended(child, written), "the process ended")
        finally:
            await child.end(signal.SIGKILL, STOP_LIMIT_S)
    _, *runs = written.read_text().split("run\n")
    newest = 0
    for run in runs:
        positions = [int(line) for line in run.split()]
        assert positions == list(range(positions[0], positions[0] + len(positions)))
        assert newest - NOTED_WITHIN_EVENTS <= positions[0] <= newest + 1
        newest = positions[-1]
    assert newest == TOLD_EVENTS


async def has_ended(child: Child, written: Path) -> bool:
    """Say whether a process killed itself, or has written down the last event."""
    if child.exit_code is not None:
        return True
    text = await asyncio.to_thread(lambda: written.read_text() if written.exists() else "")
    return text.endswith(f"\n{TOLD_EVENTS}\n")


def iterating(places: Places, written: Path, dies_at: str) -> Child:
    return Child.spawn(
        "iterating",
        [sys.executable, "-m", "tests.campaigns.iterating"],
        env={
            **plain_environment(),
            "AMQP_URL": places.amqp_url,
            "QUEUE": places.queue,
            "PREFIX": places.prefix,
            "WRITTEN": str(written),
            "DIES_AT": dies_at,
        },
        log=places.log,
        cwd=ROOT,
    )
