"""What must hold for every input, however broken: the judge of the fuzz campaign.

An input is decoded, read as every operation reads it, decided, encoded for the log and decoded
again. It is either refused as the contract refuses, or it ends as a customer that PostgreSQL can
hold and that comes back equal. Anything else is an AssertionError or whatever was raised.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Final, Literal, TypeAlias, TypeVar, cast

import msgspec
from tests.fuzz.given import Given

from chaching import envelope as log
from chaching.domain.customer import (
    Command,
    CreateCustomer,
    Customer,
    Rejected,
    UpdateCustomer,
    decide,
    evolve,
)
from chaching.domain.customer_object import render
from chaching.domain.ids import AccountId, CustomerId, EventId, RequestId
from chaching.domain.values import Details
from chaching.envelope import Decided, Metadata, Position, RecordedEvent, StreamKey, Version
from chaching_api.bodies import LEVELS_MAX, PAIRS_MAX, Tree, decode
from chaching_api.errors import Malformed, envelope, failure_of
from chaching_api.event_parameters import read_diff, read_event_list, read_history
from chaching_api.parameters import read_create, read_list, read_nothing, read_retrieve, read_update
from chaching_api.texts import SHOWN_NAME_CHARACTERS_MAX

T = TypeVar("T")
Verdict: TypeAlias = Literal["malformed", "refused", "rejected", "taken"]
VERDICTS: Final[tuple[Verdict, ...]] = ("malformed", "refused", "rejected", "taken")

AT: Final = 1_700_000_000
MESSAGE_CHARACTERS_MAX: Final = 1_500  # the longest names the types of tax numbers
NAMES_MESSAGE_CHARACTERS_MAX: Final = 100 + PAIRS_MAX * (SHOWN_NAME_CHARACTERS_MAX + len(", "))
PARAM_CHARACTERS_MAX: Final = SHOWN_NAME_CHARACTERS_MAX
INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
RECORDED_AT: Final = datetime(2025, 4, 30, tzinfo=UTC)

# the keys of metadata are the caller's; a refusal may name one that no form could spell
SPELLED: Final = re.compile(r"metadata\[.*\]|[^\[\]]+(\[[^\[\]]*\])*")
ABOUT_SPELLING: Final = (
    "Invalid parameter name: ",
    "Invalid percent-encoding in parameter: ",
    "Invalid UTF-8 in parameter: ",
    "Invalid character in parameter: ",
)


def judge(given: Given) -> Verdict:
    """Return how far an input gets; raises AssertionError where a promise is broken."""
    try:
        tree = decode(given.content_type, given.body, given.query)
    except Malformed as fault:
        judge_refusal(fault)
        return "malformed"
    judge_tree(tree)
    assert msgspec.json.encode(tree, order="sorted")  # the fingerprint of a request needs it
    for read in (read_retrieve, read_list, read_history, read_diff, read_event_list, read_nothing):
        _attempt(partial(read, tree))
    live, test = _judge_customer(tree, livemode=True), _judge_customer(tree, livemode=False)
    return live if VERDICTS.index(live) > VERDICTS.index(test) else test


def judge_tree(tree: Tree) -> None:
    """A tree is text in lists and dicts, no deeper and no more of it than the contract allows."""
    assert type(tree) is dict
    leaves = 0
    for depth, node in _nodes(tree, 0):
        assert depth <= LEVELS_MAX, "too deep"
        assert isinstance(node, str | list | dict), type(node)
        if isinstance(node, str):
            assert "\0" not in node
            assert node.encode() is not None
        leaves += isinstance(node, str) or not node
    assert leaves <= PAIRS_MAX + (not tree), "too many leaves"


def judge_refusal(refusal: Malformed | Rejected) -> None:
    """A refusal is answered in the envelope, in a bounded and printable sentence."""
    failure = failure_of(refusal)
    assert 400 <= failure.status < 500, failure
    fields: dict[str, str] = json.loads(envelope(failure).decode())["error"]
    assert list(fields) == sorted(fields)
    message, param = fields["message"], fields.get("param")
    assert message, failure
    assert message.isprintable(), ascii(message)
    names = fields.get("reason") == "parameter_unknown"
    limit = NAMES_MESSAGE_CHARACTERS_MAX if names else MESSAGE_CHARACTERS_MAX
    assert len(message) <= limit, f"a message of {len(message)} characters: {message[:100]}"
    if param is not None:
        assert param.isprintable(), ascii(param)
        assert len(param) <= PARAM_CHARACTERS_MAX, f"a param of {len(param)}: {param[:100]}"
        assert SPELLED.fullmatch(param) or message.startswith(ABOUT_SPELLING), ascii(param)


def _judge_customer(tree: Tree, *, livemode: bool) -> Verdict:
    ids = itertools.count()

    def new_id(prefix: str) -> str:
        return f"{prefix}{next(ids)}"

    created = _attempt(lambda: read_create(tree, livemode=livemode, at=AT, new_id=new_id))
    customer: Customer | None = None
    if created is not None:
        create = CreateCustomer(
            id=CustomerId(created.id or "cus_1"),
            livemode=livemode,
            at=AT,
            invoice_prefix=created.details.invoice_prefix or "CCC",
            details=created.details,
        )
        customer = _judge_command(create, None)
    updated = _attempt(lambda: read_update(tree, livemode=livemode, at=AT, new_id=new_id))
    if updated is None:
        return "refused"
    before = customer or _plain(livemode=livemode)
    update = UpdateCustomer(id=before.id, at=AT, details=updated.details)
    after = _judge_command(update, before)
    return "taken" if customer is not None and after is not None else "rejected"


def _attempt(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except Malformed as fault:
        judge_refusal(fault)
        return None


def _judge_command(command: Command, state: Customer | None) -> Customer | None:
    try:
        event = decide(command, state)
    except Rejected as rejection:
        judge_refusal(rejection)
        return None
    if event is None:
        return state
    after = evolve(state, event)
    version = Version(0 if state is None else 1)
    decided = Decided(
        key=StreamKey(AccountId("acct_1"), after.livemode, after.id),
        version=version,
        event=event,
        after=after,
        event_id=EventId("evt_1"),
        metadata=Metadata(request_id=RequestId("req_1")),
    )
    [pending] = log.encode([decided])
    for text in (pending.payload, pending.state):
        if text is not None:
            _judge_stored(json.loads(text))
    recorded = RecordedEvent(
        position=Position(version + 1),
        key=pending.key,
        version=Version(version + 1),
        previous_position=Position(version),
        event_id=pending.event_id,
        type=pending.type,
        schema_version=pending.schema_version,
        payload=pending.payload,
        state=pending.state,
        metadata=pending.metadata,
        recorded_at=RECORDED_AT,
    )
    assert evolve(state, log.decode_event(recorded)) == after
    assert log.decode_customers([recorded]) == [after]
    assert json.loads(render(after).decode())["id"] == after.id
    return after


def _judge_stored(value: object) -> None:
    """PostgreSQL's json takes neither NUL nor half a surrogate pair, its bigint no more."""
    for _, node in _nodes(value, 0):
        if isinstance(node, str):
            assert "\0" not in node
            assert node.encode() is not None
        else:
            assert not isinstance(node, int) or INT64_MIN <= node <= INT64_MAX, node


def _nodes(value: object, depth: int) -> Iterator[tuple[int, object]]:
    """Yield every value in a tree with its depth, names included."""
    yield depth, value
    if isinstance(value, dict):
        for name, child in cast("dict[str, object]", value).items():
            assert type(name) is str
            assert "\0" not in name
            assert name.encode() is not None
            yield from _nodes(child, depth + 1)
    elif isinstance(value, list):
        for child in cast("list[object]", value):
            yield from _nodes(child, depth + 1)
    else:
        assert value is None or isinstance(value, str | int), type(value)


def _plain(*, livemode: bool) -> Customer:
    command = CreateCustomer(
        id=CustomerId("cus_1"),
        livemode=livemode,
        at=AT,
        invoice_prefix="CCC",
        details=Details(),
    )
    event = decide(command, None)
    assert event is not None
    return evolve(None, event)
