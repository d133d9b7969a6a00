"""`chaching replay`: feeds a part of the log to one queue, and says how far it has come."""

import asyncio
import shlex
import shutil
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import click
import msgspec
from click.shell_completion import CompletionItem

from chaching.broker.errors import AccessRefused, BrokerUnavailable, EntryRefused, QueueMissing
from chaching.broker.topology import names_under
from chaching.cli.options import broker_url, database_url, hush_libraries
from chaching.cli.output import FORMATS, progress_bar
from chaching.cli.points import FIRST, Points, part_between
from chaching.cli.selecting import Wanted, nobody_meant, selecting
from chaching.eventstore.database import Database
from chaching.eventstore.errors import Unavailable
from chaching.eventstore.selection import expect_readable
from chaching.eventstore.store import EventStore
from chaching.following.replay import GIVE_UP_AFTER_S, Order, Replay, Stopped
from chaching.local.errors import LocalError
from chaching.local.master_key import keyring as keyring_of
from chaching.local.places import data_dir
from chaching.moments import LogMoment
from chaching.runtime.lifecycle import run_command

POINTS: Final = Points(bare="position")
REDRAW_EVERY_S: Final = 0.2
LINE_EVERY_S: Final = 5.0
SESSIONS_MAX: Final = 2
QUEUE_NAME_MAX_BYTES: Final = 255
WAIT_MAX_S: Final = 30 * 24 * 3600
# with nothing done, the same command would be refused again
REFUSALS: Final = (AccessRefused, EntryRefused, QueueMissing)


def checked_queue(_context: click.Context, _option: click.Parameter, queue: str) -> str:
    """Take what can be the name of a queue: it travels as a short string of AMQP."""
    if not 0 < len(queue.encode()) <= QUEUE_NAME_MAX_BYTES:
        raise click.BadParameter(f"1 to {QUEUE_NAME_MAX_BYTES} bytes")
    return queue


