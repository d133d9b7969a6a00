"""What several commands take: accounts, modes, and where the servers are."""

import logging
import os
from pathlib import Path
from typing import Final, get_args

import click

from chaching.domain.ids import Mode, is_account_id
from chaching.local.errors import LocalError
from chaching.local.state import running_state
from chaching.runtime.config import WANTED

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
        return _usable("DATABASE_URL", url, ("postgres://", "postgresql://"))
    state = running_state(folder)
    if state is None or state.database is None:
        raise LocalError(f"no chaching runs on {folder}: start it, or set DATABASE_URL")
    return state.database


def broker_url(folder: Path) -> str:
    """Answer the broker of AMQP_URL, else that of the service whose log ``database_url`` answers.

    So the events of one service never go to the broker of another by mistake.
    """
    url = os.environ.get("AMQP_URL")
    if url:
        return _usable("AMQP_URL", url, ("amqp://", "amqps://"))
    state = running_state(folder)
    if state is None and not os.environ.get("DATABASE_URL"):
        raise LocalError(f"no chaching runs on {folder}: start it, or set AMQP_URL")
    if state is None or state.database != database_url(folder):
        raise LocalError("set AMQP_URL to the broker that belongs to DATABASE_URL")
    if state.broker is None:
        raise LocalError("the service runs without a broker: install one, or set AMQP_URL")
    return state.broker


def hush_libraries() -> None:
    """Keep what the broker's libraries would say off the terminal: a command says it in a line."""
    for library in ("aio_pika", "aiormq"):
        logging.getLogger(library).addHandler(logging.NullHandler())


def _usable(name: str, url: str, beginnings: tuple[str, ...]) -> str:
    """Answer a URL of the right kind; what is wrong is told without it, since it has a password."""
    if not url.startswith(beginnings):
        raise LocalError(f"{name} is not usable: it must be {WANTED[name]}")
    return url
