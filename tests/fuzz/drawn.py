"""The campaign of inputs that hypothesis draws, shrunk to the smallest that breaks a promise."""

from __future__ import annotations

import time
from collections import Counter
from typing import Final

import msgspec
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from tests.fuzz.costs import INPUT_LIMIT_S, time_s
from tests.fuzz.given import Given
from tests.fuzz.oracle import Verdict, judge
from tests.fuzz.strategies import VARIANTS, inputs, seeds, variants

SUPPRESSED: Final = (  # the large and the slow are what is looked for
    HealthCheck.data_too_large,
    HealthCheck.large_base_example,
    HealthCheck.too_slow,
)
DRAWS_IN_A_ROW: Final = 250
TIMED_BYTES_MIN: Final = 1_024  # below, what every request costs hides what its bytes cost


class Drawn(msgspec.Struct, kw_only=True):
    """What the campaign came to; ``broken`` is the smallest input that broke a promise."""

    seed: int
    verdicts: Counter[Verdict] = msgspec.field(default_factory=Counter[Verdict])
    costliest: Given | None = None
    costliest_ns_per_byte: float = 0.0
    broken: Given | None = None
    fault: Exception | None = None

    @property
    def inputs(self) -> int:
        return self.verdicts.total()

    def try_one(self, drawn: Given) -> None:
        """Judge an input; it is the broken one while what is raised is on its way."""
        self.broken = drawn
        began_s = time.thread_time()
        verdict = judge(drawn)
        took_s = time.thread_time() - began_s
        assert took_s < INPUT_LIMIT_S, f"{took_s:.1f} s for {drawn.size_bytes} bytes"
        self.broken = None
        self.verdicts[verdict] += 1
        ns_per_byte = took_s * 1e9 / max(drawn.size_bytes, TIMED_BYTES_MIN)
        if ns_per_byte > self.costliest_ns_per_byte and drawn.size_bytes >= TIMED_BYTES_MIN:
            self.costliest, self.costliest_ns_per_byte = drawn, ns_per_byte


def run(inputs_wanted: int, limit_s: float, seed: int) -> Drawn:
    """Draw, spoil and judge: so many inputs, or so long, or until one breaks a promise."""
    found = Drawn(seed=seed)
    deadline_s = time.monotonic() + limit_s
    row = 0
    while found.inputs < inputs_wanted and time.monotonic() < deadline_s:
        draws = min(DRAWS_IN_A_ROW, -(-(inputs_wanted - found.inputs) // VARIANTS))
        try:
            _run_row(found, draws, seed + row)
        except Exception as fault:  # noqa: BLE001 - whatever was raised is what is reported
            found.fault = fault
            return found
        row += 1
    if found.costliest is not None:
        served_s = time_s(found.costliest)
        found.costliest_ns_per_byte = served_s * 1e9 / found.costliest.size_bytes
    return found


def _run_row(found: Drawn, draws: int, seed: int) -> None:
    @seeded(seed)
    @settings(
        max_examples=draws,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=SUPPRESSED,
    )
    @given(inputs, seeds)
    def try_all(drawn: Given, chance: int) -> None:
        for variant in variants(drawn, chance):
            found.try_one(variant)

    try_all()
