"""The `chaching` command: the local set-up, the schema, and API keys."""

import asyncio
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import get_args

import click
import msgspec

from chaching.domain.ids import Mode, is_account_id
from chaching.eventstore.api_keys import (
    RIGHTS,
    IssuedKey,
    KeyKind,
    KeyRefused,
    ListedKey,
    create_key,
    list_keys,
    revoke_key,
    roll_key,
)
from chaching.local.errors import DATABASE_FAILURES, LocalError
from chaching.local.places import data_dir
from chaching.local.state import running_state
from chaching.local.supervisor import RunSettings, run
from chaching.schema.migrations import migrate

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
PORTS = click.IntRange(min=1, max=65535)
FORMATS = click.Choice(["text", "json"])
MODES = click.Choice(get_args(Mode))
KINDS = click.Choice(get_args(KeyKind))
NAME_CHARACTERS_MAX = 255
EXPIRES_IN_MAX_S = 100 * 365 * 24 * 3600
LISTED = (
    *("KEY ID", "KEY", "KIND", "MODE", "ACCOUNT", "RIGHTS", "NAME"),
    *("CREATED", "EXPIRES", "REVOKED", "STATE"),
)
GAP = "  "


def main() -> None:
    """Run the command; what went wrong is one line on stderr and an exit code other than 0."""
    try:
        chaching(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        click.echo(f"chaching: {error.format_message()}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.Abort:
        sys.exit(130)
    except (LocalError, KeyRefused, OSError, *DATABASE_FAILURES) as error:
        click.echo(f"chaching: {error}", err=True)
        sys.exit(1)


@click.group()
@click.version_option(package_name="chaching")
def chaching() -> None:
    """Customers, event-sourced."""


@chaching.command("run")
@click.option("--host", envvar="HOST", default=DEFAULT_HOST, show_default=True)
@click.option("--port", envvar="PORT", type=PORTS, default=DEFAULT_PORT, show_default=True)
def run_command(host: str, port: int) -> None:
    """Run the whole service on this machine, with private servers unless URLs are set."""
    settings = RunSettings(
        data_dir=data_dir(),
        host=host,
        port=port,
        database_url=os.environ.get("DATABASE_URL") or None,
        amqp_url=os.environ.get("AMQP_URL") or None,
    )
    asyncio.run(run(settings, say))


@chaching.command()
@click.option("--format", "form", type=FORMATS, default="text", show_default=True)
def info(form: str) -> None:
    """Tell the addresses of the service that runs on the data folder."""
    state = running_state(data_dir())
    if state is None:
        raise LocalError(f"no chaching runs on {data_dir()}: start it with `make run`")
    facts: dict[str, str | int | None] = {
        "gateway": state.gateway,
        "database": state.database,
        "broker": state.broker,
        "data_dir": state.data_dir,
        "pid": state.supervisor.pid,
    }
    if form == "json":
        click.echo(msgspec.json.encode(facts))
    else:
        for name, value in facts.items():
            click.echo(f"{name:9} {value if value is not None else '-'}")


@chaching.command("migrate")
def migrate_command() -> None:
    """Bring the database of DATABASE_URL to the newest schema."""
    url = os.environ.get("DATABASE_URL")
    if not url:
        raise LocalError("set DATABASE_URL to the database to migrate")
    asyncio.run(migrate(url))


@chaching.group()
def keys() -> None:
    """API keys."""


def checked_account(
    _context: click.Context, _option: click.Parameter, account: str | None
) -> str | None:
    """Take an account that fits into a routing key as one word."""
    if account is not None and not is_account_id(account):
        raise click.BadParameter("1 to 64 of A-Z, a-z, 0-9, _ and -")
    return account


def checked_rights(
    _context: click.Context, _option: click.Parameter, rights: tuple[str, ...]
) -> tuple[str, ...]:
    """Take rights that exist: a misspelt one would open nothing, and nobody would be told."""
    for right in rights:
        if right not in RIGHTS:
            raise click.BadParameter(f"{right!r} is none of {', '.join(sorted(RIGHTS))}")
    return rights


def checked_name(_context: click.Context, _option: click.Parameter, name: str | None) -> str | None:
    """Take a name that fits into one line of a list."""
    if name is not None and not (len(name) <= NAME_CHARACTERS_MAX and name.isprintable()):
        raise click.BadParameter(f"at most {NAME_CHARACTERS_MAX} printable characters")
    return name or None


@keys.command("create")
@click.option(
    "--account", required=True, callback=checked_account, help="acct_… the key belongs to"
)
@click.option("--mode", type=MODES, required=True)
@click.option("--kind", type=KINDS, default="secret", show_default=True)
@click.option(
    "--right",
    "rights",
    multiple=True,
    callback=checked_rights,
    help=f"{', '.join(sorted(RIGHTS))}; may be repeated; else a secret key gets the usual ones "
    "and a restricted key none",
)
@click.option(
    "--expires-in-s",
    type=click.IntRange(min=1, max=EXPIRES_IN_MAX_S),
    help="seconds from now; else never",
)
@click.option("--name", callback=checked_name, help="what a person calls it")
@click.option("--format", "form", type=FORMATS, default="text", show_default=True)
def create(
    account: str,
    mode: Mode,
    kind: KeyKind,
    rights: tuple[str, ...],
    expires_in_s: int | None,
    name: str | None,
    form: str,
) -> None:
    """Create a key and show it, this once."""
    issued = asyncio.run(
        create_key(
            database_url(data_dir()),
            account=account,
            mode=mode,
            kind=kind,
            rights=rights or None,
            expires_in_s=expires_in_s,
            name=name,
        )
    )
    show_issued(issued, form)


@keys.command("list")
@click.option("--account", callback=checked_account, help="only the keys of this account")
@click.option("--mode", type=MODES, help="only the keys of this mode")
@click.option("--format", "form", type=FORMATS, default="text", show_default=True)
def list_command(account: str | None, mode: Mode | None, form: str) -> None:
    """List the keys, oldest first; what is shown of a key does not open anything."""
    found = asyncio.run(list_keys(database_url(data_dir()), account=account, mode=mode))
    if form == "json":
        click.echo(msgspec.json.encode({"keys": found}))
    elif found:
        click.echo(table([LISTED, *(listed_row(key) for key in found)]))
    else:
        click.echo("no keys")


@keys.command("roll")
@click.argument("key_id")
@click.option(
    "--expires-in-s",
    type=click.IntRange(min=0, max=EXPIRES_IN_MAX_S),
    default=0,
    show_default=True,
    help="seconds for which the old key goes on",
)
@click.option("--format", "form", type=FORMATS, default="text", show_default=True)
def roll(key_id: str, expires_in_s: int, form: str) -> None:
    """Put a new key in a key's place and show it, this once; the old one expires."""
    issued = asyncio.run(roll_key(database_url(data_dir()), key_id, expires_in_s=expires_in_s))
    show_issued(issued, form)


@keys.command("revoke")
@click.argument("key_id")
@click.option("--format", "form", type=FORMATS, default="text", show_default=True)
def revoke(key_id: str, form: str) -> None:
    """End a key for good; every gateway refuses it within 5 seconds."""
    asyncio.run(revoke_key(database_url(data_dir()), key_id))
    told = {"key_id": key_id, "state": "revoked"}
    click.echo(msgspec.json.encode(told) if form == "json" else f"{key_id} is revoked")


def show_issued(issued: IssuedKey, form: str) -> None:
    """Print a key that is never to be seen again."""
    click.echo(msgspec.json.encode(issued) if form == "json" else issued.key)


def listed_row(key: ListedKey) -> Sequence[str]:
    """Answer the cells of a key's line, with a dash where there is nothing."""
    return (
        key.key_id,
        key.masked or "-",
        key.kind,
        key.mode,
        key.account,
        ",".join(key.rights) or "-",
        key.name or "-",
        *(instant(at) for at in (key.created_at, key.expires_at, key.revoked_at)),
        key.state,
    )


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


def database_url(folder: Path) -> str:
    """Answer the database of the service that runs here, else DATABASE_URL."""
    url = os.environ.get("DATABASE_URL")
    if url:
        return url
    state = running_state(folder)
    if state is None or state.database is None:
        raise LocalError(f"no chaching runs on {folder}: start it, or set DATABASE_URL")
    return state.database


def say(line: str) -> None:
    """Print a line; a terminal that is gone must not keep the service from stopping in order."""
    try:
        click.echo(line)
    except OSError:
        return
