"""Finding RabbitMQ's programs on this machine, or unpacking them into the project's folder.

Order: CHACHING_RABBITMQ_SBIN_DIR; what the machine has; on Debian and Ubuntu the distribution's own
packages, downloaded and unpacked without any rights and without touching the system: apt works on
lists and caches of its own, dpkg only unpacks. Signatures are checked as always.
"""

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from chaching.local import fetching
from chaching.local.errors import LocalError, Missing, StartFailed
from chaching.local.places import tools_dir

SETTING = "CHACHING_RABBITMQ_SBIN_DIR"
FETCH_LIMIT_S = 300.0
SYSTEM_STATUS = Path("/var/lib/dpkg/status")
INSTALL_LINE = {
    "linux": "apt-get install rabbitmq-server   # or set AMQP_URL",
    "darwin": "brew install rabbitmq   # or set AMQP_URL",
}
WELL_KNOWN = (
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
    "/home/linuxbrew/.linuxbrew/opt/rabbitmq/sbin",
)
WELL_KNOWN_ERLANG = (
    "/usr/lib/erlang/bin",
    "/opt/homebrew/bin",
    "/usr/local/bin",
    "/home/linuxbrew/.linuxbrew/bin",
)
# mixed with the machine's own loader these would break every program
NEVER_UNPACKED = {"libc6", "libc-bin", "libcrypt1"}

APT_SETTINGS = """\
Dir::State "{state}";
Dir::State::status "{status}";
Dir::Cache "{cache}";
APT::Sandbox::User "";
APT::Install-Recommends "false";
Acquire::Languages "none";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
"""

ERL_SCRIPT = """\
#!/bin/sh
# an Erlang that was unpacked elsewhere than it was built for
ROOTDIR={root}
BINDIR={erts}/bin
EMU=beam
PROGNAME=erl
export ROOTDIR BINDIR EMU PROGNAME
exec "$BINDIR/erlexec" ${{1+"$@"}}
"""


class RabbitMQBinaries(msgspec.Struct, frozen=True, kw_only=True):
    """Where RabbitMQ's scripts, Erlang's programs and the libraries unpacked for them are."""

    sbin_dir: Path
    erlang_bin: Path
    library_dir: Path | None = None

    @property
    def plugins_dir(self) -> Path:
        return self.sbin_dir.parent / "plugins"


async def obtain_rabbitmq(
    tools: Path | None = None, *, environ: Mapping[str, str] = os.environ
) -> RabbitMQBinaries:
    """Answer programs that can run here, unpacked first if need be; else raise Missing."""
    found = found_on_machine(environ)
    if found is not None:
        return found
    if sys.platform != "linux" or not all(map(shutil.which, ("apt-get", "dpkg-deb"))):
        raise Missing(f"there is no RabbitMQ on this machine: {install_line()}")
    return await fetched_packages(tools or tools_dir(environ))


def install_line() -> str:
    return INSTALL_LINE.get(sys.platform, "install RabbitMQ, or set AMQP_URL")


def found_on_machine(environ: Mapping[str, str] = os.environ) -> RabbitMQBinaries | None:
    """Answer what the machine has, or None; a folder that was set must be good."""
    chosen = environ.get(SETTING)
    if chosen:
        binaries = _examine(Path(chosen), environ)
        if binaries is None:
            raise LocalError(f"{SETTING}={chosen} holds no rabbitmq-server, or there is no Erlang")
        return binaries
    folders = (folder for pattern in WELL_KNOWN for folder in Path("/").glob(pattern[1:]))
    return next((found for folder in folders if (found := _examine(folder, environ))), None)


def _examine(sbin_dir: Path, environ: Mapping[str, str]) -> RabbitMQBinaries | None:
    erlang = next(_erlang_folders(environ), None)
    if erlang is None or not os.access(sbin_dir / "rabbitmq-server", os.X_OK):
        return None
    return RabbitMQBinaries(sbin_dir=sbin_dir, erlang_bin=erlang)


def _erlang_folders(environ: Mapping[str, str]) -> Iterator[Path]:
    on_path = environ.get("PATH", "").split(os.pathsep)
    for folder in map(Path, [*WELL_KNOWN_ERLANG, *on_path]):
        # without epmd beside it, it is a mere link: its programs lie where that points
        real = (folder / "erl").resolve().parent
        for place in (folder, real):
            if all(os.access(place / name, os.X_OK) for name in ("erl", "epmd")):
                yield place


