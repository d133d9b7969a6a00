"""The headers of requests and answers, each told once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chaching_api.documentation.schemas import Schema
from chaching_api.errors import REALM, RETRY_AFTER_S
from chaching_api.requests import (
    AS_OF_HEADER,
    ERASED_HEADER,
    IDEMPOTENCY_KEY_CHARACTERS_MAX,
    OWN_VERSION,
    REASON,
    REASON_CHARACTERS_MAX,
)

REQUEST_ID: Final = "^req_[0-9A-Za-z]{14}$"
VERSION: Final = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([.][a-z][a-z_]*)?$"
PRINTABLE: Final = r"^[\x21-\x7E]([\x20-\x7E]*[\x21-\x7E])?$"

_IDEMPOTENCY_KEY: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": IDEMPOTENCY_KEY_CHARACTERS_MAX,
    "pattern": PRINTABLE,
}

GIVEN: Final[Mapping[str, Schema]] = {
    "Stripe-Version": {
        "description": f"The version that the answer names; `{OWN_VERSION}` if not given.",
        "schema": {"type": "string", "pattern": VERSION, "examples": [OWN_VERSION]},
    },
    "Idempotency-Key": {
        "description": "A text of your own, unique for each thing you want done. When the request "
        "is repeated with the same key, it takes effect once and is answered the same.",
        "schema": _IDEMPOTENCY_KEY,
    },
    REASON: {
        "description": "Why you give this command: a ticket, a decision. It is kept with the event "
        "for good and shown in the customer's history to those who audit it, so name no person.",
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": REASON_CHARACTERS_MAX,
            "pattern": PRINTABLE,
        },
    },
    "If-None-Match": {
        "description": "The `ETag` of what you have already; answered with 304 if it is the same.",
        "schema": {"type": "string"},
    },
}

ANSWERED: Final[Mapping[str, Schema]] = {
    "Request-Id": {
        "description": "The id of this request, also in the log and with the events it caused.",
        "required": True,
        "schema": {"type": "string", "pattern": REQUEST_ID},
    },
    "Stripe-Version": {
        "description": "The version of this answer.",
        "required": True,
        "schema": {"type": "string", "pattern": VERSION},
    },
    "Idempotency-Key": {
        "description": "The key that was given, if one was.",
        "schema": {"type": "string"},
    },
    "Idempotent-Replayed": {
        "description": "There when this is the stored answer to an earlier request with the same "
        "key.",
        "schema": {"const": "true"},
    },
    "Original-Request": {
        "description": "The id of that earlier request.",
        "schema": {"type": "string", "pattern": REQUEST_ID},
    },
    "Chaching-Projection-Lag": {
        "description": "How many events the search may be behind.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    AS_OF_HEADER: {
        "description": "With `as_of`: the version that is shown, or of a list the position as of "
        "which it is, in the form that `as_of` takes.",
        "required": True,
        "schema": {"type": "string", "pattern": "^(?:version|position):[0-9]+$"},
    },
    ERASED_HEADER: {
        "description": "With `as_of`: `true` if the customer was erased since, or of a list the "
        "ids of those on the page who were, with commas between. Personal values of then are shown "
        "as if there had been none.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,255}(?:,[A-Za-z0-9_-]{1,255})*$"},
    },
    "ETag": {
        "description": "The digest of the content.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "How many seconds to wait before the request is sent again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0, "examples": [RETRY_AFTER_S]},
    },
    "Stripe-Should-Retry": {
        "description": "Whether sending the same request again can help.",
        "schema": {"type": "string", "enum": ["true", "false"]},
    },
    "Stripe-Rate-Limited-Reason": {
        "description": "Which limit was met.",
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {
        "description": "How to authenticate.",
        "required": True,
        "schema": {"type": "string", "examples": [REALM]},
    },
}

ON_EVERY_ANSWER: Final = ("Request-Id", "Stripe-Version")
ON_STATUS: Final[Mapping[int, tuple[str, ...]]] = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After", "Stripe-Rate-Limited-Reason"),
    503: ("Retry-After",),
}
