from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from tests.api.reading import AT, creating, details, json_details, refusal, updating

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
from chaching_api.bodies import FORM, JSON, Tree, decode
from chaching_api.errors import Malformed
from chaching_api.parameters import (
    CREATE,
    UPDATE,
    CreateInput,
    UpdateInput,
    read_nothing,
    read_retrieve,
)

# --- what is read -------------------------------------------------------------------------------


def test_nothing_said_is_nothing_given() -> None:
    assert creating({}) == CreateInput(details=Details(), id=None, expand=())
    assert updating({}) == UpdateInput(details=Details(), expand=())


def test_the_create_of_the_seed_is_read() -> None:
    raw = "name=Jane Doe&email=jane.doe@example.com&phone=+123456789&description=Premium plan"
    assert details(raw) == Details(
        name="Jane Doe",
        email="jane.doe@example.com",
        phone="+123456789",
        description="Premium plan",
    )


def test_the_update_of_the_seed_is_read() -> None:
    raw = (
        "name=Jane Doe Updated&email=jane.updated@example.com&phone=+1987654321"
        "&metadata[plan]=premium&address[line1]=123 Updated St&address[city]=New York"
        "&address[country]=US&shipping[name]=Jane Doe&shipping[address][line1]=123 Updated St"
        "&shipping[address][city]=New York"
    )
    assert details(raw) == Details(
        name="Jane Doe Updated",
        email="jane.updated@example.com",
        phone="+1987654321",
        metadata={"plan": "premium"},
        address=AddressChange(line1="123 Updated St", city="New York", country="US"),
        shipping=ShippingChange(
            name="Jane Doe", address=AddressChange(line1="123 Updated St", city="New York")
        ),
    )


EVERYTHING: dict[str, Any] = {
    "address": {
        "line1": "1 Street", "line2": "a", "city": "b", "state": "c", "postal_code": "d",
        "country": "de",
    },
    "description": "Premium",
    "email": "jane@example.com",
    "metadata": {"plan": "premium", "gone": ""},
    "name": " Jane ",
    "payment_method": "pm_1",
    "phone": " +1 ",
    "shipping": {"name": "Jane", "address": {"country": "fr"}, "phone": "+2"},
    "tax": {
        "ip_address": "::1",
        "tax_ids": [{"type": "gb_vat", "value": "GB123456789"}],
        "validate_location": "deferred",
    },
    "balance": "-500",
    "cash_balance": {"settings": {"reconciliation_mode": "manual"}},
    "invoice_prefix": "ABC123",
    "invoice_settings": {
        "default_payment_method": "pm_1",
        "footer": "Thanks",
        "custom_fields": [{"name": "PO", "value": "1"}],
        "rendering_options": {"amount_tax_display": "exclude_tax", "template": "inrtem_1"},
    },
    "next_invoice_sequence": "7",
    "preferred_locales": ["fr", "en-US"],
    "source": "tok_visa",
    "tax_exempt": "reverse",
    "tax_id_data": [{"type": "eu_vat", "value": "DE123456789"}],
    "test_clock": "clock_1",
    "expand": ["sources", "tax_ids.data"],
}  # fmt: skip
EVERYTHING_SAID = Details(
    address=AddressChange(
        line1="1 Street", line2="a", city="b", state="c", postal_code="d", country="DE"
    ),
    description="Premium",
    email="jane@example.com",
    metadata={"plan": "premium", "gone": None},
    name="Jane",
    payment_method="pm_1",
    phone="+1",
    shipping=ShippingChange(name="Jane", address=AddressChange(country="FR"), phone="+2"),
    tax=TaxChange(ip_address="::1", validate_location="deferred"),
    balance=-500,
    reconciliation_mode="manual",
    invoice_prefix="ABC123",
    invoice_settings=InvoiceSettingsChange(
        default_payment_method="pm_1",
        footer="Thanks",
        custom_fields=(CustomField(name="PO", value="1"),),
        rendering_options=RenderingOptionsChange(
            amount_tax_display="exclude_tax", template="inrtem_1"
        ),
    ),
    next_invoice_sequence=7,
    preferred_locales=("fr", "en-US"),
    source="card_1",
    tax_exempt="reverse",
    tax_ids=(
        TaxId(id="txi_2", type="gb_vat", value="GB123456789", created=AT),
        TaxId(id="txi_3", type="eu_vat", value="DE123456789", created=AT),
    ),
    test_clock="clock_1",
)


