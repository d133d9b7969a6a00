"""What every endpoint needs to know of a request, read in the order of the contract.

The body's form comes first, then the key and its rate limits; the parameters' names and values
are the endpoint's.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPMethod
from typing import Final

import msgspec
from aiohttp import web

from chaching.domain.customer import NoSuchCustomer
from chaching.domain.ids import CustomerId, RequestId
from chaching.envelope import Metadata, StreamKey
from chaching.eventstore.api_keys import ApiKey, Right
from chaching_api import bodies
from chaching_api.authentication import Authenticator, require
from chaching_api.bodies import BODY_BYTES_MAX, Tree
from chaching_api.errors import BodyTooLarge, BodyTooSlow, Malformed, RateLimited
from chaching_api.rate_limits import RateLimits, kind_of

BODY_TIMEOUT_S: Final = 10.0
OWN_VERSION: Final = "2025-04-30.preview"
VERSION_CHARACTERS_MAX: Final = 64
IDEMPOTENCY_KEY_CHARACTERS_MAX: Final = 255
SHOWN_ID_CHARACTERS_MAX: Final = 255
AUDIT: Final[Right] = "audit"
AS_OF_HEADER: Final = "Chaching-As-Of"
ERASED_HEADER: Final = "Chaching-Erased"
REASON: Final = "Chaching-Reason"
REASON_CHARACTERS_MAX: Final = 500

NO_OTHER_RIGHT: Final[Mapping[str, Right]] = {}

REQUEST_ID: Final = web.RequestKey("request_id", str)
PUBLIC_URL: Final = web.AppKey("public_url", str)

_VERSION: Final = re.compile("[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([.][a-z][a-z_]*)?")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_HOST: Final = re.compile(
    r"([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?"
)
_CUSTOMER_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated request: who calls, when (unix seconds), with which parameters."""

    key: ApiKey
    at: int
    tree: Tree
    request: web.Request

    def metadata(self) -> Metadata:
        """Return what is stored with an event that this request causes; raises Malformed."""
        headers = self.request.headers
        traceparent = headers.get("traceparent")
        return Metadata(
            request_id=RequestId(self.request[REQUEST_ID]),
            key_id=self.key.key_id,
            actor=self.key.name,
            client_address=self.request.remote,
            idempotency_key=_idempotency_key(self.request),
            traceparent=traceparent
            if traceparent and _TRACEPARENT.fullmatch(traceparent)
            else None,
            key_kind=self.key.kind,
            reason=_reason(self.request),
        )

    def fingerprint(self) -> bytes:
        """Return the SHA-256 of what is asked: method, path and parameters, in whatever order.

        A form and a JSON body of the same content have the same one.
        """
        asked = (self.request.method, self.request.path, self.tree)
        return hashlib.sha256(_encode_sorted(asked)).digest()

    def stream(self, customer_id: CustomerId) -> StreamKey:
        return StreamKey(self.key.account, self.key.livemode, customer_id)


_encode_sorted: Final = msgspec.json.Encoder(order="sorted").encode

CALL: Final = web.RequestKey("call", Call)


LIMITS: Final = web.RequestKey("limits", RateLimits)


async def read_call(
    request: web.Request,
    authenticator: Authenticator,
    right: Right,
    *,
    instead: Mapping[str, Right] = NO_OTHER_RIGHT,
) -> Call:
    """Read the body's form, then the key, and check that the key may ask and has a right.

    A parameter in ``instead`` needs the right that stands there in the place of ``right``.

    Raises:
        Malformed: the body or a header breaks the contract.
        NotAuthenticated, NotAllowed: the key does not open this.
        RateLimited: the key asks for too much.
        Unavailable: the key cannot be looked up.
    """
    tree = bodies.decode(
        request.headers.get("Content-Type"),
        await _body(request),
        request.raw_path.partition("?")[2].encode(errors="surrogateescape"),
    )
    try:
        key = await authenticator.authenticate(request.headers.get("Authorization"), request.remote)
        call = Call(key=key, at=int(time.time()), tree=tree, request=request)
        request[CALL] = call
        if authenticator.limits is not None:
            _begin(request, key, authenticator.limits)
    except RateLimited:
        await authenticator.pause()
        raise
    for param, other in instead.items():
        if param in tree:
            right = other
    require(key, right)
    return call


