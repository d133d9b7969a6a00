"""As of every version, position and time, random customers are what was answered at that moment."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest
from hypothesis.errors import FlakyFailure
from tests.support.histories import live_through, run

from chaching.eventstore import instants as instants_module
from chaching.eventstore import past as past_module
from chaching.eventstore import store as store_module
from chaching.eventstore.database import Database
from chaching.eventstore.statements import statement
from chaching_api.errors import Malformed

# make audit lives through a thousand
HISTORIES: Final = 100
FEW: Final = 30


def test_random_customers_are_at_every_moment_what_was_answered_then(database_url: str) -> None:
    def test(database: Database, runner: asyncio.Runner) -> None:
        assert live_through(database, runner, HISTORIES) >= HISTORIES

    run(database_url, test)


# --- Planted bugs -------------------------------------------------------------------------------

MODULES: Final = {
    "read_newest_at": past_module,
    "read_stream": store_module,
    "positions_before": instants_module,
}
PLANTS: Final = {
    "one too early": ("read_newest_at", "looked.position <= $4", "looked.position < $4"),
    "one too late": ("read_newest_at", "looked.position <= $4", "looked.position <= $4 + 1"),
    "the version before": ("read_stream", "version > $4", "version >= $4"),
    "any mode": ("read_newest_at", ".livemode = wanted.livemode", ".livemode IS NOT NULL"),
    "any account": ("read_newest_at", ".account = wanted.account", ".account IS NOT NULL"),
    "times too early": (
        "positions_before",
        "recorded_at < half.instant",
        "recorded_at < half.instant - interval '1 microsecond'",
    ),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_a_log_that_is_read_wrongly_is_found_out(
    database_url: str, monkeypatch: pytest.MonkeyPatch, plant: str
) -> None:
    name, old, new = PLANTS[plant]
    sql = statement("chaching.eventstore", name)
    assert old in sql
    monkeypatch.setattr(MODULES[name], f"_{name.upper()}", sql.replace(old, new))

    def test(database: Database, runner: asyncio.Runner) -> None:
        # the database outlives an example, so a wrong answer need not be given twice
        with pytest.raises((AssertionError, FlakyFailure, Malformed)):
            live_through(database, runner, FEW, shrinking=False)

    run(database_url, test)
