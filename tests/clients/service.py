"""The service as the official clients meet it: real processes, and an account for each caller."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
from tests.support.gateways import gateway_process, store_key
from tests.support.projectors import projector_process

from chaching.eventstore.api_keys import DEFAULT_RIGHTS
from chaching.local.ports import LOOPBACK, free_port

CALLERS: Final = ("python-sync", "python-async", "node", "cli")
RIGHTS: Final[Mapping[str, tuple[str, ...]]] = {"restricted": ("customers:read",)}
# so few that a caller in a hurry meets the limit, so many that one who waits goes on
RATE_LIMITS: Final = {"RATE_LIMIT_PER_S": "5", "RATE_LIMIT_BURST": "5"}


class OfficialService(msgspec.Struct, frozen=True, kw_only=True):
    """Where the service is, by name, and the keys of each caller's own account, by name."""

    addresses: dict[str, str]
    keys: dict[str, dict[str, str]]

    @property
    def url(self) -> str:
        return self.addresses["service"]


@asynccontextmanager
async def official_service_on(database_url: str, folder: Path) -> AsyncGenerator[OfficialService]:
    """Run two gateways, one of them with narrow limits, and a projector until the block ends."""
    keys = {caller: await stored_keys(database_url, caller) for caller in CALLERS}
    async with AsyncExitStack() as running:
        enter = running.enter_async_context
        await enter(projector_process(database_url, folder / "projector.log"))
        service = await enter(gateway_process(database_url, folder / "gateway.log"))
        limited = await enter(gateway_process(database_url, folder / "limited.log", **RATE_LIMITS))
        addresses = {
            "service": service.url,
            "limited": limited.url,
            "nowhere": f"http://{LOOPBACK}:{free_port()}",
        }
        yield OfficialService(addresses=addresses, keys=keys)


async def stored_keys(database_url: str, caller: str) -> dict[str, str]:
    """Store one key of each kind for a caller's account; return them by name."""
    mark = caller.replace("-", "")
    keys = {
        "secret": f"sk_test_{mark}1234",
        "live": f"sk_live_{mark}1234",
        "restricted": f"rk_test_{mark}1234",
        "publishable": f"pk_test_{mark}1234",
        "expired": f"sk_test_{mark}expired1234",
    }
    for name, key in keys.items():
        await store_key(
            database_url,
            key,
            account=f"acct_{mark}",
            rights=RIGHTS.get(name, DEFAULT_RIGHTS),
            expires_in_s=0 if name == "expired" else None,
        )
    return keys
