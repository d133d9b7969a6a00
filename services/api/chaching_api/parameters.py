"""The parameters of every operation, in the order in which they are checked.

The tables declare; ``read_…`` turn a tree of parameters into what a command carries. Unknown
names are refused first, all in one message; then the first fault in the order of the table.
Rules that need the customer's state are the domain's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, get_args

import msgspec
from msgspec import UNSET, UnsetType

from chaching.domain.values import (
    AddressChange,
    CustomField,
    Details,
    ErasureReason,
    InvoiceSettingsChange,
    ReconciliationMode,
    RenderingOptionsChange,
    ShippingChange,
    TaxChange,
    TaxId,
    ValidateLocation,
)
from chaching.moments import LogMoment, Moment
from chaching_api.bodies import Tree
from chaching_api.expansions import Expansions
from chaching_api.moments import PastLogMoment, PastMoment
from chaching_api.parameter_tables import (
    CREATED,
    TEXT_CHARACTERS_MAX,
    Seconds,
    Table,
    only_one,
    read,
    seconds,
)
from chaching_api.parameter_types import (
    Clamped,
    Email,
    Emptied,
    Fields,
    FilledText,
    Identifier,
    Integer,
    IpAddress,
    Items,
    Metadata,
    OneOf,
    Record,
    Required,
    Spelled,
    TestModeOnly,
    Text,
)
from chaching_api.search_query import Query, SearchQuery
from chaching_api.tax_id_shapes import TaxNumber, TaxNumberPair

NewId: TypeAlias = Callable[[str], str]

NAME_CHARACTERS_MAX: Final = 256
EMAIL_CHARACTERS_MAX: Final = 512
PHONE_CHARACTERS_MAX: Final = 20
INVOICE_PREFIX_CHARACTERS_MAX: Final = 12
LOCALE_CHARACTERS_MAX: Final = 255
CUSTOMER_ID_CHARACTERS_MAX: Final = 255
PAGE_DEFAULT_CUSTOMERS: Final = 10
PAGE_MAX_CUSTOMERS: Final = 100
CUSTOM_FIELDS_MAX: Final = 4
CUSTOM_FIELD_NAME_CHARACTERS_MAX: Final = 40
CUSTOM_FIELD_VALUE_CHARACTERS_MAX: Final = 140

AS_OF: Final = "as_of"
TOKEN_PREFIX: Final = "tok_"  # noqa: S105 - what a payment token's id begins with
CARD_PREFIX: Final = "card_"
TAX_ID_PREFIX: Final = "txi_"
CUSTOMER_ID_PATTERN: Final = "[A-Za-z0-9_-]{1,255}"
INVOICE_PREFIX_PATTERN: Final = "[A-Z0-9]{3,12}"
LOCALE_PATTERN: Final = "([A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*|[xX](-[A-Za-z0-9]{1,8})+)"


class CreateInput(msgspec.Struct, frozen=True, kw_only=True):
    """What a create asks for; ``id`` only when the caller chose it."""

    details: Details
    id: str | None
    expand: tuple[str, ...]


class UpdateInput(msgspec.Struct, frozen=True, kw_only=True):
    """What an update asks for."""

    details: Details
    expand: tuple[str, ...]


class RetrieveInput(msgspec.Struct, frozen=True, kw_only=True):
    """What a retrieve asks for; without ``as_of`` it is how the customer stands now."""

    as_of: Moment | None = None
    expand: tuple[str, ...] = ()


class ListInput(msgspec.Struct, frozen=True, kw_only=True):
    """What a list asks for; at most one of the two cursors, each a customer's id."""

    as_of: LogMoment | None = None
    limit: int = PAGE_DEFAULT_CUSTOMERS
    starting_after: str | None = None
    ending_before: str | None = None
    email: str | None = None
    created: Seconds = Seconds()
    test_clock: str | None = None
    expand: tuple[str, ...] = ()


class SearchInput(msgspec.Struct, frozen=True, kw_only=True):
    """What a search asks for; ``page`` is as it came, None for the first one."""

    query: Query
    limit: int = PAGE_DEFAULT_CUSTOMERS
    page: str | None = None
    expand: tuple[str, ...] = ()


def read_create(tree: Tree, *, livemode: bool, at: int, new_id: NewId) -> CreateInput:
    """Read the parameters of a create.

    ``at`` is in unix seconds; ``new_id("txi_")`` gives a fresh id with that prefix.

    Raises:
        Malformed: names the parameter at fault.
    """
    given = read(tree, CREATE[livemode])
    return CreateInput(
        id=given.pop("id", None),
        expand=given.pop("expand", ()),
        details=_details(given, at, new_id),
    )


