import os
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chaching.eventstore.database import Database
from chaching.eventstore.errors import Unavailable
from chaching.local.errors import LocalError
from chaching.local.postgres import PrivatePostgres


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[Database]:
    database = Database(url, name="tests", sessions_max=1)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def private_server(folder: Path) -> AsyncGenerator[PrivatePostgres]:
    server = PrivatePostgres(folder)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()
        server.remove()


async def test_what_was_committed_survives_a_kill_and_the_address_stays(tmp_path: Path) -> None:
    async with private_server(tmp_path / "pg") as server:
        url = server.admin_url
        async with opened(url) as database:
            [row] = await database.fetch("SELECT current_setting('fsync')")
            assert row[0] == "on"
            await database.execute("CREATE TABLE kept (value int)")
            await database.execute("INSERT INTO kept VALUES (7)")
            await server.kill()
            with pytest.raises(Unavailable):
                await database.fetch("SELECT 1")
        await server.start()
        assert server.admin_url == url
        async with opened(url) as database:
            [row] = await database.fetch("SELECT value FROM kept")
            assert row[0] == 7


async def test_another_object_on_the_same_folder_finds_the_same_server(tmp_path: Path) -> None:
    async with private_server(tmp_path / "pg") as server:
        url = server.admin_url
        await server.stop()
        again = PrivatePostgres(tmp_path / "pg")
        await again.start()
        assert again.admin_url == url
        await again.stop()


async def test_a_role_logs_in_with_a_password_of_its_own(tmp_path: Path) -> None:
    async with private_server(tmp_path / "pg") as server:
        async with opened(server.admin_url) as database:
            await database.execute("CREATE ROLE reader LOGIN")
        await server.let_in(["reader"])
        url = server.url_of("reader")
        await server.let_in(["reader"])
        assert server.url_of("reader") == url
        async with opened(url) as database:
            [row] = await database.fetch("SELECT current_user::text")
            assert row[0] == "reader"
        assert stat.S_IMODE((tmp_path / "pg" / "settings.json").stat().st_mode) == 0o600


async def test_a_paused_server_answers_after_it_is_resumed(tmp_path: Path) -> None:
    async with private_server(tmp_path / "pg") as server, opened(server.admin_url) as database:
        await database.fetch("SELECT 1")
        server.pause()
        with pytest.raises(Unavailable):
            await database.fetch("SELECT 1")
        server.resume()
        [row] = await database.fetch("SELECT 2")
        assert row[0] == 2


async def test_the_data_lies_elsewhere_only_where_its_user_cannot_go(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    changes_user = os.geteuid() == 0
    async with private_server(closed / "pg") as server:
        place = server.place
        assert (closed not in place.parents) == changes_user
        assert (closed / "pg" / "server").is_symlink() == changes_user
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert not place.exists()


def test_a_server_that_was_never_started_has_no_address(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="never started"):
        _ = PrivatePostgres(tmp_path).admin_url
