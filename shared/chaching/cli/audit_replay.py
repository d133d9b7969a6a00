"""`chaching audit replay`: the life of a customer, event by event."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable
from typing import Final

import click
import msgspec
from msgspec import UNSET, UnsetType

from chaching import envelope
from chaching.cli.options import MODES, checked_account, database_url
from chaching.cli.output import COLOURS, FORMATS, printable, printable_json, wants_colour
from chaching.cli.points import Points, part_between
from chaching.domain.changes import Change
from chaching.domain.customer_object import render
from chaching.domain.ids import Mode, mode_of
from chaching.envelope import NO_VERSION, RecordedEvent, StreamKey, Undecodable
from chaching.eventstore.database import Database
from chaching.eventstore.encryption import Keyring
from chaching.eventstore.past import PastEvents
from chaching.eventstore.store import EventStore
from chaching.history import HistoryEntry, Who, entry_of
from chaching.local.errors import LocalError
from chaching.local.master_key import keyring as keyring_of
from chaching.local.places import data_dir
from chaching.moments import AtVersion, Moment

POINTS: Final = Points(bare="seconds", version=True)
READ_MAX_EVENTS: Final = 100
NAMED_MAX_STREAMS: Final = 10
SESSIONS_MAX: Final = 1
TYPE_COLORS: Final = {
    "customer.created": "green",
    "customer.updated": "yellow",
    "customer.deleted": "red",
    "customer.erased": "red",
}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One line for a machine: an entry of the history, and the customer right after it.

    ``object`` is None, and ``unreadable`` says why, when what is stored of the customer cannot be
    read.
    """

    account: str
    entry: HistoryEntry
    object: msgspec.Raw | None
    unreadable: str | UnsetType = UNSET


@click.command("replay")
@click.argument("customer")
@click.option("--account", callback=checked_account, help="needed when several have this id")
@click.option("--mode", type=MODES, help="needed when both modes have this id")
@click.option(
    "--from",
    "first",
    metavar="POINT",
    callback=POINTS,
    help=f"where to begin, one of: {POINTS.forms}; else the first event",
)
@click.option(
    "--to",
    "last",
    metavar="POINT",
    callback=POINTS,
    help="where to end, with all that is named; else the last event",
)
@click.option(
    "--format",
    "form",
    type=FORMATS,
    default="text",
    show_default=True,
    help="json: one object a line, each with the customer after the event",
)
@click.option("--color", "--colour", "colour", type=COLOURS, default="auto", show_default=True)
def replay(
    *,
    customer: str,
    account: str | None,
    mode: Mode | None,
    first: Moment | None,
    last: Moment | None,
    form: str,
    colour: str,
) -> None:
    """Tell the life of CUSTOMER step by step, from the log alone."""
    part = _Part(first, last)
    url = database_url(data_dir())
    asyncio.run(_replay(url, customer, account, mode, part, form, color=wants_colour(colour)))


class _Part(msgspec.Struct, frozen=True):
    """Which part of a life is to be told; None: from the beginning, to the end."""

    first: Moment | None
    last: Moment | None


async def _replay(
    url: str,
    customer: str,
    account: str | None,
    mode: Mode | None,
    part: _Part,
    form: str,
    *,
    color: bool,
) -> None:
    keyring = keyring_of(data_dir()).lenient()
    database = Database(url, name="audit", sessions_max=SESSIONS_MAX)
    await database.open()
    try:
        key = await _named(database, keyring, customer, account, mode)
        if form == "text":
            click.echo(f"{key.id} of {key.account}, {mode_of(livemode=key.livemode)} mode")
        within = await _within(database, part)
        async for event in _events(database, keyring, key):
            if not within(event):
                continue
            if form == "json":
                click.echo(msgspec.json.encode(_step(event)))
            else:
                click.echo(_told(entry_of(event)), color=color)
            sys.stdout.flush()
    finally:
        await database.close()