def read_update(tree: Tree, *, livemode: bool, at: int, new_id: NewId) -> UpdateInput:
    """Read the parameters of an update; arguments and errors as in ``read_create``."""
    given = read(tree, UPDATE[livemode])
    return UpdateInput(expand=given.pop("expand", ()), details=_details(given, at, new_id))


def read_list(tree: Tree) -> ListInput:
    """Read the parameters of a list.

    Raises:
        Malformed: names the parameter at fault.
    """
    given = read(tree, LIST)
    only_one(given, "starting_after", "ending_before")
    return ListInput(created=seconds(given.pop("created", UNSET)), **given)


def read_search(tree: Tree) -> SearchInput:
    """Read the parameters of a search.

    Raises:
        Malformed: names the parameter at fault.
    """
    return SearchInput(**read(tree, SEARCH))


def read_retrieve(tree: Tree) -> RetrieveInput:
    """Read the parameters of a retrieve.

    Raises:
        Malformed: names the parameter at fault.
    """
    return RetrieveInput(**read(tree, RETRIEVE)) if tree else _PLAIN_RETRIEVE


def read_nothing(tree: Tree) -> None:
    """Refuse every parameter, as a delete does.

    Raises:
        Malformed: there is one.
    """
    read(tree, DELETE)


def read_erase(tree: Tree) -> ErasureReason | None:
    """Read the parameters of an erasure: nothing but why.

    Raises:
        Malformed: names the parameter at fault.
    """
    return read(tree, ERASE).get("reason")


_PLAIN_RETRIEVE: Final = RetrieveInput()

# --- What Details says otherwise than the parameters --------------------------------------------


class _CashBalanceSettings(msgspec.Struct, frozen=True):
    reconciliation_mode: ReconciliationMode


class _CashBalance(msgspec.Struct, frozen=True):
    settings: _CashBalanceSettings | UnsetType


class _Tax(msgspec.Struct, frozen=True):
    ip_address: str | UnsetType | None = UNSET
    tax_ids: tuple[TaxNumber, ...] = ()
    validate_location: ValidateLocation | UnsetType = UNSET


_RESAID: Final = frozenset({"cash_balance", "source", "tax", "tax_id_data"})


def _details(given: dict[str, Any], at: int, new_id: NewId) -> Details:
    if not _RESAID.isdisjoint(given):
        _resay(given, at, new_id)
    return Details(**given)


def _resay(given: dict[str, Any], at: int, new_id: NewId) -> None:
    cash_balance: _CashBalance | UnsetType = given.pop("cash_balance", UNSET)
    if cash_balance and cash_balance.settings:
        given["reconciliation_mode"] = cash_balance.settings.reconciliation_mode
    if given.get("source", "").startswith(TOKEN_PREFIX):
        given["source"] = new_id(CARD_PREFIX)
    numbers: tuple[TaxNumber, ...] = given.pop("tax_id_data", ())
    tax: _Tax | UnsetType = given.pop("tax", UNSET)
    if tax:
        given["tax"] = TaxChange(ip_address=tax.ip_address, validate_location=tax.validate_location)
        numbers = tax.tax_ids + numbers
    if numbers:
        given["tax_ids"] = tuple(
            [
                TaxId(id=new_id(TAX_ID_PREFIX), type=n.type, value=n.value, created=at)
                for n in numbers
            ]
        )


# --- The tables ---------------------------------------------------------------------------------

_LINE: Final = Text(TEXT_CHARACTERS_MAX)
_ADDRESS: Final = Fields(
    AddressChange,
    {
        "line1": _LINE,
        "line2": _LINE,
        "city": _LINE,
        "state": _LINE,
        "postal_code": _LINE,
        "country": Text(TEXT_CHARACTERS_MAX, upper=True),
    },
)
_SHIPPING: Final = Fields(
    ShippingChange,
    {"name": FilledText(TEXT_CHARACTERS_MAX), "address": _ADDRESS, "phone": _LINE},
)
_TAX_IDS: Final = Items(TaxNumberPair())
_CUSTOM_FIELD: Final = Record(
    CustomField,
    {
        "name": FilledText(CUSTOM_FIELD_NAME_CHARACTERS_MAX),
        "value": FilledText(CUSTOM_FIELD_VALUE_CHARACTERS_MAX),
    },
)
_RENDERING_OPTIONS: Final = Fields(
    RenderingOptionsChange,
    {
        "amount_tax_display": Emptied(None, OneOf(("exclude_tax", "include_inclusive_tax"))),
        "template": _LINE,
    },
)
_INVOICE_SETTINGS: Final = Fields(
    InvoiceSettingsChange,
    {
        "default_payment_method": _LINE,
        "footer": _LINE,
        "custom_fields": Emptied(None, Items(_CUSTOM_FIELD, CUSTOM_FIELDS_MAX)),
        "rendering_options": Emptied(None, _RENDERING_OPTIONS),
    },
)
_CASH_BALANCE: Final = Fields(
    _CashBalance,
    {
        "settings": Fields(
            _CashBalanceSettings,
            {"reconciliation_mode": OneOf(("automatic", "manual", "merchant_default"))},
        )
    },
)
_INVOICE_PREFIX: Final = Spelled(
    INVOICE_PREFIX_PATTERN,
    "Invoice prefix must be 3\N{EN DASH}12 uppercase letters or numbers.",
    INVOICE_PREFIX_CHARACTERS_MAX,
)
_LOCALE: Final = Spelled(
    LOCALE_PATTERN,
    "Invalid locale: {value}; must be an IETF language tag such as en or en-US",
    LOCALE_CHARACTERS_MAX,
)
_CUSTOMER_ID: Final = Spelled(
    CUSTOMER_ID_PATTERN,
    "Invalid id: {value}; must be 1 to 255 letters, digits, underscores or hyphens",
    CUSTOMER_ID_CHARACTERS_MAX,
    except_for=frozenset({"search"}),
)


