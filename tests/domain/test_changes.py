"""What an event changed is told leaf by leaf, and all of it together is the customer."""

from __future__ import annotations

from typing import Any, Final, TypeAlias, cast

import msgspec
import pytest
from hypothesis import given
from tests.domain.strategies import ID, histories

from chaching.domain.changes import Change, changes_between, changes_of
from chaching.domain.customer import (
    CreateCustomer,
    Customer,
    CustomerUpdated,
    DeleteCustomer,
    EraseCustomer,
    Event,
    UpdateCustomer,
    decide,
    evolve,
    fold,
)
from chaching.domain.customer_object import customer_object
from chaching.domain.delta import Delta
from chaching.domain.values import (
    AddressChange,
    CustomField,
    Details,
    InvoiceSettingsChange,
    RenderingOptionsChange,
    ShippingChange,
    TaxChange,
    TaxId,
)

UNTOLD = {"id", "object", "created", "updated", "livemode", "currency", "delinquent", "discount"}
Update: TypeAlias = tuple[Details, Details, dict[str, tuple[object, object]]]
NULL_ADDRESS = dict.fromkeys(["city", "country", "line1", "line2", "postal_code", "state"])


def created(details: Details | None = None) -> Event:
    command = CreateCustomer(
        id=ID, livemode=False, at=1, invoice_prefix="ABC", details=details or Details()
    )
    event = decide(command, None)
    assert event is not None
    return event


def updated(before: Event, details: Details) -> Event:
    event = decide(UpdateCustomer(id=ID, at=2, details=details), evolve(None, before))
    assert event is not None
    return event


def told(event: Event) -> dict[str, tuple[object, object]]:
    return {change.attribute: (change.old, change.new) for change in changes_of(event)}


def new(event: Event) -> dict[str, object]:
    return {name: value for name, (_, value) in told(event).items()}


def leaves(customer: Customer) -> dict[str, Any]:
    """Return what a customer holds by path, as plainly as the object shows it."""
    shown: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(customer_object(customer)))
    found: dict[str, Any] = {}
    for name in shown.keys() - UNTOLD:
        put(found, name, shown[name])
    commercial, personal = customer.commercial, customer.personal
    put(found, "cash_balance.settings.reconciliation_mode", commercial.reconciliation_mode)
    put(found, "tax.validate_location", commercial.validate_location)
    put(found, "tax.ip_address", personal.ip_address)
    for name, values in (
        ("payment_methods", commercial.payment_methods),
        ("sources", commercial.sources),
        ("tax_ids", personal.tax_ids),
    ):
        put(found, name, msgspec.json.decode(msgspec.json.encode(values)))
    if customer.deleted:
        found["deleted"] = True
    return found


def put(found: dict[str, Any], path: str, value: Any) -> None:
    if isinstance(value, dict):
        for name, inner in cast("dict[str, Any]", value).items():
            put(found, f"{path}.{name}", inner)
    elif value is not None and value != []:
        found[path] = value


def laid_on(known: dict[str, Any], changes: list[Change]) -> dict[str, Any]:
    """Return the leaves after changes, each of which must begin where the leaf stands."""
    after = dict(known)
    for change in changes:
        if NULL_ADDRESS in (change.new, change.old):
            continue  # an address without a line has no leaf
        assert (known.get(change.attribute) or None) == (change.old or None), change
        after.pop(change.attribute, None)
        if change.new is not None and change.new != []:
            after[change.attribute] = change.new
    return after


@given(histories)
def test_all_changes_of_a_life_on_top_of_each_other_are_the_customer(events: list[Event]) -> None:
    known: dict[str, Any] = {}
    for number, event in enumerate(events, start=1):
        known = laid_on(known, changes_of(event))
        customer = fold(events[:number])
        assert customer is not None
        assert known == leaves(customer)


@given(histories)
def test_every_event_changes_something_and_tells_it_in_order(events: list[Event]) -> None:
    for event in events:
        names = [change.attribute for change in changes_of(event)]
        assert names
        assert names == sorted(set(names))
        assert all(change.old != change.new for change in changes_of(event))


@given(histories)
def test_the_difference_of_two_moments_leads_from_the_one_to_the_other(events: list[Event]) -> None:
    states = [fold(events[:number]) for number in range(len(events) + 1)]
    for start, before in enumerate(states):
        for after in states[start:]:
            known = {} if before is None else leaves(before)
            changes = changes_between(before, after)
            assert laid_on(known, changes) == ({} if after is None else leaves(after))
            assert (changes == []) == (values(before) == values(after))


def values(customer: Customer | None) -> object:
    if customer is None:
        return None
    return customer.commercial, customer.personal, customer.deleted


