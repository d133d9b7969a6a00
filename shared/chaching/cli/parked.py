"""`chaching parked`: look at the events that a subscriber could not handle, and decide."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import click
import msgspec

from chaching.cli.options import broker_url, hush_libraries
from chaching.cli.output import FORMATS, confirm, instant, printable, table
from chaching.domain.ids import AccountId, CustomerId, EventId, Mode
from chaching.envelope import Position
from chaching.local.places import data_dir
from chaching.subscriber.events import Order, Received
from chaching.subscriber.parked import ParkedRefused, parked_queue
from chaching.subscriber.parking import waits_behind

LISTED: Final = (
    *("POSITION", "EVENT ID", "TYPE", "ACCOUNT", "MODE", "CUSTOMER"),
    *("TRIES", "REASON", "PARKED"),
)
QUEUE: Final = click.option("--queue", required=True, help="the subscriber's own queue")
FORMAT: Final = click.option("--format", "form", type=FORMATS, default="text", show_default=True)
POSITION: Final = click.option(
    "--position", type=click.IntRange(min=1), help="only the event at this position"
)
CUSTOMER: Final = click.option("--customer", help="only the events of this customer")


class ListedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A parked event without anything personal."""

    position: Position
    event_id: EventId
    type: str
    account: AccountId
    mode: Mode
    customer: CustomerId
    tries: int
    reason: str | None
    parked_at: datetime | None


class ShownEvent(ListedEvent, frozen=True, kw_only=True):
    """A parked event with all that it and its error say."""

    detail: str | None
    time: datetime
    version: int
    previous_position: Position
    log: str
    body: msgspec.Raw


@click.group()
def parked() -> None:
    """Events that a subscriber could not handle."""
    hush_libraries()


@parked.command("list")
@QUEUE
@FORMAT
def list_command(queue: str, form: str) -> None:
    """List the parked events, oldest first, with nothing personal."""
    events = asyncio.run(parked_events(queue))
    found = [listed(event) for event in events]
    for position in waited_for(events):
        click.echo(f"chaching: {lost_hint(queue, position)}", err=True)
    if form == "json":
        click.echo(msgspec.json.encode({"parked": found}))
    elif found:
        click.echo(table([LISTED, *(listed_row(event) for event in found)]))
    else:
        click.echo("no parked events")


@parked.command("show")
@click.argument("position", type=click.IntRange(min=1))
@QUEUE
@FORMAT
def show(position: int, queue: str, form: str) -> None:
    """Show the parked event at a position, with its error and its personal data."""
    [event] = chosen(asyncio.run(parked_events(queue)), position, None)
    found = shown(event)
    if form == "json":
        click.echo(msgspec.json.encode(found))
        return
    event = {name: told for name, told in msgspec.structs.asdict(found).items() if name != "detail"}
    click.echo(msgspec.json.format(msgspec.json.encode(event), indent=2))
    for line in (found.detail or "").splitlines():
        click.echo(printable(line))


@parked.command("replay")
@QUEUE
@POSITION
@CUSTOMER
@FORMAT
def replay(queue: str, position: int | None, customer: str | None, form: str) -> None:
    """Put parked events back into the subscriber's queue, in order; all unless told which."""
    events = asyncio.run(give_back(queue, "replay", position, customer))
    told(events, f"went back to {queue}", form)


@parked.command("discard")
@QUEUE
@POSITION
@CUSTOMER
@click.option("--all", "everything", is_flag=True, help="all parked events")
@click.option(
    "--lost", is_flag=True, help="the event at --position, whose message is not there any more"
)
@click.option("--yes", is_flag=True, help="do not ask")
@FORMAT
def discard(
    queue: str,
    position: int | None,
    customer: str | None,
    everything: bool,
    lost: bool,
    yes: bool,
    form: str,
) -> None:
    """Give parked events up: the subscriber is told to pass over them for good."""
    if lost:
        if position is None or customer is not None or everything:
            raise click.UsageError("--lost takes --position, and nothing else says which")
        discard_lost(queue, position, yes=yes, form=form)
        return
    if not everything and position is None and customer is None:
        raise click.UsageError("say which: --position, --customer or --all")
    if not yes and (found := chosen(asyncio.run(parked_events(queue)), position, customer)):
        asked = f"discard {events_of(len(found))} of {queue} for good?"
        confirm(asked)
    events = asyncio.run(give_back(queue, "discard", position, customer))
    told(events, f"of {queue} will be passed over", form)


