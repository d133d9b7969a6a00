"""From the bytes of a request to one tree of its parameters, whatever their encoding.

A form's bracketed names and a JSON body's nesting give the same tree: text at the leaves, dicts
with names, lists where the names run 0, 1, 2 … or are empty (``a[]`` appends). JSON numbers and
booleans stand as their text and ``null`` as the empty text, so a form and a JSON body of the same
content are equal here. Every fault is a Malformed that names the parameter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, NoReturn, TypeAlias, cast
from urllib.parse import unquote_to_bytes

from chaching_api.errors import BodyTooLarge, Malformed
from chaching_api.texts import SHOWN_NAME_CHARACTERS_MAX, bracketed, shortened, shown_name

Node: TypeAlias = "str | list[Node] | dict[str, Node]"
Tree: TypeAlias = dict[str, Node]
Path: TypeAlias = tuple[str, ...]

BODY_BYTES_MAX: Final = 1024 * 1024
PAIRS_MAX: Final = 1000
LEVELS_MAX: Final = 5
FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"

MAPS: Final = frozenset({"metadata"})  # its keys are the caller's, also when they are numbers
PHONES: Final = frozenset({("phone",), ("shipping", "phone")})
PLUS_AND_DIGIT: Final = frozenset(f"+{digit}" for digit in range(10))

CACHED_NAMES_MAX: Final = 4096
CACHED_NAME_CHARACTERS_MAX: Final = 100

_ASCII: Final = {
    spelling: chr(code) for code in range(1, 128) for spelling in (f"{code:02X}", f"{code:02x}")
}
_BAD_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})")


def decode(content_type: str | None, body: bytes, query: bytes = b"") -> Tree:
    """Return the parameters of a request: its raw body's and its raw query's.

    Raises:
        BodyTooLarge: more than BODY_BYTES_MAX.
        Malformed: anything else that breaks section 4 or 11 of the contract.
    """
    if not body:
        return decode_form(query)
    if len(body) > BODY_BYTES_MAX:
        raise BodyTooLarge
    media_type = FORM if content_type == FORM else _media_type(content_type)
    if media_type == FORM:
        tree = decode_form(body)
    elif media_type == JSON:
        tree = decode_json(body)
    else:
        shown = shortened(media_type or "none", SHOWN_NAME_CHARACTERS_MAX)
        raise Malformed(f"Invalid content type: {shown}; must be {FORM} or {JSON}.")
    return _joined(decode_form(query), tree) if query else tree


def decode_form(raw: bytes) -> Tree:
    """Return the tree of ``a=1&b[c]=2&d[]=3``, a form body or a query.

    Raises:
        Malformed: names the first parameter at fault.
    """
    tree: Tree = {}
    nested = False
    for pair in _pairs(raw):
        if not pair:
            continue
        name, _, text = pair.partition("=")
        path = _known_path(name) if len(name) <= CACHED_NAME_CHARACTERS_MAX else _path(name)
        value = _value(text, path, name) if "%" in text or "+" in text else text
        head = path[0]
        if len(path) > 1:
            nested = True
            _put(tree, path, value)
        elif head in tree:
            raise _repeated(path)
        else:
            tree[head] = value
    if nested:
        _make_lists(tree)
    return tree


def decode_json(raw: bytes) -> Tree:
    """Return the tree of a JSON object.

    Raises:
        Malformed: no JSON object, or names the first parameter at fault.
    """
    if not raw:
        return {}
    try:
        root = _JSON_DECODER.decode(raw.decode())
    except (ValueError, RecursionError) as error:
        raise Malformed("Invalid JSON: the request body could not be parsed.") from error
    if not isinstance(root, _Members):
        raise Malformed("Invalid JSON: the request body must be an object.")
    leaves = iter(range(PAIRS_MAX))
    return {name: _json_node(value, (name,), leaves) for name, value in _unrepeated(root, ())}


# --- Forms --------------------------------------------------------------------------------------


def _pairs(raw: bytes) -> list[str]:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        _refuse_bytes(raw)
    if "\0" in text:
        _refuse_bytes(raw)
    pairs = text.split("&")
    if len(pairs) > PAIRS_MAX and len(pairs) - pairs.count("") > PAIRS_MAX:
        raise _too_many()
    return pairs


def _refuse_bytes(raw: bytes) -> NoReturn:
    for pair in raw.split(b"&"):
        name = pair.partition(b"=")[0].decode("utf-8", "replace")
        _checked(pair, name)
    raise AssertionError(raw)


def _path(name: str) -> Path:
    text = _unescaped(name.replace("+", " "), name) if "%" in name or "+" in name else name
    head, bracket, tail = text.partition("[")
    segments = tail.removesuffix("]").split("][") if bracket else []
    path = (head, *segments)
    if not head or bracketed(path) != text or any("[" in s or "]" in s for s in path):
        raise _misspelled(_shown(name))
    if len(path) > LEVELS_MAX:
        raise _too_deep(path)
    if head in MAPS and "" in path:
        raise Malformed(f"Invalid object: {head} needs named keys", param=head)
    return path


_known_path = lru_cache(CACHED_NAMES_MAX)(_path)


def _value(text: str, path: Path, name: str) -> str:
    if text[:2] in PLUS_AND_DIGIT and path in PHONES:
        return "+" + _unescaped(text[1:].replace("+", " "), name)
    return _unescaped(text.replace("+", " "), name)


def _unescaped(text: str, name: str) -> str:
    parts = text.split("%")
    for index in range(1, len(parts)):
        part = parts[index]
        character = _ASCII.get(part[:2])
        if character is None:
            return _unescaped_bytes(text, name)
        parts[index] = character + part[2:]
    return "".join(parts)


def _unescaped_bytes(text: str, name: str) -> str:
    if _BAD_ESCAPE.search(text):
        shown = _shown(name)
        raise Malformed(f"Invalid percent-encoding in parameter: {shown}", param=shown)
    return _checked(unquote_to_bytes(text), name)


def _checked(raw: bytes, name: str) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        shown = _shown(name)
        raise Malformed(f"Invalid UTF-8 in parameter: {shown}", param=shown) from error
    if "\0" in text:
        raise _nul(_shown(name))
    return text


def _put(tree: Tree, path: Path, value: str) -> None:
    node = tree
    for depth in range(len(path) - 1):
        segment = path[depth] or _place(node, path[depth + 1 :])
        child = node.get(segment)
        if child is None:
            child = node[segment] = cast("Tree", {})
        elif not isinstance(child, dict):
            raise _repeated(path[: depth + 1])
        node = child
    last = path[-1] or str(len(node))
    if last in node:
        raise _repeated(path)
    node[last] = value


def _place(items: Tree, rest: Path) -> str:
    """``a[][b]=1&a[][c]=2`` is one item until a name comes again."""
    last = len(items) - 1
    if last < 0 or _holds(items.get(str(last)), rest):
        return str(last + 1)
    return str(last)


def _holds(item: Node | None, path: Path) -> bool:
    if item is None or not path or not path[0] or not isinstance(item, dict):
        return item is not None
    return _holds(item.get(path[0]), path[1:])


def _make_lists(tree: Tree) -> None:
    for name, child in tree.items():
        if isinstance(child, dict) and name not in MAPS:
            tree[name] = _listed(child)


def _listed(node: Tree) -> Node:
    for name, child in node.items():
        if isinstance(child, dict):
            node[name] = _listed(child)
    return _as_list(node) if "0" in node else node


def _as_list(node: Tree) -> Node:
    names = [str(index) for index in range(len(node))]
    return [node[name] for name in names] if node.keys() == set(names) else node


# --- JSON ---------------------------------------------------------------------------------------


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object, repeated names included."""


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(text)


