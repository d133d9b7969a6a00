"""The arithmetic of rate limits, over a clock that the tests move."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chaching_api import rate_limits
from chaching_api.errors import RateLimited
from chaching_api.rate_limits import (
    NS_PER_S,
    Arrivals,
    EndpointKind,
    Limits,
    Rate,
    RateLimits,
    kind_of,
    site_of,
)

T0 = 123_456_789_012
JANE, JOHN = "key_jane", "key_john"

rates = st.builds(
    Rate,
    per_s=st.floats(min_value=0.001, max_value=1_000_000, allow_nan=False),
    burst=st.integers(min_value=1, max_value=50),
)
# pauses between requests, in intervals of the rate: from all at once to far below the rate
pauses = st.lists(st.floats(min_value=0, max_value=3), min_size=1, max_size=120)


unhurried = settings(deadline=None)


def instants_of(rate: Rate, pauses: Sequence[float]) -> list[int]:
    steps = (int(pause * rate.interval_ns) for pause in pauses)
    return list(accumulate(steps, initial=T0))


def admitted(arrivals: Arrivals, instants: Sequence[int], caller: str = JANE) -> list[int]:
    """Ask at each instant; return those at which the caller was admitted."""
    found: list[int] = []
    for now_ns in instants:
        if not arrivals.wait_ns(caller, now_ns):
            arrivals.count(caller, now_ns)
            found.append(now_ns)
    return found


def refusal(limits: RateLimits, key_id: str, kind: EndpointKind, now_ns: int) -> RateLimited | None:
    try:
        limits.begin(key_id, kind, now_ns)
    except RateLimited as refused:
        return refused
    return None


# --- One rate -----------------------------------------------------------------------------------


@unhurried
@given(rates, pauses)
@example(Rate(per_s=7, burst=1), [1.0, 1.0])  # an interval that is no whole number
def test_in_no_window_are_there_more_than_the_burst_and_the_rate_allow(
    rate: Rate, pauses: list[float]
) -> None:
    passed = admitted(Arrivals(rate), instants_of(rate, pauses))
    for first, start in enumerate(passed):
        for last, end in enumerate(passed[first:], first):
            assert last - first + 1 <= rate.burst + rate.per_s * (end - start) / NS_PER_S


@unhurried
@given(rates, st.lists(st.floats(min_value=1, max_value=5), max_size=80))
def test_a_caller_within_the_rate_is_never_refused(rate: Rate, pauses: list[float]) -> None:
    instants = list(accumulate((-int(-p * rate.interval_ns) for p in pauses), initial=T0))
    assert admitted(Arrivals(rate), instants) == instants


@unhurried
@given(rates, pauses)
def test_a_whole_burst_is_admitted_at_once_after_enough_silence(
    rate: Rate, pauses: list[float]
) -> None:
    arrivals = Arrivals(rate)
    *_, last = instants_of(rate, pauses)
    admitted(arrivals, instants_of(rate, pauses))
    later = last + rate.burst * rate.interval_ns
    assert len(admitted(arrivals, [later] * (rate.burst + 5))) == rate.burst


@unhurried
@given(rates, pauses)
def test_who_waits_as_long_as_is_said_is_admitted_and_not_a_moment_sooner(
    rate: Rate, pauses: list[float]
) -> None:
    arrivals = Arrivals(rate)
    instants = instants_of(rate, pauses)
    admitted(arrivals, instants)
    now_ns = instants[-1]
    wait_ns = arrivals.wait_ns(JANE, now_ns)
    assert arrivals.wait_ns(JANE, now_ns + wait_ns) == 0
    if wait_ns:
        assert arrivals.wait_ns(JANE, now_ns + wait_ns - 1) == 1


@unhurried
@given(rates, pauses)
def test_being_refused_costs_a_caller_nothing(rate: Rate, pauses: list[float]) -> None:
    instants = instants_of(rate, pauses)
    insistent, knowing = Arrivals(rate), Arrivals(rate)
    passed = admitted(insistent, instants)
    assert admitted(knowing, passed) == passed
    assert insistent.wait_ns(JANE, instants[-1]) == knowing.wait_ns(JANE, instants[-1])


@unhurried
@given(rates, pauses, pauses)
def test_callers_do_not_share(rate: Rate, ones: list[float], others: list[float]) -> None:
    together = Arrivals(rate)
    asked = sorted(
        [(now_ns, JANE) for now_ns in instants_of(rate, ones)]
        + [(now_ns, JOHN) for now_ns in instants_of(rate, others)]
    )
    passed = [(now, who) for now, who in asked if admitted(together, [now], who)]
    for who, pauses in ((JANE, ones), (JOHN, others)):
        alone = admitted(Arrivals(rate), instants_of(rate, pauses))
        assert [now for now, whose in passed if whose == who] == alone


@unhurried
@given(
    rates,
    st.integers(min_value=1, max_value=5),
    st.lists(st.tuples(st.integers(0, 20), st.floats(min_value=0, max_value=2)), max_size=100),
)
def test_the_memory_is_bounded_and_forgets_one_caller_for_each_it_has_no_room_for(
    rate: Rate, callers_max: int, asked: list[tuple[int, float]]
) -> None:
    arrivals = Arrivals(rate, callers_max=callers_max)
    now_ns = T0
    for caller, pause in asked:
        now_ns += int(pause * rate.interval_ns)
        admitted(arrivals, [now_ns], f"key_{caller}")
        assert len(arrivals) <= callers_max
        assert arrivals.wait_ns(f"key_{caller}", now_ns) <= rate.interval_ns


def test_callers_who_are_silent_are_dropped() -> None:
    rate = Rate(per_s=10, burst=5)
    arrivals = Arrivals(rate)
    for number in range(1_000):
        admitted(arrivals, [T0], f"key_{number}")
    assert len(arrivals) == 1_000
    for number in range(1_000):
        admitted(arrivals, [T0 + number * rate.interval_ns // 2], f"key_{number % 2}")
    assert len(arrivals) == 2


def test_a_caller_who_is_not_silent_is_not_dropped_for_others() -> None:
    arrivals = Arrivals(Rate(per_s=1, burst=1), callers_max=100)
    for number in range(100):
        assert admitted(arrivals, [T0 + number], f"key_{number}")
    for number in range(100):
        assert not admitted(arrivals, [T0 + 100], f"key_{number}")
    assert admitted(arrivals, [T0 + 100], "key_100")
    assert not admitted(arrivals, [T0 + 100], "key_1")
    assert len(arrivals) == 100


# --- The limits of a key ------------------------------------------------------------------------


def test_a_key_that_comes_too_fast_is_told_when_to_come_again() -> None:
    limits = RateLimits(Limits(requests=Rate(per_s=0.5, burst=2)))
    assert [refusal(limits, JANE, "read", T0) for _ in range(2)] == [None, None]
    refused = refusal(limits, JANE, "read", T0)
    assert refused is not None
    assert str(refused) == (
        "Too many requests with this key: the limit is 0.5 a second after a burst of 2. "
        "Please try again in 2 s."
    )
    assert (refused.limit, refused.retry_after_s) == ("global-rate", 2)
    soon = refusal(limits, JANE, "read", T0 + 2 * NS_PER_S - 1)
    assert soon is not None
    assert soon.retry_after_s == 1
    assert refusal(limits, JANE, "read", T0 + 2 * NS_PER_S) is None
    assert refusal(limits, JOHN, "read", T0) is None


@pytest.mark.parametrize("kind", ["search", "write"])
def test_an_endpoint_has_a_rate_of_its_own(kind: EndpointKind) -> None:
    rate = Rate(per_s=1, burst=1)
    is_search = kind == "search"
    limits = RateLimits(
        Limits(searches=rate if is_search else None, writes=None if is_search else rate)
    )
    assert refusal(limits, JANE, kind, T0) is None
    refused = refusal(limits, JANE, kind, T0)
    assert refused is not None
    assert str(refused).startswith(f"Too many {kind} requests with this key: ")
    assert (refused.limit, refused.retry_after_s) == ("endpoint-rate", 1)
    others: list[EndpointKind] = ["read", "search", "write"]
    for other in others:
        assert (refusal(limits, JANE, other, T0) is None) is (other != kind)


def test_a_request_that_one_limit_refuses_is_counted_by_none() -> None:
    limits = RateLimits(
        Limits(requests=Rate(per_s=1, burst=3), writes=Rate(per_s=1, burst=1), concurrent=10)
    )
    assert refusal(limits, JANE, "write", T0) is None
    for _ in range(10):
        refused = refusal(limits, JANE, "write", T0)
        assert refused is not None
        assert refused.limit == "endpoint-rate"
    assert [refusal(limits, JANE, "read", T0) for _ in range(2)] == [None, None]
    for kind in ("read", "write"):
        refused = refusal(limits, JANE, kind, T0)
        assert refused is not None
        assert refused.limit == "global-rate"
    for _ in range(3):
        limits.end(JANE)
    assert limits.keys_under_way == 0


def test_a_key_has_only_so_many_requests_under_way() -> None:
    limits = RateLimits(Limits(concurrent=2))
    assert [refusal(limits, JANE, "read", T0) for _ in range(2)] == [None, None]
    for _ in range(3):
        refused = refusal(limits, JANE, "read", T0)
        assert refused is not None
        assert str(refused) == ("This key may have at most 2 requests under way at a time.")
        assert (refused.limit, refused.retry_after_s) == ("global-concurrency", 1)
    assert refusal(limits, JOHN, "read", T0) is None
    limits.end(JANE)
    assert refusal(limits, JANE, "read", T0) is None
    assert refusal(limits, JANE, "read", T0) is not None
    for key_id in (JANE, JANE, JOHN):
        limits.end(key_id)
    assert limits.keys_under_way == 0


def test_without_limits_nothing_is_refused_or_remembered() -> None:
    limits = RateLimits(Limits())
    assert not Limits().are_set()
    for _ in range(1_000):
        limits.begin(JANE, "write", T0)
    limits.end(JANE)
    assert limits.keys_under_way == 0


@pytest.mark.parametrize(
    ("method", "route", "kind"),
    [
        ("GET", "/v1/customers", "read"),
        ("GET", "/v1/customers/{customer}", "read"),
        ("GET", "/v1/customers/search", "search"),
        ("GET", "/v1/events", "read"),
        ("POST", "/v1/customers", "write"),
        ("POST", "/v1/customers/{customer}", "write"),
        ("DELETE", "/v1/customers/{customer}", "write"),
    ],
)
def test_an_endpoint_is_of_the_kind_that_its_method_and_route_say(
    method: str, route: str, kind: EndpointKind
) -> None:
    assert kind_of(method, route) == kind


# --- Wrong keys ---------------------------------------------------------------------------------


def wait_s(limits: RateLimits, address: str, now_ns: int) -> int:
    """Return how long an address would have to wait, which counts for nothing."""
    try:
        limits.suspect(address, now_ns)
    except RateLimited as refused:
        return refused.retry_after_s
    limits.trust(address)
    return 0


def test_an_address_that_sends_wrong_keys_is_slowed_down() -> None:
    limits = RateLimits(Limits(), wrong_keys=Rate(per_s=2, burst=3))
    for _ in range(3):
        assert wait_s(limits, "192.0.2.1", T0) == 0
        limits.suspect("192.0.2.1", T0)
    assert wait_s(limits, "192.0.2.1", T0) == 1
    with pytest.raises(RateLimited, match=r"^Too many wrong API keys from this address: .* 2 a "):
        limits.suspect("192.0.2.1", T0)
    assert wait_s(limits, "192.0.2.2", T0) == 0
    assert wait_s(limits, "192.0.2.1", T0 + NS_PER_S // 2) == 0


def test_wrong_keys_that_come_together_are_no_more_than_the_burst_and_leave_no_debt() -> None:
    limits = RateLimits(Limits(), wrong_keys=Rate(per_s=2, burst=3))
    refused = 0
    for _ in range(400):
        try:
            limits.suspect("192.0.2.1", T0)
        except RateLimited:
            refused += 1
    assert refused == 397
    assert wait_s(limits, "192.0.2.1", T0) == 1
    assert wait_s(limits, "192.0.2.1", T0 + NS_PER_S // 2) == 0


def test_keys_that_turn_out_good_are_not_counted() -> None:
    limits = RateLimits(Limits(), wrong_keys=Rate(per_s=2, burst=3))
    for _ in range(100):
        limits.suspect("192.0.2.1", T0)
        limits.trust("192.0.2.1")
    for _ in range(3):
        limits.suspect("192.0.2.1", T0)
    assert wait_s(limits, "192.0.2.1", T0) == 1


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("a:path", "a:path"),
        (None, ""),
        ("", ""),
    ],
)
def test_a_host_cannot_escape_by_choosing_another_address_of_its_network(
    address: str | None, site: str
) -> None:
    assert site_of(address) == site


def test_the_table_of_addresses_is_bounded() -> None:
    arrivals = Arrivals(Rate(per_s=0.001, burst=1))
    for number in range(rate_limits.LIMITED_MAX_CALLERS + 10):
        arrivals.count(f"{number}", T0)
    assert len(arrivals) == rate_limits.LIMITED_MAX_CALLERS
