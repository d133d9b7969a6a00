"""The statements of searches: the one place where SQL is put together at run time. Pure.

A statement depends on how many clauses a query has and of which kinds, too many forms for files. It
is composed of the constants of this module alone, into which only numbers of placeholders are put;
what callers write, keys of metadata too, goes into the arguments. A test prepares every kind of
clause in every form.

Three forms, all newest first and by key:

- ``WALK`` goes through an account from the newest customer and stops when the page is full. A
  query that many customers fit is answered after few of them.
- ``PROBE`` is a walk that gives up after ``PROBED_CUSTOMERS_MAX``.
- ``COLLECT`` asks the index of terms for all candidates and sorts those that fit. Right for a query
  that few customers fit, and for one that none of the newest fit.

Joined by AND, ranges of ``created`` move the two ends of the stretch of the key that is looked at:
beside the place of the page they would be compared customer by customer.

``COLLECT`` and ``COUNT`` use terms where they lead to every customer that fits: one of the clauses
must have terms (AND) or all of them (OR, where a range of ``created`` has the key instead). A
clause's text is compared whatever the terms said.
"""

from __future__ import annotations

from typing import Final

import msgspec

from chaching.domain import search_terms
from chaching.domain.ids import AccountId
from chaching_api.parameter_types import INT64_MAX, INT64_MIN
from chaching_api.places import Place
from chaching_api.search_page import TOP
from chaching_api.search_query import (
    METADATA,
    Absent,
    Clause,
    Comparison,
    Created,
    Exact,
    Field,
    Join,
    Query,
    Substring,
)

PROBED_CUSTOMERS_MAX: Final = 2_000
COUNTED_CUSTOMERS_MAX: Final = 10_000

_COLUMNS: Final = {"email": "s.email", "name": "s.name", "phone": "s.phone"}
_IN_METADATA: Final = "(s.metadata ->> {key}::text)"
_EQUALS: Final = "{field} = {text}::text"
_CONTAINS: Final = "strpos({field}, {text}::text) > 0"
_IS_ABSENT: Final = "{field} IS NULL"
_IS_PRESENT: Final = "{field} IS NOT NULL"
_UNLESS: Final = "({condition}) IS NOT TRUE"
_HAS_TERMS: Final = "(s.terms @> {terms}::bigint[] AND {condition})"
_COMPARISONS: Final[dict[tuple[Comparison, bool], str]] = {
    (":", False): "s.created = {at}::bigint",
    (":", True): "s.created <> {at}::bigint",
    (">", False): "s.created > {at}::bigint",
    (">", True): "s.created <= {at}::bigint",
    ("<", False): "s.created < {at}::bigint",
    ("<", True): "s.created >= {at}::bigint",
    (">=", False): "s.created >= {at}::bigint",
    (">=", True): "s.created < {at}::bigint",
    ("<=", False): "s.created <= {at}::bigint",
    ("<=", True): "s.created > {at}::bigint",
}
# the bounds, both inside, as distances from the second that a clause names; None: there is none
_RANGES: Final[dict[tuple[Comparison, bool], tuple[int | None, int | None]]] = {
    (":", False): (0, 0),
    (">", False): (1, None),
    (">", True): (None, 0),
    ("<", False): (None, -1),
    ("<", True): (0, None),
    (">=", False): (0, None),
    (">=", True): (None, -1),
    ("<=", False): (None, 0),
    ("<=", True): (1, None),
}
NOWHERE: Final = (INT64_MIN, "")
_JOINS: Final[dict[Join, str]] = {"AND": " AND ", "OR": " OR "}

_WALK: Final = """SELECT s.created, s.id, c.body
FROM read_model.search_entries AS s
CROSS JOIN LATERAL (
    SELECT k.body
    FROM read_model.customers AS k
    WHERE k.account = {account}::text AND k.livemode = {livemode}::boolean AND k.id = s.id
      AND NOT k.deleted
    LIMIT 1
) AS c
WHERE s.account = {account}::text AND s.livemode = {livemode}::boolean
  AND (s.created, s.id) < ({created}::bigint, {id}::text) AND s.created >= {oldest}::bigint
  AND ({conditions})
ORDER BY s.created DESC, s.id DESC
LIMIT {limit}::bigint"""

