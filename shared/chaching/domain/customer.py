"""One customer: Commands, Events, State, rejections, decide, evolve.

``decide(command, state)`` gives the event that follows, or ``None`` when the customer already is
as asked; it raises a Rejected when a rule that needs the state forbids the command.
``evolve(state, event)`` gives the state after the event. The fold of a customer's events is the
definition of that customer.

In events and state the values that speak about a person stand in ``personal``, all others in
``commercial``, so that the first can be encrypted apart from the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias, TypeVar, assert_never

import msgspec
from msgspec import UNSET, UnsetType

from chaching.domain.delta import Delta, apply, difference
from chaching.domain.ids import CustomerId
from chaching.domain.values import (
    METADATA_KEYS_MAX,
    PAYMENT_METHODS_MAX,
    TAX_IDS_MAX,
    Address,
    AddressChange,
    Details,
    ErasureReason,
    InvoiceSettings,
    InvoiceSettingsChange,
    ReconciliationMode,
    RenderingOptions,
    Shipping,
    ShippingChange,
    TaxExempt,
    TaxId,
    ValidateLocation,
    Value,
)

T = TypeVar("T")
V = TypeVar("V", bound=Value)

# --- Commands -----------------------------------------------------------------------------------


class CreateCustomer(Value, frozen=True, kw_only=True):
    """Bring a customer into being at ``at`` (unix seconds)."""

    id: CustomerId
    livemode: bool
    at: int
    invoice_prefix: str
    details: Details


class UpdateCustomer(Value, frozen=True, kw_only=True):
    """Change what ``details`` names, at ``at`` (unix seconds)."""

    id: CustomerId
    at: int
    details: Details


class DeleteCustomer(Value, frozen=True, kw_only=True):
    """Delete for good, at ``at`` (unix seconds)."""

    id: CustomerId
    at: int


class EraseCustomer(Value, frozen=True, kw_only=True):
    """Forget the person for good and delete the customer, at ``at`` (unix seconds)."""

    id: CustomerId
    at: int
    reason: ErasureReason | None = None


Command: TypeAlias = CreateCustomer | UpdateCustomer | DeleteCustomer | EraseCustomer

# --- State --------------------------------------------------------------------------------------


class Commercial(Value, frozen=True, kw_only=True):
    """What the billing of a customer needs to know and no person's name is in."""

    invoice_prefix: str
    balance: int = 0
    default_source: str | None = None
    invoice_settings: InvoiceSettings = InvoiceSettings()
    next_invoice_sequence: int = 1
    payment_methods: tuple[str, ...] = ()
    preferred_locales: tuple[str, ...] = ()
    reconciliation_mode: ReconciliationMode | None = None
    sources: tuple[str, ...] = ()
    tax_exempt: TaxExempt = "none"
    test_clock: str | None = None
    validate_location: ValidateLocation | None = None


class Personal(Value, frozen=True, kw_only=True):
    """What speaks about a person and can be forgotten."""

    address: Address | None = None
    description: str | None = None
    email: str | None = None
    ip_address: str | None = None
    metadata: dict[str, str] = {}  # noqa: RUF012 - msgspec copies the default
    name: str | None = None
    phone: str | None = None
    shipping: Shipping | None = None
    tax_ids: tuple[TaxId, ...] = ()


class Customer(Value, frozen=True, kw_only=True):
    """A customer as it stands after an event; times in unix seconds."""

    id: CustomerId
    livemode: bool
    created: int
    updated: int | None = None
    deleted: bool = False
    erased: bool = False
    commercial: Commercial
    personal: Personal = Personal()


# --- Events -------------------------------------------------------------------------------------


class CustomerCreated(Value, frozen=True, kw_only=True):
    """A customer came into being with these values; what stands at its default is left out."""

    id: CustomerId
    livemode: bool
    created: int
    commercial: Commercial
    personal: Personal = Personal()


