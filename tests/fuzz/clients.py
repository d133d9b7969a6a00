"""How the official clients write a structure of parameters into a form, and what it means.

``as_stripe_python`` asks the installed client itself. ``as_stripe_node`` says again what that
client does: the keys of objects and the indices of lists in brackets, percent-encoding of all but
letters, digits and ``-._~``, the brackets bare again, ``null`` as an empty value.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TypeAlias
from urllib.parse import quote, urlencode

from stripe._encode import _api_encode  # pyright: ignore[reportPrivateUsage] - the encoding tested

from chaching_api.bodies import Node, Tree

Said: TypeAlias = "str | int | bool | None | list[Said] | dict[str, Said]"
Saying: TypeAlias = dict[str, Said]


def as_stripe_python(said: Saying) -> bytes:
    """Return the form that the installed stripe-python sends."""
    encoded = urlencode(list(_api_encode(said)))
    return _with_bare_brackets(encoded)


def as_stripe_node(said: Saying) -> bytes:
    """Return the form that stripe-node sends."""
    pairs = [f"{quote(name, safe='')}={quote(text, safe='')}" for name, text in _flattened(said)]
    return _with_bare_brackets("&".join(pairs))


def as_json(said: Saying) -> bytes:
    return json.dumps(said).encode()


def meaning(said: Saying) -> Tree:
    """Return the tree that a gateway reads from a structure, be it sent as JSON or as a form."""
    return {name: _meant(value) for name, value in said.items()}


def _meant(said: Said) -> Node:
    if isinstance(said, dict):
        return {name: _meant(value) for name, value in said.items()}
    if isinstance(said, list):
        return [_meant(value) for value in said]
    return _text(said)


def _text(said: str | int | bool | None) -> str:
    match said:
        case None:
            return ""
        case bool():
            return str(said).lower()
        case _:
            return str(said)


def _flattened(said: Said, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(said, dict):
        for key, value in said.items():
            yield from _flattened(value, f"{name}[{key}]" if name else key)
    elif isinstance(said, list):
        for index, value in enumerate(said):
            yield from _flattened(value, f"{name}[{index}]")
    else:
        yield name, _text(said)


def _with_bare_brackets(encoded: str) -> bytes:
    return encoded.replace("%5B", "[").replace("%5D", "]").encode()