def test_every_parameter_of_the_seed_is_read() -> None:
    assert creating(EVERYTHING) == CreateInput(
        details=EVERYTHING_SAID, id=None, expand=("sources", "tax_ids.data")
    )
    assert updating(EVERYTHING) == UpdateInput(
        details=EVERYTHING_SAID, expand=("sources", "tax_ids.data")
    )


def test_every_parameter_is_there_and_declared_in_the_order_of_the_seed() -> None:
    order = [*EVERYTHING]
    for livemode in (False, True):
        assert list(UPDATE[livemode]) == order
    assert list(CREATE[True]) == order
    assert list(CREATE[False]) == [*order, "id"]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("address=", Details(address=None)),
        ("address[line1]=", Details(address=AddressChange(line1=None))),
        ("description=", Details(description=None)),
        ("email=", Details(email=None)),
        ("metadata=", Details(metadata=None)),
        ("metadata[k]=", Details(metadata={"k": None})),
        ("name=", Details(name=None)),
        ("name=+%09+", Details(name=None)),
        ("phone=", Details(phone=None)),
        ("phone=++", Details(phone=None)),
        ("shipping=", Details(shipping=None)),
        ("shipping[phone]=", Details(shipping=ShippingChange(phone=None))),
        (
            "shipping[address][city]=",
            Details(shipping=ShippingChange(address=AddressChange(city=None))),
        ),
        ("tax[ip_address]=", Details(tax=TaxChange(ip_address=None))),
        (
            "invoice_settings[custom_fields]=",
            Details(invoice_settings=InvoiceSettingsChange(custom_fields=None)),
        ),
        (
            "invoice_settings[default_payment_method]=",
            Details(invoice_settings=InvoiceSettingsChange(default_payment_method=None)),
        ),
        (
            "invoice_settings[footer]=",
            Details(invoice_settings=InvoiceSettingsChange(footer=None)),
        ),
        (
            "invoice_settings[rendering_options]=",
            Details(invoice_settings=InvoiceSettingsChange(rendering_options=None)),
        ),
        (
            "invoice_settings[rendering_options][amount_tax_display]=",
            Details(
                invoice_settings=InvoiceSettingsChange(
                    rendering_options=RenderingOptionsChange(amount_tax_display=None)
                )
            ),
        ),
        ("preferred_locales=", Details(preferred_locales=())),
        ("tax_exempt=", Details(tax_exempt="none")),
    ],
)
def test_an_empty_value_unsets(form: str, expected: Details) -> None:
    assert details(form) == expected


@pytest.mark.parametrize(
    "param",
    [
        "balance",
        "cash_balance",
        "cash_balance[settings]",
        "cash_balance[settings][reconciliation_mode]",
        "expand",
        "invoice_prefix",
        "invoice_settings",
        "invoice_settings[custom_fields][0]",
        "next_invoice_sequence",
        "payment_method",
        "preferred_locales[0]",
        "shipping[address]",
        "shipping[name]",
        "source",
        "tax",
        "tax[tax_ids]",
        "tax[validate_location]",
        "tax_id_data",
        "tax_id_data[0]",
        "test_clock",
    ],
)
def test_an_empty_value_for_what_cannot_be_unset_is_refused(param: str) -> None:
    fault = refusal(f"{param}=")
    assert (fault.reason, fault.param) == ("parameter_invalid_empty", param)
    assert fault.message == (
        f"You passed an empty string for '{param}'. We assume empty values are an attempt to "
        f"unset a parameter; however '{param}' cannot be unset. You should remove '{param}' "
        "from your request or supply a non-empty value."
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"name": null, "address": null}', Details(name=None, address=None)),
        ('{"metadata": {}}', Details(metadata=None)),
        ('{"metadata": ""}', Details(metadata=None)),
        ('{"metadata": null}', Details(metadata=None)),
        ('{"metadata": {"k": null, "n": 5}}', Details(metadata={"k": None, "n": "5"})),
        ('{"preferred_locales": []}', Details(preferred_locales=())),
        ('{"balance": -5}', Details(balance=-5)),
        ('{"tax_id_data": []}', Details()),
        ('{"expand": []}', Details()),
        ('{"address": {}, "shipping": {}, "tax": {}}', Details()),
        ('{"cash_balance": {}}', Details()),
        ('{"cash_balance": {"settings": {}}}', Details()),
    ],
)
def test_json_says_null_and_empty_as_a_form_does(text: str, expected: Details) -> None:
    assert json_details(text) == expected


