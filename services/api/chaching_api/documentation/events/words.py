"""What people are told of every message: the one place for these sentences.

``ENTRIES`` is keyed by the type of a message. To document a new type, add its entry here and, in
``examples``, what makes its example; a body of another shape needs a component in ``schemas``.
``ATTRIBUTES`` is keyed by component and key, and says what differs from an answer of the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from chaching_api.documentation.words import ATTRIBUTES as ANSWERED

BODY: Final = "Body"
UPDATE_BODY: Final = "UpdateBody"


class MessageEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What to know of a type of message; ``body`` names the component that its body is."""

    title: str
    summary: str
    description: str
    body: str = BODY


ENTRIES: Final[Mapping[str, MessageEntry]] = {
    "customer.created": MessageEntry(
        title="Customer created",
        summary="A customer came into being.",
        description="`object` is the new customer. It is the first message of its customer: "
        "`version` is 1 and `previous_position` is 0.",
    ),
    "customer.updated": MessageEntry(
        title="Customer updated",
        summary="Something about a customer changed.",
        description="`object` is the whole customer after the change, `previous_attributes` the "
        "old values of what changed. An update that changed nothing sends no message.",
        body=UPDATE_BODY,
    ),
    "customer.deleted": MessageEntry(
        title="Customer deleted",
        summary="A customer was deleted for good.",
        description="`object` is the customer as it was when it was deleted. Its id is never "
        "given again.",
    ),
    "customer.erased": MessageEntry(
        title="Customer erased",
        summary="A person was forgotten for good.",
        description="All personal values of the customer are gone, from its whole history; "
        "`object` shows what is left. Forget what you have of this customer. A customer that was "
        "not deleted before is deleted by it. Messages about it that come again later are without "
        "those values, too.",
    ),
}

_BODY: Final[Mapping[str, str]] = {
    "object": "The customer after the event, with all its keys; with `customer.deleted` as it was, "
    "with `customer.erased` without personal values.",
    "attached": "What the API shows of the customer only when `expand[]` names it.",
}
_PREVIOUS: Final = "The old values of the leaves of this object that changed."

ATTRIBUTES: Final[Mapping[str, str]] = {
    **ANSWERED,
    "Headers": "The headers of every message. The broker may add some that begin with `x-`.",
    "Headers.cloudEvents:specversion": "The version of CloudEvents: always `1.0`.",
    "Headers.cloudEvents:id": "The event's id. A message that comes again has the same one.",
    "Headers.cloudEvents:source": "The log that the event stands in, as `urn:uuid:` and its id. "
    "Positions of different logs have nothing to do with one another.",
    "Headers.cloudEvents:type": "What happened.",
    "Headers.cloudEvents:time": "When the event was stored, in UTC.",
    "Headers.cloudEvents:subject": "The customer's id.",
    "Headers.position": "The event's place in the whole log: 1, 2, 3 … without gaps, over all "
    "accounts and modes.",
    "Headers.previous_position": "The position of the event before this one of the same customer; "
    "0 if this is its first.",
    "Headers.version": "The event's place among those of its customer: 1, 2, 3 … without gaps.",
    "Headers.schema_version": "The version of this contract. It grows only when a subscriber must "
    "change; additions leave it as it is.",
    "Headers.account": "The account that the customer belongs to.",
    "Headers.mode": "The mode that the customer belongs to.",
    "Headers.traceparent": "The W3C trace context of the request that caused the event. Absent "
    "when the request came without one.",
    "Body": "The body of a message.",
    **{f"Body.{key}": words for key, words in _BODY.items()},
    "UpdateBody": "The body of a message about an update.",
    **{f"UpdateBody.{key}": words for key, words in _BODY.items()},
    "UpdateBody.previous_attributes": "The old values of what changed, and of nothing else. "
    "Putting them into `object` gives the customer before the update, but for `updated`, which "
    "never stands here. Empty when only `attached` changed.",
    "Attached": "What the API shows of a customer only when `expand[]` names it.",
    "Attached.cash_balance": "How the customer's cash balance is settled.",
    "Attached.payment_methods": "The ids of the attached PaymentMethods, in order.",
    "Attached.sources": "The ids of the attached payment sources, in order.",
    "Attached.tax": "What is known of the customer for taxes.",
    "Attached.tax_ids": "The customer's tax numbers, in the order of adding.",
    "CashBalance": "How a customer's cash balance is settled.",
    "CashBalance.reconciliation_mode": "How funds that come in are matched with invoices; null: "
    "as is usual in the account.",
    "Tax": "What is known of a customer for taxes.",
    "Tax.ip_address": "A recent IPv4 or IPv6 address of the customer.",
    "Tax.validate_location": "When the customer's location for taxes is to be checked.",
    "TaxId": "A tax number of a customer.",
    "TaxId.created": "When it was added, in unix seconds.",
    "TaxId.id": "The tax number's id.",
    "TaxId.type": "Which kind of tax number this is, as in `eu_vat`.",
    "TaxId.value": "The number itself.",
    "Customer.default_source": "The id of the default payment source.",
    "Customer.test_clock": "The id of the test clock the customer is on.",
    "InvoiceSettings.default_payment_method": "The id of the PaymentMethod that pays for "
    "subscriptions and invoices.",
    "PreviousAttributes": "The old values of the leaves of `object` that changed. A part that was "
    "null, or is null now, stands here as a whole.",
    "PreviousAttributes.metadata": "The old values of the keys that changed; null for a key that "
    "is new.",
    "PreviousAddress": _PREVIOUS,
    "PreviousShipping": _PREVIOUS,
    "PreviousInvoiceSettings": _PREVIOUS,
    "PreviousRenderingOptions": _PREVIOUS,
}
