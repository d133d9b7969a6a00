"""Values of one person that stand nowhere else, and the places where they may be found."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path
from typing import Final

from tests.support.auditors import SEED
from tests.support.keyrings import MASTER_KEY
from tests.support.service import Service
from tests.support.stored import found_in

from chaching.eventstore.database import Database

LINES: Final = ("line1", "line2", "city", "state", "postal_code", "country")


class Canaries:
    """Values that stand nowhere else, and the forms that plant them."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.planted: list[str] = []

    def form(self, number: int) -> str:
        """Return a create or an update that names every personal attribute."""
        place, tax = f"198.51.100.{number + 200}", f"DE99999990{number}"
        self.planted += [place, tax]
        address = {f"address[{line}]": self._next() for line in LINES}
        shipping = {f"shipping[address][{line}]": self._next() for line in LINES}
        metadata = {f"metadata[{self._next()}]": self._next() for _ in range(15)}
        values = {
            "name": self._next(),
            "email": f"{self._next()}@example.com",
            "phone": self._next(),
            "description": self._next(),
            **address,
            "shipping[name]": self._next(),
            "shipping[phone]": self._next(),
            **shipping,
            **metadata,
            "tax[ip_address]": place,
            "tax_id_data[0][type]": "eu_vat",
            "tax_id_data[0][value]": tax,
        }
        return "&".join(f"{name}={value}" for name, value in values.items())

    def _next(self) -> str:
        self.planted.append(f"canary{next(self._numbers):04}")
        return self.planted[-1]


async def told_by_commands(whole: Service, commands: tuple[str, ...]) -> dict[str, str]:
    """Return what those are shown who run the service."""
    environ = {
        "DATABASE_URL": whole.postgres.admin_url,
        "MASTER_KEY": MASTER_KEY,
        "AUDIT_SIGNING_KEY": SEED,
        "AMQP_URL": whole.rabbitmq.url,
    }
    program = Path(sys.executable).with_name("chaching")
    shown: dict[str, str] = {}
    for command in commands:
        ran = await asyncio.create_subprocess_exec(
            program, *command.split(), env=os.environ | environ, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await ran.communicate()
        assert ran.returncode == 0
        shown[command] = said.decode()
    return shown


async def purged(database: Database, head: int) -> bool:
    [row] = await database.fetch("SELECT position FROM event_store.broker_purge")
    return row["position"] >= head


def logged(whole: Service, planted: list[str]) -> set[str]:
    """Return the words that a log of a process or a server holds."""
    logs = [*whole.folder.glob("*.log"), whole.postgres.log, whole.rabbitmq.log]
    return {word for log in logs for word in found_in(log.read_text(errors="replace"), planted)}
