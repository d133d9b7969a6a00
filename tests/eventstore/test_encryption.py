"""What is encrypted opens as it was, in its own place and with its own keys only, or not at all."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from tests.domain.strategies import histories
from tests.eventstore.items import keeping, key
from tests.support.customers import created, pending
from tests.support.keyrings import KEYRING, master_key

from chaching.domain.customer import (
    Customer,
    CustomerCreated,
    CustomerUpdated,
    Event,
    Personal,
    decide,
    evolve,
)
from chaching.domain.delta import Delta, Patch
from chaching.domain.values import Details
from chaching.envelope import (
    PendingAnswer,
    PendingEvent,
    StreamKey,
    Undecodable,
    Version,
    WrappedKey,
    customer_after,
)
from chaching.eventstore.encryption import DESTROYED, Encrypted, Keyring, MasterKeyError
from chaching.eventstore.errors import WrongMasterKey

CANARY = "canary"
DETAILS = Details(name=CANARY, email=f"{CANARY}@example.com", metadata={CANARY: CANARY})
OTHER = Keyring.of(master_key("another master key"))


def encrypted_event(encrypted: Encrypted) -> tuple[PendingEvent, WrappedKey]:
    assert isinstance(encrypted.pending, PendingEvent)
    assert encrypted.new_data_key is not None
    return encrypted.pending, encrypted.new_data_key


def first_event(customer_id: str = "cus_1") -> PendingEvent:
    event = decide(created(customer_id, DETAILS), None)
    assert event is not None
    return pending(event, None)


def update(personal: Delta, data_key: WrappedKey) -> PendingEvent:
    [was] = [evolve(None, e) for e in [decide(created("cus_1", DETAILS), None)] if e is not None]
    return pending(
        CustomerUpdated(updated=1, personal=personal), was, Version(1), data_key=data_key
    )


def pended(events: list[Event]) -> list[PendingEvent]:
    """Return a history as it is appended, each event with the customer after it."""
    state: Customer | None = None
    found: list[PendingEvent] = []
    for number, event in enumerate(events):
        found.append(pending(event, state, Version(number)))
        state = evolve(state, event)
    return found


def opened(
    keyring: Keyring, event: PendingEvent, data_key: WrappedKey | None
) -> tuple[str, str | None]:
    version = event.expected_version + 1
    return keyring.opened(event.key, version, event.payload, event.state, data_key)


@given(histories)
def test_every_event_opens_as_it_was_encrypted(events: list[Event]) -> None:
    data_key: WrappedKey | None = None
    for event in pended(events):
        encrypted = KEYRING.encrypt(msgspec.structs.replace(event, data_key=data_key))
        data_key = data_key or encrypted.new_data_key
        assert isinstance(encrypted.pending, PendingEvent)
        assert opened(KEYRING, encrypted.pending, data_key) == (event.payload, event.state)


@given(histories)
def test_what_was_encrypted_with_a_destroyed_key_folds_to_nobody(events: list[Event]) -> None:
    """A history without a person is as whole as any: deltas and states still say the same."""
    folded: Customer | None = None
    data_key: WrappedKey | None = None
    for event in pended(events):
        encrypted = KEYRING.encrypt(msgspec.structs.replace(event, data_key=data_key))
        data_key = data_key or encrypted.new_data_key
        assert isinstance(encrypted.pending, PendingEvent)
        payload, state = opened(KEYRING, encrypted.pending, data_key and DESTROYED)
        fact = msgspec.json.decode(payload, type=type(events[event.expected_version]))
        folded = evolve(folded, fact)
        assert folded.personal == Personal()
        assert customer_after(event.type, 1, payload, state) == folded


def test_no_personal_value_is_to_be_read_in_what_is_stored() -> None:
    event, data_key = encrypted_event(KEYRING.encrypt(first_event()))
    renamed = update(Delta(changes={"name": f"new {CANARY}"}, previous={"name": CANARY}), data_key)
    second = KEYRING.encrypt(renamed)
    assert second.new_data_key is None
    assert isinstance(second.pending, PendingEvent)
    stored = [event.payload, second.pending.payload, second.pending.state or ""]
    assert CANARY in renamed.payload
    assert not any(CANARY in text for text in stored)
    assert all('"personal":"' in text for text in stored)


def test_an_update_keeps_the_names_of_what_changed_and_no_value() -> None:
    changes: Patch = {"name": "June", "metadata": {CANARY: "1"}, "tax_ids": []}
    previous: Patch = {"name": CANARY, "metadata": {CANARY: None}, "tax_ids": []}
    _, data_key = encrypted_event(KEYRING.encrypt(first_event()))
    encrypted = KEYRING.encrypt(update(Delta(changes=changes, previous=previous), data_key)).pending
    assert isinstance(encrypted, PendingEvent)
    assert msgspec.json.decode(encrypted.payload)["personal_names"] == [*changes]
    payload, _ = opened(KEYRING, encrypted, DESTROYED)
    blank: Patch = {"name": None, "metadata": {}, "tax_ids": []}
    assert msgspec.json.decode(payload) == {
        "updated": 1,
        "personal": {"changes": blank, "previous": blank},
    }


def test_two_customers_never_share_a_key_and_one_keeps_its_own() -> None:
    keys = [encrypted_event(KEYRING.encrypt(first_event(f"cus_{n}")))[1] for n in range(2)]
    assert keys[0] != keys[1]
    again = KEYRING.encrypt(msgspec.structs.replace(first_event(), data_key=keys[1]))
    assert again.new_data_key is None


def test_who_has_nothing_personal_needs_no_key() -> None:
    event = decide(created("cus_1", Details(balance=1)), None)
    assert isinstance(event, CustomerCreated)
    plain = pending(event, None)
    assert KEYRING.encrypt(plain) == Encrypted(plain, None)
    assert opened(KEYRING, plain, None) == (plain.payload, None)


@pytest.mark.parametrize(
    "moved",
    [
        {"key": key("cus_2")},
        {"key": StreamKey(key("cus_1").account, True, key("cus_1").id)},
        {"key": key("cus_1", account="acct_2")},
        {"expected_version": Version(1)},
    ],
    ids=["customer", "mode", "account", "version"],
)
def test_an_encrypted_text_that_was_moved_stays_encrypted(moved: dict[str, object]) -> None:
    event, data_key = encrypted_event(KEYRING.encrypt(first_event()))
    elsewhere = msgspec.structs.replace(event, **moved)
    if "key" in moved:  # even where the thief could wrap the key anew
        data_key = KEYRING._wrap(elsewhere.key, KEYRING._unwrap(event.key, data_key))
    assert opened(KEYRING, elsewhere, data_key) == (event.payload, None)
    with pytest.raises(Exception, match="payload of a CustomerCreated is broken"):
        customer_after(event.type, 1, event.payload, None)


def test_a_payload_does_not_open_as_a_state() -> None:
    event, data_key = encrypted_event(KEYRING.encrypt(first_event()))
    swapped = msgspec.structs.replace(event, state=event.payload)
    payload, state = opened(KEYRING, swapped, data_key)
    assert payload != event.payload
    assert state == event.payload


def test_a_data_key_of_another_customer_opens_nothing() -> None:
    event, _ = encrypted_event(KEYRING.encrypt(first_event("cus_1")))
    _, others = encrypted_event(KEYRING.encrypt(first_event("cus_2")))
    assert opened(KEYRING, event, others) == (event.payload, None)


def test_a_wrong_master_key_is_told_from_a_damaged_text() -> None:
    event, data_key = encrypted_event(KEYRING.encrypt(first_event()))
    with pytest.raises(WrongMasterKey, match=f"the id {KEYRING.ids[0].hex()}"):
        opened(OTHER, event, data_key)
    damaged = msgspec.structs.replace(event, payload=event.payload.replace('"personal":"', "!"))
    assert opened(KEYRING, damaged, data_key) == (damaged.payload, None)


def test_of_several_master_keys_the_first_wraps_and_each_unwraps() -> None:
    old, new = master_key("old"), master_key("new")
    event, data_key = encrypted_event(Keyring.of(old).encrypt(first_event()))
    both = Keyring.of(f"{new},{old}")
    assert opened(both, event, data_key) == (first_event_text(event), None)
    rewrapped = both.rewrapped(event.key, data_key)
    assert opened(Keyring.of(new), event, rewrapped) == opened(both, event, data_key)
    with pytest.raises(WrongMasterKey):
        opened(Keyring.of(old), event, rewrapped)


def first_event_text(event: PendingEvent) -> str:
    """Return the payload of ``first_event`` with the invoice prefix that an event of it drew."""
    prefix = msgspec.json.decode(event.payload)["commercial"]["invoice_prefix"]
    command = msgspec.structs.replace(created("cus_1", DETAILS), invoice_prefix=prefix)
    fact = decide(command, None)
    assert fact is not None
    return pending(fact, None).payload


@pytest.mark.parametrize("text", ["", "short", "A" * 44, f"{master_key('a')},", "A" * 42 + "=="])
def test_a_master_key_is_32_bytes_in_base64(text: str) -> None:
    with pytest.raises(MasterKeyError, match="a master key is 32 bytes in base64") as raised:
        Keyring.of(text)
    assert text == "" or text not in str(raised.value)


def test_a_kept_answer_opens_for_its_own_key_only_and_not_once_the_data_key_is_gone() -> None:
    asked = PendingAnswer(
        key=key("cus_1"), expected_version=Version(1), kept=keeping("k", answer=b'{"name":"June"}')
    )
    encrypted = KEYRING.encrypt(asked)
    data_key, kept = encrypted.new_data_key, encrypted.pending.kept
    answer = kept and kept.answer
    assert data_key is not None
    assert answer is not None
    assert b"June" not in answer
    stored = answer.decode()
    assert KEYRING.opened_answer(asked.key, "k", stored, data_key) == b'{"name":"June"}'
    with pytest.raises(Undecodable, match="does not open"):
        KEYRING.opened_answer(asked.key, "other", stored, data_key)
    erased = b'{"id":"cus_1","object":"customer","deleted":true,"erased":true}'
    assert KEYRING.opened_answer(asked.key, "k", stored, DESTROYED) == erased
    later = KEYRING.encrypt(msgspec.structs.replace(asked, data_key=DESTROYED)).pending.kept
    assert later is not None
    assert later.answer == b""


@pytest.mark.parametrize("personal", ["?", "", "A", "AAAA", "A" * 20, "é"])
def test_a_text_that_was_changed_stays_closed_whatever_stands_there(personal: str) -> None:
    encrypted = KEYRING.encrypt(first_event())
    data_key = encrypted.new_data_key
    text = msgspec.json.encode({"personal": personal}).decode()
    assert KEYRING.opened(key("cus_1"), 1, text, text, data_key) == (text, text)
    with pytest.raises(Undecodable, match="does not open"):
        KEYRING.opened_answer(key("cus_1"), "k", personal, data_key)


@pytest.mark.parametrize("names", ["17", '"name"', "[1]", "[" * 1_500 + "]" * 1_500])
def test_a_blank_text_that_was_changed_stays_as_it_is(names: str) -> None:
    text = f'{{"personal":"AAAA","personal_names":{names}}}'
    assert KEYRING.opened(key("cus_1"), 1, text, None, DESTROYED) == (text, None)


def test_only_a_lenient_keyring_leaves_closed_what_it_has_no_master_key_for() -> None:
    event = first_event()
    encrypted = KEYRING.encrypt(event)
    assert encrypted.new_data_key is not None
    assert isinstance(encrypted.pending, PendingEvent)
    stored, whole = encrypted.pending.payload, encrypted.new_data_key
    changed = bytes([255 - whole[0]]) + whole[1:]
    with pytest.raises(WrongMasterKey):
        KEYRING.opened(key("cus_1"), 1, stored, None, changed)
    lenient = KEYRING.lenient()
    assert lenient.opened(key("cus_1"), 1, stored, None, changed) == (stored, None)
    opened, _ = lenient.opened(key("cus_1"), 1, stored, None, whole)
    assert CANARY in opened
