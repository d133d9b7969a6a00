"""The options by which a command selects events: types, account, mode, customer."""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

import click
import msgspec
from click.shell_completion import CompletionItem

from chaching.cli.options import MODES, checked_account
from chaching.domain.ids import AccountId, CustomerId, Mode
from chaching.eventstore.database import Database
from chaching.eventstore.encryption import Keyring
from chaching.eventstore.past import PastEvents
from chaching.eventstore.selection import Selection, has_account
from chaching.public_event import PUBLIC_TYPES

TYPES_GIVEN_MAX: Final = 100

_PATTERN: Final = re.compile(r"[a-z._*]{1,100}")
_CUSTOMER: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; ``types`` are those of the messages, none for all."""

    types: tuple[str, ...]
    account: str | None
    mode: Mode | None
    customer: str | None

    @property
    def selection(self) -> Selection:
        stored = tuple(name for name, shown in PUBLIC_TYPES.items() if shown in self.types)
        return Selection(
            types=stored if self.types and len(stored) < len(PUBLIC_TYPES) else None,
            account=None if self.account is None else AccountId(self.account),
            livemode=None if self.mode is None else self.mode == "live",
            customer=None if self.customer is None else CustomerId(self.customer),
        )

    @property
    def words(self) -> list[str]:
        """The options that ask for the same."""
        given = (
            *(("--type", shown) for shown in self.types),
            ("--account", self.account),
            ("--mode", self.mode),
            ("--customer", self.customer),
        )
        return [word for name, value in given if value is not None for word in (name, value)]


async def nobody_meant(database: Database, keyring: Keyring, wanted: Wanted) -> str | None:
    """Return what to say where the log has no such customer or account at all, None: it has.

    Raises:
        Unavailable: no answer in time.
    """
    livemode = wanted.selection.livemode
    of = "" if wanted.account is None else f" of account {wanted.account}"
    within = "" if wanted.mode is None else f" in {wanted.mode} mode"
    if wanted.customer is not None:
        past = PastEvents(database, keyring)
        account = wanted.account
        if not await past.find_streams(
            wanted.customer, account=account, livemode=livemode, limit=1
        ):
            return f"the log has no customer {wanted.customer}{of}{within}"
    elif wanted.account is not None and not await has_account(database, wanted.account, livemode):
        return f"the log has no event{of}{within}"
    return None


def selecting(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that select events; it takes them together, as ``wanted``."""

    @wraps(command)
    def taking(
        *,
        types: tuple[str, ...],
        account: str | None,
        mode: Mode | None,
        customer: str | None,
        **others: Any,
    ) -> None:
        wanted = Wanted(types=types, account=account, mode=mode, customer=customer)
        command(wanted=wanted, **others)

    options = (
        click.option(
            "--type",
            "types",
            multiple=True,
            callback=checked_types,
            shell_complete=known_types,
            help="customer.updated, or with * as in customer.*; may be repeated",
        ),
        click.option("--account", callback=checked_account, help="only the events of this account"),
        click.option("--mode", type=MODES, help="only the events of this mode"),
        click.option("--customer", callback=checked_customer, help="only the events of cus_…"),
    )
    selected: Callable[..., None] = taking
    for option in reversed(options):
        selected = option(selected)
    return selected


def checked_types(
    _context: click.Context, _option: click.Parameter, patterns: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the types that fit any of the patterns; one that fits none is a mistake."""
    if len(patterns) > TYPES_GIVEN_MAX:
        raise click.BadParameter(f"at most {TYPES_GIVEN_MAX}")
    return tuple(sorted({known for pattern in patterns for known in _fitting(pattern)}))


def checked_customer(
    _context: click.Context, _option: click.Parameter, customer: str | None
) -> str | None:
    """Take what can be a customer's id."""
    if customer is not None and not _CUSTOMER.fullmatch(customer):
        raise click.BadParameter("1 to 255 of A-Z, a-z, 0-9, _ and -")
    return customer


def known_types(
    _context: click.Context, _option: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Offer the types that begin so."""
    return [CompletionItem(known) for known in PUBLIC_TYPES.values() if known.startswith(begun)]


def _fitting(pattern: str) -> list[str]:
    expression = re.escape(pattern).replace(r"\*", ".*") if _PATTERN.fullmatch(pattern) else "(?!)"
    found = [known for known in PUBLIC_TYPES.values() if re.fullmatch(expression, known)]
    if not found:
        raise click.BadParameter(
            f"{pattern!r} fits none of {', '.join(sorted(PUBLIC_TYPES.values()))}"
        )
    return found
