"""An erased customer: who may erase, what is answered from then on, and what stays in the log."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from http import HTTPMethod

import msgspec
import pytest
from tests.api.auditing import as_of, auditor_of, diff, entries
from tests.api.listing import listed
from tests.api.searching import LAG, found, ids, search
from tests.support.gateways import ACCOUNT, CUSTOMERS, Answer, Client, gateway_on, store_key
from tests.support.openapi import undocumented
from tests.support.read_model import assert_read_model_is_the_fold
from tests.support.searchable import Projector, assert_entries_are_of_the_rows, projecting

from chaching.domain.customer import CustomerErased
from chaching.domain.delta import Patch
from chaching.domain.ids import AccountId, CustomerId
from chaching.envelope import RecordedEvent, StreamKey, decode_event, decode_metadata
from chaching.eventstore.database import Database
from chaching.eventstore.erasing import NOT_ERASABLE
from chaching.eventstore.store import EventStore
from chaching_api.reads import lists, past_lists
from chaching_api.reads import search as searches

ID = "cus_1"
KEY = StreamKey(AccountId(ACCOUNT), False, CustomerId(ID))
STUB = {"id": ID, "object": "customer", "deleted": True, "erased": True}
ERASER = "sk_test_eraser"
ERASING = "rk_test_erasing"
ORDINARY = "sk_test_ordinary"
OTHER_ACCOUNTS = "sk_test_otheraccount"
LIVE = "sk_live_eraser"
UPDATES = 30


@pytest.fixture
async def eraser(client: Client, database_url: str) -> Client:
    """A client whose secret key was given the right to erase."""
    rights = ("customers:read", "customers:write", "erase")
    return client.having(await store_key(database_url, ERASER, rights=rights))


async def erase(client: Client, customer_id: str = ID, form: str = "", **headers: str) -> Answer:
    path = f"{CUSTOMERS}/{customer_id}/erase"
    return await client.send(HTTPMethod.POST, path, form, headers=headers)


async def history(store: EventStore) -> list[RecordedEvent]:
    return await store.read_stream(KEY)


async def data_key(database: Database) -> tuple[bytes, bool]:
    """Return what is stored as the customer's data key, and whether it counts as erased."""
    [row] = await database.fetch(
        "SELECT wrapped, erased_position IS NOT NULL FROM event_store.data_keys WHERE stream = $1",
        ID,
    )
    return row[0], row[1]


async def test_an_erased_customer_is_deleted_and_every_answer_is_the_stub(eraser: Client) -> None:
    await eraser.create(f"id={ID}&name=Jane&email=jane@example.com")
    erased = await erase(eraser)
    assert (erased.status, erased.json) == (200, STUB)
    assert (await eraser.retrieve(ID)).json == STUB
    expanded = await eraser.send(HTTPMethod.GET, f"{CUSTOMERS}/{ID}?expand[]=tax_ids")
    assert expanded.json == STUB
    for answer in (await eraser.update(ID, "name=June"), await eraser.delete(ID)):
        assert (answer.status, answer.error["code"]) == (404, "resource_missing")
    listed = await eraser.send(HTTPMethod.GET, CUSTOMERS)
    assert listed.json["data"] == []
    assert (await eraser.create(f"id={ID}")).error["code"] == "resource_already_exists"


async def test_a_deleted_customer_can_be_erased(eraser: Client) -> None:
    await eraser.create(f"id={ID}&name=Jane")
    await eraser.delete(ID)
    assert "erased" not in (await eraser.retrieve(ID)).json
    assert (await erase(eraser)).json == STUB
    assert (await eraser.retrieve(ID)).json == STUB


async def test_a_second_erasure_answers_the_same_and_leaves_no_event(
    eraser: Client, store: EventStore
) -> None:
    await eraser.create(f"id={ID}&name=Jane")
    first, second = await erase(eraser), await erase(eraser)
    assert (first.status, first.body) == (second.status, second.body)
    assert [event.type for event in await history(store)] == ["CustomerCreated", "CustomerErased"]


