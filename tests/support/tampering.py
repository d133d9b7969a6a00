"""What a superuser may do to the log and its tree, each in one transaction that is rolled back.

Triggers do not fire in it, and constraints that stand in the way are dropped. Each manipulation
says which position is the first bad one, and whether it can be known exactly: who makes rows and
tree fit each other again can only be contradicted by a checkpoint, which covers a range.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Final, TypeAlias

import msgspec
from tests.support.audited import KEY, Audited

from chaching.audit.findings import Finding, Verdict
from chaching.audit.hashing import CHAIN_START, chain_hash, leaf_hash
from chaching.audit.notes import Checkpoint, SigningKey, parse_checkpoint
from chaching.audit.rows import Row
from chaching.audit.stored import copy_rows
from chaching.audit.tree import Frontier
from chaching.audit.verifying import verify
from chaching.audit.witnesses import Kept
from chaching.eventstore import database
from chaching.eventstore.database import Database, Session

TEXT_COLUMNS: Final = ("account", "stream", "event_id", "type")
JSON_COLUMNS: Final = ("payload", "state", "metadata")
CONSTRAINTS: Final = (
    "events_pkey",
    "events_stream_version_key",
    "events_version_follows",
    "events_position_follows",
)
FAR: Final = 1_000_000
THIEF: Final = SigningKey(bytes(range(100, 132)))


class Manipulated(msgspec.Struct, frozen=True, kw_only=True):
    """What was done, and from which position on the log is not what it was."""

    what: str
    position: int
    is_exact: bool = True

    def is_found_by(self, finding: Finding | None) -> bool:
        if finding is None or finding.position is None:
            return False
        if self.is_exact:
            return finding.position == self.position and finding.up_to is None
        return finding.position <= self.position <= (finding.up_to or finding.position)


class Superuser:
    """A session in a transaction in which no trigger fires."""

    def __init__(self, session: Session, audited: Audited, random: Random) -> None:
        self.session = session
        self.audited = audited
        self.random = random

    @property
    def last(self) -> int:
        return self.audited.events

    def any_position(self, last: int | None = None) -> int:
        return self.random.randint(1, last or self.last)

    async def execute(self, sql: str, *arguments: object) -> None:
        await self.session.execute(sql, *arguments)

    async def value(self, position: int, column: str) -> Any:
        [row] = await self.session.fetch(
            f"SELECT {column} FROM event_store.events WHERE position = $1",  # noqa: S608 - a column
            position,
        )
        return row[0]

    async def put(self, position: int, column: str, value: object) -> None:
        await self.execute(
            f"UPDATE event_store.events SET {column} = $2 WHERE position = $1",  # noqa: S608 - a column
            position,
            value,
        )

    async def drop_constraints(self) -> None:
        await self.execute("DROP INDEX event_store.events_invoice_prefix_key")
        for name in CONSTRAINTS:
            await self.execute(f"ALTER TABLE event_store.events DROP CONSTRAINT {name}")


Manipulation: TypeAlias = Callable[[Superuser], Awaitable[Manipulated]]


# --- The events table ---------------------------------------------------------------------------


async def flip_a_byte_of_text(user: Superuser) -> Manipulated:
    position, column = user.any_position(), user.random.choice(TEXT_COLUMNS)
    text = await user.value(position, column)
    at = user.random.randrange(len(text))
    await user.drop_constraints()
    await user.put(position, column, text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :])
    return Manipulated(what=f"a byte of {column}", position=position)


async def flip_a_byte_of_json(user: Superuser) -> Manipulated:
    """Change one byte of a JSON text so that it is JSON still."""
    position, column = user.any_position(), user.random.choice(JSON_COLUMNS)
    text = await user.value(position, column)
    if text is None:
        await user.put(position, column, "{}")
        return Manipulated(what="a state where there was none", position=position)
    places = [
        at for at, c in enumerate(text) if c.isascii() and c.isalpha() and text[at - 1] != "\\"
    ]
    if not places:
        await user.put(position, column, " {}")
        return Manipulated(what=f"a space before {column}", position=position)
    at = user.random.choice(places)
    await user.put(position, column, text[:at] + text[at].swapcase() + text[at + 1 :])
    return Manipulated(what=f"a letter of {column}", position=position)


async def flip_a_bit_of_a_number(user: Superuser) -> Manipulated:
    column = user.random.choice(("version", "previous_position", "schema_version", "livemode"))
    position = user.any_position()
    value = await user.value(position, column)
    await user.drop_constraints()
    await user.put(position, column, (not value) if column == "livemode" else value ^ 1)
    return Manipulated(what=f"a bit of {column}", position=position)


async def move_in_time(user: Superuser) -> Manipulated:
    position = user.any_position()
    await user.execute(
        "UPDATE event_store.events SET recorded_at = recorded_at + $2 * interval '1 microsecond' "
        "WHERE position = $1",
        position,
        user.random.choice((-1, 1)),
    )
    return Manipulated(what="a microsecond", position=position)


async def null_to_empty(user: Superuser) -> Manipulated:
    position = user.any_position()
    prefix = await user.value(position, "invoice_prefix")
    await user.drop_constraints()
    await user.put(position, "invoice_prefix", "" if prefix is None else None)
    return Manipulated(what="null for a text, or empty for null", position=position)


async def null_where_none_may_be(user: Superuser) -> Manipulated:
    position = user.any_position()
    column = user.random.choice(("account", "livemode", "version", "payload", "recorded_at"))
    await user.drop_constraints()
    await user.execute(f"ALTER TABLE event_store.events ALTER COLUMN {column} DROP NOT NULL")
    await user.put(position, column, None)
    return Manipulated(what=f"a null {column}", position=position)


async def move_away(user: Superuser) -> Manipulated:
    position = user.any_position()
    await user.drop_constraints()
    await user.put(position, "position", user.random.choice((-position, FAR + position)))
    first = await _first_position(user)
    return Manipulated(what="another position", position=min(first, position))


async def drop_a_row(user: Superuser) -> Manipulated:
    position = user.any_position()
    await user.execute("DELETE FROM event_store.events WHERE position = $1", position)
    return Manipulated(what="a dropped row", position=position)


async def drop_a_row_and_close_the_gap(user: Superuser) -> Manipulated:
    position = user.any_position()
    await user.drop_constraints()
    await user.execute("DELETE FROM event_store.events WHERE position = $1", position)
    await _shift(user, position, -1)
    return Manipulated(what="a dropped row, the gap closed", position=position)


async def swap_rows(user: Superuser) -> Manipulated:
    one, other = sorted(user.random.sample(range(1, user.last + 1), 2))
    await user.drop_constraints()
    await user.execute(
        "UPDATE event_store.events SET position = $1 + $2 - position WHERE position IN ($1, $2)",
        one,
        other,
    )
    return Manipulated(what="two swapped rows", position=one)


async def swap_payloads(user: Superuser) -> Manipulated:
    one, other = sorted(user.random.sample(range(1, user.last + 1), 2))
    first, second = await user.value(one, "payload"), await user.value(other, "payload")
    await user.put(one, "payload", second)
    await user.put(other, "payload", first)
    return Manipulated(what="two swapped payloads", position=one)


async def insert_a_copy(user: Superuser) -> Manipulated:
    """Put a second row at a position."""
    position, source = user.any_position(), user.any_position()
    await user.drop_constraints()
    await _copy_row(user, source, position)
    return Manipulated(what="a second row at a position", position=position)


async def insert_a_row_between(user: Superuser) -> Manipulated:
    position, source = user.any_position(), user.any_position()
    await user.drop_constraints()
    await _copy_row(user, source, FAR)
    await user.execute(
        "UPDATE event_store.events SET position = position + 1 WHERE position BETWEEN $1 AND $2",
        position,
        user.last,
    )
    await user.put(FAR, "position", position)
    await user.execute("UPDATE event_store.log_head SET position = position + 1")
    return Manipulated(what="a row between two, the rest moved on", position=position)


async def insert_beyond_the_head(user: Superuser) -> Manipulated:
    await user.drop_constraints()
    await _copy_row(user, user.any_position(), user.last + 1)
    if user.random.random() < 0.5:  # then it does not follow on the one it says it follows
        await user.execute("UPDATE event_store.log_head SET position = position + 1")
        await user.put(user.last + 1, "version", 9)
    return Manipulated(what="a row after the last", position=user.last + 1)


async def truncate_the_tail(user: Superuser) -> Manipulated:
    """Take the last rows away, and more and more of what speaks of them."""
    last = user.any_position() - 1
    how_far = user.random.randrange(4)
    await user.execute("DELETE FROM event_store.events WHERE position > $1", last)
    if how_far > 0:
        await user.execute("UPDATE event_store.log_head SET position = $1", last)
    if how_far > 1:
        await _rebuild_tree(user, last)
    if how_far > 2:
        await user.execute("DELETE FROM audit.signed_checkpoints WHERE size > $1", last)
    what = ("rows", "rows and head", "rows, head and tree", "all but the kept checkpoint")[how_far]
    return Manipulated(what=f"the tail of {what}", position=last + 1)


# --- Rows and tree that fit each other again ----------------------------------------------------


async def rewrite_and_leave_the_checkpoints(user: Superuser) -> Manipulated:
    position = await _rewrite(user)
    return Manipulated(what="rewritten, tree and all", position=position, is_exact=False)


async def rewrite_and_sign_with_another_key(user: Superuser) -> Manipulated:
    position = await _rewrite(user)
    for number, size in await _checkpoints_from(user, position):
        root = await _root(user, size)
        checkpoint = Checkpoint(
            origin=user.audited.signed[0].checkpoint.origin, size=size, root=root
        )
        note = THIEF.sign(checkpoint)
        await _put_checkpoint(user, number, root, note)
    return Manipulated(what="re-signed with another key", position=position, is_exact=False)


async def rewrite_and_keep_the_signature(user: Superuser) -> Manipulated:
    """Write the new root into the note, above the signature of the old one."""
    position = await _rewrite(user)
    for number, size in await _checkpoints_from(user, position):
        root = await _root(user, size)
        old = user.audited.signed[number - 1]
        old_root = base64.b64encode(old.checkpoint.root).decode()
        note = old.note.replace(old_root, base64.b64encode(root).decode())
        await _put_checkpoint(user, number, root, note)
    return Manipulated(what="re-signed with no key", position=position, is_exact=False)


async def rewrite_and_forget_the_checkpoints(user: Superuser) -> Manipulated:
    position = await _rewrite(user)
    numbers = [number for number, _ in await _checkpoints_from(user, position)]
    await user.execute("DELETE FROM audit.signed_checkpoints WHERE number = ANY ($1)", numbers)
    return Manipulated(what="rewritten, checkpoints forgotten", position=position, is_exact=False)


# --- The tree alone -----------------------------------------------------------------------------


async def flip_a_bit_of_a_leaf(user: Superuser) -> Manipulated:
    position = user.any_position()
    await user.execute(
        "UPDATE audit.runs SET leaf_hashes = set_byte(leaf_hashes, "
        "32 * ($1 - first_position)::int, 255 - get_byte(leaf_hashes, "
        "32 * ($1 - first_position)::int)) WHERE first_position = "
        "(SELECT max(r.first_position) FROM audit.runs AS r WHERE r.first_position <= $1)",
        position,
    )
    return Manipulated(what="a bit of a stored leaf", position=position)


async def change_a_link_or_a_node(user: Superuser) -> Manipulated:
    if user.random.random() < 0.5:
        rows = await user.session.fetch("SELECT first_position FROM audit.runs")
        first: int = user.random.choice(rows)[0]
        await user.execute(
            "UPDATE audit.runs SET chain_hash = sha256(chain_hash) WHERE first_position = $1", first
        )
        return Manipulated(what="a link of the chain", position=first, is_exact=False)
    rows = await user.session.fetch("SELECT level, number FROM audit.nodes")
    level, number = user.random.choice(rows)
    verb = user.random.choice(
        ("UPDATE audit.nodes SET hash = sha256(hash)", "DELETE FROM audit.nodes")
    )
    await user.execute(f"{verb} WHERE level = $1 AND number = $2", level, number)
    return Manipulated(what="a node", position=(number << level) + 1, is_exact=False)


async def drop_a_run(user: Superuser) -> Manipulated:
    rows = await user.session.fetch("SELECT first_position FROM audit.runs ORDER BY 1")
    first: int = user.random.choice(rows)[0]
    await user.execute("DELETE FROM audit.runs WHERE first_position = $1", first)
    return Manipulated(what="a run of hashes", position=first, is_exact=first != rows[-1][0])


async def change_a_checkpoint(user: Superuser) -> Manipulated:
    number = user.random.randrange(len(user.audited.sizes)) + 1
    before = [0, *user.audited.sizes][number - 1]
    column = user.random.choice(
        ("size = size - 1", "root_hash = sha256(root_hash)", "note = note || 'x'")
    )
    sql = f"UPDATE audit.signed_checkpoints SET {column} WHERE number = $1"  # noqa: S608 - see above
    await user.execute(sql, number)
    return Manipulated(what="a stored checkpoint", position=before + 1, is_exact=False)


EVENTS: Final[Sequence[Manipulation]] = (
    flip_a_byte_of_text,
    flip_a_byte_of_json,
    flip_a_bit_of_a_number,
    move_in_time,
    null_to_empty,
    null_where_none_may_be,
    move_away,
    drop_a_row,
    drop_a_row_and_close_the_gap,
    swap_rows,
    swap_payloads,
    insert_a_copy,
    insert_a_row_between,
    insert_beyond_the_head,
    truncate_the_tail,
    rewrite_and_leave_the_checkpoints,
    rewrite_and_sign_with_another_key,
    rewrite_and_keep_the_signature,
    rewrite_and_forget_the_checkpoints,
)
TREE: Final[Sequence[Manipulation]] = (
    flip_a_bit_of_a_leaf,
    change_a_link_or_a_node,
    drop_a_run,
    change_a_checkpoint,
)


# --- Trying them --------------------------------------------------------------------------------


class _OneSession:
    """A database that is one session, so that what its transaction sees can be verified."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def fetch(self, sql: str, *arguments: object) -> list[database.Row]:
        return await self._session.fetch(sql, *arguments)

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[Session]:
        yield self._session


