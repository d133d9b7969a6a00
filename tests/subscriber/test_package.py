"""What `import chaching.subscriber` brings into another team's process."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Final

import pytest

import chaching.subscriber
from chaching.runtime.logs import logger

SERVICE: Final = ("chaching_api", "chaching_projector", "chaching.schema", "chaching.local")
LIBRARIES: Final = ("aiohttp", "click")
LIMIT_S: Final = 60.0


def test_importing_it_drags_nothing_of_the_service_in() -> None:
    code = "import sys, chaching.subscriber; print(*sys.modules)"
    answer = subprocess.run(  # noqa: S603 - fixed words
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_S, check=True
    )
    modules = answer.stdout.split()
    assert "chaching.subscriber.subscription" in modules
    assert [name for name in modules if name.startswith(SERVICE)] == []
    assert [name for name in modules if name in LIBRARIES] == []


def test_every_public_name_is_there_and_says_what_it_is() -> None:
    for name in chaching.subscriber.__all__:
        found = getattr(chaching.subscriber, name)
        assert found.__doc__, name


@pytest.mark.usefixtures("guest_logs")
def test_lines_go_to_standard_logging_where_nobody_chose_another_form(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        logger().info("history_read", queue="crm", position=7)
        logger().debug("history_opened", queue="crm")
        logger().error("loop_crashed", exc_info=KeyError("a"))
    said, crashed = caplog.records
    assert (said.name, said.levelname) == ("chaching", "INFO")
    assert said.getMessage() == "history_read queue=crm position=7"
    assert crashed.getMessage().splitlines() == ["loop_crashed", "KeyError: 'a'"]