async def test_the_history_still_lists_who_when_and_what_kind_of_change(
    eraser: Client, store: EventStore
) -> None:
    await eraser.create(f"id={ID}&name=Jane&balance=5&description=secret")
    await eraser.update(ID, "email=jane@example.com&metadata[pet]=cat&balance=7")
    before = await history(store)
    await erase(eraser, form="reason=request")
    after = await history(store)
    assert [event.version for event in after] == [1, 2, 3]
    assert [e.event_id for e in after[:2]] == [e.event_id for e in before]
    assert [e.recorded_at for e in after[:2]] == [e.recorded_at for e in before]
    for event in after:
        assert decode_metadata(event).actor == "the secret key of a test"
    created, updated, erased = [decode_event(event) for event in after]
    assert msgspec.to_builtins(created)["commercial"]["balance"] == 5
    assert "personal" not in msgspec.to_builtins(created)
    blank: Patch = {"email": None, "metadata": {}}
    assert msgspec.to_builtins(updated)["personal"] == {"changes": blank, "previous": blank}
    assert msgspec.to_builtins(updated)["commercial"]["changes"] == {"balance": 7}
    assert isinstance(erased, CustomerErased)
    assert erased.reason == "request"


async def test_looking_back_at_an_erased_customer_shows_what_happened_without_values(
    eraser: Client, database_url: str
) -> None:
    await eraser.create(f"id={ID}&name=Jane&balance=5")
    await eraser.update(ID, "email=jane@example.com&metadata[pet]=cat&balance=7")
    await erase(eraser, form="reason=request")
    auditor = await auditor_of(eraser, database_url)
    created, updated, erased = await entries(auditor, ID)
    assert [entry["erased"] for entry in (created, updated, erased)] == [True] * 3
    assert "name" not in [change["attribute"] for change in created["changes"]]
    assert updated["changes"] == [
        {"attribute": "balance", "old": 5, "new": 7},
        {"attribute": "email", "old": None, "new": None},
        {"attribute": "metadata", "old": None, "new": None},
    ]
    assert erased["changes"] == [{"attribute": "erased", "old": None, "new": True}]
    assert (erased["type"], erased["why"]["reason"]) == ("customer.erased", "request")
    assert erased["why"]["erasure_reason"] == "request"
    assert "erasure_reason" not in created["why"]
    told = await as_of(auditor, ID, "version:2")
    then = told.json
    assert told.headers["Chaching-Erased"] == "true"
    assert (then["name"], then["email"], then["metadata"], then["balance"]) == (None, None, {}, 7)
    assert (await as_of(auditor, ID, "version:3")).json == STUB
    between = (await diff(auditor, ID, "from=version:2&to=version:3")).json
    assert (between["changes"], between["erased"]) == (erased["changes"], True)
    other = (await eraser.create("name=June")).json["id"]
    assert "Chaching-Erased" not in (await as_of(auditor, other, "version:1")).headers
    assert "erased" not in (await diff(auditor, other, "from=version:0")).json


async def test_a_list_of_the_past_names_who_was_erased_since(
    eraser: Client, database_url: str
) -> None:
    for name in ("cus_a", "cus_b", "cus_c", "cus_d"):
        await eraser.create(f"id={name}&name=Jane")
    await eraser.delete("cus_d")
    for name in ("cus_a", "cus_c", "cus_d"):
        assert (await erase(eraser, name)).status == 200
    auditor = await auditor_of(eraser, database_url)
    for query, erased in (
        ("as_of=position:4", "cus_d,cus_c,cus_a"),
        ("as_of=position:5", "cus_c,cus_a"),
        ("as_of=position:4&ending_before=cus_b&limit=1", "cus_c"),
        ("as_of=position:4&starting_after=cus_c&limit=1", None),
        ("as_of=position:8", None),
    ):
        told = await listed(auditor, query)
        assert told.headers.get("Chaching-Erased") == erased, query
        assert undocumented("GET", CUSTOMERS, told) == []


async def test_a_list_of_the_past_ends_before_the_erased_are_too_many_to_name(
    eraser: Client, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past_lists, "ERASED_NAMED_MAX_CHARACTERS", len("cus_a,cus_b,"))
    for name in ("cus_a", "cus_b", "cus_c", "cus_d"):
        await eraser.create(f"id={name}&name=Jane")
    for name in ("cus_a", "cus_b", "cus_d"):
        assert (await erase(eraser, name)).status == 200
    auditor = await auditor_of(eraser, database_url)
    first = await listed(auditor, "as_of=position:4")
    assert [customer["id"] for customer in first.json["data"]] == ["cus_d", "cus_c", "cus_b"]
    assert (first.headers["Chaching-Erased"], first.json["has_more"]) == ("cus_d,cus_b", True)
    rest = await listed(auditor, "as_of=position:4&starting_after=cus_b")
    assert [customer["id"] for customer in rest.json["data"]] == ["cus_a"]
    assert (rest.headers["Chaching-Erased"], rest.json["has_more"]) == ("cus_a", False)
    monkeypatch.setattr(past_lists, "ERASED_NAMED_MAX_CHARACTERS", len("cus_b,"))
    before = await listed(auditor, "as_of=position:4&ending_before=cus_a")
    assert [customer["id"] for customer in before.json["data"]] == ["cus_c", "cus_b"]
    assert (before.headers["Chaching-Erased"], before.json["has_more"]) == ("cus_b", True)