def _tax(*locations: str) -> Fields[_Tax]:
    return Fields(
        _Tax,
        {
            "ip_address": Emptied(None, IpAddress()),
            "tax_ids": _TAX_IDS,
            "validate_location": OneOf(locations),
        },
    )


def _declared(tax: Fields[_Tax], *, livemode: bool) -> Table:
    return {
        "address": Emptied(None, _ADDRESS),
        "description": _LINE,
        "email": Email(EMAIL_CHARACTERS_MAX),
        "metadata": Metadata(),
        "name": Text(NAME_CHARACTERS_MAX, trimmed=True),
        "payment_method": Identifier("PaymentMethod", ("pm_",)),
        "phone": Text(PHONE_CHARACTERS_MAX, trimmed=True),
        "shipping": Emptied(None, _SHIPPING),
        "tax": tax,
        "balance": Integer(),
        "cash_balance": _CASH_BALANCE,
        "invoice_prefix": _INVOICE_PREFIX,
        "invoice_settings": _INVOICE_SETTINGS,
        "next_invoice_sequence": Integer(minimum=1),
        "preferred_locales": Emptied((), Items(_LOCALE)),
        "source": Identifier("source", (TOKEN_PREFIX, "src_", CARD_PREFIX, "ba_")),
        "tax_exempt": Emptied("none", OneOf(("none", "reverse", "exempt"))),
        "tax_id_data": _TAX_IDS,
        "test_clock": TestModeOnly() if livemode else Identifier("test clock", ("clock_",)),
        "expand": Expansions(),
    }


_TAX_ON_CREATE: Final = _tax("deferred", "immediately")
_TAX_ON_UPDATE: Final = _tax("auto", "deferred", "immediately")

CREATE: Final[Mapping[bool, Table]] = {
    True: _declared(_TAX_ON_CREATE, livemode=True),
    False: {**_declared(_TAX_ON_CREATE, livemode=False), "id": _CUSTOMER_ID},
}
UPDATE: Final[Mapping[bool, Table]] = {
    True: _declared(_TAX_ON_UPDATE, livemode=True),
    False: _declared(_TAX_ON_UPDATE, livemode=False),
}
LIST: Final[Table] = {
    AS_OF: PastLogMoment(),
    "created": CREATED,
    "email": FilledText(EMAIL_CHARACTERS_MAX),
    "ending_before": FilledText(TEXT_CHARACTERS_MAX),
    "expand": Expansions(root="customers"),
    "limit": Clamped(minimum=1, maximum=PAGE_MAX_CUSTOMERS, default=PAGE_DEFAULT_CUSTOMERS),
    "starting_after": FilledText(TEXT_CHARACTERS_MAX),
    "test_clock": FilledText(TEXT_CHARACTERS_MAX),
}
RETRIEVE: Final[Table] = {AS_OF: PastMoment(), "expand": Expansions()}
DELETE: Final[Table] = {}
ERASE: Final[Table] = {"reason": OneOf(get_args(ErasureReason))}
SEARCH: Final[Table] = {
    "query": Required(SearchQuery()),
    "limit": Integer(minimum=1, maximum=PAGE_MAX_CUSTOMERS),
    "page": FilledText(TEXT_CHARACTERS_MAX),
    "expand": Expansions(root="search_result"),
}
_TABLES: Final = (*CREATE.values(), *UPDATE.values(), LIST, RETRIEVE, ERASE, SEARCH)
DECLARED: Final = frozenset(name for table in _TABLES for name in table)
