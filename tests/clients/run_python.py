"""Run scenarios through stripe-python: ``python -m tests.clients.run_python sync|async SCENARIO``.

The environment holds CLIENT_ADDRESSES and CLIENT_KEYS, JSON objects from names to URLs and keys.
Prints one JSON line a step, ``{"scene", "step", "faults"}``; a step without faults has passed. The
exit code is 1 when one has not. See ``scenario`` for the words of a scenario.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias, cast

import msgspec
import stripe
from msgspec import UNSET
from stripe import AIOHTTPClient, ListObject, SearchResultObject, StripeObject
from tests.clients.scenario import (
    Json,
    Outcome,
    Saved,
    Scene,
    Step,
    broken_promises,
    read_scenes,
    resolved,
)

Flavour: TypeAlias = Literal["sync", "async"]
Page: TypeAlias = "ListObject[StripeObject] | SearchResultObject[StripeObject]"

PAUSE_S: Final = 0.05
AWAITED: Final[Mapping[Flavour, str]] = {"sync": "", "async": "_async"}


class Client:
    """The official client, one for each address; ``flavour`` says how it is called."""

    def __init__(self, flavour: Flavour, addresses: Mapping[str, str], key: str) -> None:
        self.flavour: Flavour = flavour
        self._connections = (
            stripe.new_default_http_client() if flavour == "sync" else AIOHTTPClient()
        )
        self._clients = {
            name: stripe.StripeClient(
                key, base_addresses={"api": url}, http_client=self._connections
            )
            for name, url in addresses.items()
        }

    async def close(self) -> None:
        if self.flavour == "sync":
            self._connections.close()
        else:
            await self._connections.close_async()

    async def call(self, step: Step, saved: Saved) -> Outcome:
        """Do what a step says; an error of the client's own is an outcome too."""
        resource: object = getattr(self._clients[step.at].v1, step.on)
        method: Callable[..., object] = getattr(resource, step.call + AWAITED[self.flavour])
        ids = [] if step.id is UNSET else [resolved(step.id, saved)]
        try:
            answer = method(*ids, resolved(step.params, saved), _options(step, saved))
            if inspect.isawaitable(answer):
                answer = await cast("Awaitable[object]", answer)
            assert isinstance(answer, StripeObject)
            if step.all_pages:
                return await self._all_pages(cast("Page", answer))
        except stripe.StripeError as raised:
            return Outcome(error=_error(raised), headers=_lowered(raised.headers))
        response = answer.last_response
        return Outcome(body=answer.to_dict(), headers=_lowered(response and response.headers))

    async def _all_pages(self, page: Page) -> Outcome:
        items = page.auto_paging_iter()
        found = list(items) if self.flavour == "sync" else [item async for item in items]
        return Outcome(body={"data": [item.to_dict() for item in found]})


def _options(step: Step, saved: Saved) -> dict[str, Json]:
    given = msgspec.to_builtins(step.options)
    options = cast("dict[str, Json]", resolved(given, saved))
    if step.options.api_key is None:
        options["api_key"] = ""  # null would be refused by the client itself
    return options


def _error(raised: stripe.StripeError) -> dict[str, Json]:
    told = raised.error.to_dict() if raised.error is not None else {}
    fields: dict[str, Json] = {
        "class": type(raised).__name__,
        "code": told.get("code"),  # some classes leave their own code empty
        "message": raised.user_message,
        "param": getattr(raised, "param", None),
        "reason": told.get("reason"),
        "request_id": raised.request_id,
        "status": raised.http_status,
        "type": told.get("type"),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _lowered(headers: Mapping[str, str] | None) -> dict[str, Json]:
    return {name.lower(): value for name, value in (headers or {}).items()}


async def run_scene(client: Client, scene: Scene, given: Saved) -> bool:
    """Run the steps of a scene, print what came of each, tell whether all have passed."""
    saved = dict(given)
    well = True
    for step in scene.steps:
        faults = await run_step(client, step, saved)
        print(json.dumps({"scene": scene.scene, "step": step.step, "faults": faults}))  # noqa: T201 - a program
        well = well and not faults
    return well


async def run_step(client: Client, step: Step, saved: Saved) -> list[str]:
    bodies: list[Json] = []
    for n in range(step.times):
        saved["n"] = Outcome(body=n)
        faults = await _run_once(client, step, saved)
        if faults:
            return faults
        if step.save is not UNSET:
            bodies.append(saved[step.save].body)
    if step.save is not UNSET and step.times > 1:
        saved[step.save] = Outcome(body={"data": bodies})
    return []


async def _run_once(client: Client, step: Step, saved: Saved) -> list[str]:
    deadline = time.monotonic() + step.within_s
    while True:
        try:
            outcome = await client.call(step, saved)
            if step.save is not UNSET:
                saved[step.save] = outcome
            faults = list(broken_promises(step.expect, outcome, saved))
        except LookupError as missing:
            return [str(missing)]
        if not faults or time.monotonic() >= deadline:
            return faults
        await asyncio.sleep(PAUSE_S)


async def run(flavour: Flavour, scenario: Path) -> bool:
    addresses: dict[str, str] = json.loads(os.environ["CLIENT_ADDRESSES"])
    keys: dict[str, Json] = json.loads(os.environ["CLIENT_KEYS"])
    client = Client(flavour, addresses, str(keys["secret"]))
    given = {"run": Outcome(body=secrets.token_hex(4)), "keys": Outcome(body=keys)}
    try:
        results = [await run_scene(client, scene, given) for scene in read_scenes(scenario)]
    finally:
        await client.close()
    return all(results)


def main() -> None:
    match sys.argv[1:]:
        case ["sync" | "async" as flavour, scenario]:
            sys.exit(0 if asyncio.run(run(flavour, Path(scenario))) else 1)
        case _:
            sys.exit("usage: python -m tests.clients.run_python sync|async SCENARIO")


if __name__ == "__main__":
    main()
