"""``python -m tests.benchmarks.encryption``: what it costs to store personal values encrypted.

Every figure is taken twice in alternating rounds, encrypted and as it was before there were keys,
on one database; what is shown are medians and the median of the rounds' ratios.
"""

import asyncio
import secrets
import sys
import time
from collections.abc import Sequence
from statistics import median

import msgspec
from tests.benchmarks.appends import WrongData
from tests.benchmarks.events import pending_creates
from tests.databases import administer, url_of
from tests.servers import Servers
from tests.support.keyrings import KEYRING, MASTER_KEY

from chaching.broker.messages import message_of
from chaching.domain.ids import RequestId
from chaching.envelope import KeptAnswer, PendingEvent, Position, RecordedEvent, StreamKey
from chaching.eventstore.database import KEYED_LOOKUPS, Database
from chaching.eventstore.encryption import Encrypted, Keyring, Pending
from chaching.eventstore.store import EventStore
from chaching.schema.migrations import migrate

ROUNDS = 5
WAITING = 128
EVENTS = 128 * 100
LOADS = 5_000


class Open(Keyring):
    """A keyring that encrypts nothing, as if there were none."""

    def encrypt(self, pending: Pending) -> Encrypted:
        return Encrypted(pending, None)


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """Appends, keyed appends, loads and messages read a second; µs of this process an append."""

    appends_per_s: float
    append_cpu_us: float
    keyed_per_s: float
    loads_per_s: float
    messages_per_s: float


async def measure(database_url: str) -> dict[str, list[Round]]:
    await migrate(database_url)
    database = Database(database_url, name="bench", sessions_max=4, settings=KEYED_LOOKUPS)
    await database.open()
    stores = {
        "encrypted": EventStore(database, KEYRING),
        "open": EventStore(database, Open.of(MASTER_KEY)),
    }
    rounds: dict[str, list[Round]] = {name: [] for name in stores}
    for _ in range(ROUNDS):
        for name, store in stores.items():
            rounds[name].append(await _round(store))
    await database.close()
    return rounds


async def _round(store: EventStore) -> Round:
    before = await store.head()
    plain = pending_creates(EVENTS)
    keys = [event.key for event in plain]
    appends_s, cpu_s = await _append(store, plain)
    head = await store.head()
    if head != before + EVENTS:
        raise WrongData("the log does not hold what was appended")
    keyed_s, _ = await _append(store, [_kept(event) for event in pending_creates(EVENTS)])
    return Round(
        appends_per_s=EVENTS / appends_s,
        append_cpu_us=cpu_s / EVENTS * 1e6,
        keyed_per_s=EVENTS / keyed_s,
        loads_per_s=LOADS / await _load(store, keys[:LOADS]),
        messages_per_s=EVENTS / await _read(store, before, head),
    )


async def _append(store: EventStore, events: Sequence[PendingEvent]) -> tuple[float, float]:
    """Append with ``WAITING`` callers; return seconds, and those of this process's processor."""
    waiting = list(events)

    async def caller() -> None:
        while waiting:
            await store.append(waiting.pop())

    started_s, cpu_s = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(WAITING)))
    return time.perf_counter() - started_s, time.process_time() - cpu_s


async def _load(store: EventStore, keys: list[StreamKey]) -> float:
    waiting = list(keys)

    async def caller() -> None:
        while waiting:
            loaded = await store.load(waiting.pop())
            if loaded.state is None or loaded.state.personal.name != "Jane Doe":
                raise WrongData("a load does not show what was appended")

    started_s = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(WAITING)))
    return time.perf_counter() - started_s


async def _read(store: EventStore, after: Position, head: Position) -> float:
    """Read the log as relay, projector and a rebuild do: every event as a message."""
    started_s = time.perf_counter()
    while after < head:
        events: list[RecordedEvent] = await store.read_all(after, 1_000, up_to=head)
        for event in events:
            message_of(event)
        after = events[-1].position
    return time.perf_counter() - started_s


def _kept(event: PendingEvent) -> PendingEvent:
    kept = KeptAnswer(
        idempotency_key=secrets.token_hex(16),
        fingerprint=secrets.token_bytes(32),
        request_id=RequestId(event.event_id),
        answer=event.payload.encode() * 2,
    )
    return msgspec.structs.replace(event, kept=kept)


def show(rounds: dict[str, list[Round]]) -> None:
    for name in Round.__struct_fields__:
        encrypted, plain = (
            [getattr(r, name) for r in rounds[which]] for which in ("encrypted", "open")
        )
        ratios = [a / b for a, b in zip(encrypted, plain, strict=True)]
        sys.stdout.write(
            f"{name:16} encrypted {median(encrypted):>10,.1f}   open {median(plain):>10,.1f}   "
            f"ratio {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})\n"
        )


def main() -> None:
    servers = Servers()
    try:
        admin_url = servers.database_url()
        name = f"bench_{secrets.token_hex(4)}"
        asyncio.run(administer(admin_url, f"CREATE DATABASE {name}"))
        rounds = asyncio.run(measure(url_of(admin_url, name)))
        asyncio.run(administer(admin_url, f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        servers.close()
    show(rounds)


if __name__ == "__main__":
    main()
