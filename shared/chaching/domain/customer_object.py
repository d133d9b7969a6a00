"""The customer object of the wire, rendered from the state.

Keys stand in the order of the contract: ``id``, ``object``, then alphabetical. The same bytes are
served by the gateway, stored by the projector and carried in messages.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from chaching.domain.customer import Customer
from chaching.domain.ids import CustomerId
from chaching.domain.values import (
    Address,
    AmountTaxDisplay,
    CustomField,
    InvoiceSettings,
    RenderingOptions,
    Shipping,
    TaxExempt,
)


class AddressObject(msgspec.Struct, frozen=True, kw_only=True):
    """An address with its six keys always there."""

    city: str | None
    country: str | None
    line1: str | None
    line2: str | None
    postal_code: str | None
    state: str | None


class ShippingObject(msgspec.Struct, frozen=True, kw_only=True):
    """A shipping with its three keys always there."""

    address: AddressObject
    name: str
    phone: str | None


class RenderingOptionsObject(msgspec.Struct, frozen=True, kw_only=True):
    """Rendering options with both keys always there."""

    amount_tax_display: AmountTaxDisplay | None
    template: str | None


class InvoiceSettingsObject(msgspec.Struct, frozen=True, kw_only=True):
    """Invoice settings with their four keys always there."""

    custom_fields: tuple[CustomField, ...] | None
    default_payment_method: str | None
    footer: str | None
    rendering_options: RenderingOptionsObject | None


class CustomerObject(msgspec.Struct, frozen=True, kw_only=True):
    """A customer as every caller sees it; times in unix seconds, ``balance`` in cents."""

    id: CustomerId
    object: str = "customer"
    address: AddressObject | None
    balance: int
    created: int
    currency: None = None
    default_source: str | None
    delinquent: bool = False
    description: str | None
    discount: None = None
    email: str | None
    invoice_prefix: str
    invoice_settings: InvoiceSettingsObject
    livemode: bool
    metadata: dict[str, str]
    name: str | None
    next_invoice_sequence: int
    phone: str | None
    preferred_locales: tuple[str, ...]
    shipping: ShippingObject | None
    tax_exempt: TaxExempt
    test_clock: str | None
    updated: int | UnsetType = UNSET


class DeletedCustomerObject(msgspec.Struct, frozen=True, kw_only=True):
    """What is left to see of a deleted customer; ``erased`` when its values are gone for good."""

    id: CustomerId
    object: str = "customer"
    deleted: bool = True
    erased: bool | UnsetType = UNSET


VISIBLE_ATTRIBUTES: Final = frozenset(CustomerObject.__struct_fields__)

_encode = msgspec.json.Encoder().encode


def render(customer: Customer) -> bytes:
    """Return the JSON of a customer as a retrieve answers it: the object or the deleted stub."""
    if customer.erased:
        return render_erased(customer.id)
    if customer.deleted:
        return _encode(DeletedCustomerObject(id=customer.id))
    return _encode(customer_object(customer))


def render_erased(customer_id: CustomerId) -> bytes:
    """Return the JSON that answers everything that is asked of an erased customer."""
    return _encode(DeletedCustomerObject(id=customer_id, erased=True))


def customer_object(customer: Customer) -> CustomerObject:
    """Return the customer object with all its values, whether or not it is deleted."""
    commercial, personal = customer.commercial, customer.personal
    return CustomerObject(
        id=customer.id,
        address=_address(personal.address),
        balance=commercial.balance,
        created=customer.created,
        default_source=commercial.default_source,
        description=personal.description,
        email=personal.email,
        invoice_prefix=commercial.invoice_prefix,
        invoice_settings=_invoice_settings(commercial.invoice_settings),
        livemode=customer.livemode,
        metadata=personal.metadata,
        name=personal.name,
        next_invoice_sequence=commercial.next_invoice_sequence,
        phone=personal.phone,
        preferred_locales=commercial.preferred_locales,
        shipping=_shipping(personal.shipping),
        tax_exempt=commercial.tax_exempt,
        test_clock=commercial.test_clock,
        updated=UNSET if customer.updated is None else customer.updated,
    )


def _address(address: Address | None) -> AddressObject | None:
    if address is None:
        return None
    return AddressObject(
        city=address.city,
        country=address.country,
        line1=address.line1,
        line2=address.line2,
        postal_code=address.postal_code,
        state=address.state,
    )


def _shipping(shipping: Shipping | None) -> ShippingObject | None:
    if shipping is None:
        return None
    address = _address(shipping.address)
    assert address is not None  # noqa: S101 - a shipping has one
    return ShippingObject(address=address, name=shipping.name, phone=shipping.phone)


def _invoice_settings(settings: InvoiceSettings) -> InvoiceSettingsObject:
    return InvoiceSettingsObject(
        custom_fields=settings.custom_fields,
        default_payment_method=settings.default_payment_method,
        footer=settings.footer,
        rendering_options=_rendering_options(settings.rendering_options),
    )


def _rendering_options(options: RenderingOptions | None) -> RenderingOptionsObject | None:
    if options is None:
        return None
    return RenderingOptionsObject(
        amount_tax_display=options.amount_tax_display, template=options.template
    )
