"""The house's rules hold for every file, tracked or not; and each rule notices what breaks it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest
from tests.house import rules
from tests.house.rules import RULES, File, Rule

ROOT: Final = Path(__file__).parents[2]
FILES_MIN: Final = 100
GIT_LIMIT_S: Final = 30.0
PLACES: Final = ("shared", "services", "tests", "requirements", "deploy", "docs", ".ci")
MADE: Final = frozenset(
    {"__pycache__", ".venv", ".chaching", ".git", ".hypothesis", "node_modules"}
)
FLAGS: Final = re.MULTILINE | re.DOTALL
HERE: Final = "tests/house/"

ROOTS_HOME = "/" + "root"
PRODUCT: Final = "shared/chaching/some.py"
TEST: Final = "tests/some/test_some.py"
LONG_FUNCTION: Final = "def long() -> None:\n" + "    pass\n" * rules.FUNCTION_LINES_MAX


def paths() -> list[Path]:
    """Every file that is tracked or would be; without git, every file of the known places."""
    listed = subprocess.run(  # noqa: S603 - fixed words
        ["/usr/bin/env", "git", "-C", str(ROOT), "ls-files", "-zco", "--exclude-standard"],
        capture_output=True,
        timeout=GIT_LIMIT_S,
        check=False,
    )
    if listed.returncode == 0:
        return [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [
        *(path for place in PLACES for path in (ROOT / place).rglob("*")),
        *(path for path in ROOT.iterdir() if path.name not in MADE),
    ]


def files() -> list[File]:
    found: list[File] = []
    for path in paths():
        relative = path.relative_to(ROOT)
        if not path.is_file() or not MADE.isdisjoint(relative.parts):
            continue
        try:
            found.append(File(relative.as_posix(), path.read_text()))
        except UnicodeDecodeError:
            continue
    return found


FILES: Final = files()


def test_the_rules_are_asked_about_the_whole_project() -> None:
    names = {file.path for file in FILES}
    assert len(names) > FILES_MIN
    assert {
        "pyproject.toml",
        "Makefile",
        "README.md",
        ".ci/run",
        "shared/chaching/envelope.py",
        "services/api/chaching_api/app.py",
        "services/projector/chaching_projector/cursor.py",
        "tests/house/test_tidy.py",
    } <= names


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_file_keeps_the_rule(rule: Rule) -> None:
    faults = [
        f"{file.path}: {fault}"
        for file in FILES
        if not file.path.startswith(HERE) or not rule.__name__.startswith("no_")
        for fault in rule(file)
    ]
    assert faults == []


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (rules.functions_are_short, PRODUCT, LONG_FUNCTION),
        (rules.functions_are_short, TEST, f"class A:\n  async {LONG_FUNCTION}"),
        (rules.modules_are_short, PRODUCT, "a = 1\n" * (rules.MODULE_LINES_MAX + 1)),
        (rules.names_say_something, "shared/chaching/utils.py", ""),
        (rules.names_say_something, "tests/helpers.py", ""),
        (rules.names_say_something, "services/api/chaching_api/base_resource.py", ""),
        (rules.names_say_something, "shared/chaching/common/some.py", ""),
        (rules.names_say_something, PRODUCT, "class CustomerManager: ..."),
        (rules.names_say_something, PRODUCT, "class BaseStore: ..."),
        (rules.names_say_something, PRODUCT, "async def process_event(): ..."),
        (rules.libraries_have_one_owner, PRODUCT, "import asyncpg"),
        (rules.libraries_have_one_owner, PRODUCT, "def a():\n  from aio_pika.abc import X"),
        (rules.libraries_have_one_owner, PRODUCT, "import_module('aiohttp.web')"),
        (rules.libraries_have_one_owner, PRODUCT, "__import__('asyncpg')"),
        (rules.no_machine_is_named, "README.md", "cd /home/jane/project"),
        (rules.no_machine_is_named, "docs/a.md", f"in {ROOTS_HOME}/chaching"),
        (rules.no_registry_is_named, "requirements/run.txt", "--index-url https://a.b/c"),
        (rules.no_registry_is_named, "requirements/run.txt", "https://packages.a.b/simple"),
        (rules.no_registry_is_named, "Makefile", "pip --extra-index-url"),
        (rules.no_registry_is_named, "tests/a/package-lock.json", "https://packages.npmjs.org/a"),
        (rules.limits_carry_a_unit, PRODUCT, "APPEND_TIMEOUT: Final = 5.0"),
        (rules.limits_carry_a_unit, PRODUCT, "RETRY_PAUSE_MS = 5"),
        (rules.limits_carry_a_unit, PRODUCT, "BATCH_MAX: Final = 2 * 8"),
        (rules.limits_carry_a_unit, TEST, "START_LIMIT = 5"),
        (rules.ignores_say_what_and_why, PRODUCT, "a = 1  # noqa"),
        (rules.ignores_say_what_and_why, PRODUCT, "a = 1  # noqa: E501"),
        (rules.ignores_say_what_and_why, PRODUCT, "a = 1  # type: ignore[misc]"),
        (rules.bugs_are_caught_in_few_places, PRODUCT, "try: a()\nexcept Exception: pass"),
        (rules.bugs_are_caught_in_few_places, PRODUCT, "try: a()\nexcept: pass"),
        (rules.tests_assert, TEST, "def test_it(): pass"),
        (rules.tests_assert, TEST, "assert True"),
        (rules.tests_are_collected, "tests/some/checks.py", "def test_it_holds_here(): ..."),
        (rules.tests_are_sentences, TEST, "def test_update(): ..."),
        (rules.nothing_is_skipped, TEST, "@pytest.mark.skip\ndef test(): ..."),
        (rules.nothing_is_skipped, TEST, "pytest.skip('no broker')"),
        (rules.nothing_is_skipped, TEST, "a = pytest.mark.xfail(strict=True)"),
        (rules.nothing_is_skipped, TEST, "pytest.importorskip('stripe')"),
        (rules.nothing_is_skipped, TEST, "pytest.mark.skipif(not broker(), reason='none')"),
        (rules.nothing_is_skipped, TEST, "pytest.mark.skipif(sys.platform == 'win32')"),
        (rules.tests_wait_for_something, TEST, "import time\ntime.sleep(1)"),
        (rules.tests_wait_for_something, TEST, "async def a():\n  await asyncio.sleep(0.1)"),
        (rules.tests_wait_for_something, TEST, "sleep(PAUSE_S)"),
    ],
)
def test_a_file_that_breaks_the_rule_is_found_out(rule: Rule, path: str, text: str) -> None:
    assert list(rule(File(path, text)))


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (rules.libraries_have_one_owner, "shared/chaching/eventstore/errors.py", "import asyncpg"),
        (rules.libraries_have_one_owner, TEST, "import asyncpg"),
        (rules.limits_carry_a_unit, PRODUCT, "BATCH_MAX_ITEMS = 5\nA_TIMEOUT_S: Final = 1.5"),
        (rules.limits_carry_a_unit, PRODUCT, "TIMEOUT_TEXT = 'so long'"),
        (rules.ignores_say_what_and_why, PRODUCT, "a = 1  # noqa: E501 - a table"),
        (rules.bugs_are_caught_in_few_places, PRODUCT, "try: a()\nexcept Exception: raise B"),
        (rules.tests_wait_for_something, TEST, "async def a():\n  await asyncio.sleep(0)"),
        (
            rules.nothing_is_skipped,
            TEST,
            "pytest.mark.skipif(sys.platform != 'linux', reason='a system call of Linux')",
        ),
    ],
)
def test_a_file_that_keeps_the_rule_is_left_alone(rule: Rule, path: str, text: str) -> None:
    assert list(rule(File(path, text))) == []


def test_the_readme_names_the_two_commands_before_anything_else() -> None:
    readme = (ROOT / "README.md").read_text()
    [first, *_] = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make run", "make test"]


def test_what_must_pass_before_a_change_is_taken_is_check_and_test() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make check test" in script.read_text()


def test_the_makefile_explains_each_of_its_targets() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[0].split()
    explained = re.findall(r"^([a-z]+):.*## \S", makefile, re.MULTILINE)
    assert sorted(phony) == sorted(explained)
    assert {"help", "run", "test", "check", "bench"} <= set(explained)


def test_every_lock_pins_every_package_with_hashes() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        packages = re.findall(r"^[a-zA-Z0-9].*?(?=^[a-zA-Z0-9]|\Z)", lock.read_text(), FLAGS)
        assert packages, lock
        for package in packages:
            assert re.match(r"[\w.\[\]-]+==", package), package
            assert "--hash=sha256:" in package, package
