"""How far a command is, and how fast: one line on stderr, if that is a terminal."""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

import click

from chaching.cli.output import progress_bar

REDRAW_EVERY_S = 0.1


class Bar:
    """Draws a bar; called with what is done and what is to be done, as often as there is news."""

    def __init__(self, noun: str) -> None:
        """Count things that are called `noun`."""
        self._noun = noun
        self._started_s = time.monotonic()
        self._drawn_s = 0.0
        self._shows = sys.stderr.isatty()

    def __call__(self, done: int, of: int) -> None:
        now_s = time.monotonic()
        if self._shows and (now_s - self._drawn_s >= REDRAW_EVERY_S or done == of):
            self._drawn_s = now_s
            click.echo(f"\r{self.line(done, of, now_s - self._started_s)}", err=True, nl=False)

    def line(self, done: int, of: int, elapsed_s: float) -> str:
        """Answer the line as it is drawn after so many seconds."""
        share = done / of if of else 1.0
        per_s = done / elapsed_s if elapsed_s > 0 else 0.0
        return (
            f"{progress_bar(share)} {share:4.0%}  {done:,} of {of:,} {self._noun}, {per_s:,.0f}/s "
        )

    def end(self) -> None:
        if self._drawn_s:
            click.echo(err=True)


@contextmanager
def showing(noun: str) -> Generator[Bar]:
    """Draw a bar for as long as the block runs."""
    bar = Bar(noun)
    try:
        yield bar
    finally:
        bar.end()