async def tampered_with(
    owner: Database,
    audited: Audited,
    manipulation: Manipulation,
    random: Random,
    *,
    keeps: bool = True,
) -> tuple[Manipulated, Verdict]:
    """Do a manipulation, verify with the public key, undo it.

    ``keeps``: the last checkpoint was kept elsewhere.
    """
    kept = [Kept("kept.txt", audited.signed[-1])] if keeps else []
    async with owner.session() as session:
        await session.execute("BEGIN")
        await session.execute("SET LOCAL session_replication_role = replica")
        done = await manipulation(Superuser(session, audited, random))
        verdict = await verify(_OneSession(session), keys=[KEY.public], kept=kept)
        await session.execute("ROLLBACK")
    return done, verdict


# --- Parts --------------------------------------------------------------------------------------


async def _first_position(user: Superuser) -> int:
    [row] = await user.session.fetch("SELECT min(position) FROM event_store.events")
    return row[0] if row[0] < 1 else FAR


async def _shift(user: Superuser, after: int, by: int) -> None:
    """Move all events after a position, in every column that names one, and the head."""
    await user.execute(
        "UPDATE event_store.events SET position = position + $2, "
        "previous_position = CASE WHEN previous_position > $1 THEN $2 ELSE 0 END "
        "+ previous_position WHERE position > $1",
        after,
        by,
    )
    await user.execute("UPDATE event_store.log_head SET position = position + $1", by)


