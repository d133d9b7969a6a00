"""What people are told of every parameter and attribute: the one place for these sentences.

``PARAMETERS`` is keyed by a parameter's dotted path; items of a list stand under the list's own
path. Where one name means another thing in one operation, ``operation/path`` goes first.
``ATTRIBUTES`` is keyed by component and key; a component's name alone is the component itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_LINES: Final[Mapping[str, str]] = {
    "line1": "First line: street, PO box or company name.",
    "line2": "Second line: apartment, suite, unit or building.",
    "city": "City, district, suburb, town or village.",
    "state": "State, county, province or region.",
    "postal_code": "ZIP or postal code.",
    "country": "Country, best as a two-letter code of ISO 3166-1. It is upper-cased.",
}
_ONE_TAX_ID: Final[Mapping[str, str]] = {
    "type": "Which kind of tax number this is, as in `eu_vat`.",
    "value": "The number itself; it must have the shape that its type has. Spaces, dots, hyphens "
    "and slashes do not count.",
}

_CUSTOMER: Final[Mapping[str, str]] = {
    "address": "The customer's billing address; needed where taxes are calculated. On update, "
    "only the lines that are given change. An empty value unsets all of it.",
    "description": "Any text about the customer, shown beside it in the dashboard. An empty "
    "value unsets it.",
    "email": "The customer's email address, of the form `x@y.z`, shown in the dashboard and good "
    "for searching. An empty value unsets it.",
    "metadata": "Key-value pairs for facts of your own: up to 50 keys of up to 40 characters "
    "without square brackets, values of up to 500. On update the pairs are merged key by key; an "
    "empty value removes its key, an empty map removes all.",
    "name": "The customer's full name or business name. White space around it is dropped. An "
    "empty value unsets it.",
    "payment_method": "The id of a PaymentMethod to attach to the customer.",
    "phone": "The customer's phone number. White space around it is dropped. An empty value "
    "unsets it.",
    "shipping": "Where to and to whom goods go; appears on invoices sent to the customer. `name` "
    "and `address` are needed when no shipping is stored yet. An empty value unsets all of it.",
    "shipping.name": "The recipient's name.",
    "shipping.address": "The recipient's address.",
    "shipping.phone": "The recipient's phone number.",
    "tax": "What is known of the customer for taxes; good to give where taxes are calculated.",
    "tax.ip_address": "A recent IPv4 or IPv6 address of the customer. An empty value unsets it.",
    "tax.tax_ids": "Tax numbers to add; the same as `tax_id_data`.",
    "tax.validate_location": "When the customer's location for taxes is to be checked.",
    "balance": "The customer's balance in cents. A negative amount is a credit that lowers future "
    "invoices, a positive one raises the amount due.",
    "cash_balance": "How the customer's cash balance is handled.",
    "cash_balance.settings": "The settings of the cash balance.",
    "cash_balance.settings.reconciliation_mode": "How funds that come in are matched with "
    "invoices.",
    "invoice_prefix": "What the numbers of the customer's invoices begin with: 3 to 12 upper-case "
    "letters or digits, unique in the account and mode.",
    "invoice_settings": "The defaults of the customer's invoices.",
    "invoice_settings.custom_fields": "Up to four fields printed on every invoice, replaced as a "
    "whole. An empty value removes them.",
    "invoice_settings.custom_fields.name": "The field's name.",
    "invoice_settings.custom_fields.value": "The field's value.",
    "invoice_settings.default_payment_method": "The id of an attached PaymentMethod that pays "
    "for subscriptions and invoices. An empty value unsets it.",
    "invoice_settings.footer": "The footer of every invoice. An empty value unsets it.",
    "invoice_settings.rendering_options": "How invoices are rendered. An empty value unsets it.",
    "invoice_settings.rendering_options.amount_tax_display": "Whether line items are shown "
    "without tax or with the tax that is included. An empty value unsets it.",
    "invoice_settings.rendering_options.template": "The id of the template that renders "
    "invoices. An empty value unsets it.",
    "next_invoice_sequence": "The sequence number of the customer's next invoice; 1 at first.",
    "preferred_locales": "The customer's languages as IETF tags, the preferred one first; "
    "replaced as a whole. An empty value removes them all.",
    "source": "The id of a token or source. It is attached and becomes the default; the default "
    "before it is removed.",
    "tax_exempt": "Whether the customer is exempt from tax. An empty value means `none`.",
    "tax_id_data": "Tax numbers to add; a pair that is already there is passed over.",
    "test_clock": "The id of a test clock to attach, to simulate time. In test mode only.",
    "expand": "Properties to answer as whole objects instead of ids, each a dotted path of at "
    "most four levels.",
    "id": "An id of your own choice for the customer, in test mode only. An id that was ever used "
    "is refused.",
}

PARAMETERS: Final[Mapping[str, str]] = {
    **_CUSTOMER,
    **{f"{at}.{k}": v for at in ("address", "shipping.address") for k, v in _LINES.items()},
    **{f"{at}.{k}": v for at in ("tax_id_data", "tax.tax_ids") for k, v in _ONE_TAX_ID.items()},
    "customer": "The customer's id, as in `cus_123456789`.",
    "event": "The event's id, as in `evt_1MtHbELkdIwHu7ixl4OzzPMv`.",
    "list_events/created": "Only events that happened at this time in unix seconds, or within "
    "these bounds.",
    "list_events/created.gt": "Happened after this time.",
    "list_events/created.gte": "Happened at or after this time.",
    "list_events/created.lt": "Happened before this time.",
    "list_events/created.lte": "Happened at or before this time.",
    "list_events/delivery_success": "Only events that all webhooks have received, or with `false` "
    "the others. There are no webhooks, so `false` finds none.",
    "list_events/ending_before": "An event's id: the page ends just before it. Not together with "
    "`starting_after`.",
    "list_events/starting_after": "An event's id: the page starts just after it. Not together "
    "with `ending_before`.",
    "list_events/limit": "How many events to answer, 10 if not given. What is below 1 counts as "
    "1, what is above 100 as 100.",
    "list_events/type": "Only events of this type, as in `customer.updated`; `*` stands for any "
    "characters, as in `customer.*`. Not together with `types`.",
    "list_events/types": "Only events of one of up to 20 types; `*` as in `type`.",
    "list_events/expand": "Nothing in an event can be expanded: it shows its object as messages "
    "do.",
    "retrieve_event/expand": "Nothing in an event can be expanded: it shows its object as "
    "messages do.",
    "file": "The name of one of the page's own files.",
    "as_of": "A moment of the past: unix seconds, also as `@1772539200`, an RFC 3339 time with any "
    "offset, a date in UTC, `version:3` or `position:17`. A time means the end of what it names: "
    "of that day, that second, that tenth of a second. Needs the right `audit` instead of the "
    "usual one.",
    "list_customers/as_of": "A moment of the past: unix seconds, also as `@1772539200`, an RFC "
    "3339 time with any offset, a date in UTC, or `position:17`. A time means the end of what it "
    "names: of that day, that second, that tenth of a second. Needs the right `audit` instead of "
    "the usual one.",
    "from": "The earlier moment, as `as_of` takes it.",
    "to": "The later moment, as `as_of` takes it; now if not given.",
    "read_history/ending_before": "An event's id, or `version:3`: the page ends just before it. "
    "Not together with `starting_after`.",
    "read_history/from": "Only events from there on, in the spellings of `as_of`; those of that "
    "day, that second, that version are included.",
    "read_history/to": "Only events up to there, likewise included: one date for both is a day.",
    "read_history/limit": "How many events to answer, 10 if not given. What is below 1 counts as "
    "1, what is above 100 as 100.",
    "read_history/starting_after": "An event's id, or `version:3`: the page starts just after it. "
    "Not together with `ending_before`.",
    "list_customers/created": "Only customers created at this time in unix seconds, or within "
    "these bounds.",
    "list_customers/created.gt": "Created after this time.",
    "list_customers/created.gte": "Created at or after this time.",
    "list_customers/created.lt": "Created before this time.",
    "list_customers/created.lte": "Created at or before this time.",
    "list_customers/email": "Only customers with exactly this email address; upper and lower "
    "case differ.",
    "list_customers/ending_before": "A customer's id: the page ends just before it. Not together "
    "with `starting_after`.",
    "list_customers/starting_after": "A customer's id: the page starts just after it. Not "
    "together with `ending_before`.",
    "list_customers/limit": "How many customers to answer, 10 if not given. What is below 1 "
    "counts as 1, what is above 100 as 100.",
    "list_customers/test_clock": "Only customers on this test clock. Customers on a clock are "
    "listed only when it is named.",
    "erase_customer/reason": "Why the person is forgotten. It stays in the history.",
    "search_customers/query": "The search: clauses such as `email:'x@y.z'`, `name~'jan'`, "
    "`created>1680893993` or `metadata['plan']:'pro'`, up to ten, joined by all `AND` or all "
    "`OR`; `-` before a clause negates it.",
    "search_customers/limit": "How many customers to answer, from 1 to 100, 10 if not given.",
    "search_customers/page": "The `next_page` of the answer before this one.",
    "retrieve_proof/position": "The event's position in the log, as every message of it names it.",
    "retrieve_consistency/from": "How many events the smaller log has, such as the size of a "
    "checkpoint that was kept.",
    "retrieve_consistency/to": "How many events the larger log has, such as the size of the newest "
    "checkpoint.",
}


def parameter_words(operation: str) -> Mapping[str, str]:
    """Return the sentences that hold for the parameters of an operation, by path."""
    own = f"{operation}/"
    general = {path: words for path, words in PARAMETERS.items() if "/" not in path}
    special = {p.removeprefix(own): w for p, w in PARAMETERS.items() if p.startswith(own)}
    return {**general, **special}


_AUDIT: Final[Mapping[str, str]] = {
    "AuditCheckpoint": "What the log says of itself, signed. How it is checked is told in "
    "`docs/audit-format.md`.",
    "AuditCheckpoint.object": "The kind of the object: always `audit.checkpoint`.",
    "AuditCheckpoint.note": "The checkpoint as a C2SP signed note. All else here repeats it.",
    "AuditCheckpoint.origin": "The name of the log.",
    "AuditCheckpoint.root_hash": "The root of the Merkle tree over its events, in Base64.",
    "AuditCheckpoint.size": "How many events the checkpoint covers.",
    "AuditConsistency": "The proof that the log of one size is the beginning of that of another.",
    "AuditConsistency.object": "The kind of the object: always `audit.consistency`.",
    "AuditConsistency.from": "How many events the smaller log has.",
    "AuditConsistency.hashes": "The proof, as in section 2.1.2 of RFC 6962, in Base64.",
    "AuditConsistency.to": "How many events the larger log has.",
    "AuditEvent": "An event with every column as it is stored.",
    "AuditEvent.position": "Its place in the whole log: 1, 2, 3 … without gaps.",
    "AuditEvent.account": "Whose event it is.",
    "AuditEvent.livemode": "True in live mode, false in test mode.",
    "AuditEvent.stream": "The id of the customer.",
    "AuditEvent.version": "Its place among the events of the customer: 1, 2, 3 ….",
    "AuditEvent.previous_position": "The position of the event before it of the customer, 0 if "
    "there is none.",
    "AuditEvent.event_id": "The event's id.",
    "AuditEvent.type": "What happened.",
    "AuditEvent.schema_version": "The version of the payload's form.",
    "AuditEvent.payload": "What changed, as the JSON text that is stored; every byte counts.",
    "AuditEvent.state": "The customer after it, likewise; null with the first event.",
    "AuditEvent.metadata": "Who asked for it, from where and in which request, likewise.",
    "AuditEvent.invoice_prefix": "The invoice prefix that the event took, if it took one.",
    "AuditEvent.recorded_at": "When it was stored, to the microsecond.",
    "AuditProof": "An event, and the proof that it is in the log.",
    "AuditProof.object": "The kind of the object: always `audit.proof`.",
    "AuditProof.event": "The event as it is stored.",
    "AuditProof.hashes": "The proof, as in section 2.1.1 of RFC 6962, in Base64.",
    "AuditProof.index": "The event's place in the tree: its position minus one.",
    "AuditProof.leaf_hash": "The hash of the event, which anybody can compute from it, in Base64.",
    "AuditProof.note": "The signed checkpoint to whose root the proof leads.",
    "AuditProof.size": "How many events that checkpoint covers.",
}

ATTRIBUTES: Final[Mapping[str, str]] = {
    **_AUDIT,
    "Address": "An address with its six keys always there.",
    **{f"Address.{key}": words for key, words in _LINES.items()},
    "Change": "One leaf of a customer before and after an event.",
    "Change.attribute": "The path of the leaf in the customer object, or in what that shows only "
    "when expanded, as in `address.city`, `metadata.plan` or `tax.ip_address`. `deleted` is told "
    "of a deletion.",
    "Change.old": "The value before, null if there was none. Lists are replaced as a whole.",
    "Change.new": "The value after, null if there is none.",
    "CustomField": "A name and a value printed on every invoice.",
    "CustomField.name": "The field's name.",
    "CustomField.value": "The field's value.",
    "Customer": "An individual or a business that you bill for products and services.",
    "Customer.id": "The customer's id. Take it as opaque.",
    "Customer.object": "The kind of the object: always `customer`.",
    "Customer.address": "The billing address.",
    "Customer.balance": "The balance in cents: negative amounts are credits, positive ones due.",
    "Customer.cash_balance": "The cash balance. Only there when `expand[]` names it.",
    "Customer.created": "When the customer was created, in unix seconds.",
    "Customer.currency": "The currency the customer is billed in; none is set by this service.",
    "Customer.default_source": "The id of the default payment source, the source itself when "
    "expanded.",
    "Customer.delinquent": "Whether the customer's last invoice is unpaid.",
    "Customer.description": "Any text about the customer.",
    "Customer.discount": "The discount that holds for the customer; there is none.",
    "Customer.email": "The email address.",
    "Customer.invoice_prefix": "What the numbers of the customer's invoices begin with.",
    "Customer.invoice_settings": "The defaults of the customer's invoices.",
    "Customer.livemode": "True in live mode, false in test mode.",
    "Customer.metadata": "Key-value pairs of the caller's own.",
    "Customer.name": "The full name or business name.",
    "Customer.next_invoice_sequence": "The sequence number of the next invoice.",
    "Customer.phone": "The phone number.",
    "Customer.preferred_locales": "The languages as IETF tags, the preferred one first.",
    "Customer.shipping": "Where to and to whom goods go.",
    "Customer.sources": "The payment sources. Only there when `expand[]` names it.",
    "Customer.subscriptions": "The subscriptions. Only there when `expand[]` names it.",
    "Customer.tax": "What is known for taxes. Only there when `expand[]` names it.",
    "Customer.tax_exempt": "Whether the customer is exempt from tax.",
    "Customer.tax_ids": "The tax numbers. Only there when `expand[]` names it.",
    "Customer.test_clock": "The id of the test clock the customer is on, the clock itself when "
    "expanded.",
    "Customer.updated": "When the customer was last updated, in unix seconds. Absent before the "
    "first update.",
    "CustomerDiff": "In what a customer differs from itself at an earlier moment.",
    "CustomerDiff.object": "The kind of the object: always `customer_diff`.",
    "CustomerDiff.changes": "The leaves that differ, in the order of their names.",
    "CustomerDiff.customer": "The customer's id.",
    "CustomerDiff.erased": "True when the customer was erased since, absent otherwise: personal "
    "values are gone, and changes of them are not told.",
    "CustomerDiff.from": "The event that left the customer as it stood at the earlier moment.",
    "CustomerDiff.livemode": "True in live mode, false in test mode.",
    "CustomerDiff.to": "The event that left the customer as it stood at the later moment.",
    "DiffSide": "The newest event that does not lie beyond a moment.",
    "DiffSide.position": "Its place in the whole log, null if there was no customer yet.",
    "DiffSide.time": "When it was recorded, null if there was no customer yet.",
    "DiffSide.version": "Its place among the customer's events, 0 if there was no customer yet.",
    "DeletedCustomer": "What is left to see of a deleted customer.",
    "DeletedCustomer.id": "The customer's id.",
    "DeletedCustomer.object": "The kind of the object: always `customer`.",
    "DeletedCustomer.deleted": "Always true.",
    "DeletedCustomer.erased": "True when the personal values are gone for good, absent otherwise.",
    "Error": "The envelope of every error.",
    "Error.error": "What went wrong.",
    "ErrorFields": "What went wrong; a key with nothing to say is absent.",
    "ErrorFields.code": "What kind of failure this is, for programs to decide by.",
    "ErrorFields.doc_url": "The page of this service that explains the code.",
    "ErrorFields.message": "One sentence for a person: what was wrong and what is allowed.",
    "ErrorFields.param": "The parameter at fault, in bracket form, as in "
    "`shipping[address][line1]`.",
    "ErrorFields.reason": "The finer cause. More may be added.",
    "ErrorFields.type": "The family that clients make their exceptions of.",
    "Event": "Something that happened to a customer. An event never changes and is never deleted.",
    "Event.id": "The event's id, the same as in its message. Take it as opaque.",
    "Event.object": "The kind of the object: always `event`.",
    "Event.api_version": "The version in which `data` is rendered.",
    "Event.created": "When it happened, in unix seconds.",
    "Event.data": "What the event is about.",
    "Event.livemode": "True in live mode, false in test mode.",
    "Event.pending_webhooks": "How many webhooks have not received it yet; there are none.",
    "Event.request": "The request that caused the event; null if that cannot be read.",
    "Event.type": "What happened. `customer.unreadable`: what is stored cannot be read, since it "
    "was changed or a newer version of this service wrote it. Such an event is listed under the "
    "type that is stored, unless that is unknown.",
    "EventData": "The customer with and before an event.",
    "EventData.object": "The customer as it stood after the event; when it was deleted, as it was; "
    "once it was erased, without personal values. With `customer.unreadable` its id, and why there "
    "is no more.",
    "EventData.previous_attributes": "Only of `customer.updated`: the old values of what changed; "
    "of objects only the keys that did, and null for a key of metadata that is new.",
    "EventRequest": "The request that caused an event.",
    "EventRequest.id": "The request's id, which was answered as `Request-Id`.",
    "EventRequest.idempotency_key": "The idempotency key that it came with.",
    "HistoryEntry": "One event in the life of a customer.",
    "HistoryEntry.id": "The event's id.",
    "HistoryEntry.object": "The kind of the object: always `history_entry`.",
    "HistoryEntry.changes": "What changed, leaf by leaf, in the order of their names. A creation "
    "tells every value from null. Null if that cannot be read.",
    "HistoryEntry.customer": "The customer's id.",
    "HistoryEntry.erased": "True when the customer was erased since, absent otherwise: personal "
    "values are gone, a change of one has null for both.",
    "HistoryEntry.livemode": "True in live mode, false in test mode.",
    "HistoryEntry.position": "The event's place in the whole log.",
    "HistoryEntry.time": "When the event was recorded, to the microsecond, by the database's "
    "clock. As `as_of` it names the customer right after this event.",
    "HistoryEntry.type": "What happened; as it is stored, if this version does not know it.",
    "HistoryEntry.unreadable": "Why a part of the event cannot be read, absent otherwise: its row "
    "was changed, or a newer version of this service wrote it.",
    "HistoryEntry.version": "The event's place among the customer's events: 1, 2, 3 …",
    "HistoryEntry.who": "Who asked for it; null if that cannot be read.",
    "HistoryEntry.why": "In which request, and for which reason; null if that cannot be read.",
    "UnreadableCustomer": "Stands for a customer of which nothing can be told.",
    "UnreadableCustomer.id": "The customer's id.",
    "UnreadableCustomer.object": "The kind of the object: always `customer`.",
    "UnreadableCustomer.unreadable": "Where what is stored cannot be read, and why.",
    "Who": "Who asked for a change.",
    "Who.client_address": "The network address that the request came from.",
    "Who.key_id": "The id of the API key; never the key itself.",
    "Who.key_kind": "The kind of the API key; null in events that are older than this was kept.",
    "Who.key_name": "The name of the API key.",
    "Why": "In which request a change was asked for, and why.",
    "Why.erasure_reason": "The `reason` that an erasure was given, if one was.",
    "Why.idempotency_key": "The `Idempotency-Key` that was given, if one was.",
    "Why.reason": "The `Chaching-Reason` that was given, if one was; else that of the erasure.",
    "Why.request_id": "The `Request-Id` of the request.",
    "InvoiceSettings": "The defaults of a customer's invoices.",
    "InvoiceSettings.custom_fields": "Fields printed on every invoice.",
    "InvoiceSettings.default_payment_method": "The id of the PaymentMethod that pays for "
    "subscriptions and invoices, the PaymentMethod itself when expanded.",
    "InvoiceSettings.footer": "The footer of every invoice.",
    "InvoiceSettings.rendering_options": "How invoices are rendered.",
    "RenderingOptions": "How a customer's invoices are rendered.",
    "RenderingOptions.amount_tax_display": "Whether line items are shown without tax or with the "
    "tax that is included.",
    "RenderingOptions.template": "The id of the template that renders invoices.",
    "Shipping": "Where to and to whom goods go.",
    "Shipping.address": "The recipient's address.",
    "Shipping.name": "The recipient's name.",
    "Shipping.phone": "The recipient's phone number.",
}