async def test_the_history_shows_both_reasons_of_an_erasure(
    eraser: Client, database_url: str
) -> None:
    await eraser.create(f"id={ID}&name=Jane")
    assert (
        await erase(eraser, form="reason=objection", **{"Chaching-Reason": "#17"})
    ).status == 200
    [_, erased] = await entries(await auditor_of(eraser, database_url), ID)
    why = erased["why"]
    assert (why["erasure_reason"], why["reason"]) == ("objection", "#17")


async def test_the_data_key_is_destroyed_with_the_event_and_stays_so(
    eraser: Client, database: Database
) -> None:
    await eraser.create(f"id={ID}&name=Jane")
    wrapped, is_erased = await data_key(database)
    assert (len(wrapped), is_erased) == (64, False)
    await erase(eraser)
    assert await data_key(database) == (b"", True)
    for change in (
        "UPDATE event_store.data_keys SET wrapped = $1, erased_position = NULL",
        "DELETE FROM event_store.data_keys WHERE wrapped <> $1",
    ):
        with pytest.raises(Exception, match="only wrapped anew or destroyed"):
            await database.execute(change, wrapped)


async def test_a_request_repeated_with_its_key_is_answered_with_the_stub(eraser: Client) -> None:
    asked = {"Idempotency-Key": "a-create"}
    form = f"id={ID}&name=Jane&expand[]=tax_ids"
    first = await eraser.send(HTTPMethod.POST, CUSTOMERS, form, headers=asked)
    repeated = await eraser.send(HTTPMethod.POST, CUSTOMERS, form, headers=asked)
    assert first.body == repeated.body
    await erase(eraser)
    again = await eraser.send(HTTPMethod.POST, CUSTOMERS, form, headers=asked)
    assert (again.status, again.json) == (200, STUB)
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    other = await eraser.send(HTTPMethod.POST, CUSTOMERS, "name=June", headers=asked)
    assert other.error["type"] == "idempotency_error"


async def test_an_erasure_is_repeated_with_its_key(eraser: Client, store: EventStore) -> None:
    await eraser.create(f"id={ID}&name=Jane")
    key = {"Idempotency-Key": "an-erasure"}
    first = await erase(eraser, **key)
    again = await erase(eraser, **key)
    assert first.body == again.body
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    nothing = await erase(eraser, **{"Idempotency-Key": "another"})
    repeated = await erase(eraser, **{"Idempotency-Key": "another"})
    assert repeated.headers["Original-Request"] == nothing.headers["Request-Id"]
    assert repeated.json == STUB
    assert len(await history(store)) == 2


async def test_only_a_key_with_the_right_erases(
    client: Client, database_url: str, store: EventStore
) -> None:
    await client.create(f"id={ID}&name=Jane")
    for key, rights in (
        (ORDINARY, ("customers:read", "customers:write", "events:read")),
        (ERASING, ("erase",)),
    ):
        await store_key(database_url, key, rights=rights)
    refused = await erase(client.having(ORDINARY))
    assert (refused.status, refused.error["code"]) == (403, "more_permissions_required")
    assert "'erase'" in refused.error["message"]
    assert len(await history(store)) == 1
    assert (await client.having(ERASING).retrieve(ID)).status == 403
    assert (await erase(client.having(ERASING))).json == STUB


async def test_another_account_and_another_mode_find_nobody_to_erase(
    client: Client, database_url: str, store: EventStore
) -> None:
    await client.create(f"id={ID}&name=Jane")
    await store_key(database_url, OTHER_ACCOUNTS, account="acct_other", rights=("*",))
    await store_key(database_url, LIVE, rights=("*",))
    for key in (OTHER_ACCOUNTS, LIVE):
        answer = await erase(client.having(key))
        assert (answer.status, answer.error["code"]) == (404, "resource_missing")
    assert len(await history(store)) == 1
    assert (await client.retrieve(ID)).json["name"] == "Jane"


