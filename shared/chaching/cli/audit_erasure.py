"""`chaching audit`: what those do who answer for the data."""

import asyncio
import getpass
from typing import Final, get_args

import click
import msgspec

from chaching.cli.options import MODES, checked_account, database_url
from chaching.cli.output import FORMATS, confirm
from chaching.domain.ids import AccountId, CustomerId, Mode
from chaching.domain.values import ErasureReason
from chaching.envelope import StreamKey
from chaching.eventstore.erasing import erase_customer, rewrap_data_keys
from chaching.local.master_key import keyring
from chaching.local.places import data_dir

REASONS: Final = click.Choice(get_args(ErasureReason))


@click.group()
def audit() -> None:
    """Erasure and master keys."""


@audit.command("erase")
@click.argument("customer")
@click.option("--account", required=True, callback=checked_account, help="acct_… it belongs to")
@click.option("--mode", type=MODES, required=True)
@click.option("--reason", type=REASONS, help="why; it stays in the history")
@click.option("--yes", is_flag=True, help="do not ask")
@click.option("--format", "form", type=FORMATS, default="text", show_default=True)
def erase(
    customer: str, account: str, mode: Mode, reason: ErasureReason | None, yes: bool, form: str
) -> None:
    """Forget a customer for good; MASTER_KEY must be that of the database."""
    if not yes:
        confirm(f"Erase {customer} of {account} ({mode}) for good?")
    erased = asyncio.run(
        erase_customer(
            database_url(data_dir()),
            keyring(data_dir()),
            StreamKey(AccountId(account), mode == "live", CustomerId(customer)),
            actor=f"{getpass.getuser()}, chaching audit erase",
            reason=reason,
        )
    )
    if form == "json":
        click.echo(msgspec.json.encode(erased))
    else:
        click.echo(f"{customer} {'was erased before' if erased.already else 'is erased'}")


@audit.command("rewrap")
@click.option("--format", "form", type=FORMATS, default="text", show_default=True)
def rewrap(form: str) -> None:
    """Wrap all data keys with the first of the keys in MASTER_KEY, so that others can go."""
    rewrapped = asyncio.run(rewrap_data_keys(database_url(data_dir()), keyring(data_dir())))
    told = {"rewrapped": rewrapped}
    click.echo(
        msgspec.json.encode(told) if form == "json" else f"{rewrapped} data keys wrapped anew"
    )
