"""``/v1/customers``: create, update, retrieve (also as of a past moment), delete, erase."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec
from aiohttp import web
from msgspec import UNSET

from chaching.domain.customer import (
    Command,
    CreateCustomer,
    DeleteCustomer,
    EraseCustomer,
    InvoicePrefixTaken,
    NoSuchCustomer,
    UpdateCustomer,
)
from chaching.domain.customer_object import render
from chaching.domain.ids import CustomerId
from chaching.envelope import StreamKey
from chaching.eventstore.store import EventStore
from chaching.moments import AtVersion, Moment
from chaching_api import parameters
from chaching_api.authentication import Authenticator
from chaching_api.boundary import Answer, bounded
from chaching_api.errors import NotErasable, NotThereThen
from chaching_api.execute import Asked, Executed, Executor
from chaching_api.expanding import render_expanded
from chaching_api.fresh import new_id, new_invoice_prefix
from chaching_api.moments import refuse_future
from chaching_api.parameters import AS_OF, CreateInput
from chaching_api.reads.past import Past, customer_of
from chaching_api.reads.retrieve import Retrieve
from chaching_api.requests import (
    AS_OF_HEADER,
    AUDIT,
    ERASED_HEADER,
    Call,
    customer_id_of,
    read_call,
)
from chaching_api.resources.missing import missing, missing_beside, other_mode

READ: Final = "customers:read"
WRITE: Final = "customers:write"
ERASE: Final = "erase"
PREFIX_DRAWS_MAX: Final = 3


class Customers(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoints of the customer resource and what they stand on."""

    authenticator: Authenticator
    executor: Executor
    retrieve_customer: Retrieve
    past: Past
    store: EventStore

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/customers", bounded(self.create)),
            web.get("/v1/customers/{customer}", bounded(self.retrieve), allow_head=False),
            web.post("/v1/customers/{customer}", bounded(self.update)),
            web.delete("/v1/customers/{customer}", bounded(self.delete)),
            web.post("/v1/customers/{customer}/erase", bounded(self.erase)),
        ]

    async def create(self, request: web.Request) -> bytes | Answer:
        call = await read_call(request, self.authenticator, WRITE)
        given = parameters.read_create(
            call.tree, livemode=call.key.livemode, at=call.at, new_id=new_id
        )
        return _answer(await self._create(call, given))

    async def update(self, request: web.Request) -> bytes | Answer:
        call = await read_call(request, self.authenticator, WRITE)
        given = parameters.read_update(
            call.tree, livemode=call.key.livemode, at=call.at, new_id=new_id
        )
        customer_id = customer_id_of(request)
        command = UpdateCustomer(id=customer_id, at=call.at, details=given.details)
        return _answer(await self._execute(call, command, given.expand))

    async def retrieve(self, request: web.Request) -> bytes | Answer:
        call = await read_call(request, self.authenticator, READ, instead={AS_OF: AUDIT})
        wanted = parameters.read_retrieve(call.tree)
        refuse_future(wanted.as_of, call.at, AS_OF)
        key = call.stream(customer_id_of(request))
        if wanted.as_of is not None:
            return await self._as_of(key, wanted.as_of, wanted.expand)
        expand = wanted.expand
        body = await (self._expanded(key, expand) if expand else self._retrieve(key))
        if body is None:
            raise await missing(self.store, key)
        return body

    async def delete(self, request: web.Request) -> bytes | Answer:
        call = await read_call(request, self.authenticator, WRITE)
        parameters.read_nothing(call.tree)
        customer_id = customer_id_of(request)
        return _answer(await self._execute(call, DeleteCustomer(id=customer_id, at=call.at)))

    async def erase(self, request: web.Request) -> bytes | Answer:
        call = await read_call(request, self.authenticator, ERASE)
        reason = parameters.read_erase(call.tree)
        customer_id = customer_id_of(request)
        if await self.store.has_plain_events(call.stream(customer_id)):
            raise NotErasable
        command = EraseCustomer(id=customer_id, at=call.at, reason=reason)
        return _answer(await self._execute(call, command))

    async def _create(self, call: Call, given: CreateInput) -> Executed:
        wanted = given.details.invoice_prefix
        for draw in range(PREFIX_DRAWS_MAX):
            command = CreateCustomer(
                id=CustomerId(given.id or new_id("cus_")),
                livemode=call.key.livemode,
                at=call.at,
                invoice_prefix=wanted or new_invoice_prefix(),
                details=given.details,
            )
            try:
                return await self.executor.execute(_asked(call, command, given.expand))
            except InvoicePrefixTaken:
                if wanted is not UNSET or draw == PREFIX_DRAWS_MAX - 1:
                    raise
        raise AssertionError("unreachable")

    async def _execute(
        self,
        call: Call,
        command: UpdateCustomer | DeleteCustomer | EraseCustomer,
        expand: Sequence[str] = (),
    ) -> Executed:
        try:
            return await self.executor.execute(_asked(call, command, expand))
        except NoSuchCustomer as rejected:
            raise await missing(self.store, call.stream(command.id)) from rejected

    async def _retrieve(self, key: StreamKey) -> bytes | None:
        return await self.retrieve_customer.retrieve(key)

    async def _expanded(self, key: StreamKey, expand: Sequence[str]) -> bytes | None:
        """Answer from the log, which alone has what shows only when expanded."""
        customer = (await self.store.load(key)).state
        return None if customer is None else render_expanded(customer, expand)

    async def _as_of(self, key: StreamKey, moment: Moment, expand: Sequence[str]) -> Answer:
        """Answer as a retrieve did at a moment, and say in a header which version that was."""
        event = await self.past.event_at(key, moment, AS_OF)
        if event is None:
            raise await self._missing_at(key, moment)
        customer = customer_of(event, AS_OF)
        headers = {AS_OF_HEADER: f"version:{event.version}"}
        if event.erased:
            headers[ERASED_HEADER] = "true"
        body = render_expanded(customer, expand) if expand else render(customer)
        return Answer(body=body, headers=headers)

    async def _missing_at(self, key: StreamKey, moment: Moment) -> NoSuchCustomer:
        first = await self.past.first_event(key)
        if first is not None:
            return NotThereThen(first, moment)
        # versions are of one customer, and the other mode's is another
        then = None if isinstance(moment, AtVersion) else moment
        other = await self.past.event_at(other_mode(key), then, AS_OF)
        return missing_beside(key, exists=other is not None)


def _asked(call: Call, command: Command, expand: Sequence[str]) -> Asked:
    metadata = call.metadata()
    return Asked(
        key=call.stream(command.id),
        command=command,
        metadata=metadata,
        answer=partial(render_expanded, expand=expand) if expand else render,
        fingerprint=None if metadata.idempotency_key is None else call.fingerprint(),
    )


def _answer(executed: Executed) -> bytes | Answer:
    if executed.original is None:
        return executed.answer
    return Answer(
        body=executed.answer,
        headers={"Idempotent-Replayed": "true", "Original-Request": executed.original},
    )