_PROBE: Final = """SELECT s.created, s.id, c.body
FROM (
    SELECT s.*
    FROM read_model.search_entries AS s
    WHERE s.account = {account}::text AND s.livemode = {livemode}::boolean
      AND (s.created, s.id) < ({created}::bigint, {id}::text) AND s.created >= {oldest}::bigint
    ORDER BY s.created DESC, s.id DESC
    LIMIT {probed}::bigint
) AS s
CROSS JOIN LATERAL (
    SELECT k.body
    FROM read_model.customers AS k
    WHERE k.account = {account}::text AND k.livemode = {livemode}::boolean AND k.id = s.id
      AND NOT k.deleted
    LIMIT 1
) AS c
WHERE ({conditions})
ORDER BY s.created DESC, s.id DESC
LIMIT {limit}::bigint"""

_COLLECT: Final = """WITH fitting AS MATERIALIZED (
    SELECT s.created, s.id
    FROM read_model.search_entries AS s
    WHERE s.account = {account}::text AND s.livemode = {livemode}::boolean
      AND (s.created, s.id) < ({created}::bigint, {id}::text) AND s.created >= {oldest}::bigint
      AND ({conditions})
)
SELECT s.created, s.id, c.body
FROM (SELECT f.created, f.id FROM fitting AS f ORDER BY f.created DESC, f.id DESC) AS s
CROSS JOIN LATERAL (
    SELECT k.body
    FROM read_model.customers AS k
    WHERE k.account = {account}::text AND k.livemode = {livemode}::boolean AND k.id = s.id
      AND NOT k.deleted
    LIMIT 1
) AS c
ORDER BY s.created DESC, s.id DESC
LIMIT {limit}::bigint"""

