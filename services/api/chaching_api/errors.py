"""What can go wrong at the edge, and the one table that gives every failure its HTTP answer.

Malformed is raised where a request is read; Rejected (domain) where a rule needs the state;
Unavailable and its kind where the store is spoken to. Nobody else knows an HTTP status.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from chaching.domain.customer import (
    CustomerExists,
    NoSuchCustomer,
    PaymentMethodNotAttached,
    Rejected,
    ShippingIncomplete,
    similar_object,
)
from chaching.envelope import RecordedEvent, Undecodable
from chaching.eventstore.erasing import NOT_ERASABLE
from chaching.eventstore.errors import OutcomeUnknown, Unavailable
from chaching.eventstore.grouping import Overloaded
from chaching.history import spelled_time
from chaching.moments import AtPosition, AtVersion, During, Moment
from chaching_api.texts import SHOWN_NAME_CHARACTERS_MAX, printable, shortened

ErrorType: TypeAlias = Literal[
    "api_error",
    "authentication_error",
    "idempotency_error",
    "invalid_request_error",
    "rate_limit_error",
]
ErrorCode: TypeAlias = Literal[
    "authentication_error",
    "invalid_request",
    "more_permissions_required",
    "rate_limit",
    "resource_already_exists",
    "resource_missing",
    "server_error",
]

ERRORS_PATH: Final = "/docs/errors"
SHOWN_PATH_CHARACTERS_MAX: Final = 255
RETRY_AFTER_S: Final = 1
REALM: Final = 'Basic realm="Chaching"'


class Malformed(Exception):  # noqa: N818 - a refusal is a normal outcome, not an error
    """The request breaks the contract; nothing happened.

    ``message`` is one sentence for a person, ``reason`` the finer cause in Stripe's words,
    ``param`` the parameter at fault in bracket form.
    """

    def __init__(
        self, message: str, *, reason: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.param = param


class BodyTooLarge(Malformed):
    """The body is larger than the limit; answered 413."""

    def __init__(self) -> None:
        super().__init__("The request's body is larger than 1 MiB.")


class BodyTooSlow(Malformed):
    """The body did not arrive within the limit; answered 400."""


class NoSuchCursor(Malformed):
    """A list is to go on from what never existed; answered with resource_missing."""


class NoSuchEvent(Exception):  # noqa: N818 - a refusal is a normal outcome
    """The account has no event with this id in the key's mode."""

    param: str = "id"

    def __init__(self, event_id: str, *, similar_in: bool | None = None) -> None:
        hint = "" if similar_in is None else f"; {similar_object(livemode=similar_in)}"
        super().__init__(f"No such event: '{event_id}'{hint}")


class NoSuchPosition(NoSuchEvent):
    """The account has no event at this position in the key's mode."""

    param = "position"

    def __init__(self, position: int, *, similar_in: bool | None = None) -> None:
        super().__init__(f"position:{position}", similar_in=similar_in)


class NotAuthenticated(Exception):  # noqa: N818 - a refusal is a normal outcome
    """No key, or one that opens nothing here."""

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason


class NotAllowed(Exception):  # noqa: N818 - a refusal is a normal outcome
    """The key is good and lacks the right."""


