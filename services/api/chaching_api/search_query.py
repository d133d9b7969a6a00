r"""The search query language: from a text to clauses, and back. Pure.

    query  = clause { [ "AND" | "OR" ] clause }      all AND or all OR; no word means AND
    clause = [ "-" ] field operator value
    field  = "email" | "name" | "phone" | "created" | "metadata" "[" quoted "]"
    value  = quoted | number | "null"

``:`` is equality, of texts without regard to case; ``~`` looks for a part of a text; ``>``, ``<``,
``>=`` and ``<=`` compare ``created``. ``null`` stands for what a customer does not have. A text
stands in single or double quotes, where a backslash escapes a quote or a backslash and is itself
before anything else; digits need no quotes. White space separates clauses and may surround
operators, keys and values.

A refusal says what is wrong and at which character, counted from 1.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias, cast

import msgspec

from chaching_api.bodies import Node
from chaching_api.errors import Malformed
from chaching_api.parameter_types import INT64_MAX, INT64_MIN, FilledText, Leaf
from chaching_api.texts import SHOWN_NAME_CHARACTERS_MAX, shortened

QUERY_CHARACTERS_MAX: Final = 5000
CLAUSES_MAX: Final = 10
SUBSTRING_CHARACTERS_MIN: Final = 3

CREATED: Final = "created"
METADATA: Final = "metadata"
TEXT_FIELDS: Final = ("email", "name", "phone")
SUPPORTED: Final = (CREATED, "email", 'metadata["key"]', "name", "phone")

Join: TypeAlias = Literal["AND", "OR"]
Comparison: TypeAlias = Literal[":", ">", "<", ">=", "<="]


class Field(msgspec.Struct, frozen=True):
    """A field that holds a text: its name and, of ``metadata``, which key."""

    name: str
    key: str | None = None


class Exact(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The field's text is this one, whatever the case of its letters."""

    field: Field
    text: str
    negated: bool = False


