"""The official clients, unmodified, in processes of their own, against the whole service."""

from __future__ import annotations

from pathlib import Path
from typing import Final, get_args

import pytest
from tests.clients.runners import Flavour, run_scenario
from tests.clients.scenario import read_scenes
from tests.clients.service import OfficialService

SCENARIO: Final = Path(__file__).with_name("scenario.json")
WRONG: Final = Path(__file__).with_name("wrong.json")


@pytest.mark.parametrize("flavour", get_args(Flavour))
async def test_an_official_client_finds_all_that_it_is_promised(
    official_service: OfficialService, flavour: Flavour
) -> None:
    report = await run_scenario(
        flavour, SCENARIO, official_service.addresses, official_service.keys[flavour]
    )
    assert not report.faults, "\n".join(report.faults)
    assert [(step.scene, step.step) for step in report.steps] == [
        (scene.scene, step.step) for scene in read_scenes(SCENARIO) for step in scene.steps
    ]


@pytest.mark.parametrize("flavour", get_args(Flavour))
async def test_a_runner_notices_each_thing_that_is_not_as_expected(
    official_service: OfficialService, flavour: Flavour
) -> None:
    report = await run_scenario(
        flavour, WRONG, official_service.addresses, official_service.keys[flavour]
    )
    [scene] = read_scenes(WRONG)
    assert report.ended.exit_code == 1
    assert [step.step for step in report.steps] == [step.step for step in scene.steps]
    assert [step.step for step in report.steps if not step.faults] == ["a success"]
