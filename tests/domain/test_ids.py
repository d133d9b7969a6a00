from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaching.domain.ids import (
    is_account_id,
    spell,
    spell_event_id,
    spell_invoice_prefix,
    told_by_event_id,
)

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


@given(MILLISECONDS, ENTROPY, st.integers(1, 2**31 - 1))
def test_the_id_of_an_event_tells_its_customer_and_version(
    now_ms: int, entropy: int, version: int
) -> None:
    customer_id = spell("cus_", now_ms, entropy)
    event_id = spell_event_id(customer_id, version, entropy)
    assert event_id is not None
    assert re.fullmatch("evt_[0-9A-Za-z]{22,27}", event_id)
    assert told_by_event_id(event_id) == (customer_id, version)
    assert told_by_event_id(event_id[:-1] + "zzzzzzz") is None


@pytest.mark.parametrize("chosen", ["cus_1", "jane", "cus_NffrFeUfNV2Hi_", "x" * 255])
def test_a_chosen_id_stands_in_no_events_id(chosen: str) -> None:
    assert spell_event_id(chosen, 1, 0) is None


@given(MILLISECONDS, ENTROPY)
def test_an_id_like_any_other_tells_nothing(now_ms: int, entropy: int) -> None:
    assert told_by_event_id(spell("evt_", now_ms, entropy)) is None


@pytest.mark.parametrize(
    "text", ["", "evt_", "evt_" + "z" * 27, "evt_" + "0" * 28, "cus_" + "0" * 22]
)
def test_what_no_event_can_be_called_tells_nothing(text: str) -> None:
    assert told_by_event_id(text) is None


def test_an_account_is_one_word_of_a_routing_key() -> None:
    assert is_account_id("acct_local-1")
    assert not any(map(is_account_id, ("", "a.b", "a b", "a" * 65, "é")))
