"""What schemathesis must be told to speak with the service; it loads this module by itself."""

# schemathesis is there for `make fuzz` alone: `make check` reads this file without it, or with
# types that are not whole
# pyright: reportMissingImports=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownParameterType=false
# pyright: reportMissingTypeArgument=false, reportUnknownArgumentType=false
# pyright: reportUntypedFunctionDecorator=false, reportUnnecessaryComparison=false
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.specs.openapi.checks import positive_data_acceptance
from tests.fuzz.clients import Saying, as_stripe_python

from chaching_api.requests import OWN_VERSION

VERSION: Final = "Stripe-Version"
# how a refusal begins, and the rule of the contract that no JSON Schema can say
UNSAYABLE: Final[Mapping[str, str]] = {
    "Customer already exists.": "an id that was ever used answers 400 (section 2)",
    "This invoice number prefix is taken": "unique per account and mode (section 3)",
    "No such PaymentMethod": "must be attached to this customer (section 11)",
    "No such customer": "a cursor that never existed: 400 resource_missing (section 6)",
    "No such event": "a cursor that never existed: 400 resource_missing (section 6)",
    "Missing required param: shipping": "needed whenever none is stored yet (section 3)",
    "Metadata can have up to 50 keys": "up to 50 keys after the merge (section 3)",
    "Invalid value for ": "value checked for the type's shape (section 3, tax_id_data)",
    "You may only specify one of": "`starting_after`, `ending_before` (both: 400) (section 9)",
    "We were unable to parse your search query": "the grammar of `query` (section 9)",
    "Field `": "`foo` is an unsupported search field: 400 (sections 6 and 9)",
    "Keys for idempotent requests": "same key, other parameters or path: 400 (section 7)",
}

# "Lengths count code points" (section 11), of a JSON number those of its text, which no schema
# bounds: a phone, up to 20 (section 3), is shorter than a number can be
LONG_NUMBER: Final = r"Invalid string: [-+.0-9eE]+; must be at most 20 characters"
# "signed 64-bit integer", "Invalid integer: …" (sections 3 and 6): `5.0` is none, yet a schema
# cannot tell it from `5`
WRITTEN_AS_FRACTION: Final = r"Invalid integer: -?[0-9.]*[.eE][-+.0-9eE]*"
# a proof of consistency is of two sizes that the log has had, the smaller one first
NO_SUCH_SIZE: Final = r"Invalid integer: [0-9]+; must be at most [0-9]+"
NUMBERS: Final = re.compile(f"{LONG_NUMBER}|{WRITTEN_AS_FRACTION}|{NO_SUCH_SIZE}")


@schemathesis.serializer("application/x-www-form-urlencoded")
def form(_context: object, value: object) -> Any:
    """Return the form that the official client writes of a value.

    OpenAPI leaves open how a list inside a form is spelled, and schemathesis repeats the bare
    name; the contract has brackets, ``preferred_locales[0]=fr`` (section 4).
    """
    if isinstance(value, bytes):
        return value
    if not isinstance(value, dict):
        return str(value).encode(errors="replace")
    return as_stripe_python(cast("Saying", value))


@schemathesis.hook
def before_call(_context: HookContext, case: Case, _kwargs: dict[str, Any]) -> None:
    """Give a version where the tool has none.

    Its coverage phase knows headers of letters and digits only and sends the version ``0``, which
    is no version by the document either; every such request would end at that refusal.
    """
    if case.headers is None or case.headers.get(VERSION) != "0" or case.meta is None:
        return
    headers = case.meta.components.get(ParameterLocation.HEADER)
    is_meant = headers is not None and headers.mode.is_negative
    if case.meta.generation.mode.is_positive or not is_meant:
        case.headers[VERSION] = OWN_VERSION


@schemathesis.check
def valid_data_is_accepted(ctx: CheckContext, response: Response, case: Case) -> None:
    """Hold that what fits the document is accepted, but for rules that need more than a schema."""
    try:
        positive_data_acceptance(ctx, response, case)
    except RejectedPositiveData:
        message: str = response.json()["error"]["message"]
        if not (message.startswith(tuple(UNSAYABLE)) or NUMBERS.fullmatch(message)):
            raise