async def _named(
    database: Database, keyring: Keyring, customer: str, account: str | None, mode: Mode | None
) -> StreamKey:
    """Return the one customer that is meant."""
    livemode = None if mode is None else mode == "live"
    found = await PastEvents(database, keyring).find_streams(
        customer, account=account, livemode=livemode, limit=NAMED_MAX_STREAMS
    )
    if not found:
        raise LocalError(f"the log has no customer {customer!r} there")
    if len(found) > 1:
        places = ", ".join(f"{k.account} ({mode_of(livemode=k.livemode)})" for k in found)
        raise LocalError(f"several have the id {customer}: {places}; say --account and --mode")
    return found[0]


async def _within(database: Database, part: _Part) -> Callable[[RecordedEvent], bool]:
    """Return what tells whether an event is in a part of a life."""
    of_log = [None if isinstance(end, AtVersion) else end for end in (part.first, part.last)]
    begin, end = await part_between(database, *of_log)
    from_version = part.first.version if isinstance(part.first, AtVersion) else None
    to_version = part.last.version if isinstance(part.last, AtVersion) else None
    if from_version is not None and to_version is not None and to_version < from_version:
        raise LocalError(f"--to, version {to_version}, is before --from, version {from_version}")

    def is_within(event: RecordedEvent) -> bool:
        return (
            (begin is None or event.position >= begin)
            and (end is None or event.position <= end)
            and (from_version is None or event.version >= from_version)
            and (to_version is None or event.version <= to_version)
        )

    return is_within


async def _events(
    database: Database, keyring: Keyring, key: StreamKey
) -> AsyncGenerator[RecordedEvent]:
    store, version = EventStore(database, keyring), NO_VERSION
    while events := await store.read_stream(key, version, READ_MAX_EVENTS):
        for event in events:
            yield event
        version = events[-1].version


def _step(event: RecordedEvent) -> Step:
    entry = entry_of(event)
    try:
        [customer] = envelope.decode_customers([event])
    except Undecodable as error:
        return Step(account=event.key.account, entry=entry, object=None, unreadable=str(error))
    return Step(account=event.key.account, entry=entry, object=msgspec.Raw(render(customer)))


def _told(entry: HistoryEntry) -> str:
    """Return the lines that tell a person of an event."""
    title = click.style(printable(entry.type), fg=TYPE_COLORS.get(entry.type), bold=True)
    lines = [
        "",
        f"{title}  version {entry.version}, position {entry.position}, {entry.time}",
    ]
    if entry.who is not None:
        lines.append(f"  by {_by(entry.who)}")
    if (why := entry.why) is not None:
        lines.append(f"  in {why.request_id}{_idempotency(why.idempotency_key)}")
        reasons = [r for r in (why.erasure_reason or None, why.reason) if r is not None]
        if reasons:
            lines.append(f"  because: {printable(': '.join(dict.fromkeys(reasons)))}")
    if entry.unreadable is not UNSET:
        lines.append(click.style(f"  ! cannot be read: {printable(entry.unreadable)}", fg="red"))
    changes = entry.changes or []
    width = max((len(printable(change.attribute)) for change in changes), default=0)
    return "\n".join([*lines, *(_line(change, width) for change in changes)])


def _by(who: Who) -> str:
    if who.key_id is None:  # from a command of ours, which says who ran it
        return "an unknown key" if who.key_name is None else printable(who.key_name)
    name = printable(who.key_name or "a key without a name")
    return f"{name} ({who.key_kind or 'of unknown kind'}, {who.key_id}) from {who.client_address}"


def _idempotency(key: str | None) -> str:
    return "" if key is None else f", idempotency key {printable(key)}"


def _line(change: Change, width: int) -> str:
    name = printable(change.attribute).ljust(width)
    if change.old is None and change.new is None:
        return click.style(f"  ~ {name}  (forgotten)", fg="yellow")
    if change.old is None:
        return click.style(f"  + {name}  {printable_json(change.new)}", fg="green")
    if change.new is None:
        return click.style(f"  - {name}  {printable_json(change.old)}", fg="red")
    old, new = printable_json(change.old), printable_json(change.new)
    return click.style(f"  ~ {name}  {old} \N{RIGHTWARDS ARROW} {new}", fg="yellow")
