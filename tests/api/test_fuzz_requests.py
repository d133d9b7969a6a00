"""A small share of ``make fuzz``: no input breaks a promise, and what clients encode comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.fuzz import given as inputs_kept
from tests.fuzz.clients import Saying, as_json, as_stripe_node, as_stripe_python, meaning
from tests.fuzz.costs import serve
from tests.fuzz.drawn import run
from tests.fuzz.given import Given, keep, kept
from tests.fuzz.guided import SEEDS, given_of
from tests.fuzz.oracle import judge, judge_refusal, judge_tree
from tests.fuzz.strategies import (
    inputs,
    numbered,
    said_by_any,
    sayings,
    seeds,
    sound_texts,
    variants,
)

from chaching.domain.customer import NoSuchCustomer
from chaching_api import bodies
from chaching_api.bodies import FORM, JSON, Tree, decode_form, decode_json
from chaching_api.errors import Malformed


@settings(max_examples=150, deadline=None)
@given(inputs, seeds)
def test_no_drawn_input_breaks_a_promise(drawn: Given, seed: int) -> None:
    for variant in variants(drawn, seed):
        assert judge(variant)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SEEDS), st.integers(0, 80), st.binary(max_size=12))
def test_no_seed_of_the_guided_fuzzer_breaks_a_promise_when_it_is_spoiled(
    raw: bytes, at: int, piece: bytes
) -> None:
    assert judge(given_of(raw)) == "taken"
    assert judge(given_of(raw[:at] + piece + raw[at:]))
    assert judge(given_of(piece))


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        (b"name=Jane&metadata[k]=v", "taken"),
        (b"shipping[phone]=1", "rejected"),
        (b"email=5", "refused"),
        (b"email=%zz", "malformed"),
    ],
)
def test_the_judge_tells_how_far_an_input_gets(body: bytes, verdict: str) -> None:
    assert judge(Given(content_type=FORM, body=body)) == verdict


@pytest.mark.parametrize(
    "refusal",
    [
        Malformed(""),
        Malformed("x" * 2_000),
        Malformed("x", param="n" * 101),
        Malformed("x", param="a[b"),
        Malformed("x", param="[a]"),
        Malformed("x" * 200_000, reason="parameter_unknown"),
        NoSuchCustomer("c" * 2_000),
    ],
    ids=repr,
)
def test_the_judge_finds_a_refusal_that_breaks_the_contract(
    refusal: Malformed | NoSuchCustomer,
) -> None:
    with pytest.raises(AssertionError):
        judge_refusal(refusal)


@pytest.mark.parametrize(
    "tree",
    [
        {"a": {"b": {"c": {"d": {"e": {"f": "x"}}}}}},
        {"a": "\0"},
        {"a\0": "x"},
        {"a": 1},
        {f"a{index}": "x" for index in range(1_001)},
    ],
    ids=["deep", "NUL", "NUL in a name", "no text", "many"],
)
def test_the_judge_finds_a_tree_that_breaks_the_contract(tree: Tree) -> None:
    with pytest.raises(AssertionError):
        judge_tree(tree)


def test_a_planted_bug_is_found_and_shrunk_to_an_input_that_finds_it_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bodies, "LEVELS_MAX", 6)
    monkeypatch.setattr(inputs_kept, "FAILURES", tmp_path)
    bodies._known_path.cache_clear()  # pyright: ignore[reportPrivateUsage] - it knew better
    found = run(20_000, 60.0, seed=1)
    assert found.broken is not None
    again = kept(keep(found.broken))
    assert isinstance(again, Given)
    assert again.size_bytes < 100
    with pytest.raises(AssertionError, match="too deep"):
        judge(again)
    monkeypatch.undo()
    bodies._known_path.cache_clear()  # pyright: ignore[reportPrivateUsage] - it knows wrongly
    assert judge(again) == "malformed"
    serve(again)


# --- What official clients encode ---------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(sayings(said_by_any))
@example({"a": "%5B", "b": "+1", "c": "%", "d": "&=", "phone": "+1 2", "e": ["", None, True]})
def test_what_stripe_node_encodes_is_decoded_to_the_same_structure(said: Saying) -> None:
    assert decode_form(as_stripe_node(said)) == meaning(said)


@settings(max_examples=150, deadline=None)
@given(sayings(numbered))
@example({"a": "%5B", "b": "+1", "c": "%", "d": "&=", "phone": "+1 2", "e": [["x"], [-1]]})
def test_what_stripe_python_encodes_is_decoded_to_the_same_structure(said: Saying) -> None:
    assert decode_form(as_stripe_python(said)) == meaning(said)


@settings(max_examples=150, deadline=None)
@given(sayings(said_by_any))
def test_json_of_a_structure_is_decoded_like_a_form_of_it(said: Saying) -> None:
    assert decode_json(as_json(said)) == decode_form(as_stripe_node(said))


@given(sound_texts)
@example("+1987654321")
def test_a_phone_is_decoded_as_it_was_given_to_a_client(phone: str) -> None:
    shipping: Saying = {"phone": phone, "shipping": {"phone": phone}}
    for encoded in (as_stripe_node(shipping), as_stripe_python(shipping)):
        assert decode_form(encoded) == meaning(shipping)


def test_the_type_of_the_body_decides_how_it_is_read() -> None:
    said: Saying = {"metadata": {"0": "a"}, "preferred_locales": ["fr", "nb"]}
    assert judge(Given(content_type=JSON, body=as_json(said))) == "taken"
    assert judge(Given(content_type=FORM, body=as_stripe_node(said))) == "taken"
    assert judge(Given(content_type="text/plain", body=as_json(said))) == "malformed"
