"""The `chaching` command: the local set-up, the schema, and API keys."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Literal

import click
import msgspec

from chaching.domain.ids import is_account_id
from chaching.eventstore.api_keys import DEFAULT_RIGHTS, create_key
from chaching.local.errors import DATABASE_FAILURES, LocalError
from chaching.local.places import data_dir
from chaching.local.state import running_state
from chaching.local.supervisor import RunSettings, run
from chaching.schema.migrations import migrate

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
PORTS = click.IntRange(min=1, max=65535)
FORMATS = click.Choice(["text", "json"])


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
    except (LocalError, OSError, *DATABASE_FAILURES) as error:
        click.echo(f"chaching: {error}", err=True)
        sys.exit(1)


@click.group()
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


def checked_account(_context: click.Context, _option: click.Parameter, account: str) -> str:
    """Take an account that fits into a routing key as one word."""
    if not is_account_id(account):
        raise click.BadParameter("1 to 64 of A-Z, a-z, 0-9, _ and -")
    return account


@keys.command("create")
@click.option(
    "--account", required=True, callback=checked_account, help="acct_… the key belongs to"
)
@click.option("--mode", type=click.Choice(["test", "live"]), required=True)
@click.option(
    "--kind",
    type=click.Choice(["secret", "restricted", "publishable"]),
    default="secret",
    show_default=True,
)
@click.option(
    "--right",
    "rights",
    multiple=True,
    help="such as customers:read; may be repeated; else the usual ones",
)
@click.option("--expires-in-s", type=click.IntRange(min=1), help="seconds from now; else never")
@click.option("--name", help="what a person calls it")
@click.option("--format", "form", type=FORMATS, default="text", show_default=True)
def create(
    account: str,
    mode: Literal["test", "live"],
    kind: Literal["secret", "restricted", "publishable"],
    rights: tuple[str, ...],
    expires_in_s: int | None,
    name: str | None,
    form: str,
) -> None:
    """Create a key and show it, this once."""
    key = asyncio.run(
        create_key(
            database_url(data_dir()),
            account=account,
            mode=mode,
            kind=kind,
            rights=rights or DEFAULT_RIGHTS,
            expires_in_s=expires_in_s,
            name=name,
        )
    )
    click.echo(msgspec.json.encode({"key": key}) if form == "json" else key)


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
