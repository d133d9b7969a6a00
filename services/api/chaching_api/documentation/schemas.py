"""From the kinds of parameters to JSON Schema: the one place where each kind is told.

A form and a JSON body of the same content are the same to the service, yet not to a schema: in a
form everything is text, while JSON may say a text as a number or a boolean and an empty value as
null. So each kind is told once for either encoding. Which of JSON's types a kind takes is asked of
the kind itself, by reading what such a value stands for.

Patterns are spelled so that ECMAScript and Python read them alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec

from chaching.domain.values import METADATA_KEYS_MAX
from chaching_api.errors import Malformed
from chaching_api.expansions import Expansions
from chaching_api.moments import PastLogMoment, PastMoment
from chaching_api.parameter_types import (
    INT64_MIN,
    Clamped,
    Either,
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
    Parameter,
    Record,
    Required,
    Spelled,
    TestModeOnly,
    Text,
)
from chaching_api.search_query import SearchQuery
from chaching_api.tax_id_shapes import TaxNumberPair

Schema: TypeAlias = dict[str, Any]
Encoding: TypeAlias = Literal["form", "json"]
Words: TypeAlias = Mapping[str, str]

NO_NUL: Final = r"^[^\u0000]*$"
METADATA_KEY: Final = r"^[^\u0000\[\]]+$"
EMAIL: Final = r"^[^@\s\u0000]+@[^@\s\u0000.]+(\.[^@\s\u0000.]+)+$"
SURE_DIGITS_MAX: Final = 18
COMPONENTS: Final = "#/components/schemas/"

_JSON_SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "integer": ("0", "7", "-1"),
    "number": ("0", "0.5", "-2e-05"),
    "boolean": ("true", "false"),
    "null": ("",),
}


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """How to tell a tree of parameters: its encoding, the words for people, what else holds.

    ``words`` and ``tightened`` are keyed by the dotted path of a parameter; the items of a list
    stand under the list's own path. ``tightened`` adds keywords that hold in one operation only.
    """

    encoding: Encoding
    words: Words
    tightened: Mapping[str, Schema] = {}

    def of_table(self, table: Mapping[str, Parameter[object]], at: str = "") -> Schema:
        """Return the schema of an object whose names are those of a table and no others."""
        return {
            "type": "object",
            "properties": {
                name: self.of(parameter, f"{at}.{name}" if at else name)
                for name, parameter in table.items()
            },
            **({"required": needed} if (needed := required_of(table)) else {}),
            "additionalProperties": False,
        }

    def of(self, parameter: Parameter[object], path: str) -> Schema:
        """Return the schema of a parameter with its description."""
        schema = self.bare(parameter, path)
        words = self.words.get(path)
        described = {"description": words, **schema} if words else schema
        return {**described, **self.tightened.get(path, {})}

    def bare(self, parameter: Parameter[object], path: str) -> Schema:  # noqa: PLR0911 - one a kind
        """Return the schema of a parameter; a kind without one is a TypeError."""
        match parameter:
            case Emptied(parameter=inner):
                return self._or_empty(self.bare(inner, path))
            case Required(parameter=needed):
                return self.bare(needed, path)
            case Either():
                both = cast("Either[object, object]", parameter)
                return {"anyOf": [self.bare(both.single, path), self.bare(both.named, path)]}
            case Fields(children=children):
                return self.of_table(children, path)
            case Record(children=children):
                return {**self.of_table(children, path), "required": list(children)}
            case TaxNumberPair(pair=pair):
                return self.bare(pair, path)
            case Items():
                return self._items(cast("Items[object]", parameter), path)
            case _:
                return self._leaf(parameter)

    def _leaf(self, parameter: Parameter[object]) -> Schema:
        match parameter:
            case Expansions(root=root):
                return {"type": "array", "items": {"$ref": COMPONENTS + expansion_name(root)}}
            case Metadata():
                return self._metadata(parameter)
            case Integer():
                return self._integer(parameter)
            case Clamped(default=default):
                return {"type": "integer", "default": default}
            case _:
                return self._text(parameter)

    def _items(self, items: Items[object], path: str) -> Schema:
        schema: Schema = {"type": "array", "items": self.bare(items.item, path)}
        return schema if items.max_items is None else {**schema, "maxItems": items.max_items}

    def _text(self, parameter: Parameter[object]) -> Schema:
        schema = _text_limits(parameter)
        types = ["string", *(_json_types(parameter) if self.encoding == "json" else ())]
        return {"type": types[0] if len(types) == 1 else types, **schema}

    def _integer(self, integer: Integer) -> Schema:
        number = {
            "type": "integer",
            "format": "int64",
            "minimum": integer.minimum,
            "maximum": integer.maximum,
        }
        if self.encoding == "form" or integer.minimum not in {INT64_MIN, 0, 1}:
            return number
        sign, first = {INT64_MIN: ("-?", "0-9"), 0: ("", "0-9"), 1: ("", "1-9")}[integer.minimum]
        digits = f"^{sign}[{first}][0-9]{{0,{SURE_DIGITS_MAX - 1}}}$"
        return {**number, "type": ["integer", "string"], "pattern": digits}

    def _metadata(self, metadata: Metadata) -> Schema:
        value = self._text(Text(metadata.max_value_length))
        return self._or_empty(
            {
                "type": "object",
                "propertyNames": {"maxLength": metadata.max_key_length, "pattern": METADATA_KEY},
                "additionalProperties": value,
                "maxProperties": METADATA_KEYS_MAX,
            }
        )

    def _or_empty(self, schema: Schema) -> Schema:
        """Return the schema that also takes an empty value, and in JSON null."""
        empty: list[str | None] = ["", None] if self.encoding == "json" else [""]
        if "enum" in schema:
            types = ["string", "null"] if None in empty else "string"
            return {**schema, "type": types, "enum": [*schema["enum"], *empty]}
        if schema["type"] in ("array", "object"):  # a length is a text's alone
            types = [schema["type"], "string", *(["null"] if None in empty else [])]
            return {**schema, "type": types, "maxLength": 0}
        return {"anyOf": [schema, {"enum": empty}]}


def required_of(table: Mapping[str, Parameter[object]]) -> list[str]:
    """Return the names that must be given."""
    return [name for name, parameter in table.items() if isinstance(parameter, Required)]


def expansion_name(root: str) -> str:
    """Return the name of the component that lists what can be expanded from a kind of object."""
    return f"{root.title().replace('_', '')}Expansion"


def _text_limits(parameter: Parameter[object]) -> Schema:  # noqa: PLR0911 - one a kind
    match parameter:
        case Text(max_length=most):
            return {"maxLength": most, "pattern": NO_NUL}
        case FilledText(max_length=most) | SearchQuery(max_length=most):
            return {"minLength": 1, "maxLength": most, "pattern": NO_NUL}
        case Email(max_length=most):
            address = {"format": "email", "maxLength": most, "pattern": EMAIL}
            return {"anyOf": [address, {"maxLength": 0}]}
        case OneOf(values=values):
            return {"enum": list(values)}
        case Spelled(pattern=pattern, max_length=most, except_for=taken):
            spelled = {"maxLength": most, "pattern": f"^(?:{pattern})$"}
            return {**spelled, "not": {"enum": sorted(taken)}} if taken else spelled
        case Identifier(prefixes=prefixes, max_length=most):
            return {
                "maxLength": most,
                "pattern": f"^(?:{'|'.join(prefixes)})_*[A-Za-z0-9][A-Za-z0-9_]*$",
            }
        case (
            PastMoment(pattern=pattern, max_length=most)
            | PastLogMoment(pattern=pattern, max_length=most)
        ):
            return {"maxLength": most, "pattern": f"^(?:{pattern})$"}
        case IpAddress():
            return {"anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}
        case TestModeOnly():
            return {"not": {}}
        case _:
            raise TypeError(f"no JSON Schema for a parameter of kind {type(parameter).__name__}")


def _json_types(parameter: Parameter[object]) -> list[str]:
    """Return the types besides string whose every value the parameter takes for a text."""
    taken = [
        name
        for name, spellings in _JSON_SPELLINGS.items()
        if all(_takes(parameter, spelling) for spelling in spellings)
    ]
    return [name for name in taken if name != "integer" or "number" not in taken]


def _takes(parameter: Parameter[object], spelling: str) -> bool:
    try:
        parameter.read(spelling, "")
    except Malformed:
        return False
    return True