def known_queues(
    _context: click.Context, _option: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Offer the queues that everybody has; those of subscribers are not to be listed over AMQP."""
    names = names_under()
    known = (names.history, names.projector)
    return [CompletionItem(queue) for queue in known if queue.startswith(begun)]


@click.command("replay")
@click.option(
    "--queue",
    metavar="NAME",
    required=True,
    callback=checked_queue,
    shell_complete=known_queues,
    help="a queue that is there; no other one is touched",
)
@click.option(
    "--from",
    "first",
    metavar="POINT",
    callback=POINTS,
    required=True,
    help=f"where to begin, one of: {POINTS.forms}",
)
@click.option(
    "--to",
    "last",
    metavar="POINT",
    callback=POINTS,
    help="where to end, with all that is named; else the end of the log as it is at the start",
)
@selecting
@click.option(
    "--give-up-after-s",
    type=click.IntRange(min=0, max=WAIT_MAX_S),
    default=int(GIVE_UP_AFTER_S),
    show_default=True,
    help="seconds to wait for a full queue or a server that is away",
)
@click.option("--format", "form", type=FORMATS, default="text", show_default=True)
def replay(
    queue: str,
    first: LogMoment,
    last: LogMoment | None,
    wanted: Wanted,
    give_up_after_s: int,
    form: str,
) -> None:
    """Publish a part of the log to one queue, as it was published when it happened."""
    wish = _Wish(
        queue=queue,
        first=first,
        last=last,
        wanted=wanted,
        give_up_after_s=give_up_after_s,
    )
    hush_libraries()
    run = _Run(database_url(data_dir()), broker_url(data_dir()), wish)
    try:
        stopped_by = run_command(run.replay)
    except (BrokerUnavailable, QueueMissing, Stopped, Unavailable) as error:
        run.tell(form)
        raise LocalError(f"{error}{run.hint(error)}") from error
    run.tell(form)
    if stopped_by is not None:
        click.echo(f"interrupted{run.hint()}", err=True)
        sys.exit(128 + stopped_by)


class _Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, before the log was looked at."""

    queue: str
    first: LogMoment
    last: LogMoment | None
    wanted: Wanted
    give_up_after_s: int


class _Run:
    """One run of the command, from the wish to what is told of it."""

    def __init__(self, database_url: str, amqp_url: str, wish: _Wish) -> None:
        self._database_url = database_url
        self._amqp_url = amqp_url
        self._wish = wish
        self._replay: Replay | None = None
        self._started_at = self._ended_at = 0.0

    async def replay(self) -> None:
        database = Database(self._database_url, name="replay", sessions_max=SESSIONS_MAX)
        await database.open()
        try:
            await expect_readable(database)
            keyring = keyring_of(data_dir())
            order = await _order(database, EventStore(database, keyring), self._wish)
            self._replay = Replay(database, keyring, self._amqp_url, order)
            self._started_at = time.monotonic()
            async with _shown(self._replay, self._started_at):
                await self._replay.run()
            if not self._replay.published:
                nobody = await nobody_meant(database, keyring, self._wish.wanted)
                if nobody is not None:
                    click.echo(f"chaching: {nobody}", err=True)
        finally:
            self._ended_at = time.monotonic()
            await database.close()

    def hint(self, error: Exception | None = None) -> str:
        """Return the end of a sentence that tells how to go on, empty where that is of no use."""
        replay = self._replay
        if replay is None:
            return ""
        if isinstance(error, REFUSALS) and replay.position < replay.order.first:
            return ""
        going_on = self._going_on(replay)
        return "" if going_on is None else f"; go on with\n{going_on}"

    def tell(self, form: str) -> None:
        """Print what was done, if anything was; JSON as soon as it was begun."""
        replay = self._replay
        if replay is None:
            return
        elapsed_s = self._ended_at - self._started_at
        rate = _rate_per_s(replay, elapsed_s)
        if form == "json":
            told: dict[str, object] = {
                "queue": replay.order.queue,
                "from": replay.order.first,
                "to": replay.order.last,
                "position": replay.position,
                "published": replay.published,
                "seconds": round(elapsed_s, 3),
                "events_per_s": round(rate, 1),
                "complete": replay.position >= replay.order.last,
                "resume": self._going_on(replay),
            }
            click.echo(msgspec.json.encode(told))
        elif replay.position >= min(replay.order.first, replay.order.last):
            click.echo(
                f"replayed {replay.published:,} events up to position {replay.position} to "
                f"{replay.order.queue} in {elapsed_s:.1f} s ({rate:,.0f} events/s)"
            )

    def _going_on(self, replay: Replay) -> str | None:
        """Return the command that replays what is not confirmed yet, if there is anything."""
        if replay.position >= replay.order.last:
            return None
        patience_s = self._wish.give_up_after_s
        words = [
            *(_program(), "replay", "--queue", replay.order.queue),
            *("--from", f"{replay.position + 1}", "--to", f"{replay.order.last}"),
            *self._wish.wanted.words,
            *([] if patience_s == GIVE_UP_AFTER_S else ["--give-up-after-s", f"{patience_s}"]),
        ]
        return shlex.join(words)


async def _order(database: Database, store: EventStore, wish: _Wish) -> Order:
    """Return the positions that a wish means in the log as it is now."""
    first, last = await part_between(database, wish.first, wish.last)
    head = await store.head()  # of later than what times lead to, so only numbers are beyond
    first, last = first or FIRST, head if last is None else last
    if first > head + 1 or last > head:
        beyond = max(first, last)
        raise LocalError(
            f"the log ends at position {head}, before {beyond}; unix seconds begin with @"
        )
    return Order(
        queue=wish.queue,
        selection=wish.wanted.selection,
        first=first,
        last=last,
        give_up_after_s=wish.give_up_after_s,
    )


@asynccontextmanager
async def _shown(replay: Replay, started_at: float) -> AsyncGenerator[None]:
    """Show on stderr how far a replay has come, as a bar on a terminal, else as lines."""
    on_terminal = sys.stderr.isatty()
    showing = asyncio.create_task(_show(replay, started_at, on_terminal=on_terminal))
    try:
        yield
    finally:
        showing.cancel()
        await asyncio.wait({showing})
        if on_terminal:
            _draw(replay, started_at)
            click.echo("", err=True)


async def _show(replay: Replay, started_at: float, *, on_terminal: bool) -> None:
    while True:
        await asyncio.sleep(REDRAW_EVERY_S if on_terminal else LINE_EVERY_S)
        if on_terminal:
            _draw(replay, started_at)
        else:
            click.echo(_status(replay, started_at), err=True)


def _draw(replay: Replay, started_at: float) -> None:
    """Draw the bar over what stands in the terminal's line."""
    width = shutil.get_terminal_size().columns - 1
    line = f"{progress_bar(_share(replay))} {_status(replay, started_at)}"
    click.echo(f"\r{line[:width].ljust(width)}", err=True, nl=False)


def _status(replay: Replay, started_at: float) -> str:
    share, elapsed_s = _share(replay), time.monotonic() - started_at
    if replay.waiting_for is not None:
        rest = f"waiting: {replay.waiting_for}"
    else:
        left = timedelta(seconds=round(elapsed_s / share - elapsed_s)) if share > 0 else "?"
        rest = f"{_rate_per_s(replay, elapsed_s):,.0f} events/s, {left} left"
    return f"{share:4.0%} position {replay.position} of {replay.order.last}, {rest}"


def _rate_per_s(replay: Replay, elapsed_s: float) -> float:
    return replay.published / elapsed_s if elapsed_s > 0 else 0.0


def _share(replay: Replay) -> float:
    """Return how much of the positions is done, from 0 to 1."""
    order = replay.order
    total = order.last - order.first + 1
    return (replay.position - order.first + 1) / total if total > 0 else 1.0


def _program() -> str:
    """Return what starts this program: its name where the shell finds it, else its path."""
    found, called = shutil.which("chaching"), Path(sys.argv[0])
    return "chaching" if found and called.exists() and called.samefile(found) else sys.argv[0]