_JSON_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_Members,
    parse_int=str,
    parse_float=str,
    parse_constant=_refuse_constant,
)


def _json_node(value: object, path: Path, leaves: Iterator[int]) -> Node:
    if len(path) > LEVELS_MAX:
        raise _too_deep(path)
    if (not isinstance(value, list) or not value) and next(leaves, None) is None:
        raise _too_many()
    if isinstance(value, _Members):
        node: Tree = {
            name: _json_node(child, (*path, name), leaves)
            for name, child in _unrepeated(value, path)
        }
        return _as_list(node) if "0" in node and path[0] not in MAPS else node
    if isinstance(value, list):
        items = enumerate(cast("list[object]", value))
        return [_json_node(item, (*path, str(index)), leaves) for index, item in items]
    return _json_text(value, path)


def _json_text(value: object, path: Path) -> str:
    if isinstance(value, str):
        return _sound(value, path)
    if value is None:
        return ""
    return "true" if value else "false"


def _unrepeated(members: _Members, path: Path) -> _Members:
    seen: set[str] = set()
    is_map = bool(path) and path[0] in MAPS
    for name, _ in members:
        if name in seen:
            raise _repeated((*path, name))
        seen.add(_sound(name, (*path, name)))
        if ("[" in name or "]" in name or not (name or path)) and not is_map:
            raise _misspelled(shown_name(bracketed((*path, name))))
    return members


def _sound(text: str, path: Path) -> str:
    if "\0" in text:
        raise _nul(shown_name(bracketed(path)))
    try:
        text.encode()
    except UnicodeEncodeError as error:
        shown = shown_name(bracketed(path).encode("utf-8", "replace").decode())
        raise Malformed(f"Invalid Unicode in parameter: {shown}", param=shown) from error
    return text


# --- Shared -------------------------------------------------------------------------------------


def _media_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()


def _joined(query: Tree, body: Tree) -> Tree:
    for name in query:
        if name in body:
            shown = shown_name(name)
            raise Malformed(f"Received parameter in both query and body: {shown}", param=shown)
    return {**query, **body}


def _shown(name: str) -> str:
    text = unquote_to_bytes(name).decode("utf-8", "replace").replace("\0", "\ufffd")
    return shown_name(text)


def _misspelled(shown: str) -> Malformed:
    return Malformed(f"Invalid parameter name: {shown}", param=shown)


def _repeated(path: Path) -> Malformed:
    param = shown_name(bracketed(path))
    return Malformed(f"Received parameter more than once: {param}", param=param)


def _nul(shown: str) -> Malformed:
    return Malformed(f"Invalid character in parameter: {shown}; NUL is not allowed", param=shown)


def _too_deep(path: Path) -> Malformed:
    param = shown_name(bracketed(path[: LEVELS_MAX + 1]))
    return Malformed(
        f"Invalid parameter: {param}; must be at most {LEVELS_MAX} levels deep", param=param
    )


def _too_many() -> Malformed:
    return Malformed(f"Received too many parameters; must be at most {PAIRS_MAX}")
