"""How refusals spell what they speak of, and that spelling it stays cheap."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from tests.api.reading import creating

from chaching_api.bodies import PAIRS_MAX, decode_json
from chaching_api.errors import Malformed, envelope, failure_of
from chaching_api.texts import SHOWN_NAME_CHARACTERS_MAX, printable, shown_name

SPELLING_BYTES_MAX = 8 * 1024 * 1024


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("invoice_settings[custom_fields][0][name]", "invoice_settings[custom_fields][0][name]"),
        ("n" * 100, "n" * 100),
        ("n" * 101, "nnnn...nnnn"),
        (f"metadata[{'k' * 200}]", "metadata[kkkk...kkkk]"),
        (f"tax_id_data[{'k' * 200}][type]", "tax_id_data[kkkk...kkkk][type]"),
        ("n" * 14 + f"[{'k' * 14}]" * 5, "n" * 14 + f"[{'k' * 14}]" * 5),
        ("[" * 200, "[[[[...[[[["),
    ],
)
def test_a_long_name_is_shown_shortened_and_still_in_brackets(name: str, shown: str) -> None:
    assert shown_name(name) == shown
    assert len(shown) <= SHOWN_NAME_CHARACTERS_MAX


@pytest.mark.parametrize("unseen", ["\n", "\0", "\x7f", "\u0085", "\u2028", "\u202e", "\ud800"])
def test_what_cannot_be_seen_is_replaced_in_what_is_answered(unseen: str) -> None:
    assert printable(f"a{unseen}b J\u00f6rg \U0001f389") == "a\ufffdb J\u00f6rg \U0001f389"
    fault = Malformed(f"Invalid: {unseen}", param=f"metadata[{unseen}]")
    error = json.loads(envelope(failure_of(fault)))["error"]
    assert (error["message"], error["param"]) == ("Invalid: \ufffd", "metadata[\ufffd]")


def test_a_long_name_around_many_unknown_ones_is_not_copied_for_each_of_them() -> None:
    nope = {f"n{index}": "x" for index in range(PAIRS_MAX)}
    tree = decode_json(json.dumps({"tax_id_data": {"k" * 100_000: nope}}).encode())
    tracemalloc.start()
    try:
        with pytest.raises(Malformed) as raised:
            creating(tree)
        assert tracemalloc.get_traced_memory()[1] < SPELLING_BYTES_MAX
    finally:
        tracemalloc.stop()
    assert raised.value.param == "tax_id_data[kkkk...kkkk][n0]"
    assert raised.value.message.count("tax_id_data[kkkk...kkkk][n") == PAIRS_MAX
