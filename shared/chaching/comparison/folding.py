"""Folds the streams of a range, and compares each with its row and with the states in the log.

Theory of operation. The checkpoint is read first, then the log, then the rows, while others go on
writing. So a row may be ahead of what was folded, and never behind: it must stand at the newest
version up to the checkpoint, or at a later one, which is then folded too, from the log, and
compared. A row therefore never counts as different for being newer, and always for being wrong. A
customer that is parked may stand behind; that is a difference, and told as what it is.

An erasure blanks what is read from then on, also of events long before it. So where a customer's
events were read blank, what was folded before is blanked too, and a row that has yet to apply the
erasure is not compared: once the checkpoint has passed it, it is.

The entry for searches is read in the same snapshot as the row. It may be of any version from the
newest that the searches' own checkpoint covers up to the row's, and it is not compared where it
waits for more than events: the customer is parked, a renewal is noted for it, or it was erased and
searches have yet to come to that.

Beside each event but the first stands the customer after it. It must be what the fold of the deltas
is at that version. The fold goes on from the deltas alone, whatever the states say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from chaching import envelope
from chaching.comparison.entries import Entry, Trail
from chaching.comparison.expected import CustomerRow, Differing, differences, expected_row
from chaching.domain.changes import changes_between
from chaching.domain.customer import Customer, CustomerCreated, Personal, evolve
from chaching.domain.ids import AccountId, CustomerId, Mode, mode_of
from chaching.envelope import (
    NO_VERSION,
    START,
    Position,
    RecordedEvent,
    StreamKey,
    Undecodable,
    Version,
)
from chaching.eventstore.database import Database, Row
from chaching.eventstore.encryption import Keyring
from chaching.eventstore.past import PastEvents
from chaching.eventstore.statements import statement
from chaching.eventstore.store import EventStore, key_columns

Kind: TypeAlias = Literal[
    "entry_differs",
    "entry_left",
    "entry_missing",
    "entry_of_nobody",
    "event_broken",
    "parked_wrongly",
    "renewal_of_nobody",
    "row_behind",
    "row_differs",
    "row_missing",
    "row_of_nobody",
    "row_parked",
    "state_differs",
]

ROWS_MAX_CUSTOMERS: Final = 500
FOLDED_ON_MAX_EVENTS: Final = 100
LAST_ACCOUNT: Final = AccountId("~")  # stands after every account
NEWEST_VERSION: Final = Version(2**31 - 1)
_READ_ROWS: Final = statement("chaching.comparison", "read_rows")


class Range(msgspec.Struct, frozen=True):
    """Customers whose ids are greater than one and not greater than another."""

    after: CustomerId
    last: CustomerId


class Applied(msgspec.Struct, frozen=True):
    """The positions up to which rows, and entries for searches, are said to have the log."""

    rows: Position
    entries: Position


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What is not the fold of the log: a row, an entry, a state or an event, at a version.

    ``attributes`` name what differs; values stand in them only when they are asked for.
    """

    kind: Kind
    account: AccountId
    mode: Mode
    customer: CustomerId
    version: Version
    attributes: tuple[str, ...] = ()
    detail: str | None = None
    values: tuple[Differing, ...] = ()


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """What the comparison of a range came to."""

    events: int
    customers: int
    differences: list[Difference]


class _Folded(msgspec.Struct):
    """A customer so far; ``broken`` once its events cannot be folded any more.

    ``blank``: its events were read without personal values.
    """

    key: StreamKey
    state: Customer | None = None
    version: Version = NO_VERSION
    position: Position = START
    broken: bool = False
    blank: bool = False
    trail: Trail = msgspec.field(default_factory=Trail)


