"""Which properties ``expand[]`` can name, as a graph: kind of object → property → kind.

``_HOLDERS`` are steps on the way that cannot be expanded by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from chaching_api.bodies import Node
from chaching_api.errors import Malformed
from chaching_api.parameter_types import FilledText, Items, Leaf
from chaching_api.texts import SHOWN_NAME_CHARACTERS_MAX, shortened

EXPANSION_LEVELS_MAX: Final = 4
EXPANSION_CHARACTERS_MAX: Final = 5000

_GRAPH: Final[Mapping[str, Mapping[str, str]]] = {
    "customers": {"data": "customer"},
    "search_result": {"data": "customer", "total_count": "total_count"},
    "customer": {
        "cash_balance": "cash_balance",
        "default_source": "source",
        "discount": "discount",
        "invoice_settings": "invoice_settings",
        "sources": "sources",
        "subscriptions": "subscriptions",
        "tax": "tax",
        "tax_ids": "tax_ids",
        "test_clock": "test_clock",
    },
    "event": {},
    "discount": {"customer": "customer", "promotion_code": "promotion_code"},
    "invoice_settings": {"default_payment_method": "payment_method"},
    "payment_method": {"customer": "customer"},
    "promotion_code": {"customer": "customer"},
    "source": {"customer": "customer"},
    "sources": {"data": "source"},
    "subscription": {
        "customer": "customer",
        "default_payment_method": "payment_method",
        "default_source": "source",
        "latest_invoice": "invoice",
        "test_clock": "test_clock",
    },
    "subscriptions": {"data": "subscription"},
    "invoice": {
        "customer": "customer",
        "default_payment_method": "payment_method",
        "default_source": "source",
    },
    "tax_id": {"customer": "customer"},
    "tax_ids": {"data": "tax_id"},
}
_HOLDERS: Final = frozenset({"invoice_settings"})


class Expansions(Leaf, frozen=True):
    """A list of dotted property paths, all of which can be expanded from ``root``."""

    root: str = "customer"
    max_levels: int = EXPANSION_LEVELS_MAX

    def read(self, value: Node, param: str) -> tuple[str, ...]:
        paths = _PATHS.read(value, param)
        for index, path in enumerate(paths):
            self._check(path, f"{param}[{index}]")
        return paths

    def _check(self, path: str, param: str) -> None:
        steps = path.split(".")
        if len(steps) > self.max_levels:
            raise Malformed(
                f"You cannot expand more than {self.max_levels} levels of a property "
                f"({shortened(path, SHOWN_NAME_CHARACTERS_MAX)}).",
                reason="property_expansion_max_depth",
                param=param,
            )
        kind: str | None = self.root
        for step in steps:
            kind = _GRAPH.get(kind, {}).get(step) if kind else None
        if kind is None or kind in _HOLDERS:
            raise Malformed(
                f"This property cannot be expanded ({shortened(path, SHOWN_NAME_CHARACTERS_MAX)}).",
                param=param,
            )


def expandable(root: str, max_levels: int = EXPANSION_LEVELS_MAX) -> Iterator[str]:
    """Yield every path that can be expanded from a kind of object."""
    if max_levels == 0:
        return
    for step, kind in _GRAPH.get(root, {}).items():
        if kind not in _HOLDERS:
            yield step
        for rest in expandable(kind, max_levels - 1):
            yield f"{step}.{rest}"


_PATHS: Final = Items(FilledText(EXPANSION_CHARACTERS_MAX))
