"""Whom the gateway remembers, whom it looks up, and what a flood of wrong keys can do to that."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections.abc import Sequence
from contextlib import suppress

import pytest
from tests.support.gateways import ACCOUNT, KEY, store_key
from tests.support.waiting import LIMIT_S, eventually

from chaching.eventstore.api_keys import ApiKey, find_keys, key_hash
from chaching.eventstore.database import Database
from chaching.eventstore.grouping import Overloaded
from chaching_api import authentication
from chaching_api.authentication import Authenticator
from chaching_api.errors import NotAuthenticated


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


class Asking:
    """Looks keys up in a database, remembers with which hashes, and can be made to wait."""

    def __init__(self, database: Database) -> None:
        self.calls: list[Sequence[bytes]] = []
        self.may_pass = asyncio.Event()
        self.may_pass.set()
        self._database = database

    async def __call__(self, wanted: Sequence[bytes]) -> Sequence[ApiKey | None]:
        self.calls.append(wanted)
        await self.may_pass.wait()
        return await find_keys(self._database, wanted)


@pytest.fixture
async def asking(database_url: str, database: Database) -> Asking:
    await store_key(database_url, KEY)
    return Asking(database)


def wrong(number: int) -> str:
    return f"Bearer sk_test_wrong{number:08}"


async def all_refused(authenticator: Authenticator, numbers: range) -> None:
    outcomes = await asyncio.gather(
        *(authenticator.authenticate(wrong(number)) for number in numbers), return_exceptions=True
    )
    assert {type(outcome) for outcome in outcomes} == {NotAuthenticated}


async def test_a_key_in_use_is_looked_up_once_however_it_is_presented(asking: Asking) -> None:
    authenticator = Authenticator(asking)
    for header in (f"Bearer {KEY}", basic(f"{KEY}:"), *(basic(f"{KEY}:{n}") for n in range(9))):
        assert (await authenticator.authenticate(header)).account == ACCOUNT
    assert asking.calls == [[hashlib.sha256(KEY.encode()).digest()]]
    assert authenticator.known_keys == 1


async def test_many_who_bring_a_key_at_once_wait_for_one_look_up(asking: Asking) -> None:
    authenticator = Authenticator(asking)
    keys = await asyncio.gather(*(authenticator.authenticate(f"Bearer {KEY}") for _ in range(50)))
    assert len({key.key_id for key in keys}) == 1
    assert [len(call) for call in asking.calls] == [1]


async def test_wrong_keys_are_looked_up_together_and_leave_no_trace(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "REMEMBERED_MAX_KEYS", 3)
    authenticator = Authenticator(asking)
    await authenticator.authenticate(f"Bearer {KEY}")
    await all_refused(authenticator, range(500))
    assert [len(call) for call in asking.calls] == [1, 256, 244]
    assert authenticator.known_keys == 1
    assert authenticator.keys_looked_up == 0
    await authenticator.authenticate(f"Bearer {KEY}")
    assert len(asking.calls) == 3


async def test_the_memory_of_good_keys_is_bounded(
    asking: Asking, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "REMEMBERED_MAX_KEYS", 3)
    authenticator = Authenticator(asking)
    for number in range(6):
        key = await store_key(database_url, f"sk_test_good{number}")
        await authenticator.authenticate(f"Bearer {key}")
        assert authenticator.known_keys <= 3
    asked = len(asking.calls)
    for number in (5, 4, 3):
        await authenticator.authenticate(f"Bearer sk_test_good{number}")
    assert len(asking.calls) == asked
    await authenticator.authenticate("Bearer sk_test_good0")
    assert len(asking.calls) == asked + 1


async def test_beyond_a_limit_further_unknown_keys_are_shed(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "UNKNOWN_WAITING_MAX_KEYS", 10)
    authenticator = Authenticator(asking)
    asking.may_pass.clear()
    first = asyncio.create_task(all_refused(authenticator, range(1)))
    await eventually(lambda: _has_called(asking, 1), "the first unknown key is being looked up")
    waiting = asyncio.create_task(all_refused(authenticator, range(1, 11)))
    await eventually(lambda: _look_up(authenticator, 11), "the others wait")
    for number in range(11, 20):
        with pytest.raises(Overloaded):
            await authenticator.authenticate(wrong(number))
    assert authenticator.keys_looked_up == 11
    asking.may_pass.set()
    await asyncio.gather(first, waiting)
    await all_refused(authenticator, range(11, 20))


async def _look_up(authenticator: Authenticator, keys: int) -> bool:
    return authenticator.keys_looked_up == keys


async def _has_called(asking: Asking, times: int) -> bool:
    return len(asking.calls) >= times


async def test_a_known_key_never_stands_in_line_behind_unknown_ones(
    asking: Asking, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "TRUSTED_MAX_S", 0.0)
    known = [key_hash(KEY)]

    async def slow_for_unknown(wanted: Sequence[bytes]) -> Sequence[ApiKey | None]:
        return await (find_keys(database, wanted) if wanted == known else asking(wanted))

    authenticator = Authenticator(slow_for_unknown)
    await authenticator.authenticate(f"Bearer {KEY}")
    asking.may_pass.clear()
    stuck = asyncio.create_task(all_refused(authenticator, range(50)))
    await eventually(lambda: _has_called(asking, 1), "unknown keys are being looked up")
    async with asyncio.timeout(LIMIT_S):
        assert (await authenticator.authenticate(f"Bearer {KEY}")).account == ACCOUNT
    assert not stuck.done()
    asking.may_pass.set()
    await stuck


async def test_who_is_refused_by_a_limit_waits_unless_too_many_do(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "PAUSED_MAX_REFUSALS", 2)
    authenticator = Authenticator(asking)
    pauses = [asyncio.create_task(authenticator.pause()) for _ in range(5)]
    started_s = time.monotonic()
    done, waiting = await asyncio.wait(pauses, return_when=asyncio.FIRST_COMPLETED)
    assert (len(done), len(waiting)) == (3, 2)
    await asyncio.wait(waiting)
    assert time.monotonic() - started_s >= authentication.REFUSAL_PAUSE_S / 2
    again = asyncio.create_task(authenticator.pause())
    await asyncio.sleep(0)
    assert not again.done()
    await again


async def test_memory_and_store_are_asked_by_hash_alone(asking: Asking) -> None:
    authenticator = Authenticator(asking)
    presented = [KEY, *(wrong(number).removeprefix("Bearer ") for number in range(20))]
    for key in presented:
        with suppress(NotAuthenticated):
            await authenticator.authenticate(f"Bearer {key}")
    hashes = [hashlib.sha256(key.encode()).digest() for key in presented]
    assert [hashed for call in asking.calls for hashed in call] == hashes
    held = repr(vars(authenticator))
    assert [hashed for hashed in hashes if repr(hashed) in held] == hashes[:1]
    assert not [key for key in presented if key in held]
