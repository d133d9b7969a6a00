"""A part of a customer's history: a day, a stretch of time, of versions or of positions."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import pytest
from tests.api.auditing import auditor_of, history
from tests.support.gateways import Client

from chaching.eventstore.database import Database

ID: Final = "cus_1"
DAYS: Final = {2: "2024-03-02T23:59:59.9Z", 3: "2024-03-03T00:00:00Z", 4: "2024-03-03T23:59:59Z"}
PARTS: Final = {
    "from=2024-03-03&to=2024-03-03": [2, 3],
    "from=2024-03-03": [2, 3, 4],
    "to=2024-03-03": [1, 2, 3],
    "from=2024-03-03T00:00:01%2B01:00&to=2024-03-03T01:00:00%2B01:00": [1, 2],
    "from=version:2&to=version:3": [2, 3],
    "from=position:3&to=position:3": [2],
    "from=position:1&to=position:1": [],
    "from=position:0&to=version:0": [],
    "from=version:0&to=position:2": [1],
    "from=version:3&to=version:2": [],
    "from=1970-01-01&to=2024-03-01": [],
    "from=2024-03-04": [4],
}


@pytest.fixture
async def auditor(client: Client, database_url: str) -> Client:
    return await auditor_of(client, database_url)


@pytest.fixture
async def four_days(client: Client, database: Database) -> None:
    """Four events of a customer, the two in the middle on 3 March, behind one of somebody else."""
    await client.create("id=cus_0")
    await client.create(f"id={ID}")
    for number in range(3):
        await client.update(ID, f"balance={number + 1}")
    await database.execute("ALTER TABLE event_store.events DISABLE TRIGGER USER")
    times = {1: "2024-03-02T00:00:00Z", **DAYS, 5: "2024-03-04T00:00:00Z"}
    for position, time in times.items():
        await database.execute(
            "UPDATE event_store.events SET recorded_at = $2 WHERE position = $1",
            position,
            datetime.fromisoformat(time),
        )


@pytest.mark.usefixtures("four_days")
async def test_a_part_of_a_history_begins_and_ends_with_what_is_named(auditor: Client) -> None:
    for part, versions in PARTS.items():
        answer = await history(auditor, ID, part)
        assert [entry["version"] for entry in answer.json["data"]] == versions, part
        assert answer.json["has_more"] is False


@pytest.mark.usefixtures("four_days")
async def test_a_part_of_a_history_is_paged_in_both_directions(auditor: Client) -> None:
    for part, versions in PARTS.items():
        found: list[int] = []
        more = ""
        while True:
            page = (await history(auditor, ID, f"{part}&limit=1{more}")).json
            assert page["data"] or not more, part
            found += [entry["version"] for entry in page["data"]]
            if not page["has_more"]:
                break
            more = f"&starting_after=version:{found[-1]}"
        assert found == versions, part
        back: list[int] = []
        more = "&ending_before=version:4"
        while True:
            page = (await history(auditor, ID, f"{part}&limit=1{more}")).json
            assert page["data"] or not back, part
            back += [entry["version"] for entry in page["data"]]
            if not page["has_more"]:
                break
            more = f"&ending_before=version:{back[-1]}"
        assert back == [version for version in reversed(versions) if version < 4], part


@pytest.mark.usefixtures("four_days")
@pytest.mark.parametrize(
    ("part", "param", "message"),
    [
        ("from=version:9", "from", "cus_1 has no version 9; its newest is 4"),
        ("to=version:9", "to", "cus_1 has no version 9; its newest is 4"),
        ("from=position:6", "from", "there is no position 6 yet; the newest is 5"),
        ("to=2999-01-01", "to", "it lies in the future"),
        ("from=March", "from", "March; must be unix seconds"),
    ],
)
async def test_a_part_that_is_none_is_refused(
    auditor: Client, part: str, param: str, message: str
) -> None:
    refused = await history(auditor, ID, part)
    assert (refused.status, refused.error["param"]) == (400, param)
    assert refused.error["message"].startswith(f"Invalid {param}: {message}")