class RangeComparison:
    """Compares one range; ``applied`` was read before. Use it once."""

    def __init__(
        self, database: Database, keyring: Keyring, applied: Applied, *, with_values: bool
    ) -> None:
        self._database = database
        self._store = EventStore(database, keyring)
        self._past = PastEvents(database, keyring)
        self._applied = applied
        self._with_values = with_values
        self._differences: list[Difference] = []
        self._events = 0
        self._customers = 0

    async def compare(self, wanted: Range) -> Compared:
        """Fold every customer of a range and compare it; raises Unavailable."""
        after, version = StreamKey(LAST_ACCOUNT, True, wanted.after), NEWEST_VERSION
        folded: list[_Folded] = []
        while events := await self._past.read_streams(after, version, wanted.last):
            for event in events:
                if not folded or folded[-1].key != event.key:
                    if len(folded) == ROWS_MAX_CUSTOMERS:
                        await self._compare_rows(folded)
                        folded = []
                    folded.append(_Folded(event.key))
                if event.position <= self._applied.rows:
                    self._fold(folded[-1], event)
            after, version = events[-1].key, events[-1].version
        await self._compare_rows(folded)
        return Compared(
            events=self._events, customers=self._customers, differences=self._differences
        )

    def _fold(self, folded: _Folded, recorded: RecordedEvent) -> None:
        """Take one more event, unless one before it was broken."""
        self._events += 1
        if folded.broken:
            return
        if recorded.erased and not folded.blank:
            _blank(folded)
        try:
            folded.state = _evolved(folded, recorded)
            [beside] = envelope.decode_customers([recorded])
        except Undecodable as error:
            folded.broken = True
            self._tell("event_broken", recorded.key, recorded.version, detail=f"{error}")
            return
        folded.version, folded.position = recorded.version, recorded.position
        is_searched = recorded.position <= self._applied.entries
        folded.trail.add(folded.state, is_searched=is_searched)
        if beside != folded.state:
            differing = _between_states(folded.state, beside)
            self._tell("state_differs", recorded.key, recorded.version, differing=differing)

    async def _compare_rows(self, folded: Sequence[_Folded]) -> None:
        if not folded:
            return
        keys = [one.key for one in folded]
        created = [0 if one.state is None else one.state.created for one in folded]
        rows = await self._database.fetch(_READ_ROWS, *key_columns(keys), created)
        found = {row["item"]: row for row in rows}
        for item, one in enumerate(folded, start=1):
            if one.version != NO_VERSION or one.broken:
                self._customers += 1
                await self._compare_row(one, found[item])
                self._compare_entry(one, found[item])

    async def _compare_row(self, folded: _Folded, row: Row) -> None:
        if folded.broken:
            return
        if row["version"] is None or row["version"] < folded.version:
            kind = "row_missing" if row["version"] is None else "row_behind"
            self._tell(
                "row_parked" if row["parked"] else kind,
                folded.key,
                folded.version,
                detail=f"the row stands at version {row['version'] or 'none'}",
            )
            return
        found = _row(row)
        if found.version > folded.version:
            await self._fold_on(folded, found.version)
        if folded.state is None or folded.broken:
            return
        if folded.blank and not folded.state.erased:
            return  # the row has yet to apply the erasure
        expected = expected_row(folded.state, folded.version, folded.position)
        differing = differences(expected, found)
        if differing:
            self._tell("row_differs", folded.key, found.version, differing=differing)

    def _compare_entry(self, folded: _Folded, row: Row) -> None:
        trail = folded.trail
        if folded.broken or row["parked"] or row["renewed"]:
            return
        if folded.blank and not trail.is_over:
            return  # the entry has yet to go
        if not row["has_entry"]:
            if not trail.has_no_entry():
                self._tell("entry_missing", folded.key, folded.version)
        elif trail.is_over:
            self._tell("entry_left", folded.key, folded.version, detail="it cannot be found")
        elif differing := trail.differences(folded.key, _entry(row)):
            self._tell("entry_differs", folded.key, folded.version, differing=differing)

    async def _fold_on(self, folded: _Folded, version: Version) -> None:
        """Fold up to the version of a row that went on since the checkpoint was read."""
        while folded.version < version and not folded.broken:
            wanted = version - folded.version
            events = await self._store.read_stream(
                folded.key, folded.version, min(wanted, FOLDED_ON_MAX_EVENTS)
            )
            if not events:
                return  # the row is at a version that the log has not; it differs
            for event in events:
                self._fold(folded, event)

    def _tell(
        self,
        kind: Kind,
        key: StreamKey,
        version: Version,
        *,
        differing: Sequence[Differing] = (),
        detail: str | None = None,
    ) -> None:
        self._differences.append(
            Difference(
                kind=kind,
                account=key.account,
                mode=mode_of(livemode=key.livemode),
                customer=key.id,
                version=version,
                attributes=tuple(one.attribute for one in differing),
                detail=detail,
                values=tuple(differing) if self._with_values else (),
            )
        )


def _blank(folded: _Folded) -> None:
    folded.blank = True
    if folded.state is not None:
        folded.state = msgspec.structs.replace(folded.state, personal=Personal())


def _evolved(folded: _Folded, recorded: RecordedEvent) -> Customer:
    if recorded.version != folded.version + 1:
        raise Undecodable(f"it follows version {folded.version}")
    event = envelope.decode_event(recorded)
    if (folded.state is None) != isinstance(event, CustomerCreated):
        raise Undecodable(f"a {recorded.type} is out of place")
    return evolve(folded.state, event)


def _between_states(folded: Customer, beside: Customer) -> list[Differing]:
    plain = (
        Differing(name, getattr(folded, name), getattr(beside, name))
        for name in ("id", "livemode", "created", "updated", "deleted", "erased")
    )
    values = changes_between(
        msgspec.structs.replace(folded, deleted=False, erased=False),
        msgspec.structs.replace(beside, deleted=False, erased=False),
    )
    return [
        *(one for one in plain if one.expected != one.found),
        *(Differing(change.attribute, change.old, change.new) for change in values),
    ]


def _row(row: Row) -> CustomerRow:
    return CustomerRow(**{name: row[name] for name in CustomerRow.__struct_fields__})


def _entry(row: Row) -> Entry:
    return Entry(**{name: row[f"entry_{name}"] for name in Entry.__struct_fields__})
