"""`chaching audit`: what those do who answer for the data."""

import click

from chaching.cli.evidence import COMMANDS


@click.group()
def audit() -> None:
    """Evidence that nobody has tampered with the log."""


for command in COMMANDS:
    audit.add_command(command)
