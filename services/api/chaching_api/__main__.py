"""The processes of this package: ``gateway`` serves the API, ``relay`` publishes the log."""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
from collections.abc import Callable
from typing import Final

from aiohttp import web

from chaching.eventstore.database import KEYED_LOOKUPS, Database
from chaching.eventstore.doorbell import Doorbell
from chaching.eventstore.errors import Unavailable
from chaching.eventstore.store import EventStore
from chaching.runtime import config, lifecycle, logs
from chaching_api.app import Dependencies, create_app
from chaching_api.relay import run_relay
from chaching_api.server import BACKLOG_CONNECTIONS, EnvelopeRunner

GATEWAY_SESSIONS_MAX: Final = 8
OPEN_FILES_MAX: Final = 65_536
GC_THRESHOLDS: Final = (10_000, 50, 1_000)


def gateway() -> None:
    """Serve the API until a signal comes."""
    settings = config.read_or_exit(config.GatewayConfig)
    logs.configure(settings.log_level)
    _allow_connections()
    lifecycle.run(lambda: serve(settings))


async def serve(settings: config.GatewayConfig) -> None:
    """Serve until cancelled; then answer what has come and let go in reverse order of start."""
    database = Database(
        settings.database_url,
        name="gateway",
        sessions_max=GATEWAY_SESSIONS_MAX,
        settings=KEYED_LOOKUPS,
    )
    doorbell = Doorbell(database)
    store = EventStore(database, appended=doorbell.ring)
    runner = EnvelopeRunner(
        create_app(Dependencies(database=database, store=store, public_url=settings.public_url))
    )
    await database.open()
    ringing = asyncio.create_task(
        lifecycle.supervised("doorbell", doorbell.run, expected=(Unavailable,))
    )
    try:
        await runner.setup()
        site = web.TCPSite(
            runner, settings.host, settings.port, backlog=BACKLOG_CONNECTIONS, reuse_port=False
        )
        await site.start()
        _settle_memory()
        logs.logger().info("gateway_started", host=settings.host, port=settings.port)
        await asyncio.get_running_loop().create_future()
    finally:
        await runner.cleanup()
        await store.drain()
        ringing.cancel()
        await asyncio.wait({ringing})
        await database.close()
        logs.logger().info("gateway_stopped")


def _allow_connections() -> None:
    """Lift the limit on open files, which bounds connections, as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _settle_memory() -> None:
    """Keep what start-up made out of collections, and collect in pauses of about a millisecond.

    Requests leave cycles behind; larger thresholds gather them into pauses of tens of milliseconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def relay() -> None:
    """Publish the log to the broker until a signal comes."""
    settings = config.read_or_exit(config.RelayConfig)
    logs.configure(settings.log_level)
    lifecycle.run(lambda: run_relay(settings.database_url, settings.amqp_url))


COMMANDS: Final[dict[str, Callable[[], None]]] = {"gateway": gateway, "relay": relay}


def main() -> None:
    """Run the process that the first argument names."""
    command = COMMANDS.get(sys.argv[1]) if len(sys.argv) == 2 else None  # noqa: PLR2004 - itself and a word
    if command is None:
        sys.exit(f"usage: python -m chaching_api {{{'|'.join(COMMANDS)}}}")
    command()


if __name__ == "__main__":
    main()
