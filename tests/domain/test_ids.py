from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from chaching.domain.ids import is_account_id, spell, spell_invoice_prefix

MILLISECONDS = st.integers(0, 3_500_000_000_000)  # until the year 2080
ENTROPY = st.integers(0, 2**64 - 1)


@given(MILLISECONDS, ENTROPY)
def test_an_id_is_its_prefix_and_14_base_62_characters(now_ms: int, entropy: int) -> None:
    assert re.fullmatch("cus_[0-9A-Za-z]{14}", spell("cus_", now_ms, entropy))


@given(MILLISECONDS, MILLISECONDS, ENTROPY, ENTROPY)
def test_ids_sort_by_the_time_at_which_they_were_made(
    earlier_ms: int, later_ms: int, one: int, other: int
) -> None:
    earlier_ms, later_ms = sorted((earlier_ms, later_ms))
    first, second = spell("cus_", earlier_ms, one), spell("cus_", later_ms, other)
    assert first[:11] <= second[:11]
    if later_ms > earlier_ms:
        assert first < second


@given(st.integers(0, 62**7 - 1), st.integers(0, 62**7 - 1))
def test_other_entropy_gives_another_id(one: int, other: int) -> None:
    assert (spell("cus_", 1, one) == spell("cus_", 1, other)) == (one == other)


@given(ENTROPY)
def test_an_invoice_prefix_has_eight_capitals_or_digits(entropy: int) -> None:
    assert re.fullmatch("[A-Z0-9]{8}", spell_invoice_prefix(entropy))


def test_an_account_is_one_word_of_a_routing_key() -> None:
    assert is_account_id("acct_local-1")
    assert not any(map(is_account_id, ("", "a.b", "a b", "a" * 65, "é")))
