import asyncio
from pathlib import Path

import pytest

from chaching.local.errors import LocalError, StartFailed
from chaching.local.fetching import command, fetched
from chaching.local.postgres_binaries import SETTING as POSTGRES_SETTING
from chaching.local.postgres_binaries import found_on_machine as postgres_found
from chaching.local.rabbitmq_binaries import SETTING as RABBITMQ_SETTING
from chaching.local.rabbitmq_binaries import found_on_machine as rabbitmq_found


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_an_interrupted_fetch_leaves_nothing_that_could_be_used(tmp_path: Path) -> None:
    place, emptied = tmp_path / "tools" / "tool", list[bool]()

    async def breaks(half: Path) -> None:
        (half / "program").write_text("half of it")
        raise asyncio.CancelledError

    async def works(half: Path) -> None:
        emptied.append(not names_in(half))
        (half / "program").write_text("all of it")

    with pytest.raises(asyncio.CancelledError):
        await fetched(place, breaks)
    assert not place.exists()
    await fetched(place, works)
    assert emptied == [True]
    assert (place / "program").read_text() == "all of it"


async def test_two_at_once_fetch_a_tool_once(tmp_path: Path) -> None:
    built: list[Path] = []

    async def build(half: Path) -> None:
        built.append(half)
        await asyncio.sleep(0)

    place = tmp_path / "tool"
    assert await asyncio.gather(fetched(place, build), fetched(place, build)) == [place, place]
    assert len(built) == 1


async def test_a_failed_command_says_what_it_printed(tmp_path: Path) -> None:
    words = ["sh", "-c", "echo out of reach; exit 3"]
    with pytest.raises(StartFailed, match="out of reach"):
        await command(words, log=tmp_path / "log", limit_s=20)


async def test_a_missing_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="no-such-program"):
        await command(["no-such-program"], log=tmp_path / "log", limit_s=20)


def test_a_folder_that_was_set_must_hold_the_programs(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=POSTGRES_SETTING):
        postgres_found({POSTGRES_SETTING: str(tmp_path)})
    with pytest.raises(LocalError, match=RABBITMQ_SETTING):
        rabbitmq_found({RABBITMQ_SETTING: str(tmp_path)})
