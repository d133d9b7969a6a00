"""The `chaching` command: the local set-up and the schema; the other groups hang on it."""

import asyncio
import os
import sys
from typing import Final

import click
import msgspec

from chaching.broker.errors import BrokerUnavailable
from chaching.cli.audit import audit
from chaching.cli.audit_erasure import erase, rewrap
from chaching.cli.audit_replay import replay as audit_replay
from chaching.cli.completion import completion
from chaching.cli.events import events
from chaching.cli.evidence import EVIDENCE, EVIDENCE_FAILURES
from chaching.cli.keys import keys
from chaching.cli.output import FORMATS, say
from chaching.cli.parked import parked
from chaching.cli.projection import projection
from chaching.cli.replay import replay
from chaching.domain.customer import NoSuchCustomer
from chaching.eventstore.api_keys import KeyRefused
from chaching.eventstore.erasing import ErasureRefused
from chaching.eventstore.errors import WrongMasterKey
from chaching.eventstore.selection import LogUnreadable
from chaching.local.errors import DATABASE_FAILURES, LocalError
from chaching.local.places import data_dir
from chaching.local.state import running_state
from chaching.local.supervisor import RunSettings, run
from chaching.schema.migrations import migrate
from chaching.subscriber.parked import ParkedRefused

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8000
REFUSALS: Final = (
    ErasureRefused,
    KeyRefused,
    LogUnreadable,
    NoSuchCustomer,
    ParkedRefused,
    WrongMasterKey,
)
FAILURES: Final = (*REFUSALS, *EVIDENCE_FAILURES, *DATABASE_FAILURES)
PORTS: Final = click.IntRange(min=1, max=65535)


def main() -> None:
    """Run the command; what went wrong is one line on stderr and an exit code other than 0."""
    try:
        chaching(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        lines = (line.strip() for line in error.format_message().splitlines())
        click.echo(f"chaching: {' '.join(lines)}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.Abort:
        sys.exit(130)
    except (LocalError, BrokerUnavailable, OSError, *FAILURES) as error:
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


for auditing in (audit_replay, erase, rewrap, *EVIDENCE):
    audit.add_command(auditing)
for command in (audit, completion, events, keys, parked, projection, replay):
    chaching.add_command(command)
