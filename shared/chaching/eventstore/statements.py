"""The statements of a package, one in a file, read once."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def statement(package: str, name: str) -> str:
    """Return the text of ``{package}/sql/{name}.sql``."""
    return (files(package) / "sql" / f"{name}.sql").read_text()