class CustomerUpdated(Value, frozen=True, kw_only=True):
    """These leaves changed, at ``updated`` (unix seconds)."""

    updated: int
    commercial: Delta = Delta()
    personal: Delta = Delta()


class CustomerDeleted(Value, frozen=True, kw_only=True):
    """The customer was deleted at ``deleted_at`` (unix seconds); its values stay as they were."""

    deleted_at: int


class CustomerErased(Value, frozen=True, kw_only=True):
    """All personal values there ever were are gone since ``erased_at`` (unix seconds)."""

    erased_at: int
    reason: ErasureReason | None = None


Event: TypeAlias = CustomerCreated | CustomerUpdated | CustomerDeleted | CustomerErased

# --- Rejections ---------------------------------------------------------------------------------


class Rejected(Exception):  # noqa: N818 - a refusal is a normal outcome, not an error
    """A rule forbids the command; nothing happened.

    ``param`` is the parameter at fault in bracket form, if one is.
    """

    param: str | None = None


class NoSuchCustomer(Rejected):
    """No such customer: '{id}'; a similar object exists in live mode, but a test mode key …."""

    param = "id"

    def __init__(self, customer_id: str, *, similar_in: bool | None = None) -> None:
        hint = "" if similar_in is None else f"; {similar_object(livemode=similar_in)}"
        super().__init__(f"No such customer: '{customer_id}'{hint}")


def similar_object(*, livemode: bool) -> str:
    """Return the hint that what is not there is there in the other mode, ``livemode``."""
    there, here = ("live", "test") if livemode else ("test", "live")
    return (
        f"a similar object exists in {there} mode, but a {here} mode key was used to make this "
        "request."
    )


class CustomerExists(Rejected):
    """Customer already exists."""

    param = "id"

    def __init__(self) -> None:
        super().__init__("Customer already exists.")


class InvoicePrefixTaken(Rejected):
    """This invoice number prefix is taken by customer: {id}. Please enter a different prefix."""

    param = "invoice_prefix"

    def __init__(self, holder: str) -> None:
        super().__init__(
            f"This invoice number prefix is taken by customer: {holder}. "
            "Please enter a different prefix."
        )
        self.holder = holder


class ShippingIncomplete(Rejected):
    """Missing required param: {param}."""

    def __init__(self, param: str) -> None:
        super().__init__(f"Missing required param: {param}.")
        self.param = param


class MetadataFull(Rejected):
    """Metadata can have up to 50 keys, but you've set {keys}."""

    param = "metadata"

    def __init__(self, keys: int) -> None:
        super().__init__(
            f"Metadata can have up to {METADATA_KEYS_MAX} keys, but you've set {keys}."
        )


class ListFull(Rejected):
    """A customer can have up to {most} of these."""

    def __init__(self, param: str, most: int) -> None:
        super().__init__(f"A customer can have up to {most} of '{param}'.")
        self.param = param


class PaymentMethodNotAttached(Rejected):
    """No such PaymentMethod: '{id}' is not attached to this customer."""

    param = "invoice_settings[default_payment_method]"

    def __init__(self, payment_method: str) -> None:
        super().__init__(
            f"No such PaymentMethod: '{payment_method}'; it must be attached to this customer "
            "before it can be its default."
        )


# --- decide -------------------------------------------------------------------------------------


def decide(command: Command, state: Customer | None) -> Event | None:
    """Return the event that follows from a command, or None when nothing would change.

    Raises:
        Rejected: the state forbids the command.
    """
    match command:
        case CreateCustomer():
            return _create(command, state)
        case UpdateCustomer():
            return _update(command, _living(command.id, state))
        case DeleteCustomer():
            _living(command.id, state)
            return CustomerDeleted(deleted_at=command.at)
        case EraseCustomer():
            return _erase(command, state)
        case _:
            assert_never(command)


