from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from http import HTTPMethod

import pytest
from tests.support.gateways import ACCOUNT, CUSTOMERS, KEY, Client, Gateway, store_key

from chaching.domain.ids import AccountId, CustomerId
from chaching.envelope import StreamKey

SEED_ID = "cus_123456789"
SEED_CREATE = (
    "name=Jane Doe&email=jane.doe@example.com&phone=+123456789&description=Premium plan customer"
)
SEED_UPDATE = (
    "name=Jane Doe Updated&email=jane.updated@example.com&phone=+1987654321"
    "&metadata[plan]=premium&address[line1]=123 Updated St&address[city]=New York"
    "&address[country]=US&shipping[name]=Jane Doe&shipping[address][line1]=123 Updated St"
    "&shipping[address][city]=New York"
)
CURL_HEADERS = {"Authorization": "Basic " + base64.b64encode(f"{KEY}:".encode()).decode()}
KEYS_OF_A_NEW_CUSTOMER = [
    "id",
    "object",
    "address",
    "balance",
    "created",
    "currency",
    "default_source",
    "delinquent",
    "description",
    "discount",
    "email",
    "invoice_prefix",
    "invoice_settings",
    "livemode",
    "metadata",
    "name",
    "next_invoice_sequence",
    "phone",
    "preferred_locales",
    "shipping",
    "tax_exempt",
    "test_clock",
]
NO_ADDRESS = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))


def stream(customer_id: str, *, livemode: bool = False) -> StreamKey:
    return StreamKey(AccountId(ACCOUNT), livemode, CustomerId(customer_id))


async def customer(client: Client, form: str = "") -> str:
    created = await client.create(form)
    assert created.status == 200, created
    customer_id: str = created.json["id"]
    return customer_id


# --- The seed's four calls ----------------------------------------------------------------------


