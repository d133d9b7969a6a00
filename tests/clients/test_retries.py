"""What the official clients try again by themselves, and that trying again has one effect."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final, get_args

from tests.clients.runners import Flavour, Report, run_scenario
from tests.clients.service import OfficialService
from tests.support.faults import Fault, Seen, faulty_gateway
from tests.support.gateways import KEY, gateway_on, store_key
from tests.support.waiting import eventually
from tests.support.withholding import wire_to

from chaching.eventstore.errors import Unavailable
from chaching.eventstore.grouping import Overloaded
from chaching_api.errors import Failure, LostRace, failure_of

HERE: Final = Path(__file__).parent
FLAVOURS: Final[tuple[Flavour, ...]] = get_args(Flavour)
TOO_MANY: Final = Failure(
    status=429,
    type="rate_limit_error",
    code="rate_limit",
    message="Too many requests.",
    headers={"Stripe-Should-Retry": "false", "Retry-After": "1"},
)
FAULTS: Final[Mapping[str, list[Fault]]] = {
    "/v1/customers": ["lost"],
    "/v1/customers/cus_raced": [failure_of(LostRace())],
    "/v1/customers/cus_away": [failure_of(Unavailable("away")), failure_of(Unavailable("away"))],
    "/v1/customers/cus_shed": [failure_of(Overloaded())],
    "/v1/customers/cus_hurried": [TOO_MANY],
}


def met(report: Report) -> None:
    assert not report.faults, "\n".join(report.faults)


def tried(seen: list[Seen]) -> list[int | None]:
    """Return the statuses of one call's tries, all of which must have carried one key."""
    assert len({one.idempotency_key for one in seen}) == 1
    assert seen[0].idempotency_key
    return [one.status for one in seen]


async def tries_as_told(service: OfficialService, flavour: Flavour) -> None:
    async with faulty_gateway(service.url, FAULTS) as faulty:
        addresses = {**service.addresses, "faulty": faulty.url}
        met(await run_scenario(flavour, HERE / "retries.json", addresses, service.keys[flavour]))
        assert tried(faulty.seen_at("/v1/customers")) == [None, 200]
        assert tried(faulty.seen_at("/v1/customers/cus_raced")) == [409, 200]
        *away, refused = faulty.seen_at("/v1/customers/cus_away")
        assert tried(away) == [503, 503, 200]
        assert tried([refused]) == [400]
        assert tried(faulty.seen_at("/v1/customers/cus_shed")) == [503]
        assert tried(faulty.seen_at("/v1/customers/cus_hurried")) == [429]


async def test_every_client_tries_again_exactly_what_it_is_told_to(
    official_service: OfficialService,
) -> None:
    # side by side, since all they do is wait
    async with asyncio.TaskGroup() as group:
        for flavour in FLAVOURS:
            group.create_task(tries_as_told(official_service, flavour))


async def test_no_client_notices_that_the_database_was_away_for_a_moment(
    database_url: str,
) -> None:
    await store_key(database_url, KEY)
    async with (
        wire_to(database_url) as (wire, url),
        gateway_on(url) as gateway,
        faulty_gateway(gateway.client.url, {}) as recorded,
        asyncio.TaskGroup() as group,
    ):
        assert (await gateway.client.create("id=cus_kept")).status == 200

        async def run(flavour: Flavour) -> Report:
            addresses = {"service": recorded.url}
            return await run_scenario(flavour, HERE / "outage.json", addresses, {"secret": KEY})

        async def all_were_refused() -> bool:
            return len({seen.idempotency_key for seen in recorded.seen}) == len(runs)

        wire.cut()
        runs = [group.create_task(run(flavour)) for flavour in FLAVOURS]
        await eventually(all_were_refused, "every client was answered once")
        wire.mend()
    for done in runs:
        met(done.result())
    for key in {seen.idempotency_key for seen in recorded.seen}:
        first, *between, last = tried([one for one in recorded.seen if one.idempotency_key == key])
        assert (first, last) == (503, 200)
        assert set(between) <= {503}
