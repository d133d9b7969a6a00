"""The benchmarks run: with few of everything, since nothing here looks at how long it takes."""

from __future__ import annotations

import pytest
from tests.benchmarks import __main__ as bench
from tests.benchmarks import appends, encryption, requests, states


@pytest.fixture
async def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "ROUNDS", 1)
    monkeypatch.setattr(appends, "EVENTS", 256)
    monkeypatch.setattr(appends, "PGBENCH_S", 1)
    monkeypatch.setattr(appends, "PEER_EVENTS", 16)
    monkeypatch.setattr(requests, "ROUNDS", 1)
    monkeypatch.setattr(requests, "ROUND_S", 0.1)
    monkeypatch.setattr(states, "LENGTHS", (1, 5))
    monkeypatch.setattr(encryption, "ROUNDS", 1)
    monkeypatch.setattr(encryption, "EVENTS", 256)
    monkeypatch.setattr(encryption, "LOADS", 50)


@pytest.mark.usefixtures("few")
async def test_every_line_of_make_bench_is_measured(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    goals, rates, costs = await bench.measure(database_url)
    bench.show(goals, rates, costs)
    assert capsys.readouterr().out.count("goal") == len(goals) == 4
    assert all(goal.per_s > 0 and goal.yardstick_per_s > 0 for goal in goals)
    assert [cost.events for cost in costs] == [1, 5]


@pytest.mark.usefixtures("few")
async def test_what_encryption_costs_is_measured(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds = await encryption.measure(database_url)
    encryption.show(rounds)
    assert capsys.readouterr().out.count("ratio") == len(encryption.Round.__struct_fields__)
