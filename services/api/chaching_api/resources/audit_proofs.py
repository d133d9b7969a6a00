"""``/v1/audit``: signed checkpoints of the log, proofs that an event is in it, that it only grew.

A key sees proofs of its own account's and mode's events alone. What a proof shows of others are
hashes over two events and more; the hash of one event, which has a random id and an instant to the
microsecond, so that nobody guesses it; and the size of the whole log.
"""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web

from chaching.audit.answers import checkpoint_answer, consistency_answer, proof_answer
from chaching.audit.asking import FreshCheckpoints
from chaching.audit.entries import StoredEvent
from chaching.audit.stored import event_at, tree_end
from chaching.eventstore.database import Database
from chaching.eventstore.errors import Unavailable
from chaching_api import proof_parameters
from chaching_api.authentication import Authenticator
from chaching_api.boundary import bounded
from chaching_api.errors import NoSuchPosition
from chaching_api.requests import Call, read_call

AUDIT: Final = "audit"

_encode: Final = msgspec.json.Encoder().encode


class AuditProofs(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoints of the audit's proofs and what they stand on."""

    authenticator: Authenticator
    database: Database
    checkpoints: FreshCheckpoints

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/audit/checkpoint", bounded(self.checkpoint), allow_head=False),
            web.get("/v1/audit/proof", bounded(self.proof), allow_head=False),
            web.get("/v1/audit/consistency", bounded(self.consistency), allow_head=False),
        ]

    async def checkpoint(self, request: web.Request) -> bytes:
        call = await read_call(request, self.authenticator, AUDIT)
        proof_parameters.read_checkpoint(call.tree)
        kept = await self.checkpoints.newest()
        if kept is None:
            raise Unavailable("no checkpoint has been signed yet")
        return _encode(checkpoint_answer(kept))

    async def proof(self, request: web.Request) -> bytes:
        call = await read_call(request, self.authenticator, AUDIT)
        event = await self._event(call, proof_parameters.read_proof(call.tree))
        kept = await self.checkpoints.of_size(event.position)
        if kept is None or kept.checkpoint.size < event.position:
            raise Unavailable("the event is under no signed checkpoint yet")
        return _encode(await proof_answer(self.database, event, kept))

    async def consistency(self, request: web.Request) -> bytes:
        call = await read_call(request, self.authenticator, AUDIT)
        wanted = proof_parameters.read_consistency(call.tree)
        end = await tree_end(self.database)
        proof_parameters.check_sizes(wanted, largest=end.size)
        return _encode(await consistency_answer(self.database, wanted.start, wanted.end))

    async def _event(self, call: Call, position: int) -> StoredEvent:
        event = await event_at(self.database, position)
        if event is None or event.account != call.key.account:
            raise NoSuchPosition(position)
        if event.livemode != call.key.livemode:
            raise NoSuchPosition(position, similar_in=event.livemode)
        return event
