"""Commands as hypothesis draws them: few values, so that repeats and no-ops are common."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import UNSET

from chaching.domain.customer import (
    Command,
    CreateCustomer,
    Customer,
    DeleteCustomer,
    Event,
    Rejected,
    UpdateCustomer,
    decide,
    evolve,
)
from chaching.domain.ids import CustomerId
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

ID = CustomerId("cus_1")
INT64 = st.integers(-(2**63), 2**63 - 1)

texts = st.sampled_from(["a", "b", "Zo\N{LATIN SMALL LETTER E WITH DIAERESIS}", "\N{PARTY POPPER}"])
unset = st.just(UNSET)
text_changes = unset | st.none() | texts


def said(struct: type[msgspec.Struct], **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A change of this type in which every named part may also be UNSET."""
    return st.builds(struct, **{name: unset | part for name, part in parts.items()})


address_changes = said(
    AddressChange,
    **dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"), text_changes),
)
custom_fields = st.lists(st.builds(CustomField, name=texts, value=texts), max_size=4).map(tuple)
rendering_options = said(
    RenderingOptionsChange,
    amount_tax_display=st.none() | st.sampled_from(["exclude_tax", "include_inclusive_tax"]),
    template=text_changes,
)
payment_methods = st.sampled_from(["pm_1", "pm_2", "card_1"])
invoice_settings = said(
    InvoiceSettingsChange,
    custom_fields=st.none() | custom_fields,
    default_payment_method=st.none() | payment_methods,
    footer=text_changes,
    rendering_options=st.none() | rendering_options,
)
tax_ids = st.lists(
    st.builds(
        TaxId,
        id=st.sampled_from(["txi_1", "txi_2"]),
        type=st.just("eu_vat"),
        value=texts,
        created=st.just(1),
    ),
    max_size=3,
).map(tuple)
details = said(
    Details,
    address=st.none() | address_changes,
    balance=INT64,
    description=text_changes,
    email=text_changes,
    invoice_prefix=st.sampled_from(["AAA", "BBB"]),
    invoice_settings=invoice_settings,
    metadata=st.none() | st.dictionaries(texts, st.none() | texts),
    name=text_changes,
    next_invoice_sequence=st.integers(1, 2**63 - 1),
    payment_method=payment_methods,
    phone=text_changes,
    preferred_locales=st.lists(texts, max_size=3).map(tuple),
    reconciliation_mode=st.sampled_from(["automatic", "manual", "merchant_default"]),
    shipping=st.none()
    | said(ShippingChange, address=address_changes, name=texts, phone=text_changes),
    source=st.sampled_from(["card_1", "card_2", "src_1"]),
    tax=said(
        TaxChange,
        ip_address=text_changes,
        validate_location=st.sampled_from(["auto", "deferred", "immediately"]),
    ),
    tax_exempt=st.sampled_from(["none", "exempt", "reverse"]),
    tax_ids=tax_ids,
    test_clock=st.sampled_from(["clock_1", "clock_2"]),
)
instants = st.integers(0, 2**40)
creates = st.builds(
    CreateCustomer,
    id=st.just(ID),
    livemode=st.booleans(),
    at=instants,
    invoice_prefix=st.just("CCC"),
    details=details,
)
updates = st.builds(UpdateCustomer, id=st.just(ID), at=instants, details=details)
deletes = st.builds(DeleteCustomer, id=st.just(ID), at=instants)
commands = st.one_of(creates, updates, deletes)


def history(first: Command, rest: list[Command]) -> list[Event]:
    """The events that follow from commands, the refused ones left out."""
    state: Customer | None = None
    events: list[Event] = []
    for command in (first, *rest):
        try:
            event = decide(command, state)
        except Rejected:
            continue
        if event is not None:
            state = evolve(state, event)
            events.append(event)
    return events


histories = st.builds(
    history, creates, st.lists(st.one_of(updates, updates, updates, deletes), max_size=6)
).filter(bool)
