"""The kinds of parameters: each reads one node of the tree or refuses it, and shows its limits.

A parameter is a value, not a function, so that documentation can be made from what validates:
``max_length``, ``values``, ``children`` and the like are there to be looked at. The first fault
is raised as a Malformed that names the parameter in bracket form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from chaching_api.bodies import Node
from chaching_api.errors import Malformed
from chaching_api.texts import listed, shortened, shown_name

T = TypeVar("T")
U = TypeVar("U")
T_co = TypeVar("T_co", covariant=True)

METADATA_KEY_CHARACTERS_MAX: Final = 40
METADATA_VALUE_CHARACTERS_MAX: Final = 500
ID_CHARACTERS_MAX: Final = 255
INTEGER_CHARACTERS_MAX: Final = 20
INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1


class Parameter(Protocol[T_co]):
    """What every kind of parameter can do."""

    def read(self, value: Node, param: str) -> T_co:
        """Return what ``value`` says; ``param`` is its name in bracket form.

        Raises:
            Malformed: the value is not of this kind.
        """
        ...

    def unknown(self, value: Node, param: str) -> Iterator[str]:
        """Yield the names inside ``value`` that this kind does not know."""
        ...


class Leaf(msgspec.Struct, frozen=True):
    """A parameter inside of which no name can be wrong."""

    def unknown(self, value: Node, param: str) -> Iterator[str]:
        del value, param
        return iter(())


class Text(Leaf, frozen=True):
    """A text that can be unset: None when empty. Lengths count code points."""

    max_length: int
    trimmed: bool = False
    upper: bool = False

    def read(self, value: Node, param: str) -> str | None:
        if not isinstance(value, str):
            raise _not_a_text(param)
        if self.trimmed:
            value = value.strip()
        if self.upper:
            value = value.upper()
        if len(value) > self.max_length:
            raise _too_long(value, self.max_length, param)
        return value or None


class FilledText(Leaf, frozen=True):
    """A text that cannot be unset."""

    max_length: int

    def read(self, value: Node, param: str) -> str:
        text = filled(value, param)
        if len(text) > self.max_length:
            raise _too_long(text, self.max_length, param)
        return text


class Email(Leaf, frozen=True):
    """An address of the form x@y.z, or None when empty."""

    max_length: int

    def read(self, value: Node, param: str) -> str | None:
        if not isinstance(value, str):
            raise _not_a_text(param)
        if len(value) > self.max_length:
            raise _too_long(value, self.max_length, param)
        if value and not _looks_like_email(value):
            raise Malformed(
                f"Invalid email address: {shortened(value)}", reason="email_invalid", param=param
            )
        return value or None


class Integer(Leaf, frozen=True):
    """A decimal integer between two bounds, both inclusive."""

    minimum: int = INT64_MIN
    maximum: int = INT64_MAX

    def read(self, value: Node, param: str) -> int:
        text = filled(value, param)
        digits = text.removeprefix("-")
        sound = digits.isascii() and digits.isdigit() and len(text) <= INTEGER_CHARACTERS_MAX
        number = int(text) if sound else None
        if number is None or not INT64_MIN <= number <= INT64_MAX:
            raise _bad_integer(f"Invalid integer: {shortened(text)}", param)
        if number < self.minimum:
            raise _bad_integer(
                f"Invalid integer: {shortened(text)}; must be at least {self.minimum}", param
            )
        if number > self.maximum:
            raise _bad_integer(
                f"Invalid integer: {shortened(text)}; must be at most {self.maximum}", param
            )
        return number


class Clamped(Leaf, frozen=True):
    """A decimal integer that, outside of two bounds, counts as the nearer one."""

    minimum: int
    maximum: int
    default: int

    def read(self, value: Node, param: str) -> int:
        text = filled(value, param)
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()):
            return _INTEGER.read(text, param)  # which refuses it
        # of a longer number these digits are more than enough
        size = int(digits.lstrip("0")[:INTEGER_CHARACTERS_MAX] or "0")
        return min(max(-size if text.startswith("-") else size, self.minimum), self.maximum)


class OneOf(Leaf, frozen=True):
    """One of ``values``, which stand in the order in which the refusal tells them."""

    values: tuple[str, ...]

    def read(self, value: Node, param: str) -> str:
        text = filled(value, param)
        if text not in self.values:
            raise Malformed(f"Invalid {param}: must be one of {listed(self.values)}", param=param)
        return text


class Spelled(Leaf, frozen=True):
    """A text that matches ``pattern`` as a whole; ``refusal`` may speak of ``{value}``."""

    pattern: str
    refusal: str
    max_length: int
    except_for: frozenset[str] = frozenset()

    def read(self, value: Node, param: str) -> str:
        text = filled(value, param)
        fits = len(text) <= self.max_length and re.fullmatch(self.pattern, text)
        if not fits or text in self.except_for:
            raise Malformed(self.refusal.format(value=shortened(text)), param=param)
        return text


class Identifier(Leaf, frozen=True):
    """The id of a ``noun`` that begins with one of ``prefixes``."""

    noun: str
    prefixes: tuple[str, ...]
    max_length: int = ID_CHARACTERS_MAX

    def read(self, value: Node, param: str) -> str:
        text = filled(value, param)
        rest = text.partition("_")[2].replace("_", "")
        well_formed = text.startswith(self.prefixes) and rest.isascii() and rest.isalnum()
        if not well_formed or len(text) > self.max_length:
            raise Malformed(
                f"No such {self.noun}: '{shortened(text)}'",
                reason="resource_missing",
                param=param,
            )
        return text


class TestModeOnly(Leaf, frozen=True):
    """A parameter that means nothing in live mode."""

    def read(self, value: Node, param: str) -> str:
        del value
        raise Malformed(f"Invalid parameter: {param} can only be used in test mode", param=param)


class IpAddress(Leaf, frozen=True):
    """An IPv4 or IPv6 address."""

    def read(self, value: Node, param: str) -> str:
        text = filled(value, param)
        try:
            ip_address(text)
        except ValueError as error:
            raise _bad_ip_address(text, param) from error
        if "%" in text:
            raise _bad_ip_address(text, param)
        return text


class Metadata(Leaf, frozen=True):
    """A map of short texts; an empty value removes its key, an empty map all of them (None)."""

    max_key_length: int = METADATA_KEY_CHARACTERS_MAX
    max_value_length: int = METADATA_VALUE_CHARACTERS_MAX

    def read(self, value: Node, param: str) -> dict[str, str | None] | None:
        if not value and not isinstance(value, list):
            return None
        if not isinstance(value, dict):
            raise _not_an_object(param)
        return {key: self._entry(key, text, param) for key, text in value.items()}

    def _entry(self, key: str, text: Node, param: str) -> str | None:
        if not key or len(key) > self.max_key_length or "[" in key or "]" in key:
            raise self._bad_key(key, param)
        if not isinstance(text, str):
            raise _not_a_text(f"{param}[{key}]")
        if len(text) > self.max_value_length:
            raise Malformed(
                f"Metadata values can have up to {self.max_value_length} characters, but you "
                f"passed in a value that is {len(text)} characters. "
                f"Invalid value: {shortened(text)}",
                param=f"{param}[{key}]",
            )
        return text or None

    def _bad_key(self, key: str, param: str) -> Malformed:
        if not key:
            return Malformed("Metadata keys cannot be empty.", param=param)
        if len(key) > self.max_key_length:
            return Malformed(
                f"Metadata keys can have up to {self.max_key_length} characters, but you passed "
                f"in a key that is {len(key)} characters. Invalid key: {shortened(key)}",
                param=f"{param}[{shortened(key)}]",
            )
        return Malformed(
            f"Metadata keys cannot contain square brackets. Invalid key: {shortened(key)}",
            param=param,
        )


class Emptied(msgspec.Struct, Generic[T], frozen=True):
    """A parameter for which an empty value means ``meaning``."""

    meaning: T
    parameter: Parameter[T]

    def read(self, value: Node, param: str) -> T:
        return self.meaning if value == "" else self.parameter.read(value, param)

    def unknown(self, value: Node, param: str) -> Iterator[str]:
        return self.parameter.unknown(value, param)


class Required(msgspec.Struct, Generic[T], frozen=True):
    """A parameter without which a request means nothing."""

    parameter: Parameter[T]

    def read(self, value: Node, param: str) -> T:
        return self.parameter.read(value, param)

    def unknown(self, value: Node, param: str) -> Iterator[str]:
        return self.parameter.unknown(value, param)


class Items(msgspec.Struct, Generic[T], frozen=True):
    """A list with all its items of one kind."""

    item: Parameter[T]
    max_items: int | None = None

    def read(self, value: Node, param: str) -> tuple[T, ...]:
        if value == "":
            raise empty(param)
        if not isinstance(value, list):
            raise _not_a_list(value, param)
        if self.max_items is not None and len(value) > self.max_items:
            raise Malformed(
                f"Invalid array: {param} can have up to {self.max_items} entries, "
                f"but you've set {len(value)}.",
                param=param,
            )
        return tuple([self.item.read(v, f"{param}[{i}]") for i, v in enumerate(value)])

    def unknown(self, value: Node, param: str) -> Iterator[str]:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for index, item in items:
            # the index may be any name, and a long one would be said again for each name in it
            yield from self.item.unknown(item, shown_name(f"{param}[{index}]"))


class Fields(msgspec.Struct, Generic[T], frozen=True):
    """An object any of whose names can be left out; what was given goes by keyword to ``make``.

    An empty object says nothing (UNSET): the official clients do not even send it.
    """

    make: Callable[..., T]
    children: Mapping[str, Parameter[object]]

    def read(self, value: Node, param: str) -> T | UnsetType:
        if value == "":
            raise empty(param)
        if not isinstance(value, dict):
            raise _not_an_object(param)
        given: dict[str, Any] = {
            name: child.read(value[name], f"{param}[{name}]")
            for name, child in self.children.items()
            if name in value
        }
        return self.make(**given) if given else UNSET

    def unknown(self, value: Node, param: str) -> Iterator[str]:
        return unknown_names(value, self.children, param)


class Either(msgspec.Struct, Generic[T, U], frozen=True):
    """A parameter that is a single value or has named members."""

    single: Parameter[T]
    named: Parameter[U]

    def read(self, value: Node, param: str) -> T | U:
        chosen = self.single if isinstance(value, str) else self.named
        return chosen.read(value, param)

    def unknown(self, value: Node, param: str) -> Iterator[str]:
        return self.named.unknown(value, param)


class Record(msgspec.Struct, Generic[T], frozen=True):
    """An object none of whose names can be left out; they go by keyword to ``make``."""

    make: Callable[..., T]
    children: Mapping[str, Parameter[object]]

    def read(self, value: Node, param: str) -> T:
        if value == "":
            raise empty(param)
        if not isinstance(value, dict):
            raise _not_an_object(param)
        given: dict[str, Any] = {}
        for name, child in self.children.items():
            if name not in value:
                raise missing(f"{param}[{name}]")
            given[name] = child.read(value[name], f"{param}[{name}]")
        return self.make(**given)

    def unknown(self, value: Node, param: str) -> Iterator[str]:
        return unknown_names(value, self.children, param)


_INTEGER: Final = Integer()


def unknown_names(
    given: Node, known: Mapping[str, Parameter[object]], param: str = ""
) -> Iterator[str]:
    """Yield the names in ``given`` that are not ``known``, at any depth, in bracket form."""
    if not isinstance(given, dict):
        return
    for name, value in given.items():
        parameter = known.get(name)
        if parameter is None:
            yield f"{param}[{name}]" if param else name
        elif not isinstance(value, str):
            yield from parameter.unknown(value, f"{param}[{name}]" if param else name)


def filled(value: Node, param: str) -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str):
        raise _not_a_text(param)
    if not value:
        raise empty(param)
    return value


def missing(param: str) -> Malformed:
    return Malformed(f"Missing required param: {param}.", reason="parameter_missing", param=param)


def empty(param: str) -> Malformed:
    return Malformed(
        f"You passed an empty string for '{param}'. We assume empty values are an attempt to "
        f"unset a parameter; however '{param}' cannot be unset. You should remove '{param}' "
        "from your request or supply a non-empty value.",
        reason="parameter_invalid_empty",
        param=param,
    )


def unknown(names: list[str]) -> Malformed:
    shown = [shown_name(name) for name in names]
    noun = "parameter" if len(names) == 1 else "parameters"
    return Malformed(
        f"Received unknown {noun}: {', '.join(shown)}", reason="parameter_unknown", param=shown[0]
    )


def _looks_like_email(text: str) -> bool:
    local, _, domain = text.partition("@")
    if not local or " " in text or "@" in domain or not text.isprintable():
        return False
    labels = domain.split(".")
    return len(labels) > 1 and all(labels)


def _too_long(text: str, max_length: int, param: str) -> Malformed:
    return Malformed(
        f"Invalid string: {shortened(text)}; must be at most {max_length} characters", param=param
    )


def _not_a_text(param: str) -> Malformed:
    return Malformed(f"Invalid string: {param} must be a single value", param=param)


def _not_an_object(param: str) -> Malformed:
    return Malformed(f"Invalid object: {param} must have named members", param=param)


def _not_a_list(value: Node, param: str) -> Malformed:
    if isinstance(value, dict) and all(name.isdigit() for name in value):
        return Malformed(
            f"Invalid array: the keys of {param} must run 0, 1, 2 and so on", param=param
        )
    return Malformed(f"Invalid array: {param} must be a list", param=param)


def _bad_integer(message: str, param: str) -> Malformed:
    return Malformed(message, reason="parameter_invalid_integer", param=param)


def _bad_ip_address(text: str, param: str) -> Malformed:
    return Malformed(
        f"Invalid IP address: {shortened(text)}; must be an IPv4 or IPv6 address", param=param
    )
