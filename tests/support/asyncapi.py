"""What a test asks of the AsyncAPI document: is it valid, and does a message fit it?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from jsonschema import Draft7Validator

from chaching_api.documentation.events.document import document

Schema: TypeAlias = Mapping[str, Any]

DOCUMENT: Final = document()
MESSAGES: Final[Mapping[str, Schema]] = DOCUMENT["components"]["messages"]
SPECS: Final = Path(__file__).parents[1] / "clients" / "node_modules" / "@asyncapi" / "specs"


def faults_of(described: Mapping[str, Any]) -> list[str]:
    """Return what keeps a document from being valid AsyncAPI 3.0, by its official schema."""
    return _faults(_official(), described)


def misfits(value: object, schema: Schema) -> list[str]:
    """Return where a value does not fit a schema, whose references are into the document."""
    return _faults(_validator(schema), value)


def message_misfits(headers: Mapping[str, Any], payload: object) -> list[str]:
    """Return where a message is not as the document says of its type."""
    validators = _of_messages().get(str(headers.get("cloudEvents:type")))
    if validators is None:
        return ["no such type"]
    of_headers, of_payload = validators
    return [*_faults(of_headers, dict(headers)), *_faults(of_payload, payload)]


@cache
def _official() -> Draft7Validator:
    return Draft7Validator(json.loads((SPECS / "schemas" / "3.0.0.json").read_text()))


@cache
def _of_messages() -> Mapping[str, tuple[Draft7Validator, Draft7Validator]]:
    return {
        name: (_validator(told["headers"]), _validator(told["payload"]))
        for name, told in MESSAGES.items()
    }


def _validator(schema: Schema) -> Draft7Validator:
    whole = {"allOf": [schema], "components": DOCUMENT["components"]}
    return Draft7Validator(whole, format_checker=Draft7Validator.FORMAT_CHECKER)


def _faults(validator: Draft7Validator, value: object) -> list[str]:
    faults = cast("Iterator[Any]", validator.iter_errors(cast("Any", value)))  # pyright: ignore[reportUnknownMemberType] - it has no types
    return [f"{fault.json_path}: {fault.message}" for fault in faults]
