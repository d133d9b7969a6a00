"""Commands of `chaching audit`: checkpoints, the public key, verification, exports."""

import asyncio
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import click
import msgspec

from chaching.audit.asking import FreshCheckpoints
from chaching.audit.exporting import Wanted, export
from chaching.audit.findings import Verdict
from chaching.audit.notes import (
    NOTE_BYTES_MAX,
    NotANote,
    PublicKey,
    SignedCheckpoint,
    origin_of,
    parse_checkpoint,
)
from chaching.audit.opening import AuditRefused, opened
from chaching.audit.stored import TreeBroken
from chaching.audit.verifying import Progress, verify
from chaching.audit.witnesses import Kept
from chaching.cli.options import MODES, checked_account, database_url
from chaching.cli.output import FORMATS
from chaching.cli.points import Points, part_between
from chaching.cli.progress import showing
from chaching.cli.public_keys import checked_public_keys
from chaching.cli.verify_export import verify_export
from chaching.domain.ids import Mode
from chaching.eventstore.selection import has_account
from chaching.eventstore.statements import statement
from chaching.local.errors import LocalError
from chaching.local.places import PRIVATE_FILE_MODE, data_dir
from chaching.local.signing import SETTING, known_signing_key
from chaching.moments import LogMoment

_LOG_ID: Final = statement("chaching.eventstore", "log_id")
EVIDENCE_FAILURES: Final = (AuditRefused, NotANote, TreeBroken)
POINTS: Final = Points(bare="seconds")
EVENTS: Final = ("events", "event")
STRANGER: Final = (
    "If the key is one of yours, give it with --public-key too; if not, somebody else has signed"
)
NO_KEY: Final = f"no signing key is known here: set {SETTING}, or run next to `make run`"


@click.command("checkpoint")
@click.option("--format", "form", type=FORMATS, default="text", show_default=True)
def checkpoint(form: str) -> None:
    """Print the newest signed checkpoint; keep it where the database's owner cannot change it."""
    signed = asyncio.run(_newest(database_url(data_dir())))
    if form == "json":
        told = {"size": signed.checkpoint.size, "origin": signed.checkpoint.origin}
        click.echo(msgspec.json.encode({**told, "note": signed.note}))
    else:
        click.echo(signed.note, nl=False)


@click.command("key")
@click.option("--format", "form", type=FORMATS, default="text", show_default=True)
def key(form: str) -> None:
    """Print the public key that checkpoints of this log are checked with."""
    signing = known_signing_key(_own_folder())
    if signing is None:
        raise LocalError(NO_KEY)
    verifier = signing.public.verifier(asyncio.run(_origin(database_url(data_dir()))))
    click.echo(msgspec.json.encode({"public_key": verifier}) if form == "json" else verifier)


def checked_checkpoints(
    _context: click.Context, _option: click.Parameter, files: tuple[Path, ...]
) -> tuple[Kept, ...]:
    """Take files with one signed checkpoint each."""
    return tuple(_kept(file) for file in files)


