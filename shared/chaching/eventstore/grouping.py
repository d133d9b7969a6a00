"""Groups what many callers ask at once into few calls to the store.

Guarantees: every submitted item is answered exactly once, with a result, with its own error or
with the error of the call it travelled in. While ``in_flight_max`` calls are under way, new items
wait and leave together, at most ``batch_max`` and none after ``weight_max`` is reached (of items
with keys), as soon as one comes back; with nobody waiting an item leaves at once, so a lone caller
pays no delay. Two items that share a key never travel at the same time, and the later one waits for
the earlier one's answer. When ``waiting_max`` items wait, further ones are refused with Overloaded.

When ``split_min`` items or more would leave in the only call under way, and more calls may be, half
of them leave in a second one. Callers that are answered together come back together; without this
they would do so ever after, and the store and this process would wait for each other in turn.

A call that fails with one of ``outages`` fails for everyone who waits as well: what kept it from an
answer keeps them too, and nobody waits for longer than one call may take.

A caller that goes away does not recall its item.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

BATCH_MAX_ITEMS: Final = 256
WAITING_MAX_ITEMS: Final = 10_000
# of fewer, a second call costs the store more than working at the same time gains
SPLIT_MIN_ITEMS: Final = 32


class Overloaded(Exception):  # noqa: N818 - says what the group is
    """More callers wait than the limit allows."""


class Group(Generic[Item, Result]):
    """Collects items and hands them to ``call`` in batches; see the module for the guarantees.

    ``call`` gets the items in order of arrival and returns, in the same order, a result or an
    exception for each. What it raises is raised to every caller in the batch.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        keys: Callable[[Item], Sequence[Hashable]] | None = None,
        batch_max: int = BATCH_MAX_ITEMS,
        weigh: Callable[[Item], int] | None = None,
        weight_max: int = 1,
        in_flight_max: int = 1,
        split_min: int = SPLIT_MIN_ITEMS,
        waiting_max: int = WAITING_MAX_ITEMS,
        outages: tuple[type[Exception], ...] = (),
    ) -> None:
        self._call = call
        self._keys = keys
        self._batch_max = batch_max
        self._weigh = weigh
        self._weight_max = weight_max
        self._in_flight_max = in_flight_max
        self._split_min = split_min
        self._waiting_max = waiting_max
        self._outages = outages
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._busy_keys: set[Hashable] = set()
        self._calls: set[asyncio.Task[None]] = set()
        self._scheduled = False
        # asked for once: in Python 3.11 every look-up is a system call
        self._loop: asyncio.AbstractEventLoop | None = None

    async def submit(self, item: Item) -> Result:
        """Return the item's result.

        Raises:
            Overloaded: too many wait already; the item was not taken.
            Exception: what ``call`` answered or raised.
        """
        if len(self._waiting) >= self._waiting_max:
            raise Overloaded
        loop = self._loop = self._loop or asyncio.get_running_loop()
        answer: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, answer))
        if not self._scheduled and len(self._calls) < self._in_flight_max:
            self._scheduled = True
            loop.call_soon(self._leave)
        return await answer

    async def drain(self) -> None:
        """Return when nothing is waiting or under way."""
        while self._calls or self._waiting:
            # without a call under way, the items that wait leave in this turn of the loop
            await (asyncio.wait(self._calls) if self._calls else asyncio.sleep(0))

    def _leave(self) -> None:
        self._scheduled = False
        while self._waiting and len(self._calls) < self._in_flight_max:
            batch = self._next_batch()
            if not batch:
                return
            task = asyncio.get_running_loop().create_task(self._travel(batch))
            self._calls.add(task)
            task.add_done_callback(self._returned)

    def _returned(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        self._leave()

    def _share(self) -> int:
        """Return how many items may leave in the next batch."""
        waiting = len(self._waiting)
        is_alone = not self._calls and self._in_flight_max > 1
        if is_alone and waiting >= self._split_min:
            waiting = (waiting + 1) // 2
        return min(waiting, self._batch_max)

    def _next_batch(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        count = self._share()
        if self._keys is None:
            return [self._waiting.popleft() for _ in range(count)]
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        held_back: list[tuple[Item, asyncio.Future[Result]]] = []
        held_back_keys: set[Hashable] = set()
        room = self._weight_max
        while self._waiting and len(batch) < count and room > 0:
            entry = self._waiting.popleft()
            keys = self._keys(entry[0])
            if self._busy_keys.isdisjoint(keys) and held_back_keys.isdisjoint(keys):
                self._busy_keys.update(keys)
                batch.append(entry)
                room -= 0 if self._weigh is None else self._weigh(entry[0])
            else:
                held_back_keys.update(keys)
                held_back.append(entry)
        self._waiting.extendleft(reversed(held_back))
        return batch

    async def _travel(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._call([item for item, _ in batch])
            answers = list(zip(batch, results, strict=True))
        except Exception as error:  # noqa: BLE001 - every caller of the batch is told
            answers = [(entry, error) for entry in batch]
            if isinstance(error, self._outages):
                answers += [(entry, error) for entry in self._waiting]
                self._waiting.clear()
        finally:
            if self._keys is not None:
                for item, _ in batch:
                    self._busy_keys.difference_update(self._keys(item))
        for (_, answer), result in answers:
            if answer.done():
                continue
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)
