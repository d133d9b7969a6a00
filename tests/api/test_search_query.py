"""The search query language, apart from any database."""

from __future__ import annotations

import random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaching_api.errors import Malformed
from chaching_api.parameter_types import INT64_MAX, INT64_MIN
from chaching_api.search_query import (
    CLAUSES_MAX,
    QUERY_CHARACTERS_MAX,
    Absent,
    Clause,
    Created,
    Exact,
    Field,
    Query,
    SearchQuery,
    Substring,
    parse,
    render,
)

# a longer campaign raises this
RANDOM_INPUTS: Final = 2_000
RANDOM_PIECES_MAX: Final = 12
PIECES: Final = (
    *("email", "name", "phone", "created", "metadata", "foo", "null", "AND", "or", "Or", "and"),
    *(":", "~", ">", "<", ">=", "<=", "=", "-", "--", "[", "]", '["k"]', "['k']", '[""]', "(", ")"),
    *('"', "'", '"abc"', "'abc'", '"a\\"b"', '"ab"', "\\", "1", "123", "-5", "9" * 30, "1.5"),
    *('email:"abc"', "-name~'abc' ", "created>5", "metadata['k']:null", " phone:1 ", " AND "),
    *(" ", "  ", "\t", "\n", "\u2003", "\0", "é", "٣", "\U0001f600", "", ","),
)

REFUSALS: Final = (
    "We were unable to parse your search query. ",
    "Field `",
)

EMAIL: Final = Field("email")
NAME: Final = Field("name")
PHONE: Final = Field("phone")
PLAN: Final = Field("metadata", "plan")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
fields = st.one_of(
    st.sampled_from([EMAIL, NAME, PHONE]),
    texts.filter(bool).map(lambda key: Field("metadata", key)),
)
clauses = st.one_of(
    st.builds(Exact, field=fields, text=texts, negated=st.booleans()),
    st.builds(
        Substring,
        field=fields,
        text=texts.filter(lambda text: len(text) >= 3),
        negated=st.booleans(),
    ),
    st.builds(Absent, field=fields, negated=st.booleans()),
    st.builds(
        Created,
        comparison=st.sampled_from([":", ">", "<", ">=", "<="]),
        at=st.integers(INT64_MIN, INT64_MAX),
        negated=st.booleans(),
    ),
)


@st.composite
def queries(draw: st.DrawFn) -> Query:
    found = draw(st.lists(clauses, min_size=1, max_size=CLAUSES_MAX))
    return Query("AND" if len(found) == 1 else draw(st.sampled_from(["AND", "OR"])), tuple(found))


def clause(text: str) -> Clause:
    [found] = parse(text).clauses
    return found


def parsed_or_refused(text: str) -> Query | Malformed:
    """Return what a text asks or how it is refused; anything else that is raised goes through."""
    try:
        return parse(text)
    except Malformed as refused:
        return refused


def refusal(text: str) -> str:
    with pytest.raises(Malformed) as refused:
        parse(text)
    assert refused.value.param == "query"
    return refused.value.message


@given(queries())
def test_what_is_rendered_parses_to_the_same(query: Query) -> None:
    assert parse(render(query)) == query


def test_random_texts_are_parsed_or_refused_and_nothing_else() -> None:
    chance = random.Random(20_250_430)  # noqa: S311 - no secret
    parsed = 0
    for _ in range(RANDOM_INPUTS):
        text = "".join(chance.choices(PIECES, k=chance.randint(1, RANDOM_PIECES_MAX)))
        found = parsed_or_refused(text)
        if isinstance(found, Malformed):
            assert found.param == "query"
            assert found.message.startswith(REFUSALS)
        if isinstance(found, Query):
            parsed += 1
            assert parse(render(found)) == found
    assert RANDOM_INPUTS / 100 < parsed < RANDOM_INPUTS


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    assert parsed_or_refused(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('email:"Amy@Example.com"', Exact(field=EMAIL, text="Amy@Example.com")),
        ("email:'amy@example.com'", Exact(field=EMAIL, text="amy@example.com")),
        ('-email:"a"', Exact(field=EMAIL, text="a", negated=True)),
        ('name~"ane"', Substring(field=NAME, text="ane")),
        ('-name~"ane"', Substring(field=NAME, text="ane", negated=True)),
        ('metadata["plan"]:"gold"', Exact(field=PLAN, text="gold")),
        ("metadata['plan']:'gold'", Exact(field=PLAN, text="gold")),
        ("metadata['plan']~\"gol\"", Substring(field=PLAN, text="gol")),
        ('metadata["plan"]:null', Absent(field=PLAN)),
        ('-metadata["plan"]:null', Absent(field=PLAN, negated=True)),
        ("phone:null", Absent(field=PHONE)),
        ('phone:"null"', Exact(field=PHONE, text="null")),
        ("phone:123456", Exact(field=PHONE, text="123456")),
        ("phone~456", Substring(field=PHONE, text="456")),
        ("created:1680893993", Created(comparison=":", at=1_680_893_993)),
        ("created>1680893993", Created(comparison=">", at=1_680_893_993)),
        ("created<1680893993", Created(comparison="<", at=1_680_893_993)),
        ("created>=1680893993", Created(comparison=">=", at=1_680_893_993)),
        ("created<=1680893993", Created(comparison="<=", at=1_680_893_993)),
        ("-created>5", Created(comparison=">", at=5, negated=True)),
        ("created>'5'", Created(comparison=">", at=5)),
        ("created:-5", Created(comparison=":", at=-5)),
        (f"created:{INT64_MAX}", Created(comparison=":", at=INT64_MAX)),
        (' \n email : "a" ', Exact(field=EMAIL, text="a")),
        ('metadata [ "plan" ] : "gold"', Exact(field=PLAN, text="gold")),
        ('email:""', Exact(field=EMAIL, text="")),
        ('name:"a\\"b"', Exact(field=NAME, text='a"b')),
        ("name:'a\\'b'", Exact(field=NAME, text="a'b")),
        ('name:"a\'b"', Exact(field=NAME, text="a'b")),
        ('name:"a\\\'b"', Exact(field=NAME, text="a'b")),
        ('name:"a\\\\"', Exact(field=NAME, text="a\\")),
        ('name:"a\\b"', Exact(field=NAME, text="a\\b")),
        ('name:"two\nlines AND (no) -words"', Exact(field=NAME, text="two\nlines AND (no) -words")),
        ('metadata["a\\"]:b"]:"c"', Exact(field=Field("metadata", 'a"]:b'), text="c")),
    ],
)
def test_a_clause_says_what_it_says(text: str, found: Clause) -> None:
    assert clause(text) == found


