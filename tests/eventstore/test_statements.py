"""Every .sql file of every package says what it is for, and what it says is true."""

# asyncpg's classes carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

import asyncpg
import msgspec
import pytest

from chaching.subscriber import inbox

ROOT: Final = Path(__file__).parents[2]
STATEMENTS: Final = sorted(
    path
    for part in ("shared", "services")
    for path in (ROOT / part).rglob("sql/*.sql")
    if "schema" not in path.parts
)
EVENT_COLUMNS: Final = "the columns of event_store.events but invoice_prefix"
OPENABLE_EVENT_COLUMNS: Final = f"{EVENT_COLUMNS}, and data_key bytea"
WITHOUT_ROWS: Final = "rows touched"
PARAMETER: Final = re.compile(r"\$(?P<number>\d+) (?P<said>[^,]+)")
COLUMN: Final = re.compile(r"(?P<name>[a-z_]+) (?P<type>[a-z ]+(\[\])?)( \([^)]*\))?")
TYPES: Final = re.compile(
    r"(text|boolean|bigint|integer|smallint|bytea|jsonb?|timestamptz|double precision"
    r"|event_store\.command)(\[\])?"
)


class Header(msgspec.Struct):
    """The comment at the head of a statement."""

    purpose: str
    parameters: list[str]
    result: str
    body: str


def header_of(path: Path) -> Header:
    """Read the fields in their order, the last one being optional; indented lines go on."""
    lines = path.read_text().splitlines()
    comment = [line for line in lines if line.startswith("--")]
    assert lines[: len(comment)] == comment, "comments stand above the statement only"
    text = "\n".join(line.removeprefix("--") for line in comment)
    found = re.fullmatch(
        r" purpose: (?P<purpose>.+?)\n parameters: (?P<parameters>.+?)\n result: (?P<result>.+?)"
        r"(\n note: .+)?",
        re.sub(r"\n {3}", " ", text),
    )
    assert found, text
    parameters = found["parameters"].partition(";")[0]
    return Header(
        purpose=found["purpose"],
        parameters=[] if parameters == "none" else types_of_parameters(parameters),
        result=found["result"],
        body="\n".join(lines[len(comment) :]),
    )


def types_of_parameters(text: str) -> list[str]:
    said = [(int(m["number"]), TYPES.match(m["said"])) for m in PARAMETER.finditer(text)]
    assert [number for number, _ in said] == list(range(1, len(said) + 1)), text
    assert text.count("$") == len(said)
    return [found[0] if found else f"no type: {text}" for _, found in said]


def columns_of_result(text: str) -> list[tuple[str, str]]:
    columns: list[tuple[str, str]] = []
    for part in re.split(r", (?![^(]*\))", text.partition(";")[0]):
        found = COLUMN.fullmatch(part)
        assert found, part
        columns.append((found["name"], found["type"]))
    return columns


@pytest.fixture
async def connection(database_url: str) -> AsyncGenerator[asyncpg.Connection]:
    """A connection of the driver's own, which tells the types of what it prepares."""
    connection: asyncpg.Connection = await asyncpg.connect(database_url)
    await connection.execute(inbox.schema())
    yield connection
    await connection.close()


async def named(connection: asyncpg.Connection, types: list[str]) -> list[str]:
    """Return types as the database spells them."""
    rows = await connection.fetch("SELECT t::regtype::text FROM unnest($1::text[]) AS t", types)
    return [row[0] for row in rows]


async def named_by_id(connection: asyncpg.Connection, ids: list[int]) -> list[str]:
    rows = await connection.fetch("SELECT format_type(t, NULL) FROM unnest($1::oid[]) AS t", ids)
    return [row[0] for row in rows]


def test_there_are_statements_of_every_package() -> None:
    packages = {path.parents[1].relative_to(ROOT).parts[1] for path in STATEMENTS}
    assert packages == {"chaching", "api", "projector"}


@pytest.mark.parametrize("path", STATEMENTS, ids=lambda path: path.stem)
def test_a_statement_has_a_header_and_is_one(path: Path) -> None:
    header = header_of(path)
    assert len(header.purpose) > 10
    assert not header.purpose.endswith(".")
    assert ";" not in header.body
    assert "--" not in header.body
    assert path.read_text().endswith("\n")
    assert set(re.findall(r"\$(\d+)", header.body)) == {
        str(number + 1) for number in range(len(header.parameters))
    }
    assert "SELECT *\nFROM unnest" in header.body or "SELECT *" not in header.body


async def test_every_statement_is_prepared_with_the_types_that_it_says(
    connection: asyncpg.Connection,
) -> None:
    events = await connection.fetch(
        "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute WHERE attnum > 0 "
        "AND attrelid = 'event_store.events'::regclass AND attname <> 'invoice_prefix' "
        "ORDER BY attnum"
    )
    for path in STATEMENTS:
        header = header_of(path)
        prepared = await connection.prepare(path.read_text())
        parameters = [parameter.oid for parameter in prepared.get_parameters()]
        assert await named_by_id(connection, parameters) == await named(
            connection, header.parameters
        ), path.stem
        columns = prepared.get_attributes()
        found = list(
            zip(
                [column.name for column in columns],
                await named_by_id(connection, [column.type.oid for column in columns]),
                strict=True,
            )
        )
        assert found == await said(connection, header, [(row[0], row[1]) for row in events]), path


async def said(
    connection: asyncpg.Connection, header: Header, events: list[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Return the columns that a header announces, with their types as the database spells them."""
    what = header.result.partition(";")[0]
    if what == WITHOUT_ROWS:
        return []
    if what == EVENT_COLUMNS:
        return events
    if what == OPENABLE_EVENT_COLUMNS:
        return [*events, ("data_key", "bytea")]
    if what == "one empty row":
        return [("pg_notify", "void")]
    columns = columns_of_result(header.result)
    types = await named(connection, [type_ for _, type_ in columns])
    return list(zip([name for name, _ in columns], types, strict=True))


def test_a_header_that_says_too_little_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "lazy.sql"
    path.write_text("-- purpose: to be lazy\n-- result: rows touched\nSELECT 1\n")
    with pytest.raises(AssertionError):
        header_of(path)
