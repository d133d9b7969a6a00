"""Gives events to the handler, in steps, and parks what it cannot handle.

Theory of operation. Events are handled together, as many in one transaction as keep it short (see
``pace``). When that fails they are handled one by one, so that one that cannot be handled does not
fail its neighbours. By itself an event is tried at most ``tries_max`` times, with growing pauses;
then it is sent to the parked queue and, when that has it, the position moves past it and the inbox
notes it, in one step. Later events of the same customer follow it there without being tried, so
each customer's events stay in order; all others go on. What cannot be read is parked without a
second try.

A server that is away is waited for, however long, and no try is counted (see the inbox). A
cancellation that nobody asked for counts: it may be a client that lost its connection, or a mistake
that cancels every time, and nothing tells them apart. A handler that knows raises ``TryLater``.

A process that was killed may have been ended by an event. So after an end that was not clean the
first batch is handled one by one, each try counted before it is made; an event that ended the
process at every try is parked like any other. A try that found a server away is taken back before
the pause, so a process may be killed any number of times while it waits. A handler that is killed
while it works cannot be told from one that kills.

A parked event that an operator put back comes out of turn. It is handled when it is the first that
is parked of its customer, and goes back behind the others when it is not or fails again; one that
is to be discarded is only noted, also when its message was lost and the order comes alone. Whatever
is not noted as parked has been handled before.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Iterator, Sequence
from functools import partial
from typing import Final, Protocol

import msgspec

from chaching.broker.errors import BrokerUnavailable
from chaching.envelope import Position, Undecodable
from chaching.eventstore.database import DriverConnection
from chaching.eventstore.errors import Unavailable
from chaching.runtime.lifecycle import BackOff, retried
from chaching.runtime.logs import logger
from chaching.subscriber.bookmark import bookmark_of
from chaching.subscriber.errors import HandlerNotAsync
from chaching.subscriber.events import Event, GivenUp, Received, event_of
from chaching.subscriber.inbox import HandlerFailed, Held, ParkedEvent, Postponed, Step
from chaching.subscriber.pace import Pace
from chaching.subscriber.parking import Parking, Why, because_of, behind, place_of
from chaching.subscriber.wanted import Wanted

TRIES_MAX: Final = 5
TRY_PAUSE_FIRST_S: Final = 0.1
TRY_PAUSE_MAX_S: Final = 5.0
CAREFUL_EVENTS: Final = 200
# after a lost answer to a commit: the server may be at it still
OUTCOME_PAUSE_S: Final = 0.1
UNFINISHED: Final = Why(
    reason="UnfinishedTries", detail="the process ended while the event was tried, every time"
)


class Handler(Protocol):
    """What a subscriber does with an event, on a connection that is in the step's transaction."""

    def __call__(self, event: Event, connection: DriverConnection, /) -> Awaitable[None]: ...


def expect_handler(handler: Handler) -> None:
    """Refuse what cannot be called as a handler is, before every event fails for it.

    Raises:
        TypeError: it does not take an event and a connection.
    """
    try:
        signature = inspect.signature(handler)
    except ValueError:  # it does not tell
        return
    try:
        signature.bind(object(), object())
    except TypeError as error:
        raise TypeError(f"a handler takes an event and a connection: {error}") from None


class Tries(msgspec.Struct, frozen=True, kw_only=True):
    """How often an event is tried by itself, and the pauses in between, which double."""

    tries_max: int = TRIES_MAX
    pause_first_s: float = TRY_PAUSE_FIRST_S
    pause_max_s: float = TRY_PAUSE_MAX_S


USUAL_TRIES: Final = Tries()


