"""`chaching audit replay` and `chaching projection verify`, on a real database."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import pytest
from click.testing import CliRunner, Result
from tests.support.breaking import break_event, in_database
from tests.support.customers import append, append_customers, created, deleted, updated
from tests.support.keyrings import KEYRING, MASTER_KEY
from tests.support.projected import projected_in
from tests.support.searchable import Customers

from chaching.cli import main as cli
from chaching.cli import projection
from chaching.comparison import ranges
from chaching.domain.values import AddressChange, Details
from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore

TIME: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")
REPLAY_JSON: Final = ("audit", "replay", "--format", "json")
EVIL: Final = "a\x1b[2Jb\x9bc\N{RIGHT-TO-LEFT OVERRIDE}d"


@pytest.fixture(autouse=True)
def reached(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("MASTER_KEY", MASTER_KEY)
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
async def lived(store: EventStore) -> str:
    """The id of a customer that was created, changed and deleted."""
    await append(store, created("cus_1", Details(name="Jane", metadata={"plan": "pro"})))
    address = AddressChange(city="Paris")
    changed = Details(name=None, address=address, metadata={"plan": "free"}, phone=EVIL)
    await append(store, updated("cus_1", changed))
    await append(store, created("cus_other"))
    await append(store, deleted("cus_1"))
    return "cus_1"


def run(*arguments: str, color: bool = False) -> Result:
    return CliRunner().invoke(cli.chaching, arguments, color=color)


def told(*arguments: str, color: bool = False) -> str:
    result = run(*arguments, color=color)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> str:
    """Run the whole command; return the one line that it says on stderr."""
    monkeypatch.setattr("sys.argv", ["chaching", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    assert (said.out, end.value.code) == ("", 1)
    assert said.err.count("\n") == 1
    line: str = said.err
    return line


# --- audit replay -------------------------------------------------------------------------------


LIFE: Final = """\
cus_1 of acct_1, test mode

customer.created  version 1, position 1, then
  by an unknown key
  in req_1
  + balance                0
  + invoice_prefix         "P"
  + metadata.plan          "pro"
  + name                   "Jane"
  + next_invoice_sequence  1
  + tax_exempt             "none"

customer.updated  version 2, position 2, then
  by an unknown key
  in req_1
  + address.city   "Paris"
  ~ metadata.plan  "pro" → "free"
  - name           "Jane"
  + phone          "a\\u001b[2Jb\\x9bc\\u202ed"

customer.deleted  version 3, position 4, then
  by an unknown key
  in req_1
  + deleted  true
