"""What every error code and every reason means: the one table behind page and document.

A code is what programs decide by; a reason is the finer cause beside it. Reasons are listed under
the codes that they come with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from chaching_api.errors import ErrorCode, ErrorType


class CodeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What to know of a code: ``again`` tells whether and when to send the request again."""

    statuses: tuple[int, ...]
    types: tuple[ErrorType, ...]
    meaning: str
    remedy: str
    again: str
    reasons: tuple[str, ...] = ()


CODES: Final[Mapping[ErrorCode, CodeEntry]] = {
    "invalid_request": CodeEntry(
        statuses=(400, 404, 409, 413),
        types=("invalid_request_error", "idempotency_error"),
        meaning="The request's parameters are missing or invalid, its body or its URL cannot be "
        "read, or it stands against what is stored. Nothing was changed.",
        remedy="Read the message. The parameter at fault is named in bracket form, as in "
        "shipping[address][line1]. A 404 means that the service has no such URL, a 413 that the "
        "body is larger than 1 MiB. The type idempotency_error means that the Idempotency-Key was "
        "used before for another request: take a new key.",
        again="Not as it is: the same request fails the same way. The exception is 409, where "
        "other requests kept changing the same customer: send that one again after a short pause.",
        reasons=(
            "email_invalid",
            "lock_timeout",
            "parameter_invalid_empty",
            "parameter_invalid_integer",
            "parameter_missing",
            "parameter_unknown",
            "property_expansion_max_depth",
            "resource_missing",
            "tax_id_invalid",
            "url_unknown",
        ),
    ),
    "resource_missing": CodeEntry(
        statuses=(400, 404),
        types=("invalid_request_error",),
        meaning="There is no object with this id in the account and mode of the key. Deleted "
        "customers can be retrieved, yet neither updated nor deleted again. Status 404 is about "
        "the object in the URL, status 400 about one that a parameter names.",
        remedy="Check the id, and whether the key is of the right account and mode. When the "
        "object exists in the other mode, the message says so.",
        again="No: create the object, or name another, first.",
    ),
    "resource_already_exists": CodeEntry(
        statuses=(400,),
        types=("invalid_request_error",),
        meaning="The id given for a new customer was used before. Ids of deleted customers are "
        "not given again.",
        remedy="Choose another id, or leave it out and let the service make one.",
        again="Not with this id.",
    ),
    "authentication_error": CodeEntry(
        statuses=(401,),
        types=("authentication_error",),
        meaning="The request came without an API key, or with one that opens nothing here.",
        remedy="Send a secret key, either as Authorization: Bearer or as the user name of Basic "
        "authentication with an empty password.",
        again="With another key.",
        reasons=("api_key_expired", "secret_key_required"),
    ),
    "more_permissions_required": CodeEntry(
        statuses=(403,),
        types=("invalid_request_error",),
        meaning="The key is good, but it lacks the right that this operation needs. The message "
        "names the right.",
        remedy="Take a key with that right, or have the right given to this one.",
        again="With another key.",
    ),
    "rate_limit": CodeEntry(
        statuses=(429,),
        types=("rate_limit_error",),
        meaning="Too many requests came too quickly. Nothing was changed.",
        remedy="Send fewer requests at a time. The header Stripe-Rate-Limited-Reason names the "
        "limit that was met.",
        again="Yes, after the pause that Retry-After gives in seconds, and after longer pauses "
        "when it fails again.",
        reasons=("endpoint-rate", "global-concurrency", "global-rate"),
    ),
    "server_error": CodeEntry(
        statuses=(500, 503),
        types=("api_error",),
        meaning="The fault is ours. Status 503 means that the service cannot be reached for the "
        "moment or is overloaded; status 500 that something unexpected happened.",
        remedy="Keep the Request-Id of the answer: the fault is logged under it.",
        again="After 503 yes, after the pause that Retry-After gives in seconds. A write that was "
        "answered so may have taken effect all the same; its message says when that is not known. "
        "After 500 with care. Send an Idempotency-Key with every POST, so that a repetition takes "
        "effect once.",
    ),
}

REASONS: Final[Mapping[str, str]] = {
    "api_key_expired": "The key's time is over.",
    "email_invalid": "The email address is not of the form x@y.z.",
    "endpoint-rate": "Too many requests of this kind a second with the same key.",
    "global-concurrency": "Too many requests at the same time with the same key.",
    "global-rate": "Too many requests a second with the same key, or too many wrong keys.",
    "lock_timeout": "Other requests kept changing the same customer at the same time.",
    "parameter_invalid_empty": "An empty value was given for something that cannot be unset.",
    "parameter_invalid_integer": "The value is no integer, or one out of bounds.",
    "parameter_missing": "A parameter that is needed was not given.",
    "parameter_unknown": "The operation has no such parameter; the message names all of them.",
    "property_expansion_max_depth": "A path in expand[] has more than four levels.",
    "resource_missing": "The object that a parameter names does not exist or is not well formed.",
    "secret_key_required": "A publishable key was used where a secret one is needed.",
    "tax_id_invalid": "The tax number does not have the shape that its type has.",
    "url_unknown": "No operation has this method and this path.",
}

# What an answer with this status says in general.
STATUSES: Final[Mapping[int, str]] = {
    400: "The request breaks a rule, or names in a parameter what does not exist.",
    401: "There is no key, or one that opens nothing here.",
    403: "The key lacks the right that is needed.",
    404: "There is no such customer or event.",
    409: "Other requests kept changing the same customer.",
    413: "The body is larger than 1 MiB.",
    429: "Too many requests came too quickly.",
    500: "The fault is ours.",
    503: "The service cannot be reached for the moment, or is overloaded.",
}
