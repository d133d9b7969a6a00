"""Rate limits: how much one caller may ask of one gateway process.

Theory of operation. Rates are limited by the generic cell rate algorithm: for each caller one
number is kept, the instant at which all that was admitted so far would be paid for if it came
evenly, an interval for each request. A request is admitted unless that instant lies further ahead
than a whole burst but one allows; then it moves the instant on by an interval. Instants and
intervals are whole nanoseconds and intervals are rounded up, so it holds exactly, for any window of
t seconds: no more than ``burst + per_s * t`` requests are admitted, and a caller whose requests
come at least an interval apart is never refused. There is no timer and no window whose edge could
be abused.

What is refused is not counted: asking again too soon makes nobody wait longer. A request that
several limits apply to is counted by all or by none.

Only callers whose instant lies ahead differ from ones never seen, so the others are dropped, two
for each request that is counted; a table is as large as its callers are busy. When ``callers_max``
is reached, the one that was admitted longest ago is forgotten: a limit protects the service, and
forgiving somebody is better than refusing somebody who did nothing.

Everything here is arithmetic over a clock that is given (monotonic nanoseconds), within one
process: two gateways admit twice as much.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from functools import lru_cache
from http import HTTPMethod
from typing import Final, Literal, TypeAlias

import msgspec

from chaching_api.errors import RateLimited

LIMITED_MAX_CALLERS: Final = 50_000
WRONG_KEYS_PER_S: Final = 5.0
WRONG_KEYS_BURST: Final = 100
IPV6_SITE_BITS: Final = 64
SEARCH_ROUTE_END: Final = "/search"
CONCURRENT_RETRY_S: Final = 1
NS_PER_S: Final = 1_000_000_000
IDLE_DROPPED_EACH_TIME: Final = 2

EndpointKind: TypeAlias = Literal["read", "search", "write"]


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """Requests a second in the long run, and how many may come at once."""

    per_s: float
    burst: int

    @property
    def interval_ns(self) -> int:
        return math.ceil(NS_PER_S / self.per_s)

    @classmethod
    def of(cls, per_s: float, burst: int | None = None) -> Rate:
        """Return a rate; without a burst, as many may come at once as a second brings."""
        return cls(per_s=per_s, burst=math.ceil(per_s) if burst is None else burst)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What each key may ask of this process; None is no limit."""

    requests: Rate | None = None
    searches: Rate | None = None
    writes: Rate | None = None
    concurrent: int | None = None

    def are_set(self) -> bool:
        return self != NO_LIMITS


NO_LIMITS: Final = Limits()


class Arrivals:
    """One rate and, for each caller who is ahead of it, until which instant that is paid for."""

    def __init__(self, rate: Rate, *, callers_max: int = LIMITED_MAX_CALLERS) -> None:
        self.rate = rate
        self._interval_ns = rate.interval_ns
        self._ahead_max_ns = (rate.burst - 1) * self._interval_ns
        self._callers_max = callers_max
        self._paid_until_ns: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._paid_until_ns)

    def wait_ns(self, caller: str, now_ns: int) -> int:
        """Return 0 if a request is within the rate, else after how long one would be."""
        paid_until_ns = self._paid_until_ns.get(caller)
        return 0 if paid_until_ns is None else max(0, paid_until_ns - self._ahead_max_ns - now_ns)

    def give_back(self, caller: str) -> None:
        """Forget one request that was counted."""
        paid_until_ns = self._paid_until_ns.get(caller)
        if paid_until_ns is not None:
            self._paid_until_ns[caller] = paid_until_ns - self._interval_ns

    def count(self, caller: str, now_ns: int) -> None:
        """Count a request, even one beyond the rate: it then delays those that follow."""
        paid_until_ns = max(self._paid_until_ns.pop(caller, 0), now_ns)
        self._drop_idle(now_ns)
        self._paid_until_ns[caller] = paid_until_ns + self._interval_ns

    def _drop_idle(self, now_ns: int) -> None:
        callers = self._paid_until_ns
        for _ in range(IDLE_DROPPED_EACH_TIME):
            if not callers:
                return
            longest_ago = next(iter(callers))
            if callers[longest_ago] > now_ns and len(callers) < self._callers_max:
                return
            del callers[longest_ago]


