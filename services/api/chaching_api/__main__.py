"""The processes of this package.

``gateway`` serves the API, ``relay`` publishes the log, ``auditor`` hashes and signs it.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
from collections.abc import Callable
from functools import partial
from typing import Final

from aiohttp import web

from chaching.audit.notes import BadKey, SigningKey
from chaching.eventstore.database import KEYED_LOOKUPS, Database
from chaching.eventstore.doorbell import Doorbell
from chaching.eventstore.encryption import Keyring
from chaching.eventstore.errors import Unavailable, WrongMasterKey
from chaching.eventstore.lookups import EventLookups
from chaching.eventstore.store import EventStore
from chaching.runtime import config, lifecycle, logs
from chaching_api.app import Dependencies, create_app
from chaching_api.auditor import run_auditor
from chaching_api.forgetting import forget_old_keys
from chaching_api.rate_limits import Limits, Rate, RateLimits
from chaching_api.reads.search import SEARCH_SESSIONS_MAX, SEARCHES
from chaching_api.relay import run_relay
from chaching_api.sealing import seal_blocks
from chaching_api.server import BACKLOG_CONNECTIONS, EnvelopeRunner

GATEWAY_SESSIONS_MAX: Final = 8
ADMISSION_WAIT_S: Final = 2.0
OPEN_FILES_MAX: Final = 65_536
GC_THRESHOLDS: Final = (10_000, 50, 1_000)


def gateway() -> None:
    """Serve the API until a signal comes."""
    settings = config.read_or_exit(config.GatewayConfig)
    logs.configure(settings.log_level)
    _allow_connections()
    lifecycle.run(lambda: serve(settings), refused=(WrongMasterKey,))


async def serve(settings: config.GatewayConfig) -> None:
    """Serve until cancelled; then answer what has come and let go in reverse order of start."""
    database = Database(
        settings.database_url,
        name="gateway",
        sessions_max=GATEWAY_SESSIONS_MAX,
        settings=KEYED_LOOKUPS,
    )
    searches = Database(
        settings.database_url,
        name="gateway searches",
        sessions_max=SEARCH_SESSIONS_MAX,
        settings=SEARCHES,
    )
    doorbell = Doorbell(database)
    store = EventStore(database, Keyring.of(settings.master_key), appended=doorbell.ring)
    dependencies = Dependencies(
        database=database,
        searches=searches,
        store=store,
        limits=limits_of(settings),
        public_url=settings.public_url,
    )
    runner = EnvelopeRunner(create_app(dependencies))
    await database.open()
    await searches.open()
    loops = {
        asyncio.create_task(lifecycle.supervised(name, loop, expected=(Unavailable,)))
        for name, loop in (
            ("doorbell", doorbell.run),
            ("forgetting", partial(forget_old_keys, store)),
            ("sealing", partial(seal_blocks, EventLookups(database, store.keyring))),
        )
    }
    admission = asyncio.create_task(lifecycle.retried(store.admit_master_key, on=Unavailable))
    try:
        await _admitted(admission)
        await runner.setup()
        site = web.TCPSite(
            runner, settings.host, settings.port, backlog=BACKLOG_CONNECTIONS, reuse_port=False
        )
        await site.start()
        _settle_memory()
        logs.logger().info("gateway_started", host=settings.host, port=settings.port)
        await admission
        await asyncio.get_running_loop().create_future()
    finally:
        await runner.cleanup()
        await store.drain()
        for loop in (*loops, admission):
            loop.cancel()
        await asyncio.wait({*loops, admission})
        await searches.close()
        await database.close()
        logs.logger().info("gateway_stopped")


async def _admitted(admission: asyncio.Task[None]) -> None:
    """Wait until the master key is checked, or for so long that the database must be away.

    Then the gateway listens, and answers 503, until the key can be checked.

    Raises:
        WrongMasterKey: it is not the one of this database.
    """
    await asyncio.wait({admission}, timeout=ADMISSION_WAIT_S)
    if admission.done():
        admission.result()


def limits_of(settings: config.GatewayConfig) -> RateLimits | None:
    """Return the rate limits that are set, or None: without any, none is ever asked about."""
    per_s, burst = settings.rate_limit_per_s, settings.rate_limit_burst
    searches, writes = settings.rate_limit_search_per_s, settings.rate_limit_writes_per_s
    limits = Limits(
        requests=None if per_s is None else Rate.of(per_s, burst),
        searches=None if searches is None else Rate.of(searches),
        writes=None if writes is None else Rate.of(writes),
        concurrent=settings.rate_limit_concurrent,
    )
    return RateLimits(limits) if limits.are_set() else None


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
    keyring = Keyring.of(settings.master_key)
    lifecycle.run(
        lambda: run_relay(
            settings.database_url,
            settings.amqp_url,
            keyring,
            purge_after_s=settings.purge_after_s,
        ),
        refused=(WrongMasterKey,),
    )


def auditor() -> None:
    """Keep the log's Merkle tree and sign it until a signal comes."""
    settings = config.read_or_exit(config.AuditorConfig)
    logs.configure(settings.log_level)
    try:
        key = SigningKey.parse(settings.audit_signing_key)
    except BadKey as error:
        sys.exit(f"chaching: AUDIT_SIGNING_KEY is not usable: {error}")
    lifecycle.run(lambda: run_auditor(settings.database_url, key))


COMMANDS: Final[dict[str, Callable[[], None]]] = {
    "gateway": gateway,
    "relay": relay,
    "auditor": auditor,
}


def main() -> None:
    """Run the process that the first argument names."""
    command = COMMANDS.get(sys.argv[1]) if len(sys.argv) == 2 else None  # noqa: PLR2004 - itself and a word
    if command is None:
        sys.exit(f"usage: python -m chaching_api {{{'|'.join(COMMANDS)}}}")
    command()


if __name__ == "__main__":
    main()