async def _copy_row(user: Superuser, source: int, position: int) -> None:
    await user.execute(
        "INSERT INTO event_store.events SELECT $2, account, livemode, stream || 'x', version, "
        "previous_position, event_id, type, schema_version, payload, state, metadata, NULL, "
        "recorded_at FROM event_store.events WHERE position = $1",
        source,
        position,
    )


async def _rewrite(user: Superuser) -> int:
    """Change an event and make the tree fit it, as the auditor would have made it."""
    position = user.any_position()
    await user.put(position, "metadata", '{"request_id":"req_of_nobody"}')
    await _rebuild_tree(user, user.last)
    return position


async def _leaves(user: Superuser, last: int) -> list[bytes]:
    leaves: list[bytes] = []

    def take(rows: Sequence[Row]) -> None:
        leaves.extend(leaf_hash(row.entry) for row in rows)

    await copy_rows(user.session, 0, last, take)
    return leaves


async def _rebuild_tree(user: Superuser, last: int) -> None:
    """Write runs and nodes anew from the rows up to a position, and move the auditor there."""
    leaves, chain = await _leaves(user, last), CHAIN_START
    rows = await user.session.fetch("SELECT first_position FROM audit.runs ORDER BY 1")
    firsts = [row[0] for row in rows if row[0] <= last]
    await user.execute("DELETE FROM audit.runs")
    await user.execute("DELETE FROM audit.nodes")
    for first, following in zip(firsts, [*firsts[1:], last + 1], strict=True):
        run = leaves[first - 1 : following - 1]
        for leaf in run:
            chain = chain_hash(chain, leaf)
        await user.execute(
            "INSERT INTO audit.runs VALUES ($1, 1, $2, $3)", first, b"".join(run), chain
        )
    for node, node_hash in Frontier().extend(leaves):
        await user.execute("INSERT INTO audit.nodes VALUES ($1, $2, $3)", *node, node_hash)
    await user.execute(
        "UPDATE event_store.checkpoints SET position = $1 WHERE name = 'audit'", last
    )


async def _root(user: Superuser, size: int) -> bytes:
    frontier = Frontier()
    frontier.extend(await _leaves(user, size))
    return frontier.root()


async def _checkpoints_from(user: Superuser, position: int) -> list[tuple[int, int]]:
    rows = await user.session.fetch(
        "SELECT number, size FROM audit.signed_checkpoints WHERE size >= $1 ORDER BY number",
        position,
    )
    return [(row[0], row[1]) for row in rows]


async def _put_checkpoint(user: Superuser, number: int, root: bytes, note: str) -> None:
    parse_checkpoint(note)
    await user.execute(
        "UPDATE audit.signed_checkpoints SET root_hash = $2, note = $3 WHERE number = $1",
        number,
        root,
        note,
    )
