"""Scenarios for the official clients: what a file of them says, and when a step keeps its promise.

A scenario file is a list of scenes; a scene is a list of steps, each one call of a client. Scenes
stand alone: what a step saves is known to the later steps of its scene. ``run_python.py`` and
``run_node.mjs`` read the same files and mean the same by every word:

- ``${name.path.0}`` is a part of a saved body, ``${name@header}`` a header that came with it;
  ``${run}`` is a text of this run alone, ``${keys.secret}`` a key, ``${n}`` which of ``times`` it
  is. A text that is one reference and nothing else stands for the value itself.
- ``body``, ``headers`` and ``error`` hold what is expected and may leave out keys; lists must have
  the same length. ``{"$absent": true}``, ``{"$exactly": …}`` and ``{"$matches": "regex"}`` stand
  for a missing key, a value without keys left out, and a text.
- ``keys`` are the body's keys in their order; ``same_as`` is a body that must be the same to the
  order of keys. ``ids`` are the ids of the items of ``data``, or those items; ``unordered_ids`` the
  same in any order.
- ``pages`` are lists that make up ``data`` one after the other; ``walked_back`` is a list of which
  ``data`` is all before the last, in reverse order.
- what a step saves, its own expectations can name; of one with ``times`` it is an object whose
  ``data`` has all the bodies.
- with ``within_s`` a step is repeated until it keeps its promise, for so many seconds at most.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

if TYPE_CHECKING:
    Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
else:
    Json = object  # a type that names itself cannot be decoded

Resource: TypeAlias = Literal["customers", "events"]
Verb: TypeAlias = Literal["create", "retrieve", "update", "delete", "list", "search"]

REFERENCE: Final = re.compile(r"\$\{(\w+)(?:@([\w-]+)|((?:\.\w+)*))\}")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a caller may say beside the parameters; ``api_key`` null is a call without a key."""

    api_key: str | UnsetType | None = UNSET
    idempotency_key: str | UnsetType = UNSET
    max_network_retries: int = 0
    stripe_version: str | UnsetType = UNSET


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must come back; without ``error`` a success."""

    body: Json = {}
    count: int | UnsetType = UNSET
    error: Json | UnsetType = UNSET
    headers: Json = {}
    ids: Json | UnsetType = UNSET
    keys: Json | UnsetType = UNSET
    pages: list[Json] | UnsetType = UNSET
    same_as: Json | UnsetType = UNSET
    unordered_ids: Json | UnsetType = UNSET
    walked_back: Json | UnsetType = UNSET


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One call of a client on a resource, at one of the addresses that the run was told."""

    step: str
    call: Verb
    on: Resource = "customers"
    id: str | UnsetType = UNSET
    params: Json = {}
    options: Options = Options()
    at: str = "service"
    all_pages: bool = False
    times: int = 1
    within_s: float = 0.0
    save: str | UnsetType = UNSET
    expect: Expected = Expected()


