"""Everything that a database and a folder hold, as texts to be searched."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from chaching.eventstore.database import Database
from chaching.local.postgres_binaries import obtain_postgres

DUMP_LIMIT_S: Final = 60.0

_TABLES: Final = """
    SELECT format('%I.%I', n.nspname, c.relname)
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm', 'p') AND n.nspname <> 'information_schema'
      AND n.nspname !~ '^pg_'
    ORDER BY 1
"""


async def dump_of(database: Database, database_url: str) -> str:
    """Return every row of a database as a text, and what pg_dump says where there is one."""
    tables = [row[0] for row in await database.fetch(_TABLES)]
    rows = [
        row[0]
        for table in tables
        for row in await database.fetch(f"SELECT t::text FROM {table} AS t")  # noqa: S608 - a name
    ]
    pg_dump = (await obtain_postgres()).bin_dir / "pg_dump"
    if pg_dump.exists():
        rows.append(await asyncio.to_thread(_dumped, pg_dump, database_url))
    return "\n".join([*tables, *rows])


def found_in(text: str, words: Iterable[str]) -> set[str]:
    """Return the words that a text holds, however they are capitalised, as they are or in hex."""
    lowered = text.lower()
    return {word for word in words if _is_in(lowered, word.lower())}


def files_with(folder: Path, words: Iterable[str]) -> dict[str, set[str]]:
    """Return the words that each file below a folder holds, files without any left out."""
    found: dict[str, set[str]] = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            held = found_in(file.read_bytes().decode("latin-1"), words)
            if held:
                found[str(file.relative_to(folder))] = held
    return found


def _is_in(lowered: str, word: str) -> bool:
    return word in lowered or word.encode().hex() in lowered


def _dumped(pg_dump: Path, database_url: str) -> str:
    words = [str(pg_dump), "--dbname", database_url]
    return subprocess.run(  # noqa: S603 - a program of the server's own
        words, capture_output=True, text=True, timeout=DUMP_LIMIT_S, check=True
    ).stdout