_COUNT: Final = """SELECT count(*) AS customers
FROM (
    SELECT
    FROM read_model.search_entries AS s
    WHERE s.account = {account}::text AND s.livemode = {livemode}::boolean
      AND (s.created, s.id) < ({created}::bigint, {id}::text) AND s.created >= {oldest}::bigint
      AND ({conditions})
    LIMIT {limit}::bigint
) AS counted"""


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, and among whose customers."""

    account: AccountId
    livemode: bool
    query: Query


class Statement(msgspec.Struct, frozen=True):
    """A statement and its arguments."""

    sql: str
    arguments: tuple[object, ...]


def walk(search: Search, place: Place, limit: int) -> Statement:
    """Return the statement that takes what fits after a place, customer by customer."""
    composed = _Composition(search)
    return composed.statement(
        _WALK,
        **composed.stretch(place),
        conditions=composed.conditions(),
        limit=composed.placeholder(limit),
    )


def probe(search: Search, place: Place, limit: int) -> Statement:
    """Return the statement that takes what fits of the next ``PROBED_CUSTOMERS_MAX``."""
    composed = _Composition(search)
    return composed.statement(
        _PROBE,
        **composed.stretch(place),
        conditions=composed.conditions(),
        limit=composed.placeholder(limit),
        probed=composed.placeholder(PROBED_CUSTOMERS_MAX),
    )


def collect(search: Search, place: Place, limit: int) -> Statement:
    """Return the statement that takes what fits after a place, by terms."""
    composed = _Composition(search)
    return composed.statement(
        _COLLECT,
        **composed.stretch(place),
        conditions=composed.conditions(by_terms=True),
        limit=composed.placeholder(limit),
    )


def count(search: Search) -> Statement:
    """Return the statement that counts what fits, up to ``COUNTED_CUSTOMERS_MAX``."""
    composed = _Composition(search)
    return composed.statement(
        _COUNT,
        **composed.stretch(TOP),
        conditions=composed.conditions(by_terms=leads_by_terms(search.query)),
        limit=composed.placeholder(COUNTED_CUSTOMERS_MAX),
    )


def leads_by_terms(query: Query) -> bool:
    """Tell whether the index leads to every customer that fits a query."""
    if query.join == "AND":
        return any(_has_terms(clause) for clause in query.clauses)
    return all(_has_terms(clause) or _is_range(clause) for clause in query.clauses)


def _has_terms(clause: Clause) -> bool:
    match clause:
        case Exact() | Substring():
            return not clause.negated
        case Absent():
            return clause.negated or clause.field.name != METADATA
        case Created():
            return False


def _is_range(clause: Clause) -> bool:
    return isinstance(clause, Created) and not (clause.negated and clause.comparison == ":")


def _seconds(query: Query) -> tuple[int, int]:
    """Return the first and the last second in which a customer who fits can have been created."""
    first, last = INT64_MIN, INT64_MAX
    if query.join == "OR":
        return first, last
    for clause in query.clauses:
        if isinstance(clause, Created) and _is_range(clause):
            low, high = _RANGES[clause.comparison, clause.negated]
            first = max(first, INT64_MIN if low is None else clause.at + low)
            last = min(last, INT64_MAX if high is None else clause.at + high)
    return first, last


class _Composition:
    """Numbers the placeholders of one statement."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._arguments: list[object] = []
        self._account = self.placeholder(search.account)
        self._livemode = self.placeholder(search.livemode)

    def placeholder(self, argument: object) -> str:
        self._arguments.append(argument)
        return f"${len(self._arguments)}"

    def statement(self, form: str, **parts: str) -> Statement:
        sql = form.format(account=self._account, livemode=self._livemode, **parts)
        return Statement(sql, tuple(self._arguments))

    def stretch(self, place: Place) -> dict[str, str]:
        """Return where to begin and where to end, in time, which is where the key leads."""
        first, last = _seconds(self._search.query)
        top = min((place.created, place.id), (last, TOP.id)) if first <= last else NOWHERE
        return {
            "created": self.placeholder(top[0]),
            "id": self.placeholder(top[1]),
            "oldest": self.placeholder(min(first, INT64_MAX)),
        }

    def conditions(self, *, by_terms: bool = False) -> str:
        query = self._search.query
        each = [
            self._condition(clause, by_terms=by_terms)
            for clause in query.clauses
            if query.join == "OR" or not _is_range(clause)
        ]
        return _JOINS[query.join].join(each) or "true"

    def _condition(self, clause: Clause, *, by_terms: bool = False) -> str:
        match clause:
            case Created():
                comparison = _COMPARISONS[clause.comparison, clause.negated]
                return comparison.format(at=self.placeholder(clause.at))
            case Absent():
                form = _IS_PRESENT if clause.negated else _IS_ABSENT
                condition = form.format(field=self._field(clause.field))
            case Exact() | Substring():
                form = _EQUALS if isinstance(clause, Exact) else _CONTAINS
                text = self.placeholder(search_terms.fold(clause.text))
                condition = form.format(field=self._field(clause.field), text=text)
                if clause.negated:
                    return _UNLESS.format(condition=condition)
        if not by_terms or not _has_terms(clause):
            return condition
        return _HAS_TERMS.format(terms=self.placeholder(self._terms(clause)), condition=condition)

    def _field(self, field: Field) -> str:
        if field.name == METADATA:
            return _IN_METADATA.format(key=self.placeholder(field.key))
        return _COLUMNS[field.name]

    def _terms(self, clause: Exact | Substring | Absent) -> list[int]:
        account, livemode = self._search.account, self._search.livemode
        name, key = clause.field.name, clause.field.key
        match clause:
            case Exact():
                text = search_terms.fold(clause.text)
                return search_terms.equality(account, livemode, name, key, text)
            case Substring():
                text = search_terms.fold(clause.text)
                return search_terms.containment(account, livemode, name, key, text)
            case Absent():
                if clause.negated:
                    return search_terms.presence(account, livemode, name, key)
                return search_terms.absence(account, livemode, name)