@pytest.mark.parametrize(
    ("form", "param"), [("reason=because", "reason"), ("reason=", "reason"), ("name=J", "name")]
)
async def test_a_reason_is_one_of_a_list(eraser: Client, form: str, param: str) -> None:
    await eraser.create(f"id={ID}&name=Jane")
    answer = await erase(eraser, form=form)
    assert (answer.status, answer.error["param"]) == (400, param)
    assert (await eraser.retrieve(ID)).json["name"] == "Jane"


async def test_a_customer_with_values_from_before_they_were_encrypted_is_not_said_to_be_erased(
    eraser: Client, database: Database, store: EventStore
) -> None:
    await eraser.create(f"id={ID}&name=Jane")
    await store_plainly(database, name="Jane")
    assert (await eraser.retrieve(ID)).json["name"] == "Jane"
    refused = await erase(eraser)
    assert (refused.status, refused.error["code"]) == (409, "invalid_request")
    assert refused.error["message"] == NOT_ERASABLE
    assert len(await history(store)) == 1


async def test_such_a_customer_is_cleared_and_deleted_instead_as_the_refusal_says(
    eraser: Client, database: Database, projector: Projector
) -> None:
    await eraser.create(f"id={ID}&name=Jane")
    await store_plainly(database, name="Jane")
    assert "Clear its personal attributes with an update and delete it" in NOT_ERASABLE
    assert (await eraser.update(ID, "name=")).json["name"] is None
    assert (await eraser.delete(ID)).status == 200
    await projector.project()
    rows = [row[0] for row in await database.fetch("SELECT c::text FROM read_model.customers AS c")]
    [second] = await database.fetch(
        "SELECT payload::text, state::text FROM event_store.events WHERE version = 2"
    )
    assert not any("Jane" in text for text in (*rows, *second))
    assert await database.fetch("SELECT FROM read_model.search_entries") == []
    assert (await erase(eraser)).status == 409


async def store_plainly(database: Database, *, name: str) -> None:
    """Let the first event stand in the log as a version before encryption wrote it."""
    await database.execute("ALTER TABLE event_store.events DISABLE TRIGGER ALL")
    await database.execute(
        "UPDATE event_store.events SET payload = regexp_replace(payload::text, "
        """'"personal":"[^"]*"', '"personal":{"name":"' || $1 || '"}')::json""",
        name,
    )


async def test_updates_and_an_erasure_on_two_gateways_leave_no_value_behind(
    eraser: Client, database_url: str, store: EventStore, database: Database
) -> None:
    """Whoever loses the race is decided again: no event comes after the erasure."""
    await eraser.create(f"id={ID}&name=Jane")
    async with AsyncExitStack() as stack:
        second = await stack.enter_async_context(gateway_on(database_url))
        clients = (eraser, second.client.having(ERASER))
        updates = [
            asyncio.create_task(clients[n % 2].update(ID, f"metadata[k{n}]=v{n}"))
            for n in range(UPDATES)
        ]
        await asyncio.sleep(0)
        erasures = await asyncio.gather(*(erase(client) for client in clients))
        answers = await asyncio.gather(*updates)
    assert [answer.json for answer in erasures] == [STUB, STUB]
    assert {answer.status for answer in answers} <= {200, 404}
    events = await history(store)
    assert events[-1].type == "CustomerErased"
    assert [event.type for event in events].count("CustomerErased") == 1
    assert len(events) == 2 + sum(answer.status == 200 for answer in answers)
    assert await data_key(database) == (b"", True)


async def test_the_read_model_and_the_entries_keep_nothing(
    eraser: Client, database: Database, projector: Projector
) -> None:
    await eraser.create(f"id={ID}&name=Jane&email=jane@example.com&metadata[pet]=cat")
    await projector.project_rows()
    await projector.entries.catch_up()
    await erase(eraser, form="reason=objection")
    await projector.project_rows()
    await projector.entries.catch_up()
    [row] = await database.fetch("SELECT c::text FROM read_model.customers AS c")
    assert not any(value in row[0] for value in ("Jane", "jane@", "cat"))
    assert '"erased":true' in row[0].replace('""', '"')
    assert await database.fetch("SELECT FROM read_model.search_entries") == []
    assert (await eraser.retrieve(ID)).json == STUB