# --- unknown parameters -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "message", "param"),
    [
        ("wat=1", "Received unknown parameter: wat", "wat"),
        ("a=1&b=2", "Received unknown parameters: a, b", "a"),
        ("wat[x][y]=1", "Received unknown parameter: wat", "wat"),
        (
            "invoice_settings[nope]=1",
            "Received unknown parameter: invoice_settings[nope]",
            "invoice_settings[nope]",
        ),
        (
            "tax_id_data[0][type]=a&tax_id_data[0][nope]=1&wat=2",
            "Received unknown parameters: tax_id_data[0][nope], wat",
            "tax_id_data[0][nope]",
        ),
        (
            "tax[tax_ids][1][nope]=1",
            "Received unknown parameter: tax[tax_ids][1][nope]",
            "tax[tax_ids][1][nope]",
        ),
        (
            "shipping[address][nope]=1",
            "Received unknown parameter: shipping[address][nope]",
            "shipping[address][nope]",
        ),
        ("currency=usd", "Received unknown parameter: currency", "currency"),
        ("balance=abc&wat=1&email=5", "Received unknown parameter: wat", "wat"),
    ],
)
def test_unknown_parameters_are_refused_first_and_all_named(
    form: str, message: str, param: str
) -> None:
    fault = refusal(form)
    assert (fault.message, fault.param) == (message, param)
    assert fault.reason == "parameter_unknown"


@pytest.mark.parametrize(
    "name",
    [
        "default_source",
        "card",
        "bank_account",
        "business_name",
        "individual_name",
        "customer_account",
        "coupon",
        "object",
    ],
)
def test_what_comes_with_later_resources_is_unknown_for_now(name: str) -> None:
    assert refusal(f"{name}=x").message == f"Received unknown parameter: {name}"


def test_after_that_the_first_fault_in_the_order_of_the_table_is_reported() -> None:
    faults = {
        "balance": "abc", "tax_exempt": "x", "email": "5", "phone": "1" * 21, "name": "a" * 257
    }  # fmt: skip
    for expected in ("email", "name", "phone", "balance", "tax_exempt"):
        with pytest.raises(Malformed) as raised:
            creating({**faults})
        assert raised.value.param == expected
        del faults[expected]


# --- the texts that clients compare -------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "message", "reason", "param"),
    [
        ("balance=abc", "Invalid integer: abc", "parameter_invalid_integer", "balance"),
        ("email=5", "Invalid email address: 5", "email_invalid", "email"),
        (
            "tax_exempt=x",
            "Invalid tax_exempt: must be one of none, reverse, or exempt",
            None,
            "tax_exempt",
        ),
        (
            f"name={'a' * 257}",
            "Invalid string: aaaa...aaaa; must be at most 256 characters",
            None,
            "name",
        ),
        (
            "invoice_prefix=ab",
            "Invoice prefix must be 3–12 uppercase letters or numbers.",  # noqa: RUF001
            None,
            "invoice_prefix",
        ),
        (
            "expand[]=foo",
            "This property cannot be expanded (foo).",
            None,
            "expand[0]",
        ),
    ],
)
def test_a_fault_is_told_in_the_words_of_the_contract(
    form: str, message: str, reason: str | None, param: str
) -> None:
    fault = refusal(form)
    assert (fault.message, fault.reason, fault.param) == (message, reason, param)


# --- id -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("customer_id", ["cus_123", "a", "A-b_9", "x" * 255, "searching"])
def test_an_id_can_be_chosen_in_test_mode(customer_id: str) -> None:
    assert creating({"id": customer_id}).id == customer_id