class Scene(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    scene: str
    steps: tuple[Step, ...]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a step: a body, or the fields of the client's error."""

    body: Json = None
    error: dict[str, Json] | None = None
    headers: dict[str, Json] = {}


Saved: TypeAlias = "dict[str, Outcome]"


def read_scenes(path: Path) -> list[Scene]:
    return msgspec.json.decode(path.read_bytes(), type=list[Scene])


def resolved(value: Json, saved: Mapping[str, Outcome]) -> Json:
    """Return a value with its references replaced; raises LookupError for one to nothing."""
    match value:
        case dict():
            return {name: resolved(part, saved) for name, part in value.items()}
        case list():
            return [resolved(part, saved) for part in value]
        case str():
            whole = REFERENCE.fullmatch(value)
            if whole:
                return _referred(whole, saved)
            return REFERENCE.sub(lambda found: str(_referred(found, saved)), value)
        case _:
            return value


def _referred(found: re.Match[str], saved: Mapping[str, Outcome]) -> Json:
    name, header, path = found.groups()
    if name not in saved:
        raise LookupError(f"nothing is saved as {name}")
    if header:
        return saved[name].headers[header]
    value = saved[name].body
    for part in path.split(".")[1:]:
        match value:
            case dict():
                value = value[part]
            case list():
                value = value[int(part)]
            case _:
                raise LookupError(f"{found[0]} leads nowhere")
    return value


def broken_promises(
    expected: Expected, outcome: Outcome, saved: Mapping[str, Outcome]
) -> Iterator[str]:
    """Yield what is not as it must be; raises LookupError for a reference to nothing."""
    if outcome.error is not None and expected.error is UNSET:
        yield f"an error came: {_shown(outcome.error)}"
        return
    if expected.error is not UNSET:
        actual = outcome.error if outcome.error is not None else "a success"
        yield from differences(resolved(expected.error, saved), actual, "error")
    yield from differences(resolved(expected.headers, saved), outcome.headers, "headers")
    yield from differences(resolved(expected.body, saved), outcome.body or {}, "body")
    yield from _unlike_the_whole(expected, outcome.body, saved)
    yield from _unlike_the_list(expected, _data(outcome.body), saved)


def _unlike_the_whole(
    expected: Expected, body: Json, saved: Mapping[str, Outcome]
) -> Iterator[str]:
    if expected.same_as is not UNSET:
        wanted = resolved(expected.same_as, saved)
        if json.dumps(wanted) != json.dumps(body):
            yield f"body: {_shown(body)} is not the same as {_shown(wanted)}"
    if expected.keys is not UNSET:
        yield from differences(expected.keys, list(body) if isinstance(body, dict) else [], "keys")


def _unlike_the_list(
    expected: Expected, data: list[Json], saved: Mapping[str, Outcome]
) -> Iterator[str]:
    ids = _ids(data)
    if expected.count is not UNSET and len(data) != expected.count:
        yield f"count: {len(data)} instead of {expected.count}"
    if expected.ids is not UNSET:
        yield from differences(_ids(_list(resolved(expected.ids, saved))), ids, "ids")
    if expected.unordered_ids is not UNSET:
        wanted = _ids(_list(resolved(expected.unordered_ids, saved)))
        yield from differences(_in_order(wanted), _in_order(ids), "unordered_ids")
    if expected.pages is not UNSET:
        pages = [_list(resolved(page, saved)) for page in expected.pages]
        yield from differences([item for page in pages for item in page], data, "pages")
    if expected.walked_back is not UNSET:
        wanted = _list(resolved(expected.walked_back, saved))
        yield from differences(wanted[-2::-1], data, "walked_back")


def differences(expected: Json, actual: Json, place: str) -> Iterator[str]:
    """Yield in which places a value is not as it must be; keys may be left out of objects."""
    match expected, actual:
        case {"$matches": str(pattern)}, _:
            if not (isinstance(actual, str) and re.fullmatch(pattern, actual)):
                yield f"{place}: {_shown(actual)} does not match {pattern}"
        case {"$exactly": whole}, _:
            if not _equal(whole, actual):
                yield f"{place}: {_shown(actual)} instead of exactly {_shown(whole)}"
        case dict(), dict():
            for name, part in expected.items():
                yield from _differences_under(name, part, actual, f"{place}.{name}")
        case list(), list() if len(expected) == len(actual):
            for index, part in enumerate(expected):
                yield from differences(part, actual[index], f"{place}.{index}")
        case _:
            if not _equal(expected, actual):
                yield f"{place}: {_shown(actual)} instead of {_shown(expected)}"


def _differences_under(
    name: str, expected: Json, actual: dict[str, Json], place: str
) -> Iterator[str]:
    if expected == {"$absent": True}:
        if name in actual:
            yield f"{place}: is there"
    elif name not in actual:
        yield f"{place}: is missing"
    else:
        yield from differences(expected, actual[name], place)


def _equal(left: Json, right: Json) -> bool:
    """Tell whether two values are one JSON, whatever the order of keys; true is not 1."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _data(body: Json) -> list[Json]:
    return _list(body.get("data")) if isinstance(body, dict) else []


def _ids(data: list[Json]) -> list[Json]:
    return [item["id"] if isinstance(item, dict) else item for item in data]


def _in_order(ids: list[Json]) -> list[Json]:
    return sorted(ids, key=str)


def _shown(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
