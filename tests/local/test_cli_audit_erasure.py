"""`chaching audit erase` and `rewrap`, as a person and as a script use them, on a real database."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from tests.support.customers import append, append_customers, created, key_of, updated, whole_log
from tests.support.keyrings import MASTER_KEY, master_key

from chaching.cli import main as cli
from chaching.domain.values import Details
from chaching.envelope import decode_metadata
from chaching.eventstore.database import Database
from chaching.eventstore.encryption import Keyring
from chaching.eventstore.erasing import NOT_ERASABLE, ErasureRefused
from chaching.eventstore.errors import WrongMasterKey
from chaching.eventstore.store import EventStore

ERASE = ("audit", "erase", "cus_1", "--account", "acct_1", "--mode", "test", "--yes")
NEXT = master_key("the next master key")


@pytest.fixture(autouse=True)
def reached(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("MASTER_KEY", MASTER_KEY)


async def ran(*arguments: str, answer: str | None = None) -> Result:
    """Run a command apart from this test's loop, since it has one of its own."""
    return await asyncio.to_thread(CliRunner().invoke, cli.chaching, arguments, answer)


async def decoded(*arguments: str) -> dict[str, Any]:
    result = await ran(*arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = msgspec.json.decode(result.stdout)
    return found


def refused(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """Run the whole command; return the one line on stderr."""
    monkeypatch.setattr("sys.argv", ["chaching", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    assert (end.value.code, said.out, said.err.count("\n")) == (1, "", 1)
    return said.err


async def test_a_customer_is_erased_without_a_gateway(store: EventStore) -> None:
    await append(store, created("cus_1"))
    assert await decoded(*ERASE, "--reason", "objection") == {
        "id": "cus_1",
        "erased": True,
        "already": False,
    }
    assert (await decoded(*ERASE))["already"] is True
    loaded = await store.load(key_of("cus_1"))
    assert loaded.state is not None
    assert loaded.state.erased
    [_, erased] = await whole_log(store)
    assert erased.payload.endswith('"reason":"objection"}')
    actor = decode_metadata(erased).actor
    assert actor is not None
    assert actor.endswith(", chaching audit erase")
    told = (await ran("audit", "replay", "cus_1")).stdout
    assert f"  by {actor}\n" in told
    assert "  because: objection\n" in told


async def test_nothing_happens_to_who_does_not_confirm(store: EventStore) -> None:
    await append(store, created("cus_1"))
    for answer in ("n\n", ""):
        result = await ran(*ERASE[:-1], answer=answer)
        assert result.exit_code != 0
        assert f" [y/N]: {answer.strip()}\naborted: nothing was changed\n" in result.stderr
        assert len(await whole_log(store)) == 1
    assert (await ran(*ERASE[:-1], answer="y\n")).stdout == "cus_1 is erased\n"


def test_nobody_and_a_wrong_master_key_are_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "No such customer: 'cus_1'" in refused(ERASE, monkeypatch, capsys)
    assert "0 data keys" in CliRunner().invoke(cli.chaching, ["audit", "rewrap"]).stdout
    monkeypatch.setenv("MASTER_KEY", NEXT)
    assert "MASTER_KEY is not the one of this database" in refused(ERASE, monkeypatch, capsys)
    monkeypatch.setenv("MASTER_KEY", "short")
    assert "32 bytes in base64" in refused(ERASE, monkeypatch, capsys)


async def test_who_cannot_be_erased_is_told_with_what_to_do_instead(
    database: Database, store: EventStore
) -> None:
    await append(store, created("cus_1"))
    await database.execute("ALTER TABLE event_store.events DISABLE TRIGGER ALL")
    await database.execute(
        "UPDATE event_store.events SET payload = "
        """regexp_replace(payload::text, '"personal":"[^"]*"', '"personal":{"name":"J"}')::json"""
    )
    result = await ran(*ERASE)
    assert isinstance(result.exception, ErasureRefused)
    assert f"{result.exception}" == f"cus_1: {NOT_ERASABLE}"
    assert "docs/forgetting.md" in NOT_ERASABLE
    assert len(await whole_log(store)) == 1


async def test_a_master_key_is_changed_and_the_old_one_is_needed_no_more(
    database: Database, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append_customers(store, customers=12, updates=1)
    before = [event.payload for event in await whole_log(store)]
    await append(store, created("cus_1"))
    await ran(*ERASE)
    monkeypatch.setenv("MASTER_KEY", f"{NEXT},{MASTER_KEY}")
    with pytest.raises(WrongMasterKey):
        await EventStore(database, Keyring.of(NEXT)).check_master_key()
    monkeypatch.setattr("chaching.eventstore.erasing.REWRAPPED_BATCH_MAX_KEYS", 5)
    assert await decoded("audit", "rewrap") == {"rewrapped": 12}
    assert await decoded("audit", "rewrap") == {"rewrapped": 0}
    renewed = EventStore(database, Keyring.of(NEXT))
    await renewed.check_master_key()
    assert [event.payload for event in await whole_log(renewed)][: len(before)] == before
    await append(renewed, updated("cus_000001", Details(name="June")))
    with pytest.raises(WrongMasterKey):
        await store.check_master_key()


def test_the_gateways_role_cannot_wrap_keys(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{database_url}?role=chaching_gateway")
    assert "use the owner's URL" in refused(("audit", "rewrap"), monkeypatch, capsys)
