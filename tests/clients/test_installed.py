"""The clients of the npm registry are the ones that were locked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from tests.clients.runners import HERE, run_program, stripe_cli

LOCK: Final = HERE / "package-lock.json"
INSTALLED: Final = HERE / "node_modules" / ".package-lock.json"


def packages(lock: Path) -> dict[str, dict[str, Any]]:
    """Return the packages of a lock by their place, without the project itself."""
    found: dict[str, dict[str, Any]] = json.loads(lock.read_text())["packages"]
    return {place: package for place, package in found.items() if place}


def test_the_lock_says_nowhere_where_a_package_comes_from() -> None:
    assert {"node_modules/stripe", "node_modules/@stripe/cli"} <= packages(LOCK).keys()
    assert all("resolved" not in package for package in packages(LOCK).values())


def test_what_every_machine_installs_is_locked_by_hash() -> None:
    for place, package in packages(LOCK).items():
        assert package.get("optional") or package["integrity"].startswith("sha512-"), place


def test_what_is_installed_is_what_was_locked() -> None:
    locked = packages(LOCK)
    for place, package in packages(INSTALLED).items():
        assert package["version"] == locked[place]["version"]
        found = package.get("integrity")
        assert locked[place].get("integrity", found) == found


async def test_the_stripe_cli_is_a_program_of_this_machine(tmp_path: Path) -> None:
    ended = await run_program([str(stripe_cli()), "--version"], {"HOME": str(tmp_path)})
    version = packages(LOCK)["node_modules/@stripe/cli"]["version"]
    assert ended.out == f"stripe version {version}\n"
