"""A command, from the customer as it stands to the event on disk: load, decide, append.

The three steps hold no lock in the store between them. When another command came first, the
append is refused as a conflict, and this one is decided again on the customer as it stands then.
A create is decided on nothing; only if that is wrong is the customer loaded.

Every lost race means that another command to the same customer was stored, so somebody always gets
on. ``ATTEMPTS_MAX`` lies well above how often a command loses in a row by chance: with two gateways
that both change one customer without pause, once in 2 ** ``ATTEMPTS_MAX``.

A command with an idempotency key takes its answer with it into the append, which stores both or
neither. That the key was answered before comes to light there, at no cost to the others: the append
looks at keys before anything else. Only a command that is rejected never gets there, so the key is
looked up before the rejection is told: what forbids it now may be what the same request did before.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final

import msgspec

from chaching import envelope
from chaching.domain.customer import (
    Command,
    CreateCustomer,
    Customer,
    InvoicePrefixTaken,
    Rejected,
    decide,
    evolve,
)
from chaching.domain.ids import RequestId
from chaching.envelope import Decided, KeptAnswer, Metadata, PendingAnswer, StreamKey
from chaching.eventstore.errors import AlreadyAnswered, Conflict, PrefixTaken
from chaching.eventstore.store import EventStore, Loaded
from chaching_api.errors import IdempotencyMismatch, LostRace
from chaching_api.fresh import new_event_id
from chaching_api.turns import Turns

ATTEMPTS_MAX: Final = 50


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A command with what surrounds it: who asks, and how the customer after it is answered.

    ``fingerprint``, a SHA-256 of what is asked, is there when the metadata have an idempotency key.
    """

    key: StreamKey
    command: Command
    metadata: Metadata
    answer: Callable[[Customer], bytes]
    fingerprint: bytes | None = None

    def kept(self, answer: bytes) -> KeptAnswer | None:
        """Return what is stored under the idempotency key, if there is one."""
        key = self.metadata.idempotency_key
        if key is None or self.fingerprint is None:
            return None
        return KeptAnswer(
            idempotency_key=key,
            fingerprint=self.fingerprint,
            request_id=self.metadata.request_id,
            answer=answer,
        )


class Executed(msgspec.Struct, frozen=True):
    """The answer to a command; ``original`` is the request that was answered with it before."""

    answer: bytes
    original: RequestId | None = None


class Executor:
    """Executes commands against one store."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._turns = Turns()

    async def execute(self, asked: Asked) -> Executed:
        """Carry out a command and return the answer to it, when the event is on disk.

        Raises:
            Rejected: a rule forbids it; nothing happened.
            IdempotencyMismatch: the key was used for another request; nothing happened.
            LostRace: other commands came first ``ATTEMPTS_MAX`` times; nothing happened.
            Unavailable, Overloaded: from the store.
        """
        async with self._turn(asked):
            loaded = await self._first_look(asked)
            for _ in range(ATTEMPTS_MAX):
                try:
                    return Executed(await self._attempt(asked, loaded))
                except Conflict:
                    loaded = await self._store.load(asked.key)
                except AlreadyAnswered as answered:
                    return _repeated(asked, answered)
                except PrefixTaken as taken:
                    raise InvoicePrefixTaken(taken.holder) from taken
        raise LostRace

    async def _attempt(self, asked: Asked, loaded: Loaded) -> bytes:
        try:
            event = decide(asked.command, loaded.state)
        except Rejected:
            await self._refuse_repetition(asked)
            raise
        if event is None:
            assert loaded.state is not None  # noqa: S101 - only a customer can already be as asked
            return await self._keep(asked, loaded, asked.answer(loaded.state))
        after = evolve(loaded.state, event)
        answer = asked.answer(after)
        decided = Decided(
            key=asked.key,
            version=loaded.version,
            event=event,
            after=after,
            event_id=new_event_id(asked.key.id, loaded.version + 1),
            metadata=asked.metadata,
            kept=asked.kept(answer),
            data_key=loaded.data_key,
        )
        [pending] = envelope.encode([decided])
        await self._store.append(pending)
        return answer

    async def _keep(self, asked: Asked, loaded: Loaded, answer: bytes) -> bytes:
        kept = asked.kept(answer)
        if kept is not None:
            await self._store.keep(
                PendingAnswer(
                    key=asked.key,
                    expected_version=loaded.version,
                    kept=kept,
                    data_key=loaded.data_key,
                )
            )
        return answer

    async def _refuse_repetition(self, asked: Asked) -> None:
        key = asked.metadata.idempotency_key
        if key is not None:
            answered = await self._store.find_answer(asked.key, key)
            if answered is not None:
                raise answered

    def _turn(self, asked: Asked) -> AbstractAsyncContextManager[None]:
        return nullcontext() if _is_create(asked) else self._turns.turn(asked.key)

    async def _first_look(self, asked: Asked) -> Loaded:
        return Loaded() if _is_create(asked) else await self._store.load(asked.key)


def _is_create(asked: Asked) -> bool:
    return isinstance(asked.command, CreateCustomer)


def _repeated(asked: Asked, answered: AlreadyAnswered) -> Executed:
    if answered.fingerprint != asked.fingerprint:
        raise IdempotencyMismatch(asked.metadata.idempotency_key or "")
    return Executed(answered.answer, answered.request_id)