def _create(command: CreateCustomer, state: Customer | None) -> CustomerCreated:
    if state is not None:
        raise CustomerExists
    details = command.details
    return CustomerCreated(
        id=command.id,
        livemode=command.livemode,
        created=command.at,
        commercial=_commercial(Commercial(invoice_prefix=command.invoice_prefix), details),
        personal=_personal(Personal(), details),
    )


def _update(command: UpdateCustomer, customer: Customer) -> CustomerUpdated | None:
    commercial = _commercial(customer.commercial, command.details)
    personal = _personal(customer.personal, command.details)
    event = CustomerUpdated(
        updated=command.at,
        commercial=difference(customer.commercial, commercial),
        personal=difference(customer.personal, personal),
    )
    return event if event.commercial or event.personal else None


def _erase(command: EraseCustomer, state: Customer | None) -> CustomerErased | None:
    if state is None:
        raise NoSuchCustomer(command.id)
    if state.erased:
        return None
    return CustomerErased(erased_at=command.at, reason=command.reason)


def _living(customer_id: CustomerId, state: Customer | None) -> Customer:
    if state is None or state.deleted:
        raise NoSuchCustomer(customer_id)
    return state


def _commercial(old: Commercial, details: Details) -> Commercial:
    sources, default_source = _attached_source(old, details.source)
    payment_methods = _attached(old.payment_methods, details.payment_method)
    tax = details.tax or None
    changed = Commercial(
        balance=_given(details.balance, old.balance),
        default_source=default_source,
        invoice_prefix=_given(details.invoice_prefix, old.invoice_prefix),
        invoice_settings=_invoice_settings(old.invoice_settings, details.invoice_settings),
        next_invoice_sequence=_given(details.next_invoice_sequence, old.next_invoice_sequence),
        payment_methods=payment_methods,
        preferred_locales=_given(details.preferred_locales, old.preferred_locales),
        reconciliation_mode=_given(details.reconciliation_mode, old.reconciliation_mode),
        sources=sources,
        tax_exempt=_given(details.tax_exempt, old.tax_exempt),
        test_clock=_given(details.test_clock, old.test_clock),
        validate_location=_given(tax.validate_location, old.validate_location)
        if tax
        else old.validate_location,
    )
    return _with_attached_default(changed, details)


def _personal(old: Personal, details: Details) -> Personal:
    tax = details.tax or None
    return Personal(
        address=_address(old.address, details.address),
        description=_given(details.description, old.description),
        email=_given(details.email, old.email),
        ip_address=_given(tax.ip_address, old.ip_address) if tax else old.ip_address,
        metadata=_metadata(old.metadata, details.metadata),
        name=_given(details.name, old.name),
        phone=_given(details.phone, old.phone),
        shipping=_shipping(old.shipping, details.shipping),
        tax_ids=_tax_ids(old.tax_ids, details.tax_ids),
    )


def _given(value: T | UnsetType, old: T) -> T:
    return old if value is UNSET else value


def _address(old: Address | None, change: AddressChange | UnsetType | None) -> Address | None:
    if change is UNSET or change is None:
        return old if change is UNSET else None
    return _replaced(old or Address(), change)


def _shipping(old: Shipping | None, change: ShippingChange | UnsetType | None) -> Shipping | None:
    if change is UNSET or change is None:
        return old if change is UNSET else None
    if old is None:
        if change.name is UNSET:
            raise ShippingIncomplete("shipping[name]")
        if change.address is UNSET:
            raise ShippingIncomplete("shipping[address]")
        old = Shipping(address=Address(), name=change.name)
    return Shipping(
        address=_replaced(old.address, change.address) if change.address else old.address,
        name=_given(change.name, old.name),
        phone=_given(change.phone, old.phone),
    )


def _metadata(
    old: dict[str, str], change: dict[str, str | None] | UnsetType | None
) -> dict[str, str]:
    if change is UNSET or change is None:
        return old if change is UNSET else {}
    merged = {**old, **change}
    kept = {key: value for key, value in merged.items() if value is not None}
    if len(kept) > METADATA_KEYS_MAX:
        raise MetadataFull(len(kept))
    return kept


