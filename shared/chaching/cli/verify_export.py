"""`chaching audit verify-export`: check a file with the public key only.

Nothing that this module imports knows a database, so `python -m chaching.cli.verify_export` runs
where there is no driver and no network.
"""

import sys
from pathlib import Path

import click
import msgspec

from chaching.audit.exports import ExportVerdict, check_export
from chaching.audit.notes import PublicKey
from chaching.cli.output import FORMATS
from chaching.cli.progress import showing
from chaching.cli.public_keys import checked_public_keys


@click.command("verify-export")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--public-key",
    "keys",
    multiple=True,
    required=True,
    callback=checked_public_keys,
    help="as `chaching audit key` prints it, or a file with it; may be repeated",
)
@click.option("--format", "form", type=FORMATS, default="text", show_default=True)
def verify_export(file: Path, keys: tuple[PublicKey, ...], form: str) -> None:
    """Check a file that `chaching audit export` wrote, without any database."""
    with file.open("rb") as opened, showing("bytes") as bar:
        size = file.stat().st_size
        verdict = check_export(opened, keys, progress=lambda read: bar(read, size))
    click.echo(msgspec.json.encode(verdict) if form == "json" else told(verdict))
    if not verdict.is_sound:
        sys.exit(1)


def told(verdict: ExportVerdict) -> str:
    """Answer the verdict in a line or two."""
    if verdict.is_sound:
        return f"sound: {verdict.events:,} events, each in the signed log of {verdict.size:,}"
    at = "" if verdict.position is None else f", position {verdict.position}"
    return f"NOT SOUND: line {verdict.line}{at}: {verdict.fault}\n{verdict.events:,} events before"


if __name__ == "__main__":
    verify_export()
