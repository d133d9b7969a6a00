"""Public keys on the command line: spelled there, or in a file. Needs no database."""

from pathlib import Path

import click

from chaching.audit.notes import BadKey, PublicKey, parse_public_key

FILE_BYTES_MAX = 4_096


def checked_public_keys(
    _context: click.Context, _option: click.Parameter, texts: tuple[str, ...]
) -> tuple[PublicKey, ...]:
    """Take keys as `chaching audit key` prints them, or the names of files with one each."""
    return tuple(_key(text) for text in texts)


def _key(text: str) -> PublicKey:
    file = Path(text)
    try:
        if file.is_file():
            with file.open() as opened:
                text = opened.read(FILE_BYTES_MAX)
        return parse_public_key(text)
    except BadKey as error:
        raise click.BadParameter(str(error)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{file} cannot be read") from error
