"""What a subscriber is told wrongly is refused at once, not waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

import pytest
from tests.support.subscribers import keep_copy
from tests.support.waiting import LIMIT_S

from chaching.subscriber import Connection, Event, Handler, Inbox, Subscription
from chaching.subscriber.handling import expect_handler

BROKER: Final = "amqp://localhost/"
SECRET: Final = "secret"


@pytest.mark.parametrize(
    "url", ["", "localhost:5672", f"http://guest:{SECRET}@localhost/", f"amqp:{SECRET}@localhost"]
)
def test_a_url_that_is_no_brokers_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match="the broker's URL must begin with amqp://") as said:
        Subscription(url, "crm")
    assert SECRET not in str(said.value)


@pytest.mark.parametrize("url", ["amqp://localhost:port/", "amqp://localhost:99999/"])
def test_a_port_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="no port"):
        Subscription(url, "crm")


@pytest.mark.parametrize("url", [BROKER, "amqps://user:word@host:5671/vhost?heartbeat=9"])
def test_a_brokers_url_is_taken(url: str) -> None:
    assert Subscription(url, "crm").queue == "crm"


@pytest.mark.parametrize("url", ["", "localhost/crm", f"mysql://crm:{SECRET}@localhost/crm"])
def test_a_url_that_is_no_postgresqls_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match="the database's URL must begin with postgresql:") as said:
        Inbox(url)
    assert SECRET not in str(said.value)


@pytest.mark.parametrize(
    "url", ["postgres:///crm", "postgresql://one:1,two:2/crm?target_session_attrs=read-write"]
)
def test_a_postgresqls_url_is_taken_with_several_hosts_too(url: str) -> None:
    Inbox(url)


async def _event_alone(_event: Event) -> None: ...
async def _three(_event: Event, _connection: Connection, _more: object) -> None: ...


@pytest.mark.parametrize("handler", [_event_alone, _three, lambda: None])
async def test_a_handler_that_does_not_take_what_it_gets_is_refused_before_any_event(
    handler: Callable[..., Any],
) -> None:
    # neither server is asked
    subscription = Subscription("amqp://localhost:1/", "crm")
    with pytest.raises(TypeError, match="a handler takes an event and a connection: "):
        async with asyncio.timeout(LIMIT_S):
            await subscription.run(
                cast("Handler", handler), inbox=Inbox("postgresql://localhost:1/")
            )


class _Keeper:
    async def __call__(self, event: Event, connection: Connection) -> None: ...
    async def keep(self, event: Event, connection: Connection, _more: int = 0) -> None: ...
    async def take(self, *_both: object) -> None: ...


@pytest.mark.parametrize("handler", [keep_copy, _Keeper(), _Keeper().keep, _Keeper().take])
def test_whatever_takes_both_is_a_handler(handler: Callable[..., Any]) -> None:
    expect_handler(cast("Handler", handler))