class RateLimited(Exception):  # noqa: N818 - a refusal is a normal outcome
    """The caller asks for more than it may; ``limit`` says beyond which, in Stripe's words."""

    def __init__(self, message: str, *, limit: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.limit = limit
        self.retry_after_s = retry_after_s


class UnknownUrl(Exception):  # noqa: N818 - a refusal is a normal outcome
    """No route has this method and path."""

    def __init__(self, method: str, path: str) -> None:
        super().__init__(
            f"Unrecognized request URL ({method}: {shortened(path, SHOWN_PATH_CHARACTERS_MAX)}). "
            "If you are trying to list objects, remove the trailing slash. If you are trying to "
            "retrieve an object, make sure you passed a valid (non-empty) identifier."
        )


class LostRace(Exception):  # noqa: N818 - a lost race is a normal outcome
    """The customer kept changing under the command, more often than it is tried again."""


class IdempotencyMismatch(Exception):  # noqa: N818 - a refusal is a normal outcome
    """The idempotency key was used for another request."""

    def __init__(self, key: str) -> None:
        super().__init__(
            "Keys for idempotent requests can only be used with the same parameters and the same "
            "URL they were first used with. Try using a key other than "
            f"'{shortened(key, SHOWN_NAME_CHARACTERS_MAX)}' if you meant to execute a different "
            "request."
        )


class NotErasable(Exception):  # noqa: N818 - a refusal is a normal outcome
    """Some of the customer's values were stored before values were encrypted."""

    def __init__(self) -> None:
        super().__init__(NOT_ERASABLE)


class SearchTooBroad(Exception):  # noqa: N818 - a refusal is a normal outcome
    """A search looked at more customers than it may take time for."""


class NotThereThen(NoSuchCustomer):
    """The customer was created after the moment that was asked for; answered 404."""

    def __init__(self, first: RecordedEvent, moment: Moment) -> None:
        Rejected.__init__(
            self,
            f"No such customer: '{first.key.id}' {_told(moment)}; its first event is of "
            f"{spelled_time(first.recorded_at)}, position {first.position}",
        )


class NotReadable(Exception):  # noqa: N818 - says how an event is
    """The event that left a customer as it stood at a moment cannot be read; ``param`` named it."""

    def __init__(self, event: RecordedEvent, cause: Undecodable, param: str) -> None:
        super().__init__(
            f"{event.key.id} cannot be shown as it stood then: what is stored with its version "
            f"{event.version}, position {event.position}, cannot be read ({cause}). Its history "
            "shows all other events; `chaching audit verify` tells whether the log was changed."
        )
        self.param = param


class ProjectionBehind(Exception):  # noqa: N818 - says how the read model is
    """A list of the past would have gaps: the read model and its tail do not reach that far."""

    def __init__(self, unseen_events: int) -> None:
        super().__init__(
            f"The read model is behind by more than can be looked at: {unseen_events} events are "
            "missing for a list as of that moment. Please try again later, or ask as of an earlier "
            "one."
        )


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A failure as it is answered: the status, its headers and the fields of the envelope."""

    status: int
    type: ErrorType
    code: ErrorCode
    message: str
    reason: str | None = None
    param: str | None = None
    headers: dict[str, str] = {}


class ErrorFields(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of an error; what has nothing to say is absent."""

    code: ErrorCode
    doc_url: str | UnsetType
    message: str
    param: str | UnsetType
    reason: str | UnsetType
    type: ErrorType


class ErrorEnvelope(msgspec.Struct, frozen=True):
    """The body of every answer that is an error."""

    error: ErrorFields


_RETRY: Final = {"Stripe-Should-Retry": "true"}
_NO_RETRY: Final = {"Stripe-Should-Retry": "false"}
_RETRY_LATER: Final = {**_RETRY, "Retry-After": f"{RETRY_AFTER_S}"}
_SHED: Final = {**_NO_RETRY, "Retry-After": f"{RETRY_AFTER_S}"}

_encode = msgspec.json.Encoder().encode


def envelope(failure: Failure, public_url: str | None = None) -> bytes:
    """Return the body of the answer to a failure; what it repeats of the request can be seen.

    ``public_url`` is where callers reach this service, without a trailing slash; None: unknown.
    """
    return _encode(
        ErrorEnvelope(
            ErrorFields(
                code=failure.code,
                doc_url=f"{public_url}{ERRORS_PATH}#{failure.code}" if public_url else UNSET,
                message=printable(failure.message),
                param=printable(failure.param) if failure.param else UNSET,
                reason=failure.reason or UNSET,
                type=failure.type,
            )
        )
    )


def _told(moment: Moment) -> str:
    match moment:
        case During(end=end):
            return f"before {spelled_time(end)}"
        case AtPosition(position=position):
            return f"at position {position}"
        case AtVersion(version=version):
            return f"at version {version}"


def failure_of(error: Exception) -> Failure:
    """Return how an exception is answered; one that is not in the table is our fault: 500."""
    match error:
        case Malformed():
            return _malformed(error)
        case Rejected():
            return _rejected(error)
        case (
            NotAuthenticated()
            | NotAllowed()
            | NotErasable()
            | UnknownUrl()
            | NoSuchEvent()
            | IdempotencyMismatch()
        ):
            return _refused(error)
        case RateLimited():
            return _rate_limited(error)
        case LostRace() | Unavailable() | Overloaded() | SearchTooBroad() | ProjectionBehind():
            return _not_now(error)
        case _:
            return _our_fault(error)


def _our_fault(error: Exception) -> Failure:
    message = "An error occurred on our side; it has been logged with this request's id."
    param, headers = None, dict[str, str]()
    match error:
        case NotReadable():
            message, param, headers = str(error), error.param, _NO_RETRY
        case Undecodable():
            message = (
                "What this request needs of what is stored cannot be read; it has been logged with "
                "this request's id."
            )
            headers = _NO_RETRY
        case _:
            pass
    return Failure(
        status=500,
        type="api_error",
        code="server_error",
        message=message,
        param=param,
        headers=headers,
    )


def _malformed(error: Malformed) -> Failure:
    return Failure(
        status=413 if isinstance(error, BodyTooLarge) else 400,
        type="invalid_request_error",
        code="resource_missing" if isinstance(error, NoSuchCursor) else "invalid_request",
        message=error.message,
        reason=error.reason,
        param=error.param,
        headers=_NO_RETRY,
    )


def _rejected(error: Rejected) -> Failure:
    status, code, reason = 400, "invalid_request", None
    match error:
        case NoSuchCustomer():
            status, code = 404, "resource_missing"
        case CustomerExists():
            code = "resource_already_exists"
        case PaymentMethodNotAttached():
            code = "resource_missing"
        case ShippingIncomplete():
            reason = "parameter_missing"
        case _:
            pass
    return Failure(
        status=status,
        type="invalid_request_error",
        code=code,
        message=str(error),
        reason=reason,
        param=error.param,
        headers=_NO_RETRY,
    )


def _refused(
    error: NotAuthenticated
    | NotAllowed
    | NotErasable
    | UnknownUrl
    | NoSuchEvent
    | IdempotencyMismatch,
) -> Failure:
    match error:
        case IdempotencyMismatch():
            return Failure(
                status=400,
                type="idempotency_error",
                code="invalid_request",
                message=str(error),
                headers=_NO_RETRY,
            )
        case NotAuthenticated():
            return Failure(
                status=401,
                type="authentication_error",
                code="authentication_error",
                message=str(error),
                reason=error.reason,
                headers={**_NO_RETRY, "WWW-Authenticate": REALM},
            )
        case NotAllowed():
            return Failure(
                status=403,
                type="invalid_request_error",
                code="more_permissions_required",
                message=str(error),
                headers=_NO_RETRY,
            )
        case NotErasable():
            return Failure(
                status=409,
                type="invalid_request_error",
                code="invalid_request",
                message=str(error),
                headers=_NO_RETRY,
            )
        case UnknownUrl():
            return Failure(
                status=404,
                type="invalid_request_error",
                code="invalid_request",
                message=str(error),
                reason="url_unknown",
                headers=_NO_RETRY,
            )
        case NoSuchEvent():
            return Failure(
                status=404,
                type="invalid_request_error",
                code="resource_missing",
                message=str(error),
                param=error.param,
                headers=_NO_RETRY,
            )


def _rate_limited(error: RateLimited) -> Failure:
    return Failure(
        status=429,
        type="rate_limit_error",
        code="rate_limit",
        message=str(error),
        reason=error.limit,
        headers={
            **_NO_RETRY,
            "Retry-After": f"{error.retry_after_s}",
            "Stripe-Rate-Limited-Reason": error.limit,
        },
    )


def _not_now(
    error: LostRace | Unavailable | Overloaded | SearchTooBroad | ProjectionBehind,
) -> Failure:
    match error:
        case LostRace():
            return Failure(
                status=409,
                type="invalid_request_error",
                code="invalid_request",
                message="This customer is being changed by other requests. Please try again.",
                reason="lock_timeout",
                headers=_RETRY,
            )
        case Unavailable():
            doubt = (
                " Whether this request has taken effect is not known: send it again with the same "
                "Idempotency-Key, or look before you do."
            )
            return Failure(
                status=503,
                type="api_error",
                code="server_error",
                message="The service cannot be reached for the moment."
                + (doubt if isinstance(error, OutcomeUnknown) else " Please try again."),
                headers=_RETRY_LATER,
            )
        case Overloaded():
            return Failure(
                status=503,
                type="api_error",
                code="server_error",
                message="The service is overloaded. Please try again later.",
                headers=_SHED,
            )
        case SearchTooBroad():
            return Failure(
                status=503,
                type="api_error",
                code="server_error",
                message="This search takes too long and was ended. Please narrow the query, such "
                "as by an exact value or by when customers were created.",
                param="query",
                headers=_SHED,
            )
        case ProjectionBehind():
            return Failure(
                status=503,
                type="api_error",
                code="server_error",
                message=str(error),
                param="as_of",
                headers=_RETRY_LATER,
            )