async def test_a_search_that_is_behind_does_not_show_who_was_erased(
    eraser: Client, projector: Projector
) -> None:
    for number in range(4):
        await eraser.create(f"id=cus_{number}&name=Jane")
    await projector.project()
    assert await found(eraser, "name:'Jane'") == ["3", "2", "1", "0"]
    await erase(eraser, "cus_2")
    behind = await search(eraser, "name:'Jane'", limit=2)
    assert (ids(behind), behind.json["has_more"]) == (["3"], True)
    assert behind.headers[LAG] == "1"
    assert await found(eraser, "name:'Jane'", page=behind.json["next_page"]) == ["1", "0"]
    assert await found(eraser, "name:'Jane'", expand="data.tax_ids") == ["3", "1", "0"]
    await projector.project_rows()
    assert await found(eraser, "name:'Jane'") == ["3", "1", "0"]
    await projector.project()
    assert await found(eraser, "name:'Jane'") == ["3", "1", "0"]


async def test_a_page_of_a_search_is_not_empty_while_others_follow_who_were_not_erased(
    eraser: Client, projector: Projector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searches, "PASSED_OVER_AT_ONCE_CUSTOMERS", 2)
    for number in range(8):
        await eraser.create(f"id=cus_{number}&name=Jane")
    await projector.project()
    for number in (7, 6, 5, 3, 0):
        await erase(eraser, f"cus_{number}")
    first = await search(eraser, "name:'Jane'", limit=1)
    assert (ids(first), first.json["has_more"]) == (["4"], True)
    second = await search(eraser, "name:'Jane'", limit=1, page=first.json["next_page"])
    assert (ids(second), second.json["has_more"]) == (["2"], True)
    third = await search(eraser, "name:'Jane'", limit=1, page=second.json["next_page"])
    assert (ids(third), third.json["has_more"]) == (["1"], True)
    last = await search(eraser, "name:'Jane'", limit=1, page=third.json["next_page"])
    assert (ids(last), last.json["has_more"]) == ([], False)


async def test_a_list_that_is_too_far_behind_does_not_show_who_was_erased(
    eraser: Client, projector: Projector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "TAIL_MAX_EVENTS", 1)
    for number in range(3):
        await eraser.create(f"id=cus_{number}&name=Jane&email=jane@example.com")
    await projector.project()
    await erase(eraser, "cus_1")
    await eraser.update("cus_0", "name=June")
    await eraser.update("cus_0", "name=Joan")
    for query in ("", "?email=jane@example.com", "?limit=2"):
        answer = await eraser.send(HTTPMethod.GET, f"{CUSTOMERS}{query}")
        assert ids(answer) == ["2", "0"], query
        assert answer.headers[LAG] == "2"


async def test_a_list_does_not_show_who_was_erased_and_is_parked_beyond_what_the_tail_decodes(
    eraser: Client, database: Database, projector: Projector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "TAIL_MAX_BYTES", 1)
    for number in range(3):
        await eraser.create(f"id=cus_{number}&name=Jane&email=jane@example.com")
    await projector.project()
    await database.execute(
        "INSERT INTO read_model.parked_streams VALUES ($1, false, 'cus_1', 2, 4, 'a test')", ACCOUNT
    )
    await erase(eraser, "cus_1")
    await eraser.update("cus_2", "balance=1")
    await database.execute("UPDATE event_store.checkpoints SET position = 4")
    for query in ("", "?email=jane@example.com", "?limit=2"):
        answer = await eraser.send(HTTPMethod.GET, f"{CUSTOMERS}{query}")
        assert ids(answer) == ["2", "0"], query
        assert answer.headers[LAG] == "1"


async def test_a_read_model_made_anew_from_the_log_has_the_same_rows(
    eraser: Client,
    database: Database,
    database_url: str,
    store: EventStore,
    projector: Projector,
) -> None:
    await eraser.create(f"id={ID}&name=Jane&shipping[name]=J&shipping[address][city]=X")
    await eraser.update(
        ID, "shipping=&tax_id_data[0][type]=eu_vat&tax_id_data[0][value]=DE123456789"
    )
    await eraser.create("id=cus_2&name=June")
    await projector.project()
    await erase(eraser)
    await projector.project()
    live = await all_rows(database)
    await database.execute("DELETE FROM read_model.customers")
    await database.execute("DELETE FROM read_model.search_entries")
    await database.execute("UPDATE event_store.checkpoints SET position = 0")
    async with projecting(database_url, store) as anew:
        await anew.project()
    assert await all_rows(database) == live
    assert await assert_read_model_is_the_fold(database) == 2
    assert await assert_entries_are_of_the_rows(database) == 1


async def all_rows(database: Database) -> list[str]:
    rows = await database.fetch("SELECT c::text FROM read_model.customers AS c ORDER BY id")
    return [row[0] for row in rows]