def _kept(file: Path) -> Kept:
    try:
        with file.open() as reading:
            return Kept(file.name, parse_checkpoint(reading.read(NOTE_BYTES_MAX)))
    except (NotANote, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{file} is no signed checkpoint: {error}") from error


@click.command("verify")
@click.option(
    "--checkpoint",
    "kept",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    callback=checked_checkpoints,
    help="a file with a checkpoint that was kept elsewhere; may be repeated",
)
@click.option(
    "--public-key",
    "keys",
    multiple=True,
    callback=checked_public_keys,
    help=f"as `chaching audit key` prints it, or a file with it; may be repeated; else that of "
    f"{SETTING} or of the running service",
)
@click.option("--format", "form", type=FORMATS, default="text", show_default=True)
def verify_command(kept: tuple[Kept, ...], keys: tuple[PublicKey, ...], form: str) -> None:
    """Recompute all hashes from the log and name the first bad position; ends with 1 at one."""
    known = None if keys else known_signing_key(_own_folder())
    trusted = keys if known is None else (known.public,)
    url = database_url(data_dir())
    with showing("events") as progress:
        verdict = asyncio.run(_verdict(url, trusted, kept, progress))
    click.echo(msgspec.json.encode(verdict) if form == "json" else told(verdict))
    if not verdict.is_sound:
        sys.exit(1)


def told(verdict: Verdict) -> str:
    """Answer a verdict in lines for a person."""
    per_s = verdict.events / verdict.elapsed_s if verdict.elapsed_s else 0.0
    signatures = "signatures checked" if verdict.signatures_checked else "SIGNATURES NOT CHECKED"
    done = (
        f"{verdict.events:,} events verified in {verdict.elapsed_s:.1f} s ({per_s:,.0f} a second)\n"
        f"{verdict.hashed:,} of them hashed before, {verdict.signed:,} under a signed checkpoint; "
        f"{verdict.checkpoints:,} checkpoints compared, {signatures}\n"
    )
    bad = verdict.first_bad
    if bad is None:
        return f"{done}sound: the log is what was hashed and signed"
    position = "" if bad.position is None else f" at position {bad.position}"
    if bad.what == "key_unknown":
        part = "" if bad.position is None else f" from position {bad.position} on"
        return f"{done}NOT PROVEN{part}: {bad.message}; all else fits. {STRANGER} ({bad.what})"
    up_to = "" if bad.up_to is None else f", or after it up to {bad.up_to}"
    return f"{done}NOT SOUND{position}{up_to}: {bad.message} ({bad.what})"


@click.command("export")
@click.option("--account", required=True, callback=checked_account, help="whose events")
@click.option("--mode", type=MODES, help="else of both modes")
@click.option(
    "--from",
    "first",
    metavar="POINT",
    callback=POINTS,
    help=f"where to begin, one of: {POINTS.forms}; else the first event",
)
@click.option(
    "--to",
    "last",
    metavar="POINT",
    callback=POINTS,
    help="where to end, with all that is named; else the last event that is signed",
)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="a file; else stdout"
)
def export_command(
    account: str,
    mode: Mode | None,
    first: LogMoment | None,
    last: LogMoment | None,
    output: Path | None,
) -> None:
    """Write an account's events as JSON Lines, each with the proof that it is in the signed log.

    They are as they are stored, so personal values are encrypted: `chaching audit replay` reads
    them. How many events were written is said on stderr.
    """
    asked = _Asked(account=account, mode=mode, first=first, last=last)
    url = database_url(data_dir())
    with showing("positions") as progress:
        written = asyncio.run(_write_export(url, asked, output, progress))
    within = "" if mode is None else f" in {mode} mode"
    click.echo(f"{written:,} {EVENTS[written == 1]} of {account}{within} written", err=True)


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be exported, before the log was looked at."""

    account: str
    mode: Mode | None
    first: LogMoment | None
    last: LogMoment | None


async def _newest(url: str) -> SignedCheckpoint:
    async with opened(url) as database:
        kept = await FreshCheckpoints(database).newest()
    if kept is None:
        raise AuditRefused("no checkpoint has been signed: the auditor has to run")
    return kept.signed


async def _origin(url: str) -> str:
    async with opened(url) as database:
        [row] = await database.fetch(_LOG_ID)
        return origin_of(row["log_id"])


async def _verdict(
    url: str, keys: tuple[PublicKey, ...], kept: tuple[Kept, ...], progress: Progress
) -> Verdict:
    async with opened(url) as database:
        return await verify(database, keys=keys, kept=kept, progress=progress)


async def _write_export(url: str, asked: _Asked, output: Path | None, progress: Progress) -> int:
    """Write a file, or to stdout; return how many events. What is refused leaves a file alone."""
    async with opened(url) as database:
        if not await has_account(database, asked.account):
            raise AuditRefused(f"the log has no event of account {asked.account}")
        start, end = await part_between(database, asked.first, asked.last)
        wanted = Wanted(account=asked.account, mode=asked.mode, start=start, end=end)
        lines = export(database, wanted, progress)
        header = await anext(lines)
        with _opened_for_writing(output) as file:
            file.write(header)
            written = -1  # the last line is no event
            async for line in lines:
                file.write(line)
                written += 1
            file.flush()
    return written


@contextmanager
def _opened_for_writing(output: Path | None) -> Generator[BinaryIO]:
    if output is None:
        yield sys.stdout.buffer
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(os.open(output, flags, PRIVATE_FILE_MODE), "wb") as file:
        yield file


def _own_folder() -> Path | None:
    """Answer the data folder, if the database that is meant is the one that runs on it."""
    return None if os.environ.get("DATABASE_URL") else data_dir()


EVIDENCE: Final = (checkpoint, key, verify_command, export_command, verify_export)
