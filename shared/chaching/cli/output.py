"""How commands print: forms, tables, instants, and lines that a closed terminal may not stop."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import click

FORMATS: Final = click.Choice(["text", "json"])
GAP: Final = "  "


def instant(at: datetime | None) -> str:
    """Answer an instant to the second, in UTC."""
    return "-" if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Answer rows of cells as lines whose columns stand under each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def say(line: str) -> None:
    """Print a line; a terminal that is gone must not keep the service from stopping in order."""
    try:
        click.echo(line)
    except OSError:
        return
