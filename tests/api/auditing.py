"""An auditor as the tests of the gateway send one: a key that may read the past, and no more."""

from __future__ import annotations

from http import HTTPMethod
from typing import Any, Final

from tests.support.gateways import CUSTOMERS, Answer, Client, store_key

AUDITOR: Final = "rk_test_auditor00000000000000000000000"
LIVE_AUDITOR: Final = "rk_live_auditor00000000000000000000000"


async def auditor_of(
    client: Client, database_url: str, account: str = "acct_local", key: str = AUDITOR
) -> Client:
    """Return the client with a key that has the right `audit` only."""
    return client.having(await store_key(database_url, key, account=account, rights=["audit"]))


async def history(auditor: Client, customer_id: str, query: str = "") -> Answer:
    return await auditor.send(HTTPMethod.GET, f"{CUSTOMERS}/{customer_id}/history?{query}")


async def entries(auditor: Client, customer_id: str, query: str = "") -> list[dict[str, Any]]:
    """Return the entries of a page, in order."""
    answer = await history(auditor, customer_id, query)
    assert answer.status == 200, answer
    found: list[dict[str, Any]] = answer.json["data"]
    return found


async def as_of(auditor: Client, customer_id: str, moment: str, more: str = "") -> Answer:
    """Retrieve a customer as of a moment, spelled as it stands in a URL."""
    path = f"{CUSTOMERS}/{customer_id}?as_of={moment.replace('+', '%2B')}{more}"
    return await auditor.send(HTTPMethod.GET, path)


async def diff(auditor: Client, customer_id: str, query: str) -> Answer:
    return await auditor.send(HTTPMethod.GET, f"{CUSTOMERS}/{customer_id}/diff?{query}")
