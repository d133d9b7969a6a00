"""The values a customer is made of, and the changes to them that a command can carry.

A ``…Change`` says what the caller gave: ``UNSET`` was not given, ``None`` unsets, anything else
sets. Shapes only; lengths and spellings are checked where the parameters are read.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

TaxExempt: TypeAlias = Literal["none", "exempt", "reverse"]
ReconciliationMode: TypeAlias = Literal["automatic", "manual", "merchant_default"]
AmountTaxDisplay: TypeAlias = Literal["exclude_tax", "include_inclusive_tax"]
ValidateLocation: TypeAlias = Literal["auto", "deferred", "immediately"]
# a closed list: words of one's own would be a place for what is to be forgotten
ErasureReason: TypeAlias = Literal[
    "consent_withdrawn", "legal_obligation", "objection", "request", "retention_ended"
]
TextChange: TypeAlias = str | None | UnsetType

METADATA_KEYS_MAX: Final = 50
PAYMENT_METHODS_MAX: Final = 200
TAX_IDS_MAX: Final = 200


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An immutable value that leaves out of its JSON what is as by default."""


class Address(Value, frozen=True, kw_only=True):
    """Six lines, unset ones null."""

    city: str | None = None
    country: str | None = None
    line1: str | None = None
    line2: str | None = None
    postal_code: str | None = None
    state: str | None = None


class Shipping(Value, frozen=True, kw_only=True):
    """Where and to whom goods and invoices go."""

    address: Address
    name: str
    phone: str | None = None


class CustomField(Value, frozen=True, kw_only=True):
    """A name and a value printed on every invoice."""

    name: str
    value: str


class RenderingOptions(Value, frozen=True, kw_only=True):
    """How invoices are rendered."""

    amount_tax_display: AmountTaxDisplay | None = None
    template: str | None = None


class InvoiceSettings(Value, frozen=True, kw_only=True):
    """The defaults of this customer's invoices."""

    custom_fields: tuple[CustomField, ...] | None = None
    default_payment_method: str | None = None
    footer: str | None = None
    rendering_options: RenderingOptions | None = None


class TaxId(Value, frozen=True, kw_only=True):
    """A tax number: ``txi_…``, the type from the tax authority's list, its value, unix seconds."""

    id: str
    type: str
    value: str
    created: int


class AddressChange(Value, frozen=True, kw_only=True):
    """The lines of an address that a command names."""

    city: TextChange = UNSET
    country: TextChange = UNSET
    line1: TextChange = UNSET
    line2: TextChange = UNSET
    postal_code: TextChange = UNSET
    state: TextChange = UNSET


class ShippingChange(Value, frozen=True, kw_only=True):
    """The parts of a shipping that a command names."""

    address: AddressChange | UnsetType = UNSET
    name: str | UnsetType = UNSET
    phone: TextChange = UNSET


class InvoiceSettingsChange(Value, frozen=True, kw_only=True):
    """The parts of the invoice settings that a command names."""

    custom_fields: tuple[CustomField, ...] | UnsetType | None = UNSET
    default_payment_method: TextChange = UNSET
    footer: TextChange = UNSET
    rendering_options: RenderingOptionsChange | UnsetType | None = UNSET


class RenderingOptionsChange(Value, frozen=True, kw_only=True):
    """The rendering options that a command names."""

    amount_tax_display: AmountTaxDisplay | UnsetType | None = UNSET
    template: TextChange = UNSET


class TaxChange(Value, frozen=True, kw_only=True):
    """Where a customer is taxed; the location check itself belongs to the tax engine."""

    ip_address: TextChange = UNSET
    validate_location: ValidateLocation | UnsetType = UNSET


class Details(Value, frozen=True, kw_only=True):
    """Everything a create or an update can say about a customer; ``UNSET`` is not said.

    ``metadata``: key → value, or → ``None`` to remove it; ``None`` instead of a map clears all.
    ``source`` is an id that can be attached as it is (a token has become a card before).
    """

    address: AddressChange | UnsetType | None = UNSET
    balance: int | UnsetType = UNSET
    description: TextChange = UNSET
    email: TextChange = UNSET
    invoice_prefix: str | UnsetType = UNSET
    invoice_settings: InvoiceSettingsChange | UnsetType = UNSET
    metadata: dict[str, str | None] | UnsetType | None = UNSET
    name: TextChange = UNSET
    next_invoice_sequence: int | UnsetType = UNSET
    payment_method: str | UnsetType = UNSET
    phone: TextChange = UNSET
    preferred_locales: tuple[str, ...] | UnsetType = UNSET
    reconciliation_mode: ReconciliationMode | UnsetType = UNSET
    shipping: ShippingChange | UnsetType | None = UNSET
    source: str | UnsetType = UNSET
    tax: TaxChange | UnsetType = UNSET
    tax_exempt: TaxExempt | UnsetType = UNSET
    tax_ids: tuple[TaxId, ...] | UnsetType = UNSET
    test_clock: str | UnsetType = UNSET