async def fetched_packages(tools: Path) -> RabbitMQBinaries:
    """Download and unpack the distribution's packages below `tools` unless they are there."""

    async def build(half: Path) -> None:
        await _unpack_packages(half, log=tools / "rabbitmq-fetch.log")

    try:
        place = await fetching.fetched(tools / f"rabbitmq-{_release()}", build)
    except StartFailed as error:
        raise Missing(f"RabbitMQ could not be fetched; {install_line()}\n{error}") from error
    return _unpacked(place)


def _release() -> str:
    """Answer a name for what the packages fit: distribution, version and kind of machine."""
    release = platform.freedesktop_os_release()
    return f"{release['ID']}-{release.get('VERSION_ID', 'rolling')}-{platform.machine()}"


async def _unpack_packages(half: Path, log: Path) -> None:
    async def run(*words: str) -> None:
        await fetching.command(list(words), log=log, limit_s=FETCH_LIMIT_S, cwd=half)

    apt = half / "apt"
    empty_status = apt / "status"
    (apt / "state" / "lists" / "partial").mkdir(parents=True)
    (apt / "cache" / "archives" / "partial").mkdir(parents=True)
    empty_status.touch()
    bare, machine = _apt(apt, "bare", empty_status), _apt(apt, "machine", SYSTEM_STATUS)
    # one unreachable list among many must not stop it: the download tells
    await run("/bin/sh", "-c", '"$@" || true', "sh", *bare, "-qq", "update")
    names = await _would_install(bare, apt / "bare.txt", r"erlang-[a-z0-9-]+|rabbitmq-server")
    libraries = await _would_install(machine, apt / "machine.txt", r"lib[a-z0-9.+-]+")
    wanted = {*names, *libraries} - NEVER_UNPACKED
    await run(*bare, "-qq", "download", *sorted(wanted))
    for package in _packages(half):
        await run("dpkg-deb", "-x", str(package), str(half))
        package.unlink()
    shutil.rmtree(apt)


def _packages(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.deb"))


def _apt(folder: Path, name: str, status: Path) -> list[str]:
    """Answer an apt-get that keeps to a folder of its own."""
    settings = folder / f"{name}.conf"
    state, cache = folder / "state", folder / "cache"
    settings.write_text(APT_SETTINGS.format(state=state, status=status, cache=cache))
    return ["apt-get", "-c", str(settings)]


async def _would_install(apt: Sequence[str], log: Path, pattern: str) -> list[str]:
    """Answer the packages of this pattern that apt would install together with RabbitMQ."""
    words = [*apt, "--simulate", "install", "rabbitmq-server"]
    await fetching.command(words, log=log, limit_s=FETCH_LIMIT_S)
    return _named(log, pattern)


def _named(plan: Path, pattern: str) -> list[str]:
    return re.findall(rf"^Inst ({pattern}) ", plan.read_text(), re.MULTILINE)


def _unpacked(place: Path) -> RabbitMQBinaries:
    """Answer the programs below `place`, with an `erl` that knows where it lies now."""
    sbin = next(place.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin"), None)
    root = place / "usr" / "lib" / "erlang"
    erts = next(root.glob("erts-*"), None)
    if sbin is None or erts is None:
        raise Missing(f"the packages in {place} hold no RabbitMQ; remove the folder to try again")
    programs = place / "bin"
    programs.mkdir(exist_ok=True)
    script = ERL_SCRIPT.format(root=_quoted(root), erts=_quoted(erts))
    if not (programs / "erl").is_file() or (programs / "erl").read_text() != script:
        (programs / "erl").write_text(script)
        (programs / "erl").chmod(0o755)
    if not (programs / "epmd").is_symlink():
        (programs / "epmd").symlink_to(Path("..") / erts.relative_to(place) / "bin" / "epmd")
    libraries = next(place.glob("usr/lib/*-linux-gnu*"), None)
    return RabbitMQBinaries(sbin_dir=sbin, erlang_bin=programs, library_dir=libraries)


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"
