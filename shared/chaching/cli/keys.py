"""`chaching keys`: create, list, roll and revoke API keys."""

import asyncio
from collections.abc import Sequence
from typing import Final, get_args

import click
import msgspec
from click.shell_completion import CompletionItem

from chaching.cli.options import MODES, checked_account, database_url
from chaching.cli.output import FORMATS, instant, table
from chaching.domain.ids import Mode
from chaching.eventstore.api_keys import (
    EVERY_RIGHT,
    RIGHTS,
    IssuedKey,
    KeyKind,
    ListedKey,
    create_key,
    list_keys,
    revoke_key,
    roll_key,
)
from chaching.local.places import data_dir

KINDS: Final = click.Choice(get_args(KeyKind))
NAME_CHARACTERS_MAX: Final = 255
EXPIRES_IN_MAX_S: Final = 100 * 365 * 24 * 3600
LISTED: Final = (
    *("KEY ID", "KEY", "KIND", "MODE", "ACCOUNT", "RIGHTS", "NAME"),
    *("CREATED", "EXPIRES", "REVOKED", "STATE"),
)


@click.group()
def keys() -> None:
    """API keys."""


def checked_rights(
    _context: click.Context, _option: click.Parameter, rights: tuple[str, ...]
) -> tuple[str, ...]:
    """Take rights that exist: a misspelt one would open nothing, and nobody would be told."""
    for right in rights:
        if right not in RIGHTS:
            raise click.BadParameter(f"{right!r} is none of {', '.join(sorted(RIGHTS))}")
    return rights


def known_rights(
    _context: click.Context, _option: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Offer the rights that begin so, by their names."""
    named = sorted(RIGHTS - {EVERY_RIGHT})
    return [CompletionItem(right) for right in named if right.startswith(begun)]


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
    shell_complete=known_rights,
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
