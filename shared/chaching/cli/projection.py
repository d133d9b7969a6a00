"""`chaching projection`: whether the read model is what the log says."""

import asyncio
import os
import sys
import time
from typing import Final

import click
import msgspec

from chaching.cli.options import database_url
from chaching.cli.output import FORMATS, printable_json
from chaching.comparison.expected import Differing
from chaching.comparison.folding import Difference
from chaching.comparison.ranges import NAMED_MAX_DIFFERENCES, Progress, compare_all
from chaching.local.master_key import keyring as keyring_of
from chaching.local.places import data_dir

WORKERS_MAX: Final = 64
PROGRESS_EVERY_S: Final = 1.0
DIFFERENT: Final = 1


@click.group()
def projection() -> None:
    """The read model."""


@projection.command("verify")
@click.option(
    "--workers",
    type=click.IntRange(min=1, max=WORKERS_MAX),
    default=lambda: os.cpu_count() or 1,
    show_default="one a processor",
    help="processes that fold",
)
@click.option("--show-values", is_flag=True, help="also the values that differ, personal ones too")
@click.option("--format", "form", type=FORMATS, default="text", show_default=True)
def verify(workers: int, form: str, *, show_values: bool) -> None:
    """Compare the read model with a fresh fold of the log; the exit code is 1 if they differ.

    The states that stand beside the events are compared as well. Writes may go on meanwhile.
    """
    last_told_s = time.monotonic()

    def told(progress: Progress) -> None:
        nonlocal last_told_s
        if (now_s := time.monotonic()) - last_told_s >= PROGRESS_EVERY_S:
            last_told_s = now_s
            click.echo(summary(progress), err=True)

    url, keyring = database_url(data_dir()), keyring_of(data_dir())
    progress = asyncio.run(
        compare_all(url, keyring, workers=workers, with_values=show_values, told=told)
    )
    if form == "json":
        click.echo(msgspec.json.encode(report(progress, workers)))
    else:
        for difference in progress.differences:
            click.echo(line_of(difference))
        if progress.difference_count > len(progress.differences):
            click.echo(f"only the first {NAMED_MAX_DIFFERENCES} differences are named")
        click.echo(f"{summary(progress)}, as of position {progress.position}")
    if progress.difference_count:
        sys.exit(DIFFERENT)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the comparison came to, for a machine."""

    position: int
    events: int
    customers: int
    difference_count: int
    differences: list[Difference]
    elapsed_s: float
    events_per_s: int
    workers: int


def report(progress: Progress, workers: int) -> Report:
    return Report(
        position=progress.position,
        events=progress.events,
        customers=progress.customers,
        difference_count=progress.difference_count,
        differences=progress.differences,
        elapsed_s=round(progress.elapsed_s, 3),
        events_per_s=progress.events_per_s,
        workers=workers,
    )


def summary(progress: Progress) -> str:
    """Answer how far the comparison came, in one line."""
    return (
        f"{progress.events:,} events of {progress.customers:,} customers compared in "
        f"{progress.elapsed_s:.1f} s, {progress.events_per_s:,} events/s, "
        f"differences: {progress.difference_count:,}"
    )


def line_of(difference: Difference) -> str:
    """Answer what differs, without any value of a customer unless values were asked for."""
    where = f"{difference.account} ({difference.mode}) {difference.customer}"
    told = [f"{difference.kind} {where} version {difference.version}"]
    if difference.detail is not None:
        told.append(difference.detail)
    if difference.values:
        told += [valued(one) for one in difference.values]
    elif difference.attributes:
        told.append(", ".join(difference.attributes))
    return ": ".join([told[0], "; ".join(told[1:])]) if told[1:] else told[0]


def valued(one: Differing) -> str:
    return (
        f"{one.attribute} is {printable_json(one.found)} instead of {printable_json(one.expected)}"
    )
