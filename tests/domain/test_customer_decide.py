from __future__ import annotations

import pytest
from tests.domain.specification import given

from chaching.domain.customer import (
    Commercial,
    CreateCustomer,
    Customer,
    CustomerCreated,
    CustomerDeleted,
    CustomerExists,
    CustomerUpdated,
    DeleteCustomer,
    Event,
    InvoicePrefixTaken,
    MetadataFull,
    NoSuchCustomer,
    PaymentMethodNotAttached,
    Personal,
    ShippingIncomplete,
    UpdateCustomer,
    fold,
)
from chaching.domain.delta import Delta, JsonValue, Patch
from chaching.domain.ids import CustomerId
from chaching.domain.values import (
    Address,
    AddressChange,
    CustomField,
    Details,
    InvoiceSettings,
    InvoiceSettingsChange,
    RenderingOptions,
    RenderingOptionsChange,
    Shipping,
    ShippingChange,
    TaxChange,
    TaxId,
)

ID = CustomerId("cus_1")
CREATED_AT = 1_680_893_993
LATER = CREATED_AT + 60
GERMAN = TaxId(id="txi_1", type="eu_vat", value="DE123456789", created=CREATED_AT)
FRENCH = TaxId(id="txi_2", type="eu_vat", value="FRAB123456789", created=LATER)


def create(details: Details | None = None) -> CreateCustomer:
    return CreateCustomer(
        id=ID, livemode=False, at=CREATED_AT, invoice_prefix="PREFIX", details=details or Details()
    )


def update(details: Details, at: int = LATER) -> UpdateCustomer:
    return UpdateCustomer(id=ID, at=at, details=details)


def delete() -> DeleteCustomer:
    return DeleteCustomer(id=ID, at=LATER)


def created(
    commercial: Commercial | None = None, personal: Personal | None = None
) -> CustomerCreated:
    return CustomerCreated(
        id=ID,
        livemode=False,
        created=CREATED_AT,
        commercial=commercial or Commercial(invoice_prefix="PREFIX"),
        personal=personal or Personal(),
    )


def updated(
    commercial: tuple[Patch, Patch] = ({}, {}), personal: tuple[Patch, Patch] = ({}, {})
) -> CustomerUpdated:
    return CustomerUpdated(
        updated=LATER,
        commercial=Delta(previous=commercial[0], changes=commercial[1]),
        personal=Delta(previous=personal[0], changes=personal[1]),
    )


def deleted() -> CustomerDeleted:
    return CustomerDeleted(deleted_at=LATER)


def customer_after(*events: Event) -> Customer:
    customer = fold(events)
    assert customer is not None
    return customer


# --- create -------------------------------------------------------------------------------------


def test_an_empty_create_makes_a_customer_with_defaults() -> None:
    given().when(create()).then(created())


def test_a_create_keeps_everything_that_was_given() -> None:
    details = Details(
        address=AddressChange(line1="1 Street", country="DE"),
        balance=-500,
        description="Premium",
        email="jane@example.com",
        invoice_prefix="ABC",
        invoice_settings=InvoiceSettingsChange(
            custom_fields=(CustomField(name="PO", value="1"),),
            default_payment_method="pm_1",
            footer="Thanks",
            rendering_options=RenderingOptionsChange(amount_tax_display="exclude_tax"),
        ),
        metadata={"plan": "premium", "gone": None},
        name="Jane",
        next_invoice_sequence=7,
        payment_method="pm_1",
        phone="+1987654321",
        preferred_locales=("fr", "en"),
        reconciliation_mode="manual",
        shipping=ShippingChange(address=AddressChange(city="Bonn"), name="Jane", phone="1"),
        source="card_1",
        tax=TaxChange(ip_address="127.0.0.1", validate_location="deferred"),
        tax_exempt="exempt",
        tax_ids=(GERMAN, GERMAN),
        test_clock="clock_1",
    )
    commercial = Commercial(
        balance=-500,
        default_source="card_1",
        invoice_prefix="ABC",
        invoice_settings=InvoiceSettings(
            custom_fields=(CustomField(name="PO", value="1"),),
            default_payment_method="pm_1",
            footer="Thanks",
            rendering_options=RenderingOptions(amount_tax_display="exclude_tax"),
        ),
        next_invoice_sequence=7,
        payment_methods=("pm_1",),
        preferred_locales=("fr", "en"),
        reconciliation_mode="manual",
        sources=("card_1",),
        tax_exempt="exempt",
        test_clock="clock_1",
        validate_location="deferred",
    )
    personal = Personal(
        address=Address(line1="1 Street", country="DE"),
        description="Premium",
        email="jane@example.com",
        ip_address="127.0.0.1",
        metadata={"plan": "premium"},
        name="Jane",
        phone="+1987654321",
        shipping=Shipping(address=Address(city="Bonn"), name="Jane", phone="1"),
        tax_ids=(GERMAN,),
    )
    given().when(create(details)).then(created(commercial, personal))


