"""`chaching events`: shows what happens, as it happens."""

import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

import click
import msgspec

from chaching.cli.event_lines import json_line, text_line
from chaching.cli.options import database_url
from chaching.cli.output import COLOURS, FORMATS, is_read, stop_printing, wants_colour
from chaching.cli.points import Points, first_of
from chaching.cli.selecting import Wanted, nobody_meant, selecting
from chaching.envelope import LogId, Position, RecordedEvent
from chaching.eventstore.database import Database
from chaching.eventstore.selection import expect_readable
from chaching.eventstore.store import EventStore
from chaching.following.tail import Tail
from chaching.local.master_key import keyring as keyring_of
from chaching.local.places import data_dir
from chaching.moments import LogMoment
from chaching.runtime.lifecycle import run_command

POINTS: Final = Points(bare="seconds")
SESSIONS_MAX: Final = 2
SHOWN_MAX_EVENTS: Final = 1_000_000_000


@click.group()
def events() -> None:
    """Events, straight from the log."""


@events.command()
@click.option(
    "--since", metavar="POINT", callback=POINTS, help=f"else from now on; one of: {POINTS.forms}"
)
@selecting
@click.option(
    "--limit", type=click.IntRange(min=1, max=SHOWN_MAX_EVENTS), help="end after so many events"
)
@click.option("--no-follow", is_flag=True, help="end at the end of the log; needs --since")
@click.option("--format", "form", type=FORMATS, default="text", show_default=True)
@click.option("--color", "--colour", "colour", type=COLOURS, default="auto", show_default=True)
def tail(
    since: LogMoment | None,
    wanted: Wanted,
    limit: int | None,
    no_follow: bool,
    form: str,
    colour: str,
) -> None:
    """Show events as they are appended; the broker is not needed."""
    if no_follow and since is None:
        raise click.UsageError("--no-follow needs --since")
    view = _View(
        wanted=wanted,
        since=since,
        limit=limit,
        follows=not no_follow,
        form=form,
        is_coloured=wants_colour(colour),
    )
    try:
        stopped_by = run_command(partial(_watch, database_url(data_dir()), view))
    except BrokenPipeError:
        stop_printing()
        return
    if stopped_by is not None:
        sys.exit(128 + stopped_by)


class _View(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be seen, and how."""

    wanted: Wanted
    since: LogMoment | None
    limit: int | None
    follows: bool
    form: str
    is_coloured: bool


async def _watch(url: str, view: _View) -> None:
    database = Database(url, name="events tail", sessions_max=SESSIONS_MAX)
    await database.open()
    try:
        await expect_readable(database)
        keyring = keyring_of(data_dir()).lenient()
        store = EventStore(database, keyring)
        log_id, shown = await store.log_id(), 0

        def show(events: Sequence[RecordedEvent]) -> None:
            nonlocal shown
            shown += len(events)
            _print(view, log_id, events)

        reader = Tail(
            database,
            keyring,
            view.wanted.selection,
            await _place_before(database, store, view.since),
            show=show,
            note=_note,
            is_wanted=is_read,
            limit=view.limit,
        )
        await (reader.follow() if view.follows else reader.show_present())
        if not shown and not view.follows:
            nobody = await nobody_meant(database, keyring, view.wanted)
            if nobody is not None:
                _note(nobody)
    finally:
        await database.close()


async def _place_before(database: Database, store: EventStore, since: LogMoment | None) -> Position:
    if since is None:
        return await store.head()
    return Position(await first_of(database, since) - 1)


def _print(view: _View, log_id: LogId, events: Sequence[RecordedEvent]) -> None:
    for event in events:
        if view.form == "json":
            click.echo(json_line(event, log_id))
        else:
            click.echo(text_line(event, colour=view.is_coloured), color=view.is_coloured)


def _note(what: str) -> None:
    click.echo(f"chaching: {what}", err=True)
