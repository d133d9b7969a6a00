"""Differences between two values of one Struct, as JSON merge patches that work both ways.

``difference(old, new)`` names only the leaves that changed. Nested Structs and string maps are
compared member by member; lists and scalars are leaves and replaced whole. In a map ``null``
stands for "no such key", so ``apply(old, d.changes) == new`` and ``apply(new, d.previous) == old``.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeAlias, TypeVar, cast

import msgspec

JsonValue: TypeAlias = "None | bool | int | float | str | list[JsonValue] | dict[str, JsonValue]"
Patch: TypeAlias = dict[str, JsonValue]

S = TypeVar("S", bound=msgspec.Struct)


class Delta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The changed leaves: their values after (``changes``) and before (``previous``)."""

    changes: dict[str, Any] = {}
    previous: dict[str, Any] = {}

    def __bool__(self) -> bool:
        return bool(self.changes)


def difference(old: msgspec.Struct, new: msgspec.Struct) -> Delta:
    """Return the leaves in which two Structs of one type differ; empty when they are equal."""
    changes: Patch = {}
    previous: Patch = {}
    for name in old.__struct_fields__:
        before: object = getattr(old, name)
        after: object = getattr(new, name)
        if before is after or before == after:
            continue
        nested = _nested(before, after)
        changes[name] = _plain(after) if nested is None else nested.changes
        previous[name] = _plain(before) if nested is None else nested.previous
    return Delta(changes=changes, previous=previous)


def apply(target: S, changes: Patch) -> S:
    """Return ``target`` with the changed leaves of a Delta of the same Struct type put in."""
    if not changes:
        return target
    types = _field_types(type(target))
    replaced: dict[str, object] = {}
    for name, change in changes.items():
        current: object = getattr(target, name)
        if isinstance(current, msgspec.Struct) and isinstance(change, dict):
            replaced[name] = apply(current, change)
        elif isinstance(current, dict) and isinstance(change, dict):
            replaced[name] = _merged(cast("dict[str, str]", current), change)
        else:
            replaced[name] = msgspec.convert(change, types[name])
    return msgspec.structs.replace(target, **replaced)


def _nested(before: object, after: object) -> Delta | None:
    if isinstance(before, msgspec.Struct) and isinstance(after, msgspec.Struct):
        return difference(before, after)
    if isinstance(before, dict) and isinstance(after, dict):
        return _map_difference(cast("dict[str, str]", before), cast("dict[str, str]", after))
    return None


def _map_difference(before: dict[str, str], after: dict[str, str]) -> Delta:
    names = [k for k in {**before, **after} if before.get(k) != after.get(k)]
    return Delta(
        changes={k: after.get(k) for k in names},
        previous={k: before.get(k) for k in names},
    )


def _merged(current: dict[str, str], change: Patch) -> dict[str, str]:
    merged = {**current, **change}
    return {k: cast("str", v) for k, v in merged.items() if v is not None}


def _plain(value: object) -> JsonValue:
    """Return a value as it comes back from a stored event: lists for tuples, dicts for Structs."""
    if value is None or isinstance(value, str | int):
        return value
    return cast("JsonValue", msgspec.json.decode(msgspec.json.encode(value)))


@cache
def _field_types(struct: type[msgspec.Struct]) -> dict[str, object]:
    return {field.name: field.type for field in msgspec.structs.fields(struct)}
