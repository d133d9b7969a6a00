"""What a search must find, said as plainly as it can be: every customer is asked every clause."""

from __future__ import annotations

from collections.abc import Mapping
from operator import eq, ge, gt, le, lt
from typing import Final

import msgspec

from chaching_api.search_query import Absent, Clause, Created, Exact, Field, Query, Substring

COMPARISONS: Final = {":": eq, ">": gt, "<": lt, ">=": ge, "<=": le}


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """By what a customer can be found; ``created`` in unix seconds."""

    id: str
    created: int
    email: str | None = None
    name: str | None = None
    phone: str | None = None
    metadata: Mapping[str, str] = {}


def fits(query: Query, customer: Known) -> bool:
    """Say whether a customer is one that a query asks for."""
    answers = [holds(clause, customer) for clause in query.clauses]
    return all(answers) if query.join == "AND" else any(answers)


def holds(clause: Clause, customer: Known) -> bool:
    match clause:
        case Created():
            holding = bool(COMPARISONS[clause.comparison](customer.created, clause.at))
        case Absent():
            holding = text_of(clause.field, customer) is None
        case Exact():
            text = text_of(clause.field, customer)
            holding = text is not None and text.casefold() == clause.text.casefold()
        case Substring():
            text = text_of(clause.field, customer)
            holding = text is not None and clause.text.casefold() in text.casefold()
    return holding is not clause.negated


def text_of(field: Field, customer: Known) -> str | None:
    if field.key is not None:
        return customer.metadata.get(field.key)
    return {"email": customer.email, "name": customer.name, "phone": customer.phone}[field.name]