"""


def test_a_life_is_told_step_by_step_and_nothing_in_it_moves_the_cursor(lived: str) -> None:
    said = re.sub(TIME, "then", told("audit", "replay", lived))
    assert re.sub(r'"P\d+"', '"P"', said) == LIFE


def test_who_asked_and_why_is_told(lived: str, database_url: str) -> None:
    who = '"key_id":"key_1","actor":"billing","key_kind":"secret","client_address":"192.0.2.1"'
    why = '"request_id":"req_9","idempotency_key":"once","reason":"ticket 4711"'
    asyncio.run(rewrite(database_url, f"{{{who},{why}}}"))
    said = told("audit", "replay", lived)
    assert "  by billing (secret, key_1) from 192.0.2.1\n" in said
    assert "  in req_9, idempotency key once\n  because: ticket 4711\n" in said


def test_what_is_left_of_an_event_that_cannot_be_read_is_told_and_all_others(
    lived: str, database_url: str
) -> None:
    whole = re.sub(TIME, "then", told("audit", "replay", lived)).split("\n\n")
    steps = [msgspec.json.decode(line) for line in told(*REPLAY_JSON, lived).splitlines()]
    columns = {"type": "Evil\x1b[2J", "metadata": "[]", "state": "{}"}
    asyncio.run(in_database(database_url, lambda database: break_event(database, 2, **columns)))
    first, second, third = re.sub(TIME, "then", told("audit", "replay", lived)).split("\n\n")[1:]
    assert [first, third] == [whole[1], whole[3]]
    title, reason = second.splitlines()
    assert title == "Evil\\x1b[2J  version 2, position 2, then"
    assert reason.startswith("  ! cannot be read: unknown event type 'Evil")
    assert "\x1b" not in reason
    assert "; the metadata of a Evil" in reason
    after = [msgspec.json.decode(line) for line in told(*REPLAY_JSON, lived).splitlines()]
    assert [after[0], after[2]] == [steps[0], steps[2]]
    assert (after[1]["object"], after[1]["entry"]["changes"]) == (None, None)
    assert "unknown event type" in after[1]["unreadable"]


def test_a_part_of_a_life_is_told(lived: str) -> None:
    today = f"{datetime.now(UTC) - timedelta(minutes=5):%Y-%m-%d}"
    for part, versions in {
        ("--from", "version:2"): [2, 3],
        ("--to", "version:2"): [1, 2],
        ("--from", "version:2", "--to", "position:3"): [2],
        ("--from", "position:2", "--to", "version:2"): [2],
        ("--from", today): [1, 2, 3],
        ("--to", "2024-03-03"): [],
        ("--from", "1h", "--to", "0s"): [1, 2, 3],
    }.items():
        lines = told(*REPLAY_JSON, lived, *part).splitlines()
        assert [msgspec.json.decode(line)["entry"]["version"] for line in lines] == versions, part


@pytest.mark.parametrize(
    ("part", "hint"),
    [
        (("--from", "version:3", "--to", "version:1"), "--to, version 1, is before --from"),
        (("--from", "2024-03-03", "--to", "2024-03-02"), "--to is before --from"),
        (("--from", "position:3", "--to", "position:1"), "--to, position 1, is before --from"),
    ],
)
def test_a_part_that_ends_before_it_begins_is_refused(
    lived: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    part: tuple[str, ...],
    hint: str,
) -> None:
    said = refused(*REPLAY_JSON, lived, *part, monkeypatch=monkeypatch, capsys=capsys)
    assert said.startswith(f"chaching: {hint}")


async def rewrite(database_url: str, metadata: str) -> None:
    """Give all events other metadata."""
    database = Database(database_url, name="tests", sessions_max=1)
    await database.open()
    await database.execute("ALTER TABLE event_store.events DISABLE TRIGGER events_refuse_change")
    await database.execute("UPDATE event_store.events SET metadata = $1", metadata)
    await database.close()


def test_colours_are_for_those_who_want_them(lived: str, monkeypatch: pytest.MonkeyPatch) -> None:
    always = ("audit", "replay", lived, "--color", "always")
    plain = told("audit", "replay", lived, color=True)
    coloured = told(*always, color=True)
    assert not ANSI.search(plain)
    assert ANSI.search(coloured)
    assert ANSI.sub("", coloured) == plain
    assert told("audit", "replay", lived, "--color", "never", color=True) == plain
    monkeypatch.setenv("NO_COLOR", "1")
    assert told(*always, color=True) == coloured


def test_a_machine_reads_a_step_a_line_with_the_customer_after_it(lived: str) -> None:
    lines = told("audit", "replay", lived, "--format", "json").splitlines()
    first, second, third = [msgspec.json.decode(line) for line in lines]
    assert list(first) == ["account", "entry", "object"]
    assert [step["entry"]["version"] for step in (first, second, third)] == [1, 2, 3]
    assert second["entry"]["changes"][1] == {
        "attribute": "metadata.plan",
        "old": "pro",
        "new": "free",
    }
    assert (first["object"]["name"], second["object"]["name"]) == ("Jane", None)
    assert third["object"] == {"id": "cus_1", "object": "customer", "deleted": True}


def test_an_id_in_several_accounts_and_modes_needs_to_be_told_which(
    lived: str, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    asyncio.run(add_elsewhere(database_url, lived))
    said = refused("audit", "replay", lived, monkeypatch=monkeypatch, capsys=capsys)
    assert "acct_1 (test), acct_2 (test), acct_2 (live); say --account and --mode" in said
    still = refused(
        *("audit", "replay", lived, "--account", "acct_2"), monkeypatch=monkeypatch, capsys=capsys
    )
    assert "acct_2 (test), acct_2 (live)" in still
    told_one = told("audit", "replay", lived, "--mode", "live")
    assert told_one.startswith("cus_1 of acct_2, live mode\n")
    nobody = refused(
        *("audit", "replay", lived, "--account", "acct_3"), monkeypatch=monkeypatch, capsys=capsys
    )
    assert nobody == "chaching: the log has no customer 'cus_1' there\n"


async def add_elsewhere(database_url: str, customer_id: str) -> None:
    database = Database(database_url, name="tests", sessions_max=1)
    await database.open()
    for mode in (False, True):
        await Customers(EventStore(database, KEYRING), "acct_2", livemode=mode).add(customer_id)
    await database.close()


# --- projection verify --------------------------------------------------------------------------


@pytest.fixture
async def filled(database_url: str, store: EventStore) -> None:
    """A log of some customers, all of it projected."""
    await append_customers(store, customers=20, updates=2)
    async with projected_in(database_url, store) as projected:
        await projected.but()


@pytest.fixture
async def damaged(filled: None, database: Database) -> None:
    """The same with one row that is not what the log says."""
    del filled
    await database.execute(
        "UPDATE read_model.customers SET name = 'X', email = NULL WHERE id = 'cus_000007'"
    )


@pytest.mark.usefixtures("filled")
def test_a_read_model_that_is_right_is_told_with_the_rate() -> None:
    result = run("projection", "verify", "--workers", "1")
    assert result.exit_code == 0
    assert re.fullmatch(
        r"62 events of 20 customers compared in [\d.]+ s, [\d,]+ events/s, differences: 0, "
        r"as of position 62\n",
        result.stdout,
    )
    assert result.stderr == ""  # no progress of what took no time


@pytest.mark.usefixtures("damaged")
def test_a_difference_is_named_without_its_values_and_ends_with_1() -> None:
    result = run("projection", "verify", "--workers", "1")
    assert result.exit_code == 1
    first, last = result.stdout.splitlines()
    assert first == "row_differs acct_1 (test) cus_000007 version 3: email, name"
    assert "differences: 1" in last
    assert "Jenny" not in result.output
    shown = run("projection", "verify", "--workers", "1", "--show-values")
    assert 'name is "X" instead of "Jenny Rosen"' in shown.stdout


@pytest.mark.usefixtures("damaged")
def test_a_machine_reads_what_differs_and_how_fast_it_went() -> None:
    result = run("projection", "verify", "--workers", "1", "--format", "json")
    assert result.exit_code == 1
    report = msgspec.json.decode(result.stdout)
    assert report.pop("elapsed_s") > 0
    assert report.pop("events_per_s") > 0
    assert report == {
        "position": 62,
        "events": 62,
        "customers": 20,
        "difference_count": 1,
        "differences": [
            {
                "kind": "row_differs",
                "account": "acct_1",
                "mode": "test",
                "customer": "cus_000007",
                "version": 3,
                "attributes": ["email", "name"],
                "detail": None,
                "values": [],
            }
        ],
        "workers": 1,
    }


@pytest.mark.usefixtures("filled")
def test_so_many_differences_that_not_all_are_named_are_said_to_be(
    monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.setattr(ranges, "NAMED_MAX_DIFFERENCES", 3)
    monkeypatch.setattr(projection, "NAMED_MAX_DIFFERENCES", 3)
    asyncio.run(spoil(database_url))
    result = run("projection", "verify", "--workers", "1")
    assert len(result.stdout.splitlines()) == 5
    assert "only the first 3 differences are named" in result.stdout
    assert result.exit_code == 1


async def spoil(database_url: str) -> None:
    database = Database(database_url, name="tests", sessions_max=1)
    await database.open()
    await database.execute("UPDATE read_model.customers SET name = 'X'")
    await database.close()


@pytest.mark.parametrize("command", [["audit", "replay", "cus_1"], ["projection", "verify"]])
def test_without_a_database_it_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, command: list[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    said = refused(*command, monkeypatch=monkeypatch, capsys=capsys)
    assert said.startswith("chaching: the store does not answer")


@pytest.mark.usefixtures("filled")
def test_those_who_may_read_both_schemas_may_look(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{database_url}?role=chaching_projector")
    assert "differences: 0" in told("projection", "verify", "--workers", "1")
    monkeypatch.setenv("DATABASE_URL", f"{database_url}?role=chaching_gateway")
    assert "version 3" in told("audit", "replay", "cus_000007")


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("role", ["chaching_gateway", "chaching_relay", "chaching_auditor"])
def test_those_who_may_not_read_all_that_is_compared_are_told_so(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: Any, role: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{database_url}?role={role}")
    said = refused("projection", "verify", "--workers", "1", monkeypatch=monkeypatch, capsys=capsys)
    assert "may not read the log and all of the read model" in said