class RateLimits:
    """The limits of this process and who has used how much of them."""

    def __init__(self, limits: Limits, *, wrong_keys: Rate | None = None) -> None:
        self._requests = _arrivals(limits.requests)
        self._of_kind: dict[EndpointKind, Arrivals | None] = {
            "search": _arrivals(limits.searches),
            "write": _arrivals(limits.writes),
        }
        self._concurrent_max = limits.concurrent
        self._under_way: dict[str, int] = {}
        self._wrong_keys = Arrivals(
            wrong_keys or Rate(per_s=WRONG_KEYS_PER_S, burst=WRONG_KEYS_BURST)
        )

    @property
    def keys_under_way(self) -> int:
        return len(self._under_way)

    def begin(self, key_id: str, kind: EndpointKind, now_ns: int) -> None:
        """Admit a request of a key and count it; ``end`` must follow.

        Raises:
            RateLimited: it is beyond a limit; it was not counted.
        """
        under_way = self._under_way.get(key_id, 0)
        if self._concurrent_max is not None and under_way >= self._concurrent_max:
            raise RateLimited(
                f"This key may have at most {under_way} requests under way at a time.",
                limit="global-concurrency",
                retry_after_s=CONCURRENT_RETRY_S,
            )
        every, some = self._requests, self._of_kind.get(kind)
        if every is not None and (wait_ns := every.wait_ns(key_id, now_ns)):
            raise _too_many("requests with this key", every.rate, wait_ns, limit="global-rate")
        if some is not None and (wait_ns := some.wait_ns(key_id, now_ns)):
            raise _too_many(
                f"{kind} requests with this key", some.rate, wait_ns, limit="endpoint-rate"
            )
        for arrivals in (every, some):
            if arrivals is not None:
                arrivals.count(key_id, now_ns)
        if self._concurrent_max is not None:
            self._under_way[key_id] = under_way + 1

    def end(self, key_id: str) -> None:
        """Take note that a request that was admitted is over."""
        if self._concurrent_max is None:
            return
        under_way = self._under_way[key_id] - 1
        if under_way:
            self._under_way[key_id] = under_way
        else:
            del self._under_way[key_id]

    def suspect(self, address: str | None, now_ns: int) -> None:
        """Count an unknown key of an address as a wrong one until ``trust`` says otherwise.

        So no more of them are looked up at a time than the burst allows.

        Raises:
            RateLimited: the address sent too many; it was not counted.
        """
        site = site_of(address)
        wait_ns = self._wrong_keys.wait_ns(site, now_ns)
        if wait_ns:
            raise _too_many(
                "wrong API keys from this address",
                self._wrong_keys.rate,
                wait_ns,
                limit="global-rate",
            )

        self._wrong_keys.count(site, now_ns)

    def trust(self, address: str | None) -> None:
        """Take note that a suspected key was none of the wrong ones, or could not be looked up."""
        self._wrong_keys.give_back(site_of(address))


@lru_cache(maxsize=256)
def kind_of(method: str, route: str) -> EndpointKind:
    """Return what kind of endpoint answers a method on a route."""
    if method != HTTPMethod.GET:
        return "write"
    return "search" if route.endswith(SEARCH_ROUTE_END) else "read"


def site_of(address: str | None) -> str:
    """Return whom an address belongs to: itself, or its /64 network, which one host has whole."""
    if address is None or ":" not in address:
        return address or ""
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed), IPV6_SITE_BITS), strict=False))


def _arrivals(rate: Rate | None) -> Arrivals | None:
    return None if rate is None else Arrivals(rate)


def _too_many(what: str, rate: Rate, wait_ns: int, *, limit: str) -> RateLimited:
    wait_s = -(-wait_ns // NS_PER_S)
    return RateLimited(
        f"Too many {what}: the limit is {rate.per_s:g} a second after a burst of {rate.burst}. "
        f"Please try again in {wait_s} s.",
        limit=limit,
        retry_after_s=wait_s,
    )
