"""Random lives of customers, lived through the gateway's own code, and what was answered.

Every history has an account of its own and the same customer id, once in test mode and once in
live mode, so whoever mixes accounts or modes up finds another customer.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.domain.strategies import ID, creates, deletes, updates
from tests.support.keyrings import KEYRING

from chaching import envelope
from chaching.domain.customer import Command, CreateCustomer, Customer, Rejected, decide, evolve
from chaching.domain.customer_object import render
from chaching.domain.ids import AccountId, RequestId
from chaching.envelope import Metadata, Position, RecordedEvent, StreamKey
from chaching.eventstore.database import KEYED_LOOKUPS, Database
from chaching.eventstore.past import PastEvents
from chaching.eventstore.store import EventStore
from chaching.history import spelled_time
from chaching_api.execute import Asked, Executor
from chaching_api.moments import Moment, PastMoment
from chaching_api.reads.past import Past

COMMANDS_MAX: Final = 6
PAIRS_MAX: Final = 4
SESSIONS_MAX: Final = 4
AS_OF: Final = PastMoment()

Life: TypeAlias = Sequence[Command]


def _life(first: Command, rest: list[Command]) -> Life:
    return (first, *rest)


lives = st.builds(
    _life, creates, st.lists(st.one_of(updates, updates, updates, deletes), max_size=COMMANDS_MAX)
)

pairs = st.lists(st.tuples(lives, lives), min_size=1, max_size=PAIRS_MAX)

_numbers = itertools.count(1)


class Lived(msgspec.Struct, frozen=True):
    """A customer's life: the answer to each command that changed it, and the events of the log."""

    key: StreamKey
    answers: list[bytes]
    events: list[RecordedEvent]


async def live_all(store: EventStore, both: Sequence[tuple[Life, Life]]) -> list[Lived]:
    """Live pairs of histories at the same time, each pair in test and live mode of one account."""
    executor = Executor(store)
    keys: list[tuple[StreamKey, Life]] = []
    for test, live in both:
        account = AccountId(f"acct_{next(_numbers)}_{secrets.token_hex(4)}")
        keys += [(StreamKey(account, False, ID), test), (StreamKey(account, True, ID), live)]
    return list(await asyncio.gather(*(_live(store, executor, key, life) for key, life in keys)))


async def _live(store: EventStore, executor: Executor, key: StreamKey, life: Life) -> Lived:
    answers: list[bytes] = []
    state: Customer | None = None
    for command in life:
        given = _in_mode(command, key)
        try:
            event = decide(given, state)
            executed = await executor.execute(_asked(key, given))
        except Rejected:
            continue
        if event is not None:
            state = evolve(state, event)
            answers.append(executed.answer)
    return Lived(key, answers, await store.read_stream(key))


def _in_mode(command: Command, key: StreamKey) -> Command:
    if isinstance(command, CreateCustomer):
        return msgspec.structs.replace(command, livemode=key.livemode)
    return command


def _asked(key: StreamKey, command: Command) -> Asked:
    metadata = Metadata(request_id=RequestId("req_1"))
    return Asked(key=key, command=command, metadata=metadata, answer=render)


# --- As of every moment ------------------------------------------------------------------------


async def as_of(past: Past, lived: Lived, spelled: str) -> bytes | None:
    """Return what a retrieve as of a moment answers, None: no such customer then."""
    moment: Moment = AS_OF.read(spelled, "as_of")
    event = await past.event_at(lived.key, moment, "as_of")
    return None if event is None else render(envelope.decode_customers([event])[0])


def moments(event: RecordedEvent, following: RecordedEvent | None, head: Position) -> list[str]:
    """Return the spellings of moments at which a customer stood as an event left it."""
    last = head if following is None else Position(following.position - 1)
    return [
        f"version:{event.version}",
        f"position:{event.position}",
        f"position:{last}",
        spelled_time(event.recorded_at),
    ]


async def check(database: Database, both: Sequence[tuple[Life, Life]]) -> int:
    """Live histories and look at each of them as of all of its moments; return how many."""
    store = EventStore(database, KEYRING)
    past = Past(store, PastEvents(database, KEYRING))
    lived = await live_all(store, both)
    head = await store.head()
    checks = (check_one(past, one, head) for one in lived)
    for failed in await asyncio.gather(*checks, return_exceptions=True):
        if failed is not None:
            raise failed
    return sum(1 for one in lived if one.events)


async def check_one(past: Past, lived: Lived, head: Position) -> None:
    assert len(lived.events) == len(lived.answers)
    if not lived.events:
        return
    first = lived.events[0]
    for before in ("version:0", "position:0", f"position:{first.position - 1}"):
        assert await as_of(past, lived, before) is None
    for number, (event, answer) in enumerate(zip(lived.events, lived.answers, strict=True)):
        following = lived.events[number + 1] if number + 1 < len(lived.events) else None
        for spelled in moments(event, following, head):
            assert await as_of(past, lived, spelled) == answer, spelled


def run(database_url: str, test: Callable[[Database, asyncio.Runner], None]) -> None:
    """Run a test with a log in this loop; hypothesis calls what it runs many times."""
    with asyncio.Runner() as runner:
        database = Database(
            database_url, name="tests", sessions_max=SESSIONS_MAX, settings=KEYED_LOOKUPS
        )
        runner.run(database.open())
        try:
            test(database, runner)
        finally:
            runner.run(database.close())


def live_through(
    database: Database, runner: asyncio.Runner, histories: int, *, shrinking: bool = True
) -> int:
    """Check random histories until there were so many; return how many there were."""
    checked = 0

    @settings(
        max_examples=histories,
        deadline=None,
        phases=[Phase.generate, Phase.shrink] if shrinking else [Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(pairs)
    def every_moment_is_as_answered(both: Sequence[tuple[Life, Life]]) -> None:
        nonlocal checked
        if checked < histories:
            checked += runner.run(check(database, both))

    every_moment_is_as_answered()
    return checked
