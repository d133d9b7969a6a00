"""``make campaign``: kill a subscriber 50 times while 20,000 events flow, and compare its copy.

``--planted NAME`` puts a bug into it first; then the campaign must end with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
from pathlib import Path

import msgspec
from tests.campaigns.kills import Campaign, Figures, Places
from tests.campaigns.planted import PLANTS
from tests.databases import administer, url_of
from tests.servers import Servers
from tests.support.brokers import own_prefix
from tests.support.subscribers import own_database, without_queue

from chaching.broker import topology
from chaching.broker.connection import connected
from chaching.broker.subscriber_queues import queues_of
from chaching.local.errors import LocalError
from chaching.runtime import logs
from chaching.schema.migrations import migrate


async def campaign(admin_url: str, amqp_url: str, options: argparse.Namespace) -> Figures:
    """Run the campaign in databases and queues of its own, and delete them."""
    name = f"campaign_{secrets.token_hex(6)}"
    await administer(admin_url, f"CREATE DATABASE {name}")
    try:
        url = url_of(admin_url, name)
        await migrate(url)
        async with own_prefix(amqp_url) as prefix, own_database(admin_url) as copy:
            async with connected(amqp_url, name="campaign") as connection:
                await topology.declare(connection, topology.names_under(prefix))
            queue = f"{prefix}.crm"
            places = Places(
                database_url=url,
                amqp_url=amqp_url,
                prefix=prefix,
                queue=queue,
                copy=copy,
                log=options.log,
            )
            try:
                lives = Campaign(places, seed=options.seed, planted=options.planted or "")
                return await lives.run(kills=options.kills, events=options.events)
            finally:
                names = queues_of(queue)
                for each in (names.own, names.parked):
                    await without_queue(amqp_url, each)
    finally:
        await administer(admin_url, f"DROP DATABASE {name} WITH (FORCE)")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make campaign", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    parser.add_argument("--planted", choices=sorted(PLANTS))
    parser.add_argument("--log", type=Path, default=Path(tempfile.gettempdir()) / "campaign.log")
    options = parser.parse_args()
    logs.configure("critical")
    servers = Servers()
    sys.stdout.write(f"seed {options.seed}; the subscriber's log: {options.log}\n")
    try:
        figures = asyncio.run(campaign(servers.database_url(), servers.amqp_url(), options))
    except (AssertionError, LocalError) as error:
        sys.stderr.write(f"failed: {error}\n")
        return 1
    finally:
        servers.close()
    sys.stdout.write(f"{msgspec.json.format(msgspec.json.encode(figures)).decode()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