def test_an_id_is_used_once() -> None:
    given(created()).when(create()).then_refused(CustomerExists())


def test_the_id_of_a_deleted_customer_is_not_used_again() -> None:
    given(created(), deleted()).when(create()).then_refused(CustomerExists())


# --- update -------------------------------------------------------------------------------------


def test_an_update_records_the_change_and_what_was_before() -> None:
    given(created(personal=Personal(name="Jane"))).when(
        update(Details(name="Joan", balance=5))
    ).then(updated(({"balance": 0}, {"balance": 5}), ({"name": "Jane"}, {"name": "Joan"})))


def test_an_update_that_says_nothing_changes_nothing() -> None:
    given(created()).when(update(Details())).then_nothing()


def test_an_update_that_says_what_is_changes_nothing() -> None:
    given(created(personal=Personal(name="Jane"))).when(update(Details(name="Jane"))).then_nothing()


def test_none_unsets() -> None:
    given(created(personal=Personal(name="Jane"))).when(update(Details(name=None))).then(
        updated(personal=({"name": "Jane"}, {"name": None}))
    )


def test_only_the_fields_that_changed_are_recorded() -> None:
    given(created(personal=Personal(name="Jane", email="jane@example.com"))).when(
        update(Details(name="Joan", email="jane@example.com"))
    ).then(updated(personal=({"name": "Jane"}, {"name": "Joan"})))


def test_the_first_update_leaves_its_instant_and_a_later_one_replaces_it() -> None:
    first = CustomerUpdated(
        updated=LATER, personal=Delta(changes={"name": "A"}, previous={"name": None})
    )
    second = CustomerUpdated(
        updated=LATER + 1, personal=Delta(changes={"name": "B"}, previous={"name": "A"})
    )
    assert customer_after(created()).updated is None
    assert customer_after(created(), first).updated == LATER
    assert customer_after(created(), first, second).updated == LATER + 1


@pytest.mark.parametrize("events", [(), (created(), deleted())])
def test_a_customer_that_is_not_there_refuses_updates(events: tuple[Event, ...]) -> None:
    given(*events).when(update(Details(name="x"))).then_refused(NoSuchCustomer(ID))


# --- addresses and shipping ---------------------------------------------------------------------


def test_an_address_is_merged_leaf_by_leaf() -> None:
    address = Address(line1="1 Street", city="Bonn")
    given(created(personal=Personal(address=address))).when(
        update(Details(address=AddressChange(city="Rome", line1=None)))
    ).then(
        updated(
            personal=(
                {"address": {"city": "Bonn", "line1": "1 Street"}},
                {"address": {"city": "Rome", "line1": None}},
            )
        )
    )


def test_an_address_can_be_unset_as_a_whole() -> None:
    given(created(personal=Personal(address=Address(city="Bonn")))).when(
        update(Details(address=None))
    ).then(updated(personal=({"address": {"city": "Bonn"}}, {"address": None})))


def test_a_first_shipping_needs_its_name_first() -> None:
    given(created()).when(update(Details(shipping=ShippingChange(phone="1")))).then_refused(
        ShippingIncomplete("shipping[name]")
    )


def test_a_first_shipping_needs_its_address() -> None:
    given().when(create(Details(shipping=ShippingChange(name="Jane")))).then_refused(
        ShippingIncomplete("shipping[address]")
    )


def test_a_stored_shipping_is_merged() -> None:
    shipping = Shipping(address=Address(city="Bonn"), name="Jane", phone="1")
    change = ShippingChange(address=AddressChange(line1="1 Street"), phone=None)
    given(created(personal=Personal(shipping=shipping))).when(
        update(Details(shipping=change))
    ).then(
        updated(
            personal=(
                {"shipping": {"address": {"line1": None}, "phone": "1"}},
                {"shipping": {"address": {"line1": "1 Street"}, "phone": None}},
            )
        )
    )


