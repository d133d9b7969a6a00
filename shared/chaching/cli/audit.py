"""`chaching audit`: what those ask who must be able to trust the log."""

import click


@click.group()
def audit() -> None:
    """The log, for those who audit it."""