class Handling:
    """The steps of one holder of the inbox; use it from one task at a time."""

    def __init__(
        self, handler: Handler, held: Held, parking: Parking, wanted: Wanted, tries: Tries
    ) -> None:
        self._handler = handler
        self._held = held
        self._parking = parking
        self._wanted = wanted
        self._tries = tries
        self._careful_left = 0 if held.was_let_go else CAREFUL_EVENTS
        self._pace = Pace(events_max=CAREFUL_EVENTS)

    async def handle(self, messages: Sequence[Received]) -> None:
        """Do all events that follow the bookmark: handled, parked, or passed over as not wanted.

        Raises:
            Fenced: another holds the inbox now.
            ParkedQueueFull: an event has to be parked and cannot be.
        """
        for run in self._runs(messages):
            if (first := self._parked_before(run[-1])) is not None:
                await self._park(run, behind(first))
            elif self._careful_left > 0:
                self._careful_left -= len(run)
                await self._one_by_one(run)
            else:
                await self._together(run)

    async def handle_ordered(self, message: Received | GivenUp) -> None:
        """Do what an operator decided about a parked event.

        Raises:
            Fenced: another holds the inbox now, or a commit's answer was lost.
            ParkedQueueFull: it has to be parked again and cannot be.
        """
        if isinstance(message, GivenUp):
            await self._give_up(message.position)
            return
        here = self._held.bookmark
        step = Step(start=here.position, end=here, unpark=message.position)
        if message.position not in self._held.parked:
            self._tell("parked_event_ignored", message)
        elif message.known.order == "discard":
            await self._commit(step, [])
            self._tell("parked_event_discarded", message)
        elif (first := self._held.parked.first_of(message.key)) != message.position:
            await self._send_to_parked(message, behind(first or message.position))
        elif (why := await self._failure(message, step)) is not None:
            await self._send_to_parked(message, why)
            await self._commit(Step(start=here.position, end=here), [])  # its tries are over
        else:
            self._tell("parked_event_handled", message)

    async def _give_up(self, position: Position) -> None:
        """Note that an event is parked no more whose message is lost."""
        key = self._held.parked.key_of(position)
        if key is None:
            logger().warning("parked_event_ignored", position=position)
            return
        here = self._held.bookmark
        await self._commit(Step(start=here.position, end=here, unpark=position), [])
        logger().warning(
            "parked_event_discarded", position=position, customer=key.id, account=key.account
        )

    def _runs(self, messages: Sequence[Received]) -> Iterator[Sequence[Received]]:
        """Yield steps: an event that waits behind a parked one is a step by itself."""
        run: list[Received] = []
        for message in messages:
            is_behind = self._parked_before(message) is not None
            if run and (is_behind or len(run) >= self._pace.events):
                yield run
                run = []
            run.append(message)
            if is_behind:
                yield run
                run = []
        if run:
            yield run

    def _parked_before(self, message: Received) -> Position | None:
        """Return what an event has to wait behind, if it is wanted and has to."""
        return self._held.parked.first_of(message.key) if self._wanted.has(message) else None

    async def _together(self, messages: Sequence[Received]) -> None:
        began = _now()
        failure: HandlerFailed | Undecodable | None = None
        try:
            events = [event_of(message) for message in messages if self._wanted.has(message)]
            await self._commit(self._step(messages), events)
        except (HandlerFailed, Undecodable) as error:
            failure = error
        self._pace.took(len(messages), _now() - began)
        # outside of the except block, else every later traceback would begin with this one
        if failure is not None:
            logger().warning(
                "step_failed",
                from_position=messages[0].position,
                to_position=messages[-1].position,
                reason=str(failure),
            )
            await self._one_by_one(messages)

    async def _one_by_one(self, messages: Sequence[Received]) -> None:
        run: list[Received] = []
        for message in messages:
            run.append(message)
            if self._wanted.has(message):
                await self._alone(run)
                run = []
        if run:
            await self._commit(self._step(run), [])

    async def _alone(self, run: Sequence[Received]) -> None:
        """Do the last event of a run whose others are not wanted."""
        message = run[-1]
        if (first := self._parked_before(message)) is not None:
            await self._park(run, behind(first))
        elif (why := await self._failure(message, self._step(run))) is not None:
            await self._park(run, why)

    async def _failure(self, message: Received, step: Step) -> Why | None:
        """Try an event by itself; return why it cannot be handled, or None when it is done."""
        backoff = BackOff(first_s=self._tries.pause_first_s, max_s=self._tries.pause_max_s)
        patience = BackOff()
        while True:
            count = partial(self._held.count_try, message.position)
            tries = await retried(count, on=Unavailable)
            if tries > self._tries.tries_max:
                return msgspec.structs.replace(UNFINISHED, tries=tries - 1)
            try:
                is_done = await self._is_committed(step, [event_of(message)])
            except Undecodable as error:
                return because_of(error, tries)
            except HandlerFailed as failed:
                where = place_of(failed.error)
                self._tell("handler_failed", message, reason=str(failed), where=where, tries=tries)
                if tries == self._tries.tries_max:
                    return because_of(failed.error, tries)
            else:
                if is_done:
                    return None
                take_back = partial(self._held.take_back_try, message.position)
                await retried(take_back, on=Unavailable)
                await patience.pause()
                continue
            await backoff.pause()

    async def _park(self, run: Sequence[Received], why: Why) -> None:
        """Move past a run whose last event is parked."""
        message = run[-1]
        await self._send_to_parked(message, why)
        parked = ParkedEvent(position=message.position, key=message.key, reason=why.reason)
        await self._commit(msgspec.structs.replace(self._step(run), park=(parked,)), [])

    async def _send_to_parked(self, message: Received, why: Why) -> None:
        await retried(partial(self._parking.park, message, why), on=BrokerUnavailable)

    async def _commit(self, step: Step, events: Sequence[Event]) -> None:
        """Do a step, waiting while a server is away; raises Fenced and HandlerFailed."""
        backoff = BackOff()
        while not await self._is_committed(step, events):
            await backoff.pause()

    async def _is_committed(self, step: Step, events: Sequence[Event]) -> bool:
        """Do a step and say whether it is done, which it is not while a server is away.

        Raises:
            Fenced: another holds the inbox now.
            HandlerFailed: the handler is to blame, or the event.
        """
        try:
            await self._held.commit(step, partial(self._handle, events))
        except Unavailable as error:
            logger().warning("step_postponed", position=step.start, reason=str(error))
            is_undone = isinstance(error, Postponed)
        else:
            return True
        if is_undone:
            return False
        await asyncio.sleep(OUTCOME_PAUSE_S)
        return await retried(partial(self._held.is_done, step), on=Unavailable)

    async def _handle(self, events: Sequence[Event], connection: DriverConnection) -> None:
        for event in events:
            work = self._handler(event, connection)
            if not inspect.isawaitable(work):
                raise HandlerNotAsync("the handler must be async: it was called and did not wait")
            await work

    def _step(self, messages: Sequence[Received]) -> Step:
        return Step(start=self._held.bookmark.position, end=bookmark_of(messages[-1]))

    def _tell(self, what: str, message: Received, **more: object) -> None:
        logger().warning(
            what,
            position=message.position,
            event_id=message.known.id,
            customer=message.key.id,
            account=message.key.account,
            **more,
        )


def _now() -> float:
    return asyncio.get_running_loop().time()