class Substring(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The field's text has this one in it, whatever the case of its letters."""

    field: Field
    text: str
    negated: bool = False


class Absent(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The customer has no such field."""

    field: Field
    negated: bool = False


class Created(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The second in which the customer was created compares with this one like that."""

    comparison: Comparison
    at: int
    negated: bool = False


Clause: TypeAlias = Exact | Substring | Absent | Created


class Query(msgspec.Struct, frozen=True):
    """Clauses all of which must hold (AND), or one of them (OR); one alone is joined by AND."""

    join: Join
    clauses: tuple[Clause, ...]


class SearchQuery(Leaf, frozen=True):
    """A text in the search query language."""

    max_length: int = QUERY_CHARACTERS_MAX
    max_clauses: int = CLAUSES_MAX
    fields: tuple[str, ...] = SUPPORTED

    def read(self, value: Node, param: str) -> Query:
        return parse(FilledText(self.max_length).read(value, param), param)


def parse(text: str, param: str = "query") -> Query:
    """Return what a text asks for.

    Raises:
        Malformed: it is not in the language; names ``param``.
    """
    return _Parser(text, param).query()


def render(query: Query) -> str:
    """Return the one spelling that all texts which ask the same share; it parses to the same."""
    return f" {query.join} ".join([_rendered(clause) for clause in query.clauses])


# --- Rendering ----------------------------------------------------------------------------------


def _rendered(clause: Clause) -> str:
    sign = "-" if clause.negated else ""
    match clause:
        case Exact():
            return f"{sign}{_rendered_field(clause.field)}:{_quoted(clause.text)}"
        case Substring():
            return f"{sign}{_rendered_field(clause.field)}~{_quoted(clause.text)}"
        case Absent():
            return f"{sign}{_rendered_field(clause.field)}:null"
        case Created():
            return f"{sign}{CREATED}{clause.comparison}{clause.at}"


def _rendered_field(field: Field) -> str:
    return field.name if field.key is None else f"{field.name}[{_quoted(field.key)}]"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# --- Parsing ------------------------------------------------------------------------------------

_MINUS: Final = re.compile("-")
_SPACE: Final = re.compile(r"\s*")
_WORD: Final = re.compile(r"[^\W\d][\w.]*")
_OPERATOR: Final = re.compile(r":|~|>=|<=|>|<")
_QUOTED: Final = re.compile(r"""(?s)"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'""")
_BARE: Final = re.compile(r"""[^\s"']+""")
_NUMBER: Final = re.compile(r"-?[0-9]{1,19}")
_ESCAPED: Final = re.compile(r"""\\(["'\\])""")
_KEYWORDS: Final = frozenset({"AND", "OR"})


class _Value(msgspec.Struct, frozen=True):
    """What stands after an operator, and where; ``text`` is None for ``null``."""

    text: str | None
    start: int
    quoted: bool


class _Parser:
    """Reads a text from left to right; ``_at`` is the next character."""

    def __init__(self, text: str, param: str) -> None:
        self._text = text
        self._param = param
        self._at = 0

    def query(self) -> Query:
        self._skip_space()
        if self._ends():
            raise self._refusal("The query has no clause", self._at)
        clauses = [self._clause()]
        join: Join | None = None
        while not self._ends():
            start = self._at
            if not self._skip_space():
                raise self._refusal("White space is expected between two clauses", start)
            if self._ends():
                break
            join = self._join(join)
            if len(clauses) == CLAUSES_MAX:
                raise self._refusal(
                    f"A query can have up to {CLAUSES_MAX} clauses, and another one begins",
                    self._at,
                )
            clauses.append(self._clause())
        return Query(join or "AND", tuple(clauses))

    def _join(self, before: Join | None) -> Join:
        """Read the word between two clauses, if there is one."""
        start = self._at
        word = self._match(_WORD)
        join: Join = "AND"
        if word and word.upper() in _KEYWORDS:
            join = cast("Join", word.upper())
            if not self._skip_space() or self._ends():
                raise self._refusal(f"A clause is expected after {word}", self._at)
        else:
            self._at = start
        if before not in {None, join}:
            raise self._refusal("AND and OR cannot be mixed in one query", start)
        return join

    def _clause(self) -> Clause:
        negated = self._match(_MINUS) is not None
        start = self._at
        name = self._match(_WORD)
        if name is None:
            raise self._refusal("A field is expected", start)
        if name not in {CREATED, METADATA, *TEXT_FIELDS}:
            raise self._unsupported(name, start)
        if name == CREATED:
            return self._created(negated=negated)
        return self._text_clause(Field(name, self._key(name)), negated=negated)

    def _key(self, name: str) -> str | None:
        """Read the key in brackets that ``metadata`` must have and no other field has."""
        if name != METADATA:
            return None
        if not self._skip("["):
            raise self._refusal('metadata needs a key, as in metadata["key"]', self._at)
        self._skip_space()
        start = self._at
        key = self._quoted()
        if not key:
            raise self._refusal("A key in quotes is expected after metadata[", start)
        if not self._skip("]"):
            raise self._refusal("A closing bracket is expected after the key", self._at)
        return key

    def _created(self, *, negated: bool) -> Created:
        start, operator = self._operator()
        if operator == "~":
            raise self._refusal("created is a number, which cannot be searched with ~", start)
        value = self._value()
        number = int(value.text) if value.text and _NUMBER.fullmatch(value.text) else None
        if number is None or not INT64_MIN <= number <= INT64_MAX:
            raise self._refusal("A whole number of unix seconds is expected", value.start)
        return Created(comparison=cast("Comparison", operator), at=number, negated=negated)

    def _text_clause(self, field: Field, *, negated: bool) -> Clause:
        start, operator = self._operator()
        if operator not in {":", "~"}:
            raise self._refusal(
                f"{_rendered_field(field)} is a text, which cannot be compared with {operator}",
                start,
            )
        value = self._value()
        text = value.text
        if text is None:
            if operator == "~":
                raise self._refusal("null can only be searched with :", value.start)
            return Absent(field=field, negated=negated)
        if not value.quoted and not _NUMBER.fullmatch(text):
            raise self._refusal("A text must stand in quotes", value.start)
        if operator == ":":
            return Exact(field=field, text=text, negated=negated)
        if len(text) < SUBSTRING_CHARACTERS_MIN:
            raise self._refusal(
                f"~ needs a text of at least {SUBSTRING_CHARACTERS_MIN} characters", value.start
            )
        return Substring(field=field, text=text, negated=negated)

    def _operator(self) -> tuple[int, str]:
        self._skip_space()
        start = self._at
        operator = self._match(_OPERATOR)
        if operator is None:
            raise self._refusal("One of the operators : ~ > < >= <= is expected", start)
        return start, operator

    def _value(self) -> _Value:
        self._skip_space()
        start = self._at
        text = self._quoted()
        if text is not None:
            return _Value(text, start, quoted=True)
        bare = self._match(_BARE)
        if bare is None:
            raise self._refusal("A value is expected", start)
        return _Value(None if bare == "null" else bare, start, quoted=False)

    def _quoted(self) -> str | None:
        """Read a text in quotes, if one begins here."""
        if self._text[self._at : self._at + 1] not in {'"', "'"}:
            return None
        found = _QUOTED.match(self._text, self._at)
        if found is None:
            raise self._refusal("The text in quotes that begins here does not end", self._at)
        self._at = found.end()
        return _ESCAPED.sub(r"\1", found[0][1:-1])

    def _match(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        return found[0]

    def _skip(self, character: str) -> bool:
        """Step over a character with the white space before it, if it comes next."""
        before = self._at
        self._skip_space()
        if not self._text.startswith(character, self._at):
            self._at = before
            return False
        self._at += 1
        return True

    def _skip_space(self) -> bool:
        return bool(self._match(_SPACE))

    def _ends(self) -> bool:
        return self._at == len(self._text)

    # --- Every refusal --------------------------------------------------------------------------

    def _refusal(self, what: str, at: int) -> Malformed:
        return Malformed(
            f"We were unable to parse your search query. {what} (at character {at + 1}).",
            param=self._param,
        )

    def _unsupported(self, name: str, at: int) -> Malformed:
        return Malformed(
            f"Field `{shortened(name, SHOWN_NAME_CHARACTERS_MAX)}` is an unsupported search field "
            f"for resource `customers`. Supported are {', '.join(SUPPORTED)} "
            f"(at character {at + 1}).",
            param=self._param,
        )