def end_call(request: web.Request) -> None:
    """Take note that a request is over; one that no limit admitted leaves no trace."""
    limits = request.get(LIMITS)
    if limits is not None:
        limits.end(request[CALL].key.key_id)


def customer_id_of(request: web.Request) -> CustomerId:
    """Return the id in a request's path; raises NoSuchCustomer for what can be nobody's."""
    customer_id = request.match_info["customer"]
    if not is_customer_id(customer_id):
        raise NoSuchCustomer(customer_id[:SHOWN_ID_CHARACTERS_MAX])
    return CustomerId(customer_id)


def is_customer_id(text: str) -> bool:
    """Tell whether a text can be a customer's id at all."""
    return _CUSTOMER_ID.fullmatch(text) is not None


def is_idempotency_key(text: str) -> bool:
    """Tell whether a text can be an idempotency key at all."""
    return 1 <= len(text) <= IDEMPOTENCY_KEY_CHARACTERS_MAX and text.isprintable()


def public_url_of(request: web.Request) -> str | None:
    """Return where the caller reaches this service, without a trailing slash, if that is known.

    It is the setting, else what the caller itself named as host, if that can be one.
    """
    public_url = request.app.get(PUBLIC_URL)
    if public_url:
        return public_url
    host = request.headers.get("Host", "")
    return f"{request.scheme}://{host}" if _HOST.fullmatch(host) else None


@lru_cache(maxsize=256)
def answered_version(asked: str | None) -> str:
    """Return the version an answer is given in; raises Malformed for one that is none."""
    if asked is None:
        return OWN_VERSION
    if len(asked) > VERSION_CHARACTERS_MAX or not _VERSION.fullmatch(asked):
        raise Malformed(
            f"Invalid Stripe API version: {asked[:40]!r}; it must look like {OWN_VERSION}."
        )
    return asked


def _begin(request: web.Request, key: ApiKey, limits: RateLimits) -> None:
    resource = request.match_info.route.resource
    kind = kind_of(request.method, resource.canonical if resource else "")
    limits.begin(key.key_id, kind, time.monotonic_ns())
    request[LIMITS] = limits


async def _body(request: web.Request) -> bytes:
    if not request.body_exists:
        return b""
    if (request.content_length or 0) > BODY_BYTES_MAX:
        raise BodyTooLarge
    if request.content.is_eof():
        return request.content.read_nowait()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError:
        raise BodyTooSlow(f"The body did not arrive within {BODY_TIMEOUT_S:.0f} s.") from None
    except ConnectionError:  # the caller's connection: the store's errors have names of their own
        raise Malformed("The caller went away before the body was complete.") from None


def _idempotency_key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is None or request.method != HTTPMethod.POST:
        return None
    if len(request.headers.getall("Idempotency-Key")) > 1:
        raise Malformed("Received Idempotency-Key more than once.")
    if not is_idempotency_key(key):
        raise Malformed(
            f"Invalid Idempotency-Key: it must have 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} "
            "printable characters."
        )
    return key


def _reason(request: web.Request) -> str | None:
    """Return why a command was given, as the caller says; it goes into the event and nowhere else.

    Raises:
        Malformed: the header cannot be kept.
    """
    given = request.headers.getall(REASON, ())
    if not given:
        return None
    if len(given) > 1:
        raise Malformed(f"Received {REASON} more than once.")
    reason = given[0].strip()
    if not 1 <= len(reason) <= REASON_CHARACTERS_MAX or not reason.isprintable():
        raise Malformed(
            f"Invalid {REASON}: it must have 1 to {REASON_CHARACTERS_MAX} printable characters."
        )
    return reason