@pytest.mark.parametrize(
    ("text", "join"),
    [
        ('name:"a" AND phone:null', "AND"),
        ('name:"a" and phone:null', "AND"),
        ('name:"a" phone:null', "AND"),
        ('name:"a"\tphone:null', "AND"),
        ('name:"a" OR phone:null', "OR"),
        ('name:"a" oR phone:null', "OR"),
    ],
)
def test_clauses_are_joined_by_a_word_or_by_none(text: str, join: str) -> None:
    query = parse(text)
    assert query.join == join
    assert query.clauses == (Exact(field=NAME, text="a"), Absent(field=PHONE))


def test_no_word_and_the_word_and_join_alike() -> None:
    query = parse('name:"a" name:"b" AND name:"c"')
    assert (query.join, len(query.clauses)) == ("AND", 3)


@pytest.mark.parametrize(
    ("text", "what", "at"),
    [
        ("   ", "The query has no clause", 4),
        ('name:"a" AND name:"b" OR name:"c"', "AND and OR cannot be mixed in one query", 23),
        ('name:"a" OR name:"b" name:"c"', "AND and OR cannot be mixed in one query", 22),
        ('name:"a" AND', "A clause is expected after AND", 13),
        ('name:"a" OR ', "A clause is expected after OR", 13),
        ('name:"a"phone:"b"', "White space is expected between two clauses", 9),
        ('- email:"a"', "A field is expected", 2),
        ('(email:"a")', "A field is expected", 1),
        ('"email":"a"', "A field is expected", 1),
        ("email", "One of the operators : ~ > < >= <= is expected", 6),
        ('email="a"', "One of the operators : ~ > < >= <= is expected", 6),
        ("email:", "A value is expected", 7),
        ("email:amy", "A text must stand in quotes", 7),
        ("email:NULL", "A text must stand in quotes", 7),
        ('email:"amy', "The text in quotes that begins here does not end", 7),
        ('email:"amy\\"', "The text in quotes that begins here does not end", 7),
        ("email:\"amy'", "The text in quotes that begins here does not end", 7),
        ('name~"ab"', "~ needs a text of at least 3 characters", 6),
        ("name~null", "null can only be searched with :", 6),
        ('name>"a"', "name is a text, which cannot be compared with >", 5),
        ('metadata["k"]>=5', 'metadata["k"] is a text, which cannot be compared with >=', 14),
        ('created~"123"', "created is a number, which cannot be searched with ~", 8),
        ("created:null", "A whole number of unix seconds is expected", 9),
        ("created>yesterday", "A whole number of unix seconds is expected", 9),
        ("created>1.5", "A whole number of unix seconds is expected", 9),
        ("created>٣", "A whole number of unix seconds is expected", 9),
        (f"created>{INT64_MAX + 1}", "A whole number of unix seconds is expected", 9),
        ('metadata:"gold"', 'metadata needs a key, as in metadata["key"]', 9),
        ('metadata[plan]:"gold"', "A key in quotes is expected after metadata[", 10),
        ('metadata[""]:"gold"', "A key in quotes is expected after metadata[", 10),
        ('metadata["plan":"gold"', "A closing bracket is expected after the key", 16),
        (
            " ".join(['name:"a"'] * 11),
            "A query can have up to 10 clauses, and another one begins",
            91,
        ),
    ],
)
def test_a_refusal_says_what_is_wrong_and_where(text: str, what: str, at: int) -> None:
    said = f"We were unable to parse your search query. {what} (at character {at})."
    assert refusal(text) == said


def test_ten_clauses_are_not_too_many() -> None:
    assert len(parse(" OR ".join(['name:"a"'] * CLAUSES_MAX)).clauses) == CLAUSES_MAX


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("foo:1", "foo"),
        ('-foo:"a"', "foo"),
        ('address.country:"US"', "address.country"),
        ('Email:"a"', "Email"),
        ('foo["k"]:"a"', "foo"),
        ('name:"a" AND and:"b"', "and"),
    ],
)
def test_an_unknown_field_is_named_with_those_that_there_are(text: str, name: str) -> None:
    assert refusal(text).startswith(
        f"Field `{name}` is an unsupported search field for resource `customers`. "
        'Supported are created, email, metadata["key"], name, phone '
    )


def test_a_long_name_is_shortened_in_the_refusal() -> None:
    assert len(refusal("f" * 4_000 + ":1")) < 300


def test_a_query_has_a_greatest_length() -> None:
    reader = SearchQuery()
    longest = 'name:"' + "a" * (QUERY_CHARACTERS_MAX - 7) + '"'
    assert len(reader.read(longest, "query").clauses) == 1
    with pytest.raises(Malformed, match="must be at most 5000 characters") as refused:
        reader.read(longest + " ", "query")
    assert refused.value.param == "query"