def test_a_shipping_can_be_unset_as_a_whole() -> None:
    shipping = Shipping(address=Address(city="Bonn"), name="Jane")
    given(created(personal=Personal(shipping=shipping))).when(update(Details(shipping=None))).then(
        updated(
            personal=(
                {"shipping": {"address": {"city": "Bonn"}, "name": "Jane"}},
                {"shipping": None},
            )
        )
    )


# --- metadata -----------------------------------------------------------------------------------


def test_metadata_is_merged_by_key() -> None:
    given(created(personal=Personal(metadata={"a": "1", "b": "2", "c": "3"}))).when(
        update(Details(metadata={"a": "9", "b": None, "d": "4", "never": None}))
    ).then(
        updated(
            personal=(
                {"metadata": {"a": "1", "b": "2", "d": None}},
                {"metadata": {"a": "9", "b": None, "d": "4"}},
            )
        )
    )


def test_metadata_can_be_cleared() -> None:
    given(created(personal=Personal(metadata={"a": "1"}))).when(
        update(Details(metadata=None))
    ).then(updated(personal=({"metadata": {"a": "1"}}, {"metadata": {"a": None}})))


def test_fifty_keys_are_counted_after_the_merge() -> None:
    full: dict[str, str] = {f"k{i}": "v" for i in range(50)}
    swap: dict[str, str | None] = {"k0": None, "new": "v"}
    given(created(personal=Personal(metadata=full))).when(update(Details(metadata=swap))).then(
        updated(
            personal=(
                {"metadata": {"k0": "v", "new": None}},
                {"metadata": {"k0": None, "new": "v"}},
            )
        )
    )


def test_fifty_one_keys_are_refused() -> None:
    full: dict[str, str] = {f"k{i}": "v" for i in range(50)}
    refused = given(created(personal=Personal(metadata=full))).when(
        update(Details(metadata={"one_more": "v"}))
    )
    refused.then_refused(MetadataFull(51))
    assert str(MetadataFull(51)) == "Metadata can have up to 50 keys, but you've set 51."


# --- sources, payment methods, invoice settings -------------------------------------------------


def test_a_new_source_becomes_the_default_and_the_previous_default_goes() -> None:
    before = Commercial(invoice_prefix="PREFIX", default_source="card_1", sources=("card_1",))
    given(created(before)).when(update(Details(source="card_2"))).then(
        updated(
            (
                {"default_source": "card_1", "sources": ["card_1"]},
                {"default_source": "card_2", "sources": ["card_2"]},
            )
        )
    )


def test_the_default_source_again_changes_nothing() -> None:
    before = Commercial(invoice_prefix="PREFIX", default_source="card_1", sources=("card_1",))
    given(created(before)).when(update(Details(source="card_1"))).then_nothing()


def test_a_payment_method_is_attached_once() -> None:
    given(created()).when(update(Details(payment_method="pm_1"))).then(
        updated(({"payment_methods": []}, {"payment_methods": ["pm_1"]}))
    )
    attached = Commercial(invoice_prefix="PREFIX", payment_methods=("pm_1",))
    given(created(attached)).when(update(Details(payment_method="pm_1"))).then_nothing()


def defaulting_to(payment_method: str | None) -> InvoiceSettingsChange:
    return InvoiceSettingsChange(default_payment_method=payment_method)


def test_a_default_payment_method_must_be_attached() -> None:
    given(created()).when(update(Details(invoice_settings=defaulting_to("pm_1")))).then_refused(
        PaymentMethodNotAttached("pm_1")
    )


def test_a_default_payment_method_can_be_attached_by_the_same_request() -> None:
    given(created()).when(
        update(Details(payment_method="pm_1", invoice_settings=defaulting_to("pm_1")))
    ).then(
        updated(
            (
                {"invoice_settings": {"default_payment_method": None}, "payment_methods": []},
                {
                    "invoice_settings": {"default_payment_method": "pm_1"},
                    "payment_methods": ["pm_1"],
                },
            )
        )
    )


