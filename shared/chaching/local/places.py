"""Where the local set-up keeps things: the data folder, and the tools fetched into it."""

import os
from collections.abc import Mapping
from pathlib import Path

from chaching.local.errors import LocalError

DATA_FOLDER = ".chaching"
# others may pass through (a database server with a user of its own does), not list
DATA_FOLDER_MODE = 0o711
PRIVATE_FILE_MODE = 0o600


def project_root() -> Path | None:
    """Answer the checkout that this code runs from, or None for an installed copy."""
    root = Path(__file__).resolve().parents[3]
    return root if (root / "pyproject.toml").is_file() else None


def data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Answer the data folder: CHACHING_DATA_DIR, else `.chaching` in the checkout."""
    chosen = environ.get("CHACHING_DATA_DIR")
    if chosen:
        return Path(chosen).absolute()
    return (project_root() or Path.cwd()) / DATA_FOLDER


def tools_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Answer the folder of fetched tools, shared by everything that uses one data folder."""
    return data_dir(environ) / "tools"


def make_data_dir(folder: Path) -> None:
    """Create the data folder; one that exists keeps its permissions."""
    if folder.is_dir():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(DATA_FOLDER_MODE)
    except OSError as error:
        raise LocalError(f"cannot create the data folder {folder}: {error.strerror}") from error


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    half = path.with_name(f"{path.name}.new")
    half.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(half, flags, PRIVATE_FILE_MODE), "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    half.replace(path)
