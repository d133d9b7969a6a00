"""What several commands take: accounts, modes, forms of output, and where the database is."""

import os
from pathlib import Path
from typing import Final, get_args

import click

from chaching.domain.ids import Mode, is_account_id
from chaching.local.errors import LocalError
from chaching.local.state import running_state

FORMATS: Final = click.Choice(["text", "json"])
MODES: Final = click.Choice(get_args(Mode))


def checked_account(
    _context: click.Context, _option: click.Parameter, account: str | None
) -> str | None:
    """Take an account that fits into a routing key as one word."""
    if account is not None and not is_account_id(account):
        raise click.BadParameter("1 to 64 of A-Z, a-z, 0-9, _ and -")
    return account


def database_url(folder: Path) -> str:
    """Answer the database of the service that runs here, else DATABASE_URL."""
    url = os.environ.get("DATABASE_URL")
    if url:
        return url
    state = running_state(folder)
    if state is None or state.database is None:
        raise LocalError(f"no chaching runs on {folder}: start it, or set DATABASE_URL")
    return state.database


def amqp_url(folder: Path) -> str:
    """Answer AMQP_URL, else the broker of the service that runs here."""
    url = os.environ.get("AMQP_URL")
    if url:
        return url
    state = running_state(folder)
    if state is None or state.broker is None:
        raise LocalError(f"no broker runs on {folder}: start it, or set AMQP_URL")
    return state.broker