def test_a_default_payment_method_that_goes_as_a_source_is_unset() -> None:
    before = Commercial(
        invoice_prefix="PREFIX",
        default_source="card_1",
        sources=("card_1",),
        invoice_settings=InvoiceSettings(default_payment_method="card_1"),
    )
    given(created(before)).when(update(Details(source="card_2"))).then(
        updated(
            (
                {
                    "default_source": "card_1",
                    "invoice_settings": {"default_payment_method": "card_1"},
                    "sources": ["card_1"],
                },
                {
                    "default_source": "card_2",
                    "invoice_settings": {"default_payment_method": None},
                    "sources": ["card_2"],
                },
            )
        )
    )


def test_custom_fields_are_replaced_as_a_whole_and_unset_when_empty() -> None:
    fields = (CustomField(name="PO", value="1"), CustomField(name="VAT", value="2"))
    before = Commercial(
        invoice_prefix="PREFIX", invoice_settings=InvoiceSettings(custom_fields=fields[:1])
    )
    first: JsonValue = {"name": "PO", "value": "1"}
    second: JsonValue = {"name": "VAT", "value": "2"}
    both: JsonValue = [first, second]
    cases: list[tuple[tuple[CustomField, ...] | None, JsonValue]]
    cases = [(fields, both), ((), None), (None, None)]
    for given_fields, stored in cases:
        change = InvoiceSettingsChange(custom_fields=given_fields)
        given(created(before)).when(update(Details(invoice_settings=change))).then(
            updated(
                (
                    {"invoice_settings": {"custom_fields": [first]}},
                    {"invoice_settings": {"custom_fields": stored}},
                )
            )
        )


def test_rendering_options_without_any_option_left_are_unset() -> None:
    before = Commercial(
        invoice_prefix="PREFIX",
        invoice_settings=InvoiceSettings(rendering_options=RenderingOptions(template="t")),
    )
    change = InvoiceSettingsChange(rendering_options=RenderingOptionsChange(template=None))
    given(created(before)).when(update(Details(invoice_settings=change))).then(
        updated(
            (
                {"invoice_settings": {"rendering_options": {"template": "t"}}},
                {"invoice_settings": {"rendering_options": None}},
            )
        )
    )


# --- lists --------------------------------------------------------------------------------------


def test_locales_are_replaced_as_a_whole() -> None:
    before = Commercial(invoice_prefix="PREFIX", preferred_locales=("fr", "en"))
    given(created(before)).when(update(Details(preferred_locales=("de",)))).then(
        updated(({"preferred_locales": ["fr", "en"]}, {"preferred_locales": ["de"]}))
    )


def test_tax_ids_are_appended() -> None:
    event = given(created(personal=Personal(tax_ids=(GERMAN,)))).when(
        update(Details(tax_ids=(FRENCH,)))
    )
    spelled: Patch = {
        "id": "txi_1", "type": "eu_vat", "value": "DE123456789", "created": CREATED_AT
    }  # fmt: skip
    french: Patch = {
        "id": "txi_2", "type": "eu_vat", "value": "FRAB123456789", "created": LATER
    }  # fmt: skip
    event.then(updated(personal=({"tax_ids": [spelled]}, {"tax_ids": [spelled, french]})))


def test_an_equal_tax_id_is_ignored() -> None:
    again = TaxId(id="txi_9", type="eu_vat", value="DE123456789", created=LATER)
    given(created(personal=Personal(tax_ids=(GERMAN,)))).when(
        update(Details(tax_ids=(again, again)))
    ).then_nothing()


# --- delete -------------------------------------------------------------------------------------


def test_a_customer_can_be_deleted() -> None:
    given(created()).when(delete()).then(deleted())


def test_a_deleted_customer_keeps_its_values_in_history() -> None:
    before = customer_after(created(personal=Personal(name="Jane")))
    after = customer_after(created(personal=Personal(name="Jane")), deleted())
    assert after.deleted
    assert after.personal == before.personal


@pytest.mark.parametrize("events", [(), (created(), deleted())])
def test_what_is_not_there_cannot_be_deleted(events: tuple[Event, ...]) -> None:
    given(*events).when(delete()).then_refused(NoSuchCustomer(ID))


# --- what the refusals say ----------------------------------------------------------------------


def test_the_refusals_speak_the_texts_that_clients_compare() -> None:
    assert str(NoSuchCustomer("cus_x")) == "No such customer: 'cus_x'"
    assert str(InvoicePrefixTaken("cus_x")) == (
        "This invoice number prefix is taken by customer: cus_x. Please enter a different prefix."
    )
    assert str(ShippingIncomplete("shipping[name]")) == "Missing required param: shipping[name]."