def _invoice_settings(
    old: InvoiceSettings, change: InvoiceSettingsChange | UnsetType
) -> InvoiceSettings:
    if change is UNSET:
        return old
    options = change.rendering_options
    if options:
        rendering = _replaced(old.rendering_options or RenderingOptions(), options)
        options = rendering if rendering != RenderingOptions() else None
    return InvoiceSettings(
        custom_fields=_given(change.custom_fields, old.custom_fields) or None,
        default_payment_method=_given(change.default_payment_method, old.default_payment_method),
        footer=_given(change.footer, old.footer),
        rendering_options=_given(options, old.rendering_options),
    )


def _replaced(old: V, change: Value) -> V:
    given = {
        name: value
        for name in change.__struct_fields__
        if (value := getattr(change, name)) is not UNSET
    }
    return msgspec.structs.replace(old, **given)


def _attached_source(
    old: Commercial, source: str | UnsetType
) -> tuple[tuple[str, ...], str | None]:
    if source is UNSET or source == old.default_source:
        return old.sources, old.default_source
    kept = tuple(s for s in old.sources if s not in {old.default_source, source})
    return (*kept, source), source


def _attached(old: tuple[str, ...], payment_method: str | UnsetType) -> tuple[str, ...]:
    if payment_method is UNSET or payment_method in old:
        return old
    if len(old) >= PAYMENT_METHODS_MAX:
        raise ListFull("payment_method", PAYMENT_METHODS_MAX)
    return (*old, payment_method)


def _with_attached_default(changed: Commercial, details: Details) -> Commercial:
    settings = changed.invoice_settings
    default = settings.default_payment_method
    if default is None or default in changed.payment_methods or default in changed.sources:
        return changed
    if details.invoice_settings and details.invoice_settings.default_payment_method:
        raise PaymentMethodNotAttached(default)
    unset = msgspec.structs.replace(settings, default_payment_method=None)
    return msgspec.structs.replace(changed, invoice_settings=unset)


def _tax_ids(old: tuple[TaxId, ...], given: tuple[TaxId, ...] | UnsetType) -> tuple[TaxId, ...]:
    if given is UNSET:
        return old
    kept: dict[tuple[str, str], TaxId] = {}
    for tax_id in (*old, *given):
        kept.setdefault((tax_id.type, tax_id.value), tax_id)
    if len(kept) > TAX_IDS_MAX:
        raise ListFull("tax_id_data", TAX_IDS_MAX)
    return tuple(kept.values())


# --- evolve -------------------------------------------------------------------------------------


def evolve(state: Customer | None, event: Event) -> Customer:
    """Return the customer after an event. The first event of a stream is CustomerCreated."""
    match event:
        case CustomerCreated():
            return Customer(
                id=event.id,
                livemode=event.livemode,
                created=event.created,
                commercial=event.commercial,
                personal=event.personal,
            )
        case CustomerUpdated():
            assert state is not None  # noqa: S101 - the store's versions forbid it
            return msgspec.structs.replace(
                state,
                updated=event.updated,
                commercial=apply(state.commercial, event.commercial.changes),
                personal=apply(state.personal, event.personal.changes),
            )
        case CustomerDeleted():
            assert state is not None  # noqa: S101 - the store's versions forbid it
            return msgspec.structs.replace(state, deleted=True)
        case CustomerErased():
            assert state is not None  # noqa: S101 - the store's versions forbid it
            return msgspec.structs.replace(state, deleted=True, erased=True, personal=Personal())
        case _:
            assert_never(event)


def fold(events: Iterable[Event], state: Customer | None = None) -> Customer | None:
    """Return the customer after all events, in order."""
    for event in events:
        state = evolve(state, event)
    return state