@pytest.mark.parametrize("customer_id", ["search", "", "x" * 256, "a/b", "a b", "ö", "a\n"])
def test_another_id_is_refused(customer_id: str) -> None:
    with pytest.raises(Malformed) as raised:
        creating({"id": customer_id})
    assert raised.value.param == "id"


def test_an_id_is_unknown_in_live_mode_and_on_update() -> None:
    with pytest.raises(Malformed, match="Received unknown parameter: id"):
        creating({"id": "cus_1"}, livemode=True)
    with pytest.raises(Malformed, match="Received unknown parameter: id"):
        updating({"id": "cus_1"})


# --- expand -------------------------------------------------------------------------------------

EXPANDABLE = [
    "cash_balance",
    "default_source",
    "discount",
    "invoice_settings.default_payment_method",
    "sources",
    "subscriptions",
    "tax",
    "tax_ids",
    "test_clock",
    "sources.data",
    "default_source.customer.default_source",
    "subscriptions.data.latest_invoice.customer",
]


@pytest.mark.parametrize("path", EXPANDABLE)
def test_what_a_customer_refers_to_can_be_expanded(path: str) -> None:
    assert creating({"expand": [path]}).expand == (path,)
    assert updating({"expand": [path]}).expand == (path,)
    assert read_retrieve({"expand": [path]}).expand == (path,)


@pytest.mark.parametrize(
    "path",
    ["foo", "name", "invoice_settings", "sources.foo", "data.sources", "sources.", ".", "Sources"],
)
def test_another_property_cannot_be_expanded(path: str) -> None:
    with pytest.raises(Malformed) as raised:
        read_retrieve({"expand": ["sources", path]})
    assert raised.value.message == f"This property cannot be expanded ({path})."
    assert raised.value.param == "expand[1]"


def test_expansion_goes_four_levels_deep() -> None:
    with pytest.raises(Malformed) as raised:
        read_retrieve({"expand": ["sources.data.customer.sources.data"]})
    assert raised.value.reason == "property_expansion_max_depth"
    assert raised.value.message == (
        "You cannot expand more than 4 levels of a property (sources.data.customer.sources.data)."
    )


def test_a_retrieve_takes_expand_only() -> None:
    assert read_retrieve({}).expand == ()
    with pytest.raises(Malformed, match="Received unknown parameter: name"):
        read_retrieve({"name": "a", "expand": ["foo"]})


def test_a_delete_takes_nothing() -> None:
    read_nothing({})
    with pytest.raises(Malformed, match="Received unknown parameters: expand, name"):
        read_nothing({"expand": ["sources"], "name": "a"})


# --- properties ---------------------------------------------------------------------------------

LEAVES = st.sampled_from(["", " ", "1", "-1", "abc", "tok_1", "x@y.z", "DE123456789", "eu_vat"])
NAMES = st.sampled_from(
    [*CREATE[False], *EVERYTHING["address"], *EVERYTHING["invoice_settings"], "0", "type", "nope"]
)
NODES = st.recursive(
    LEAVES | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, NODES, max_size=5), st.booleans())
def test_any_tree_is_read_or_refused(tree: Tree, livemode: bool) -> None:
    for read in (creating, updating):
        try:
            read(tree, livemode=livemode)
        except Malformed as fault:
            f"{fault.message}{fault.param}".encode()


def outcome(tree: Tree) -> Details | Malformed:
    try:
        return creating(tree).details
    except Malformed as fault:
        return fault


@given(st.sampled_from(sorted(set(EVERYTHING) - {"expand"})), NODES)
def test_a_parameter_that_is_read_says_something_or_nothing_but_never_something_else(
    name: str, node: Any
) -> None:
    said = outcome({name: node})
    if isinstance(said, Malformed):
        assert (said.param or "").startswith(name)
        return
    fields = [field for field in said.__struct_fields__ if getattr(said, field) is not UNSET]
    assert len(fields) <= 2


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_read_or_refused(raw: bytes) -> None:
    for content_type in (FORM, JSON):
        try:
            creating(decode(content_type, raw))
        except Malformed as fault:
            f"{fault.message}{fault.param}".encode()
