"""The gateway's application: what it stands on and which routes it has."""

from __future__ import annotations

from functools import partial
from typing import Final

import msgspec
from aiohttp import web

from chaching.audit.asking import FreshCheckpoints
from chaching.eventstore.api_keys import find_keys
from chaching.eventstore.database import Database
from chaching.eventstore.lookups import EventLookups
from chaching.eventstore.past import PastEvents
from chaching.eventstore.store import EventStore
from chaching_api.authentication import Authenticator
from chaching_api.bodies import BODY_BYTES_MAX
from chaching_api.boundary import bounded, unknown_url
from chaching_api.execute import Executor
from chaching_api.rate_limits import RateLimits
from chaching_api.reads.lists import Lists
from chaching_api.reads.past import Past
from chaching_api.reads.past_lists import PastLists
from chaching_api.reads.retrieve import Retrieve
from chaching_api.reads.search import CustomerSearches
from chaching_api.requests import PUBLIC_URL
from chaching_api.resources import documentation
from chaching_api.resources.audit_proofs import AuditProofs
from chaching_api.resources.customer_history import CustomerHistory
from chaching_api.resources.customer_lists import CustomerLists
from chaching_api.resources.customer_search import PATH as SEARCH_PATH
from chaching_api.resources.customer_search import CustomerSearch
from chaching_api.resources.customers import Customers
from chaching_api.resources.events import Events
from chaching_api.resources.health import Health


class Dependencies(msgspec.Struct, frozen=True, kw_only=True):
    """What the application is given; it opens and closes none of it.

    ``searches`` is the same database with sessions for searches.
    ``public_url`` is where callers reach the service, without a trailing slash.
    """

    database: Database
    searches: Database
    store: EventStore
    limits: RateLimits | None = None
    public_url: str | None = None


DEPENDENCIES: Final = web.AppKey("dependencies", Dependencies)


def create_app(dependencies: Dependencies) -> web.Application:
    """Return the application with all its routes."""
    database, store = dependencies.database, dependencies.store
    keyring = store.keyring
    authenticator = Authenticator(partial(find_keys, database), dependencies.limits)
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app[DEPENDENCIES] = dependencies
    if dependencies.public_url:
        app[PUBLIC_URL] = dependencies.public_url
    lenient = keyring.lenient()
    events = PastEvents(database, lenient)
    past = Past(EventStore(database, lenient), events)
    customers = Customers(
        authenticator=authenticator,
        executor=Executor(store),
        retrieve_customer=Retrieve(database, keyring),
        past=past,
        store=store,
    )
    reading = Lists(database, keyring)
    lists = CustomerLists(
        authenticator=authenticator,
        lists=reading,
        past=past,
        past_lists=PastLists(database, events, reading),
        store=store,
    )
    history = CustomerHistory(authenticator=authenticator, past=past, store=store)
    search = CustomerSearch(
        authenticator=authenticator,
        searches=CustomerSearches(dependencies.searches),
        store=store,
    )
    events = Events(authenticator=authenticator, lookups=EventLookups(database, lenient))
    audit = AuditProofs(
        authenticator=authenticator, database=database, checkpoints=FreshCheckpoints(database)
    )
    app.add_routes(
        [
            *search.routes(),  # before the routes with a customer's id
            *customers.routes(),
            *lists.routes(),
            *events.routes(),
            *history.routes(),
            *audit.routes(),
            *Health(database, store).routes(),
            *documentation.routes(),
        ]
    )
    app.router.add_route("*", SEARCH_PATH, bounded(unknown_url))  # which can be nobody's id
    app.router.add_route("*", "/{path:.*}", bounded(unknown_url))
    return app
