"""What deploy/README.md says to do about a difference, done as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from tests.support.comparing import compared
from tests.support.customers import append_customers
from tests.support.keyrings import KEYRING
from tests.support.running import running
from tests.support.searchable import assert_entries_are_of_the_rows, projecting
from tests.support.waiting import eventually

from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore
from chaching_projector.runner import Projector

RUN_BOOK: Final = Path(__file__).parents[2] / "deploy" / "README.md"
SECTION: Final = re.compile(r"### Mending a difference\n(.*?)\n##", re.DOTALL)
SQL: Final = re.compile(r"```sql\n(.*?)```", re.DOTALL)
ID: Final = "cus_000007"
NOBODY: Final = "cus_nobody"
CUSTOMERS: Final = 10
WAITING: Final = (
    "SELECT id FROM read_model.parked_streams UNION ALL SELECT id FROM read_model.search_renewals"
)

DAMAGES: Final = {
    "a row that differs": ("row_differs", "UPDATE {rows} SET name = 'X' WHERE {one}"),
    "a row that is created otherwise": (
        "row_differs",
        "UPDATE {rows} SET created = created + 1 WHERE {one}",
    ),
    "a row that is missing": ("row_missing", "DELETE FROM {rows} WHERE {one}"),
    "a row that is behind": ("row_behind", "UPDATE {rows} SET version = 1 WHERE {one}"),
    "a row of nobody": ("row_of_nobody", "UPDATE {rows} SET id = '{nobody}' WHERE {one}"),
    "an entry that differs": ("entry_differs", "UPDATE {entries} SET name = 'X' WHERE {one}"),
    "an entry that is missing": ("entry_missing", "DELETE FROM {entries} WHERE {one}"),
    "an entry of nobody": ("entry_of_nobody", "UPDATE {entries} SET id = '{nobody}' WHERE {one}"),
}


def mends() -> list[str]:
    """Return the statements of the run-book: rows anew, entries anew, what is nobody's away."""
    section = SECTION.search(RUN_BOOK.read_text())
    assert section is not None
    return SQL.findall(section[1])


async def mend(database: Database, statement: str, customer: str) -> None:
    for command in filter(None, map(str.strip, statement.split(";"))):
        said = command.replace("acct_…", "acct_1").replace("cus_…", customer)
        assert await database.execute(said) <= 1


@pytest.mark.parametrize("name", DAMAGES)
async def test_a_difference_is_gone_after_what_the_run_book_says(
    database: Database, store: EventStore, database_url: str, name: str
) -> None:
    await append_customers(store, customers=CUSTOMERS, updates=2)
    async with projecting(database_url, store) as projector:
        await projector.project()
    kind, damage = DAMAGES[name]
    damaging = damage.format(
        rows="read_model.customers",
        entries="read_model.search_entries",
        one=f"id = '{ID}'",
        nobody=NOBODY,
    )
    assert await database.execute(damaging) == 1
    assert kind in {found.kind for found in (await compared(database_url)).differences}
    rows, entries, of_nobody = mends()
    if "nobody" in name:
        await mend(database, of_nobody, NOBODY)
    await mend(database, entries if "entry" in name else rows, ID)
    async with running(Projector(database_url, keyring=KEYRING).run()):

        async def is_mended() -> bool:
            if await database.fetch(WAITING):
                return False
            return not (await compared(database_url)).difference_count

        await eventually(is_mended, "nothing differs")
    assert await assert_entries_are_of_the_rows(database) > 0