@given(histories)
def test_the_difference_that_one_event_makes_is_what_it_changed(events: list[Event]) -> None:
    for number, event in enumerate(events):
        before, after = fold(events[:number]), fold(events[: number + 1])
        assert changes_between(before, after) == changes_of(event)


def test_a_new_customer_tells_every_value_from_null_and_nothing_that_is_empty() -> None:
    plain = created()
    assert told(plain) == {
        "balance": (None, 0),
        "invoice_prefix": (None, "ABC"),
        "next_invoice_sequence": (None, 1),
        "tax_exempt": (None, "none"),
    }
    given_much = Details(
        address=AddressChange(city="Paris"),
        metadata={"plan.a": "pro"},
        preferred_locales=("fr", "en"),
        invoice_settings=InvoiceSettingsChange(
            custom_fields=(CustomField(name="PO", value="1"),),
            rendering_options=RenderingOptionsChange(template="t"),
        ),
        tax=TaxChange(ip_address="192.0.2.1", validate_location="deferred"),
        tax_ids=(TaxId(id="txi_1", type="eu_vat", value="DE1", created=1),),
        reconciliation_mode="manual",
    )
    more = {
        name: value for name, value in new(created(given_much)).items() if name not in told(plain)
    }
    assert more == {
        "address.city": "Paris",
        "cash_balance.settings.reconciliation_mode": "manual",
        "invoice_settings.custom_fields": [{"name": "PO", "value": "1"}],
        "invoice_settings.rendering_options.template": "t",
        "metadata.plan.a": "pro",
        "preferred_locales": ["fr", "en"],
        "tax.ip_address": "192.0.2.1",
        "tax.validate_location": "deferred",
        "tax_ids": [{"id": "txi_1", "type": "eu_vat", "value": "DE1", "created": 1}],
    }


UPDATES: Final[list[Update]] = [
    (Details(name="J"), Details(name="K"), {"name": ("J", "K")}),
    (Details(name="J"), Details(name=None), {"name": ("J", None)}),
    (
        Details(address=AddressChange(city="a", line1="b")),
        Details(address=AddressChange(city="c")),
        {"address.city": ("a", "c")},
    ),
    (
        Details(address=AddressChange(city="a", line1="b")),
        Details(address=None),
        {"address.city": ("a", None), "address.line1": ("b", None)},
    ),
    (
        Details(),
        Details(address=AddressChange(city=None)),
        {"address": (None, NULL_ADDRESS)},
    ),
    (
        Details(address=AddressChange(city=None)),
        Details(address=None),
        {"address": (NULL_ADDRESS, None)},
    ),
    (
        Details(metadata={"a": "1", "b": "2"}),
        Details(metadata={"a": None, "c": "3"}),
        {"metadata.a": ("1", None), "metadata.c": (None, "3")},
    ),
    (
        Details(),
        Details(shipping=ShippingChange(name="J", address=AddressChange(line1="a"))),
        {"shipping.address.line1": (None, "a"), "shipping.name": (None, "J")},
    ),
    (
        Details(preferred_locales=("en",)),
        Details(preferred_locales=()),
        {"preferred_locales": (["en"], [])},
    ),
    (Details(balance=1), Details(balance=0), {"balance": (1, 0)}),
]


@pytest.mark.parametrize(("first", "then", "changed"), UPDATES)
def test_an_update_tells_the_leaves_that_changed_and_no_other(
    first: Details, then: Details, changed: dict[str, object]
) -> None:
    assert told(updated(created(first), then)) == changed


def test_a_deletion_tells_that_and_nothing_of_the_values() -> None:
    first = created(Details(name="J"))
    gone = decide(DeleteCustomer(id=ID, at=2), evolve(None, first))
    assert gone is not None
    assert told(gone) == {"deleted": (None, True)}
    assert changes_between(None, fold([first, gone]))[1] == Change(
        attribute="deleted", old=None, new=True
    )


def test_an_erasure_tells_that_and_what_it_blanked_tells_names_without_values() -> None:
    first = created(Details(balance=1))
    gone = decide(EraseCustomer(id=ID, at=2), evolve(None, first))
    assert gone is not None
    assert told(gone) == {"erased": (None, True)}
    assert changes_between(fold([first]), fold([first, gone])) == changes_of(gone)
    assert changes_between(fold([first, gone]), fold([first, gone])) == []
    blanks: dict[str, object] = {"name": None, "metadata": {}, "tax_ids": [], "ip_address": None}
    blank = CustomerUpdated(
        updated=2, commercial=Delta(), personal=Delta(changes=blanks, previous=blanks)
    )
    nothing = (None, None)
    names = ("metadata", "name", "tax.ip_address", "tax_ids")
    assert told(blank) == dict.fromkeys(names, nothing)
