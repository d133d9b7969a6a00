"""Every guarantee in the docstring of ``grouping``, one by one and then all at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chaching.eventstore.grouping import Group, Overloaded

BATCH_MAX = 2
IN_FLIGHT_MAX = 2
WAITING_MAX = 12
TURNS = 4
KEYS = "abc"


class Thing(msgspec.Struct, frozen=True):
    """An item; two with a key in common must not travel at the same time."""

    number: int
    keys: tuple[str, ...] = ()


class Travel(msgspec.Struct):
    """A call that is under way until the test brings it back."""

    things: list[Thing]
    back: asyncio.Future[Sequence[str | Exception]]


class Store:
    """The far end of a Group: every call waits until the test says what it answers."""

    def __init__(self) -> None:
        self.under_way: list[Travel] = []
        self.left: list[Thing] = []
        self.calls = 0

    async def call(self, things: Sequence[Thing]) -> Sequence[str | Exception]:
        travel = Travel(list(things), asyncio.get_running_loop().create_future())
        self.under_way.append(travel)
        self.left.extend(things)
        self.calls += 1
        try:
            return await travel.back
        finally:
            self.under_way.remove(travel)

    def bring_back(self, travel: Travel) -> None:
        travel.back.set_result([answer_to(thing) for thing in travel.things])

    def fail(self, travel: Travel, error: Exception) -> None:
        travel.back.set_exception(error)


def answer_to(thing: Thing) -> str:
    return f"answer {thing.number}"


def keys_of(thing: Thing) -> Sequence[str]:
    return thing.keys


async def turns(count: int = TURNS) -> None:
    """Let the loop turn: everything that is ready happens."""
    for _ in range(count):
        await asyncio.sleep(0)


def submitted(
    group: Group[Thing, str], count: int, *keys: str, first: int = 0
) -> list[asyncio.Task[str]]:
    return [asyncio.create_task(group.submit(Thing(first + n, keys))) for n in range(count)]


@pytest.fixture
async def store() -> AsyncGenerator[Store]:
    """A far end that in the end answers whatever a test left on its way."""
    store = Store()
    yield store
    await turns()
    while store.under_way:
        store.bring_back(store.under_way[0])
        await turns()


async def test_a_lone_item_leaves_at_once(store: Store) -> None:
    group = Group(store.call)
    [task] = submitted(group, 1)
    await turns()
    [travel] = store.under_way
    store.bring_back(travel)
    assert await task == "answer 0"


async def test_items_of_one_turn_leave_together(store: Store) -> None:
    group = Group(store.call)
    submitted(group, 5)
    await turns()
    assert [len(travel.things) for travel in store.under_way] == [5]


async def test_what_comes_while_a_call_is_under_way_leaves_together_when_it_is_back(
    store: Store,
) -> None:
    group = Group(store.call)
    submitted(group, 1)
    await turns()
    for number in range(3):
        submitted(group, 1, first=1 + number)
        await turns()
    [travel] = store.under_way
    store.bring_back(travel)
    await turns()
    assert [t.number for t in store.under_way[0].things] == [1, 2, 3]


async def test_no_call_takes_more_than_the_limit_and_all_leave_in_order_of_arrival(
    store: Store,
) -> None:
    group = Group(store.call, batch_max=4)
    tasks = submitted(group, 10)
    seen: list[list[int]] = []
    while not all(task.done() for task in tasks):
        await turns()
        for travel in list(store.under_way):
            seen.append([thing.number for thing in travel.things])
            store.bring_back(travel)
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


async def test_no_more_calls_are_under_way_than_the_limit(store: Store) -> None:
    group = Group(store.call, batch_max=1, in_flight_max=IN_FLIGHT_MAX)
    submitted(group, 5)
    await turns()
    assert len(store.under_way) == IN_FLIGHT_MAX
    store.bring_back(store.under_way[0])
    await turns()
    assert [travel.things[0].number for travel in store.under_way] == [1, 2]


@pytest.mark.parametrize("keys", [None, keys_of], ids=["without keys", "with keys"])
async def test_callers_that_were_answered_together_do_not_stay_together(
    store: Store, keys: Callable[[Thing], Sequence[str]] | None
) -> None:
    group = Group(store.call, keys=keys, in_flight_max=IN_FLIGHT_MAX, split_min=5)
    submitted(group, 4)
    await turns()
    assert [len(travel.things) for travel in store.under_way] == [4]
    submitted(group, 7, first=4)
    await turns()
    assert [len(travel.things) for travel in store.under_way] == [4, 7]
    for travel in list(store.under_way):
        store.bring_back(travel)
    await turns()
    submitted(group, 7, first=11)
    await turns()
    assert [[thing.number for thing in travel.things] for travel in store.under_way] == [
        [11, 12, 13, 14],
        [15, 16, 17],
    ]


async def test_a_group_of_one_call_is_never_split(store: Store) -> None:
    group = Group(store.call, split_min=2)
    submitted(group, 6)
    await turns()
    assert [len(travel.things) for travel in store.under_way] == [6]


async def test_each_item_gets_its_own_result_or_its_own_error(store: Store) -> None:
    group = Group(store.call)
    tasks = submitted(group, 3)
    await turns()
    store.under_way[0].back.set_result(["first", KeyError("second"), "third"])
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert answers[0] == "first"
    assert isinstance(answers[1], KeyError)
    assert answers[2] == "third"


async def test_the_error_of_a_call_is_told_to_everyone_who_travelled_in_it(store: Store) -> None:
    group = Group(store.call)
    lost = submitted(group, 3)
    await turns()
    later = submitted(group, 1, first=3)
    store.fail(store.under_way[0], ConnectionError("gone"))
    answers = await asyncio.gather(*lost, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionError] * 3
    await turns()
    store.bring_back(store.under_way[0])
    assert await later[0] == "answer 3"


async def test_an_outage_is_told_to_everyone_who_waits(store: Store) -> None:
    group = Group(store.call, batch_max=1, outages=(ConnectionError,))
    asked = [asyncio.create_task(group.submit(Thing(number))) for number in range(4)]
    await turns()
    store.fail(store.under_way[0], ConnectionError("away"))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionError] * 4
    assert store.left == [Thing(0)]
    again = asyncio.create_task(group.submit(Thing(9)))
    await turns()
    store.bring_back(store.under_way[0])
    assert await again == answer_to(Thing(9))


@pytest.mark.parametrize("answers", [[], ["one"], ["one", "two", "three"]])
async def test_a_call_that_miscounts_leaves_nobody_waiting(
    store: Store, answers: list[str]
) -> None:
    group = Group(store.call)
    tasks = submitted(group, 2)
    await turns()
    store.under_way[0].back.set_result(answers)
    told = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
    assert [type(answer) for answer in told] == [ValueError] * 2


async def test_items_that_share_a_key_follow_one_another_and_others_pass_them(
    store: Store,
) -> None:
    group = Group(store.call, keys=keys_of, in_flight_max=IN_FLIGHT_MAX)
    first = submitted(group, 2, "a")
    other = submitted(group, 1, "b", first=2)
    await turns()
    assert [[t.number for t in travel.things] for travel in store.under_way] == [[0, 2]]
    store.bring_back(store.under_way[0])
    await turns()
    assert first[0].done()
    assert other[0].done()
    assert not first[1].done()
    assert [[t.number for t in travel.things] for travel in store.under_way] == [[1]]


async def test_an_item_with_two_keys_waits_for_both_and_is_not_passed_by_either(
    store: Store,
) -> None:
    group = Group(store.call, keys=keys_of, in_flight_max=IN_FLIGHT_MAX)
    submitted(group, 1, "a")
    submitted(group, 1, "a", "b", first=1)
    submitted(group, 1, "b", first=2)
    await turns()
    assert [[t.number for t in travel.things] for travel in store.under_way] == [[0]]
    store.bring_back(store.under_way[0])
    await turns()
    assert [[t.number for t in travel.things] for travel in store.under_way] == [[1]]


async def test_a_key_is_free_again_after_a_call_failed(store: Store) -> None:
    group = Group(store.call, keys=keys_of)
    lost = submitted(group, 1, "a")
    await turns()
    store.fail(store.under_way[0], ConnectionError("gone"))
    await asyncio.wait(lost)
    again = submitted(group, 1, "a")
    await turns()
    store.bring_back(store.under_way[0])
    assert await again[0] == "answer 0"
    assert isinstance(lost[0].exception(), ConnectionError)


async def test_when_too_many_wait_further_ones_are_refused_and_not_taken(store: Store) -> None:
    group = Group(store.call, batch_max=1, waiting_max=2)
    submitted(group, 1)
    await turns()
    waiting = submitted(group, 2, first=1)
    await turns()
    with pytest.raises(Overloaded):
        await group.submit(Thing(3))
    while store.under_way:
        store.bring_back(store.under_way[0])
        await turns()
    assert [await task for task in waiting] == ["answer 1", "answer 2"]
    assert store.calls == 3


async def test_a_caller_that_goes_away_does_not_recall_its_item(store: Store) -> None:
    group = Group(store.call)
    submitted(group, 1)
    await turns()
    leaving, staying = submitted(group, 2, first=1)
    await turns()
    leaving.cancel()
    store.bring_back(store.under_way[0])
    await turns()
    assert [thing.number for thing in store.under_way[0].things] == [1, 2]
    store.bring_back(store.under_way[0])
    assert await staying == "answer 2"
    assert leaving.cancelled()


async def test_who_was_held_back_is_not_passed_by_what_a_full_call_left_behind(
    store: Store,
) -> None:
    group = Group(store.call, keys=keys_of, batch_max=2, in_flight_max=IN_FLIGHT_MAX)
    submitted(group, 1, "a")
    await turns()
    submitted(group, 1, "a", first=1)
    submitted(group, 2, first=2)
    submitted(group, 1, "a", first=4)
    await turns()
    assert [[t.number for t in travel.things] for travel in store.under_way] == [[0], [2, 3]]
    store.bring_back(store.under_way[0])
    await turns()
    assert [[t.number for t in travel.things] for travel in store.under_way] == [[2, 3], [1]]


async def test_drain_returns_when_nothing_waits_or_is_under_way(store: Store) -> None:
    group = Group(store.call, batch_max=1)
    await group.drain()
    tasks = submitted(group, 3)

    async def bring_all_back() -> None:
        while not all(task.done() for task in tasks):
            await turns()
            for travel in list(store.under_way):
                store.bring_back(travel)

    returning = asyncio.create_task(bring_all_back())
    await asyncio.sleep(0)
    assert store.calls == 0, "they wait, and none has left yet"
    async with asyncio.timeout(10):
        await group.drain()
    assert store.calls == 3
    await returning


class Grouping(RuleBasedStateMachine):
    """Any order of coming, going, answering and failing."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.store = Store()
        self.group = Group(
            self.store.call,
            keys=keys_of,
            batch_max=BATCH_MAX,
            in_flight_max=IN_FLIGHT_MAX,
            waiting_max=WAITING_MAX,
        )
        self.tasks: dict[Thing, asyncio.Task[str]] = {}
        self.expected: dict[Thing, str | type[Exception]] = {}

    def turn(self) -> None:
        self.runner.run(turns())

    @property
    def waiting(self) -> list[Thing]:
        return [thing for thing in self.tasks if thing not in self.store.left]

    @rule(keys=st.lists(st.sampled_from(KEYS), max_size=2, unique=True))
    def submit(self, keys: list[str]) -> None:
        thing = Thing(len(self.tasks), tuple(keys))
        if len(self.waiting) >= WAITING_MAX:
            with pytest.raises(Overloaded):
                self.runner.run(self.group.submit(thing))
            return
        self.tasks[thing] = self.runner.get_loop().create_task(self.group.submit(thing))
        self.turn()

    @precondition(lambda self: self.store.under_way)
    @rule(which=st.integers(0, IN_FLIGHT_MAX - 1), fails=st.booleans())
    def come_back(self, which: int, fails: bool) -> None:
        travel = self.store.under_way[which % len(self.store.under_way)]
        for thing in travel.things:
            self.expected[thing] = ConnectionError if fails else answer_to(thing)
        if fails:
            self.store.fail(travel, ConnectionError("gone"))
        else:
            self.store.bring_back(travel)
        self.turn()

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, WAITING_MAX))
    def go_away(self, which: int) -> None:
        thing = self.waiting[which % len(self.waiting)]
        self.tasks[thing].cancel()
        self.turn()

    @invariant()
    def nothing_travels_that_should_not(self) -> None:
        under_way = self.store.under_way
        assert len(under_way) <= IN_FLIGHT_MAX
        assert all(1 <= len(travel.things) <= BATCH_MAX for travel in under_way)
        keys = [key for travel in under_way for thing in travel.things for key in thing.keys]
        assert len(keys) == len(set(keys))
        assert len(self.store.left) == len(set(self.store.left))

    @invariant()
    def nothing_waits_that_could_leave(self) -> None:
        if len(self.store.under_way) == IN_FLIGHT_MAX:
            return
        held = {k for travel in self.store.under_way for t in travel.things for k in t.keys}
        for thing in self.waiting:
            assert not held.isdisjoint(thing.keys), thing
            held.update(thing.keys)

    @invariant()
    def who_shares_a_key_leaves_in_order_of_arrival(self) -> None:
        for key in KEYS:
            numbers = [thing.number for thing in self.store.left if key in thing.keys]
            assert numbers == sorted(numbers)

    @invariant()
    def every_answer_is_told_to_the_one_who_asked(self) -> None:
        for thing, task in self.tasks.items():
            if not task.done() or task.cancelled():
                continue
            assert thing in self.expected
            error = task.exception()
            assert (task.result() if error is None else type(error)) == self.expected[thing]
        for thing in self.expected:
            assert self.tasks[thing].done()

    def teardown(self) -> None:
        self.turn()
        draining = self.runner.get_loop().create_task(self.group.drain())
        while self.store.under_way:
            for travel in list(self.store.under_way):
                for thing in travel.things:
                    self.expected[thing] = answer_to(thing)
                self.store.bring_back(travel)
            self.turn()
        self.runner.run(asyncio.wait_for(draining, 10))
        self.every_answer_is_told_to_the_one_who_asked()
        assert all(task.done() for task in self.tasks.values())
        self.runner.close()


TestGrouping = Grouping.TestCase
TestGrouping.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


async def test_no_item_is_begun_after_the_weight_of_a_call_is_reached(store: Store) -> None:
    group = Group(store.call, keys=keys_of, batch_max=9, weigh=lambda t: t.number, weight_max=5)
    asked = [
        asyncio.create_task(group.submit(Thing(number, (str(number),)))) for number in (2, 4, 1)
    ]
    await turns()
    assert store.left == [Thing(2, ("2",)), Thing(4, ("4",))]
    store.bring_back(store.under_way[0])
    await turns()
    assert store.left[2:] == [Thing(1, ("1",))]
    store.bring_back(store.under_way[0])
    assert await asyncio.gather(*asked) == ["answer 2", "answer 4", "answer 1"]
