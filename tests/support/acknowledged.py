"""Promise 1, as a load and a check: what was answered with 200 is there.

Each writer owns its customers, so what the last acknowledged write of a customer said is known. An
answer that never came leaves a write in doubt: it may be there or not, as a whole.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Final

import aiohttp
import msgspec
from tests.support.gateways import Client
from tests.support.keyrings import KEYRING
from tests.support.waiting import eventually

from chaching.envelope import START
from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore

WRITERS: Final = 8
UPDATES_MAX: Final = 40
IN_DOUBT: Final = (500, 503)
PAUSE_S: Final = 0.02


class Written(msgspec.Struct):
    """A customer as its writer knows it: keys that were acknowledged, keys in doubt."""

    acknowledged: set[str] = msgspec.field(default_factory=set[str])
    in_doubt: set[str] = msgspec.field(default_factory=set[str])


class Load:
    """Writers that create customers and add metadata keys to them, for as long as they run."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self._clients = clients
        self.customers: dict[str, Written] = {}
        self.answers = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(WRITERS):
                client = self._clients[number % len(self._clients)]
                tasks.create_task(self._write(client, number))

    async def more_answers(self, count: int) -> None:
        """Return when so many more writes have been acknowledged."""
        wanted = self.answers + count

        async def enough() -> bool:
            await asyncio.sleep(0)
            return self.answers >= wanted

        await eventually(enough, f"{count} more writes are acknowledged")

    async def _write(self, client: Client, writer: int) -> None:
        for number in itertools.count():
            customer_id = f"cus_{writer}_{number}"
            if not await self._acknowledged(client, "/v1/customers", f"id={customer_id}"):
                continue
            written = self.customers.setdefault(customer_id, Written())
            for update in range(UPDATES_MAX):
                key = f"k{update}"
                path = f"/v1/customers/{customer_id}"
                written.in_doubt.add(key)
                if await self._acknowledged(client, path, f"metadata[{key}]={update}"):
                    written.in_doubt.discard(key)
                    written.acknowledged.add(key)

    async def _acknowledged(self, client: Client, path: str, form: str) -> bool:
        try:
            answer = await client.send("POST", path, form)
        except (aiohttp.ClientError, TimeoutError):
            await asyncio.sleep(PAUSE_S)
            return False
        assert answer.status == 200 or answer.status in IN_DOUBT, answer
        if answer.status == 200:
            self.answers += 1
        return answer.status == 200


async def assert_nothing_acknowledged_is_missing(
    client: Client, customers: dict[str, Written]
) -> None:
    """Retrieve every customer and compare it with what its writer was told."""
    for customer_id, written in customers.items():
        answer = await client.retrieve(customer_id)
        assert answer.status == 200, f"{customer_id} was acknowledged and is missing: {answer}"
        found = set(answer.json["metadata"])
        missing = written.acknowledged - found
        assert not missing, f"{customer_id} lost {missing}, which were acknowledged"
        unknown = found - written.acknowledged - written.in_doubt
        assert not unknown, f"{customer_id} has {unknown}, which nobody wrote"


async def assert_log_is_dense(database: Database) -> int:
    """Compare positions, and each stream's versions, with 1, 2, 3 …; return the head."""
    store = EventStore(database, KEYRING)
    at = START
    versions: dict[object, int] = {}
    while events := await store.read_all(at):
        for event in events:
            assert event.position == at + 1, f"{at} is followed by {event.position}"
            at = event.position
            before = versions.get(event.key, 0)
            assert event.version == before + 1, f"{event.key}: {before}, then {event.version}"
            versions[event.key] = event.version
    assert at == await store.head()
    return at