def discard_lost(queue: str, position: int, *, yes: bool, form: str) -> None:
    """Tell the subscriber to pass over an event whose message was deleted, after a yes."""
    if not yes:
        asked = f"discard the event at {position} of {queue}, without its message, for good?"
        confirm(asked)
    asyncio.run(give_up(queue, Position(position)))
    if form == "json":
        click.echo(msgspec.json.encode({"positions": [position]}))
    else:
        click.echo(f"if {position} of {queue} is parked, it will be passed over")


async def give_up(queue: str, position: Position) -> None:
    """Send the order to pass over an event whose message is lost."""
    async with parked_queue(broker_url(data_dir()), queue) as parked_there:
        await parked_there.give_up(position)


async def parked_events(queue: str) -> list[Received]:
    """Answer what is parked for a subscriber."""
    async with parked_queue(broker_url(data_dir()), queue) as parked_there:
        return parked_there.events


async def give_back(
    queue: str, order: Order, position: int | None, customer: str | None
) -> list[Received]:
    """Send the chosen events to their subscriber with an order; answer which."""
    async with parked_queue(broker_url(data_dir()), queue) as parked_there:
        events = chosen(parked_there.events, position, customer)
        await parked_there.give_back(events, order)
        return events


def chosen(
    events: Sequence[Received], position: int | None, customer: str | None
) -> list[Received]:
    """Answer the events of a position or a customer.

    Raises:
        ParkedRefused: there are none.
    """
    found = [
        event
        for event in events
        if position in {None, event.position} and customer in {None, event.key.id}
    ]
    if found or (position is None and customer is None):
        return found
    if customer is not None:
        where = "" if position is None else f" at position {position}"
        raise ParkedRefused(
            f"no event of {customer} is parked there{where}; `chaching parked list` shows what is"
        )
    raise ParkedRefused(
        f"no event is parked there at position {position}; if its message was deleted by hand, "
        f"`chaching parked discard --position {position} --lost` gives it up"
    )


def listed(event: Received) -> ListedEvent:
    """Answer what may be told of an event in a list."""
    return ListedEvent(**facts(event))


def shown(event: Received) -> ShownEvent:
    """Answer everything about an event."""
    known = event.known
    return ShownEvent(
        **facts(event),
        detail=known.parked_detail,
        time=known.time,
        version=known.version,
        previous_position=known.previous_position,
        log=event.log_id,
        body=msgspec.Raw(event.body),
    )


def facts(event: Received) -> dict[str, Any]:
    """Answer the attributes of a listed event."""
    known = event.known
    return {
        "position": known.position,
        "event_id": known.id,
        "type": known.type,
        "account": known.account,
        "mode": known.mode,
        "customer": known.customer_id,
        "tries": known.parked_tries,
        "reason": known.parked_reason,
        "parked_at": known.parked_at,
    }


def listed_row(event: ListedEvent) -> Sequence[str]:
    """Answer the cells of an event's line."""
    return (
        str(event.position),
        event.event_id,
        event.type,
        event.account,
        event.mode,
        event.customer,
        str(event.tries),
        event.reason or "-",
        instant(event.parked_at),
    )


def waited_for(events: Sequence[Received]) -> list[Position]:
    """Answer what events wait behind and is not there: dealt with since, or lost."""
    before = {waits_behind(event.known.parked_reason or "") for event in events}
    missing = before - {event.position for event in events}
    return sorted(position for position in missing if position is not None)


def lost_hint(queue: str, position: Position) -> str:
    """Answer what a person can do about an event that others wait behind."""
    parked_there = f"{queue}.parked"
    return (
        f"events wait behind {position}, which is not there. Replay them; if they come back, its "
        f"message was lost. Bring it back with `chaching replay --queue {parked_there} "
        f"--from {position} --to {position}`, or give it up with `chaching parked discard "
        f"--queue {queue} --position {position} --lost`"
    )


def told(events: Sequence[Received], what: str, form: str) -> None:
    """Print what became of events."""
    if form == "json":
        click.echo(msgspec.json.encode({"positions": [event.position for event in events]}))
    else:
        click.echo(f"{events_of(len(events))} {what}")


def events_of(count: int) -> str:
    return "1 event" if count == 1 else f"{count} events"
