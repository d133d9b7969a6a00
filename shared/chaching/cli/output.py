"""How commands print: forms, tables, instants, bars, colours, and what to do when nobody reads."""

import json
import os
import select
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import click

FORMATS: Final = click.Choice(["text", "json"])
GAP: Final = "  "
COLOURS: Final = click.Choice(["auto", "always", "never"])
BAR_CHARACTERS: Final = 12


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


def printable(text: str) -> str:
    """Answer a text in which nothing moves the cursor or hides: it may be anybody's."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_json(value: object) -> str:
    """Answer a value as JSON that can be printed like any text."""
    return printable(json.dumps(value, ensure_ascii=False))


def say(line: str) -> None:
    """Print a line; a terminal that is gone must not keep the service from stopping in order."""
    try:
        click.echo(line)
    except OSError:
        return


def confirm(question: str) -> None:
    """Go on after a yes; what else comes, an end of the input too, ends the command with a line.

    Raises:
        Abort: nobody said yes.
    """
    try:
        is_wanted = click.confirm(question, err=True)
    except click.Abort:
        click.echo("", err=True)  # the question's line is open still
        is_wanted = False
    if not is_wanted:
        click.echo("aborted: nothing was changed", err=True)
        raise click.Abort


def progress_bar(share: float) -> str:
    """Answer a bar of which a share from 0 to 1 is full."""
    full = int(share * BAR_CHARACTERS)
    return f"[{'#' * full}{'-' * (BAR_CHARACTERS - full)}]"


def visible(text: str) -> str:
    """Answer a text in which nothing can move a terminal's cursor or turn its reading order."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, characters_max: int) -> str:
    return text if len(text) <= characters_max else f"{text[: characters_max - 1]}…"


def wants_colour(choice: str) -> bool:
    """Say whether stdout gets colours: as chosen, else on a terminal, and see no-color.org."""
    if choice != "auto":
        return choice == "always"
    is_capable = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    return is_capable and not os.environ.get("NO_COLOR")


def is_read() -> bool:
    """Say whether whoever reads stdout through a pipe is still there."""
    try:
        output = sys.stdout.fileno()
    except (OSError, ValueError):
        return True
    poll = select.poll()
    poll.register(output, 0)
    return not any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def stop_printing() -> None:
    """Let what is still to be printed go nowhere, since nobody reads it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
