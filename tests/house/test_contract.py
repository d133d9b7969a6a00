"""The tables that say which test shows what name tests that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, get_args

import pytest
from tests.house import rules

from chaching.domain.values import ErasureReason

ROOT: Final = Path(__file__).parents[2]
NAMED: Final = re.compile(r"`((?:\w+/)*\w+\.py)(?:::(\w+))?`")
REFERENCES_MIN: Final = {"contract.md": 80, "promises.md": 15}


def faults(text: str) -> list[str]:
    """Return what a text names that is not there; a bare name stands in the folder before it."""
    found: list[str] = []
    folder = Path()
    for path, name in NAMED.findall(text):
        folder = Path(path).parent if "/" in path else folder
        file = ROOT / "tests" / folder / Path(path).name
        if not file.is_file():
            found.append(path)
        elif name and name not in rules.tests_of(rules.File(path, file.read_text())):
            found.append(f"{path}::{name}")
    return found


@pytest.mark.parametrize("document", REFERENCES_MIN)
def test_every_test_that_is_named_exists(document: str) -> None:
    text = (ROOT / "docs" / document).read_text()
    assert faults(text) == []
    assert len(NAMED.findall(text)) >= REFERENCES_MIN[document]


def test_the_document_of_forgetting_names_every_reason_and_nothing_else() -> None:
    text = (ROOT / "docs" / "forgetting.md").read_text()
    [said] = [part for part in text.split("\n\n") if part.startswith("**The reason of")]
    codes = re.findall(r"`([a-z]+(?:_[a-z]+)*)`", said)
    assert sorted(codes) == sorted([*get_args(ErasureReason), "reason"])


def test_a_test_that_is_not_there_is_found_out() -> None:
    here = "`house/test_contract.py::test_a_test_that_is_not_there_is_found_out`"
    assert faults(here) == []
    assert faults(f"{here} and `test_nothing.py`") == ["test_nothing.py"]
    assert faults("`house/test_contract.py::test_of_nothing`") == [
        "house/test_contract.py::test_of_nothing"
    ]
