from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chaching.domain.ids import AccountId
from chaching.domain.search_terms import (
    SUBSTRING_TERMS_MAX,
    absence,
    containment,
    equality,
    fold,
    folded,
    presence,
    terms_of,
)

ACCOUNT = AccountId("acct_1")
OTHER = AccountId("acct_2")
TERMS_END = 2**63
STORED = [
    -2694929080357486637,
    3858100246264152019,
    5501954150573036545,
    5501954151260930736,
    5501954153454269043,
]

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
keys = st.sampled_from(["plan", "Plan", "email", "", "a\0b"])


def terms(
    name: str | None = None,
    email: str | None = None,
    phone: str | None = None,
    *,
    account: AccountId = ACCOUNT,
    livemode: bool = False,
    **metadata: str,
) -> set[int]:
    return set(terms_of(account, livemode, folded(email, name, phone, metadata)))


@given(texts, st.data())
def test_a_text_has_the_terms_of_each_of_its_parts(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    part = text[start : data.draw(st.integers(start, len(text)))]
    assert fold(part) in fold(text)
    if len(part) >= 3:
        asked = containment(ACCOUNT, False, "name", None, fold(part))
        assert asked
        assert set(asked) <= terms(name=text)
        in_metadata = containment(ACCOUNT, False, "metadata", "plan", fold(part))
        assert set(in_metadata) <= terms(plan=text)


@given(texts)
def test_a_text_is_found_whatever_the_case_of_its_letters(text: str) -> None:
    for other in (text.upper(), text.lower(), text.swapcase()):
        if fold(other) == fold(text):
            assert set(equality(ACCOUNT, False, "email", None, fold(other))) <= terms(email=text)


@given(texts)
def test_terms_are_numbers_of_64_bits_in_order(text: str) -> None:
    found = terms_of(ACCOUNT, True, folded(text, text, None, {"k": text}))
    assert found == sorted(set(found))
    assert all(-TERMS_END <= term < TERMS_END for term in found)


def test_presence_and_absence_are_told_apart() -> None:
    for name in ("email", "name", "phone"):
        there = terms(*["x" if name == one else None for one in ("name", "email", "phone")])
        gone = terms()
        has, lacks = presence(ACCOUNT, False, name, None), absence(ACCOUNT, False, name)
        assert set(has) <= there
        assert not set(lacks) & there
        assert set(lacks) <= gone
        assert not set(has) & gone
    assert set(presence(ACCOUNT, False, "metadata", "plan")) <= terms(plan="x")
    assert not set(presence(ACCOUNT, False, "metadata", "plan")) & terms(Plan="x")


def test_terms_of_other_accounts_modes_fields_and_keys_are_others() -> None:
    own = terms(name="Jane Doe", email="Jane Doe", phone="Jane Doe", plan="Jane Doe")
    assert not own & terms(name="Jane Doe", email="Jane Doe", account=OTHER)
    assert not own & terms(name="Jane Doe", email="Jane Doe", livemode=True)
    for key in ("email", "name", "Plan"):
        assert not own & set(equality(ACCOUNT, False, "metadata", key, "jane doe"))
    assert not set(equality(ACCOUNT, False, "email", None, "jane doe")) & terms(name="Jane Doe")


def test_of_a_long_part_only_some_terms_are_asked_from_all_over_it() -> None:
    text = "".join(chr(0x4E00 + n) for n in range(500))
    asked = containment(ACCOUNT, False, "name", None, text)
    assert SUBSTRING_TERMS_MAX // 2 < len(asked) <= SUBSTRING_TERMS_MAX
    assert set(asked) <= terms(name=text)
    assert not set(asked) <= terms(name=text[:250])
    assert not set(asked) <= terms(name=text[250:])


def test_terms_are_what_the_stored_ones_are() -> None:
    found = terms_of(ACCOUNT, False, folded(None, "Ann", None, {}))
    assert found == STORED
