"""``make tamper``: random manipulations of the log by a superuser, all of which must be found.

A log of some hundred events is hashed and signed; each manipulation is done to it in a transaction
of its own, the whole verification runs inside, and the transaction is rolled back. The seed is
printed and can be given again. Ends with 1 when a manipulation is not found, or another position
is named.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import time
from collections import Counter
from random import Random

from tests.databases import administer, url_of
from tests.servers import Servers
from tests.support.audited import audited_log
from tests.support.tampering import EVENTS, TREE, Manipulated, tampered_with

from chaching.audit.findings import Verdict
from chaching.eventstore.database import Database
from chaching.local.errors import LocalError
from chaching.schema.migrations import migrate

TRIES = 1_000
TREE_TRIES = 200
LOG_EVENTS = (1, 60, 200, 1_100, 39, 250, 7)
STATEMENT_LIMIT_S = 60.0


async def campaign(database_url: str, *, of_events: int, of_tree: int, random: Random) -> int:
    """Try manipulations on one log; return how many were not found as they should be."""
    await migrate(database_url)
    database = Database(
        database_url, name="tampering", sessions_max=2, statement_timeout_s=STATEMENT_LIMIT_S
    )
    await database.open()
    try:
        audited = await audited_log(database, database_url, LOG_EVENTS, random)
        found, missed = Counter[str](), 0
        chosen = random.choices(EVENTS, k=of_events) + random.choices(TREE, k=of_tree)
        random.shuffle(chosen)
        for manipulation in chosen:
            done, verdict = await tampered_with(database, audited, manipulation, random)
            if done.is_found_by(verdict.first_bad):
                found[manipulation.__name__] += 1
            else:
                missed += 1
                say(told(manipulation.__name__, done, verdict))
    finally:
        await database.close()
    for name, count in sorted(found.items()):
        say(f"{name:36} {count:>6} found")
    return missed


def told(name: str, done: Manipulated, verdict: Verdict) -> str:
    return f"MISSED {name}: {done.what} at {done.position}; found: {verdict.first_bad}"


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make tamper", description=__doc__)
    parser.add_argument("--tries", type=int, default=TRIES, help="on the table of events")
    parser.add_argument("--tree-tries", type=int, default=TREE_TRIES, help="on what audits it")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    options = parser.parse_args()
    servers = Servers()
    started_s = time.monotonic()
    try:
        admin_url = servers.database_url()
        name = f"tampering_{secrets.token_hex(4)}"
        asyncio.run(administer(admin_url, f"CREATE DATABASE {name}"))
        try:
            missed = asyncio.run(
                campaign(
                    url_of(admin_url, name),
                    of_events=options.tries,
                    of_tree=options.tree_tries,
                    random=Random(options.seed),  # noqa: S311 - chance, not a secret
                )
            )
        finally:
            asyncio.run(administer(admin_url, f"DROP DATABASE {name} WITH (FORCE)"))
    except LocalError as error:
        sys.exit(str(error))
    finally:
        servers.close()
    elapsed_s = time.monotonic() - started_s
    tries = options.tries + options.tree_tries
    say(f"{tries - missed} of {tries} found in {elapsed_s:.0f} s; seed {options.seed}")
    return 0 if not missed else 1


if __name__ == "__main__":
    sys.exit(main())
