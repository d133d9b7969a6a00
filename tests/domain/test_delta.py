from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from chaching.domain.customer import Commercial, Personal
from chaching.domain.delta import Delta, apply, difference
from chaching.domain.values import (
    Address,
    CustomField,
    InvoiceSettings,
    RenderingOptions,
    Shipping,
    TaxId,
)

TEXTS = st.sampled_from(["a", "b", "c"])
LINES = st.none() | TEXTS
ADDRESSES = st.builds(
    Address, city=LINES, country=LINES, line1=LINES, line2=LINES, postal_code=LINES, state=LINES
)
TAX_ID_LISTS = st.lists(
    st.builds(TaxId, id=TEXTS, type=TEXTS, value=TEXTS, created=st.integers(0, 9)), max_size=2
).map(tuple)
PERSONAL = st.builds(
    Personal,
    address=st.none() | ADDRESSES,
    description=LINES,
    email=LINES,
    metadata=st.dictionaries(TEXTS, TEXTS),
    shipping=st.none() | st.builds(Shipping, address=ADDRESSES, name=TEXTS, phone=LINES),
    tax_ids=TAX_ID_LISTS,
)
INVOICE_SETTINGS = st.builds(
    InvoiceSettings,
    custom_fields=st.none()
    | st.lists(st.builds(CustomField, name=TEXTS, value=TEXTS), max_size=2).map(tuple),
    footer=LINES,
    rendering_options=st.none() | st.builds(RenderingOptions, template=LINES),
)
COMMERCIAL = st.builds(
    Commercial,
    invoice_prefix=TEXTS,
    balance=st.integers(-9, 9),
    invoice_settings=INVOICE_SETTINGS,
    preferred_locales=st.lists(TEXTS, max_size=2).map(tuple),
    sources=st.lists(TEXTS, max_size=2).map(tuple),
)


def there_and_back(old: msgspec.Struct, new: msgspec.Struct) -> None:
    delta = difference(old, new)
    assert apply(old, delta.changes) == new
    assert apply(new, delta.previous) == old
    assert bool(delta) == (old != new)


@given(PERSONAL, PERSONAL)
def test_personal_values_go_there_and_back(old: Personal, new: Personal) -> None:
    there_and_back(old, new)


@given(COMMERCIAL, COMMERCIAL)
def test_commercial_values_go_there_and_back(old: Commercial, new: Commercial) -> None:
    there_and_back(old, new)


@given(PERSONAL, PERSONAL)
def test_a_delta_is_the_same_after_storage(old: Personal, new: Personal) -> None:
    delta = difference(old, new)
    assert msgspec.json.decode(msgspec.json.encode(delta), type=Delta) == delta


def test_equal_values_have_an_empty_difference() -> None:
    assert difference(Personal(name="a"), Personal(name="a")) == Delta()


def test_only_the_changed_leaf_is_named() -> None:
    old = Shipping(address=Address(city="a", line1="b"), name="n")
    new = Shipping(address=Address(city="c", line1="b"), name="n")
    assert difference(old, new) == Delta(
        changes={"address": {"city": "c"}}, previous={"address": {"city": "a"}}
    )


def test_a_struct_that_appears_is_named_as_a_whole() -> None:
    assert difference(Personal(), Personal(address=Address(city="a"))) == Delta(
        changes={"address": {"city": "a"}}, previous={"address": None}
    )


def test_an_empty_struct_is_not_nothing() -> None:
    there_and_back(Personal(), Personal(address=Address()))


def test_null_in_a_map_stands_for_no_such_key() -> None:
    assert difference(Personal(metadata={"a": "1"}), Personal(metadata={"b": "2"})) == Delta(
        changes={"metadata": {"a": None, "b": "2"}}, previous={"metadata": {"a": "1", "b": None}}
    )


def test_a_list_is_replaced_as_a_whole() -> None:
    old = Commercial(invoice_prefix="A", preferred_locales=("fr", "en"))
    new = Commercial(invoice_prefix="A", preferred_locales=("fr", "de"))
    assert difference(old, new) == Delta(
        changes={"preferred_locales": ["fr", "de"]}, previous={"preferred_locales": ["fr", "en"]}
    )


def test_no_changes_give_the_very_same_value() -> None:
    value = Personal(name="a")
    assert apply(value, {}) is value