async def test_the_seeds_create_gives_the_seeds_answer(client: Client) -> None:
    before_s = int(time.time())
    curl = client.having(None)
    answer = await curl.send(HTTPMethod.POST, CUSTOMERS, SEED_CREATE, headers=CURL_HEADERS)
    assert answer.status == 200
    found = answer.json
    assert list(found) == KEYS_OF_A_NEW_CUSTOMER
    assert re.fullmatch("cus_[0-9A-Za-z]{14}", found.pop("id"))
    assert re.fullmatch("[A-Z0-9]{8}", found.pop("invoice_prefix"))
    assert before_s <= found.pop("created") <= time.time()
    assert found == {
        "object": "customer",
        "address": None,
        "balance": 0,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": "Premium plan customer",
        "discount": None,
        "email": "jane.doe@example.com",
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": "Jane Doe",
        "next_invoice_sequence": 1,
        "phone": "+123456789",
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


async def test_the_seeds_update_retrieve_and_delete_give_the_seeds_answers(client: Client) -> None:
    created = await client.create(f"id={SEED_ID}&{SEED_CREATE}")
    url = f"{CUSTOMERS}/{SEED_ID}"
    curl = client.having(None)

    updated = await curl.send(HTTPMethod.POST, url, SEED_UPDATE, headers=CURL_HEADERS)
    assert updated.status == 200
    found = updated.json
    assert list(found) == [*KEYS_OF_A_NEW_CUSTOMER, "updated"]
    assert created.json["created"] <= found["updated"] <= time.time()
    expected = {
        "name": "Jane Doe Updated",
        "email": "jane.updated@example.com",
        "phone": "+1987654321",
        "metadata": {"plan": "premium"},
        "address": {**NO_ADDRESS, "city": "New York", "country": "US", "line1": "123 Updated St"},
        "shipping": {
            "address": {**NO_ADDRESS, "city": "New York", "line1": "123 Updated St"},
            "name": "Jane Doe",
            "phone": None,
        },
        "updated": found["updated"],
    }
    assert found == {**created.json, **expected}
    assert list(found["address"]) == sorted(found["address"])
    assert list(found["shipping"]) == ["address", "name", "phone"]

    retrieved = await curl.send(HTTPMethod.GET, url, headers=CURL_HEADERS)
    assert (retrieved.status, retrieved.body) == (200, updated.body)

    deleted = await curl.send(HTTPMethod.DELETE, url, headers=CURL_HEADERS)
    stub = {"id": SEED_ID, "object": "customer", "deleted": True}
    assert (deleted.status, list(deleted.json.items())) == (200, list(stub.items()))
    again = await curl.send(HTTPMethod.GET, url, headers=CURL_HEADERS)
    assert (again.status, again.body) == (200, deleted.body)


@pytest.mark.parametrize(
    ("form", "phone"),
    [
        ("phone=+1987", "+1987"),
        ("phone=%2B1987", "+1987"),
        ("phone=+1+987", "+1 987"),
        ("phone=++1987", "1987"),
        ("phone=%201987", "1987"),
        ("phone=0049+30", "0049 30"),
    ],
)
async def test_a_phone_keeps_the_plus_that_it_begins_with(
    client: Client, form: str, phone: str
) -> None:
    created = await client.create(
        f"{form}&shipping[name]=J&shipping[address][city]=X&shipping[{form.replace('=', ']=', 1)}"
    )
    assert created.json["phone"] == phone
    assert created.json["shipping"]["phone"].strip() == phone


async def test_a_plus_elsewhere_is_a_space(client: Client) -> None:
    created = await client.create("name=+1+Jane&description=+1")
    assert (created.json["name"], created.json["description"]) == ("1 Jane", " 1")


# --- Updates ------------------------------------------------------------------------------------


async def test_metadata_is_merged_unset_and_cleared(client: Client) -> None:
    customer_id = await customer(client, "metadata[a]=1&metadata[b]=2")
    merged = await client.update(customer_id, "metadata[b]=3&metadata[c]=4")
    assert merged.json["metadata"] == {"a": "1", "b": "3", "c": "4"}
    unset = await client.update(customer_id, "metadata[a]=")
    assert unset.json["metadata"] == {"b": "3", "c": "4"}
    cleared = await client.update(customer_id, "metadata=")
    assert cleared.json["metadata"] == {}


async def test_addresses_are_merged_leaf_by_leaf_and_unset_as_a_whole(client: Client) -> None:
    customer_id = await customer(client, "address[line1]=A&address[country]=us")
    merged = await client.update(customer_id, "address[city]=B&address[line1]=")
    assert merged.json["address"] == {**NO_ADDRESS, "city": "B", "country": "US"}
    unset = await client.update(customer_id, "address=")
    assert unset.json["address"] is None


async def test_values_that_can_be_unset_become_null_again(client: Client) -> None:
    texts = ("name", "phone", "email", "description")
    customer_id = await customer(
        client,
        "name=Jane&phone=1&email=j@x.io&description=d&preferred_locales[]=fr&tax_exempt=exempt"
        "&shipping[name]=J&shipping[address][city]=X&invoice_settings[footer]=f",
    )
    form = "&".join(f"{name}=" for name in (*texts, "preferred_locales", "tax_exempt", "shipping"))
    unset = await client.update(customer_id, f"{form}&invoice_settings[footer]=")
    assert [unset.json[name] for name in texts] == [None] * 4
    assert unset.json["preferred_locales"] == []
    assert unset.json["tax_exempt"] == "none"
    assert unset.json["shipping"] is None
    assert unset.json["invoice_settings"]["footer"] is None


async def test_an_update_that_changes_nothing_appends_no_event(gateway: Gateway) -> None:
    client = gateway.client
    created = await client.create(f"id={SEED_ID}&{SEED_CREATE}&metadata[a]=1&address[city]=X")
    head = await gateway.store.head()
    same = await client.update(SEED_ID, f"{SEED_CREATE}&metadata[a]=1&address[city]=X")
    assert (same.status, same.body) == (200, created.body)
    empty = await client.update(SEED_ID, "")
    assert (empty.status, empty.body) == (200, created.body)
    assert await gateway.store.head() == head


# --- JSON ---------------------------------------------------------------------------------------


async def test_a_json_body_says_the_same_as_a_form(client: Client) -> None:
    form = await client.create(
        "name=Jane&balance=-5&metadata[a]=1&preferred_locales[]=fr&address[city]=X&email="
    )
    as_json = await client.send(
        HTTPMethod.POST,
        CUSTOMERS,
        json.dumps(
            {
                "name": "Jane",
                "balance": -5,
                "metadata": {"a": "1"},
                "preferred_locales": ["fr"],
                "address": {"city": "X"},
                "email": None,
            }
        ),
        content_type="application/json; charset=utf-8",
    )
    own = ("id", "invoice_prefix", "created")
    assert {k: v for k, v in as_json.json.items() if k not in own} == {
        k: v for k, v in form.json.items() if k not in own
    }


async def test_an_empty_json_object_clears_metadata(client: Client) -> None:
    customer_id = await customer(client, "metadata[a]=1")
    cleared = await client.send(
        HTTPMethod.POST,
        f"{CUSTOMERS}/{customer_id}",
        b'{"metadata": {}}',
        content_type="application/json",
    )
    assert cleared.json["metadata"] == {}


async def test_text_of_every_script_comes_back_as_it_was_given(client: Client) -> None:
    text = 'Zoë 李 \N{PARTY POPPER} "quoted" \\ </script> \u2028'
    created = await client.send(
        HTTPMethod.POST,
        CUSTOMERS,
        json.dumps({"description": text}),
        content_type="application/json",
    )
    assert created.json["description"] == text
    assert (await client.retrieve(created.json["id"])).body == created.body


# --- The order of checks ------------------------------------------------------------------------


def of_a_malformed_body(_customer_id: str) -> tuple[str, str, str | None]:
    return CUSTOMERS, "wat=1&email=5&name=%zz", None


def of_a_missing_key(_customer_id: str) -> tuple[str, str, str | None]:
    return CUSTOMERS, "wat=1&email=5", None


def of_unknown_names(_customer_id: str) -> tuple[str, str, str | None]:
    return CUSTOMERS, "email=5&wat=1&address[planet]=x", KEY


def of_the_first_bad_value(_customer_id: str) -> tuple[str, str, str | None]:
    return f"{CUSTOMERS}/cus_nobody", "balance=abc&email=5", KEY


def of_a_missing_customer(_customer_id: str) -> tuple[str, str, str | None]:
    return f"{CUSTOMERS}/cus_nobody", "shipping[phone]=1", KEY


def of_a_rule(customer_id: str) -> tuple[str, str, str | None]:
    return f"{CUSTOMERS}/{customer_id}", "shipping[phone]=1", KEY


@pytest.mark.parametrize(
    ("request_of", "status", "told"),
    [
        (of_a_malformed_body, 400, "Invalid percent-encoding in parameter: name"),
        (of_a_missing_key, 401, "You did not provide an API key"),
        (of_unknown_names, 400, "Received unknown parameters: wat, address[planet]"),
        (of_the_first_bad_value, 400, "Invalid email address: 5"),
        (of_a_missing_customer, 404, "No such customer: 'cus_nobody'"),
        (of_a_rule, 400, "Missing required param: shipping[name]."),
    ],
)
async def test_of_two_faults_the_earlier_one_is_told(
    gateway: Gateway,
    request_of: Callable[[str], tuple[str, str, str | None]],
    status: int,
    told: str,
) -> None:
    path, form, key = request_of(await customer(gateway.client))
    head = await gateway.store.head()
    refused = await gateway.client.having(key).send(HTTPMethod.POST, path, form)
    assert refused.status == status
    assert refused.error["message"].startswith(told)
    assert await gateway.store.head() == head


@pytest.mark.parametrize(
    ("form", "param", "reason"),
    [
        ("name=New&wat=1", "wat", "parameter_unknown"),
        ("name=New&email=5", "email", "email_invalid"),
        ("name=New&balance=abc", "balance", "parameter_invalid_integer"),
        ("name=New&shipping[phone]=1", "shipping[name]", "parameter_missing"),
        ("name=New&" + "&".join(f"metadata[{n}]=v" for n in range(51)), "metadata", None),
        (
            "name=New&invoice_settings[default_payment_method]=pm_none",
            "invoice_settings[default_payment_method]",
            None,
        ),
        ("name=New&invoice_prefix=HELD", "invoice_prefix", None),
        ("name=New&id=cus_other", "id", "parameter_unknown"),
        ("name=New&expand[]=nothing", "expand[0]", None),
        ("name=New&name=Newer", "name", None),
    ],
)
async def test_a_refused_update_changes_nothing(
    gateway: Gateway, form: str, param: str, reason: str | None
) -> None:
    client = gateway.client
    await customer(client, "invoice_prefix=HELD")
    created = await client.create(SEED_CREATE)
    head = await gateway.store.head()
    refused = await client.update(created.json["id"], form)
    assert refused.status == 400
    assert (refused.error.get("param"), refused.error.get("reason")) == (param, reason)
    assert await gateway.store.head() == head
    assert (await client.retrieve(created.json["id"])).body == created.body


# --- Ids, prefixes, modes -----------------------------------------------------------------------


async def test_an_id_that_was_ever_used_is_refused(client: Client) -> None:
    await customer(client, f"id={SEED_ID}")
    for _ in range(2):
        again = await client.create(f"id={SEED_ID}")
        assert again.status == 400
        assert again.error["code"] == "resource_already_exists"
        assert again.error["param"] == "id"
        await client.delete(SEED_ID)


async def test_a_taken_invoice_prefix_names_its_holder_also_when_it_is_deleted(
    client: Client,
) -> None:
    holder = await customer(client, "invoice_prefix=ACME")
    await client.delete(holder)
    refused = await client.create("invoice_prefix=ACME")
    assert refused.status == 400
    assert refused.error["message"] == (
        f"This invoice number prefix is taken by customer: {holder}. "
        "Please enter a different prefix."
    )
    assert refused.error["param"] == "invoice_prefix"


async def test_a_customer_may_come_back_to_a_prefix_of_its_own(client: Client) -> None:
    customer_id = await customer(client, "invoice_prefix=ACME")
    other = await client.update(customer_id, "invoice_prefix=OTHER")
    assert other.json["invoice_prefix"] == "OTHER"
    back = await client.update(customer_id, "invoice_prefix=ACME")
    assert (back.status, back.json["invoice_prefix"]) == (200, "ACME")


async def test_a_live_key_makes_live_customers_beside_those_of_test_mode(
    gateway: Gateway, database_url: str
) -> None:
    live = gateway.client.having(await store_key(database_url, "sk_live_1234567890"))
    await customer(gateway.client, f"id={SEED_ID}&invoice_prefix=SAME&name=Test")
    made = await live.create("invoice_prefix=SAME&name=Live")
    assert (made.status, made.json["livemode"]) == (200, True)
    assert (await live.retrieve(SEED_ID)).status == 404
    assert (await live.create("id=cus_1")).error["message"] == "Received unknown parameter: id"


async def test_a_deleted_customer_refuses_updates_and_another_delete(gateway: Gateway) -> None:
    client = gateway.client
    customer_id = await customer(client)
    await client.delete(customer_id)
    head = await gateway.store.head()
    for refused in (await client.update(customer_id, "name=J"), await client.delete(customer_id)):
        assert refused.status == 404
        assert refused.error == {
            "code": "resource_missing",
            "doc_url": f"{client.url}/docs/errors#resource_missing",
            "message": f"No such customer: '{customer_id}'",
            "param": "id",
            "type": "invalid_request_error",
        }
    assert await gateway.store.head() == head
