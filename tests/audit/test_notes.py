from __future__ import annotations

import base64
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.audit import by_the_document as document

from chaching.audit.hashing import EMPTY_ROOT
from chaching.audit.notes import (
    BadKey,
    Checkpoint,
    NotANote,
    PublicKey,
    SigningKey,
    Untrusted,
    key_id,
    origin_of,
    parse_checkpoint,
    parse_public_key,
)

KEY: Final = SigningKey(bytes(range(32)))
OTHER: Final = SigningKey(bytes(range(1, 33)))
ORIGIN: Final = origin_of("7b4a1bd2-8c5e-4f0f-9d6d-2f1f7c1c5d11")
CHECKPOINT: Final = Checkpoint(origin=ORIGIN, size=4711, root=bytes(range(32)))
NOTE: Final = KEY.sign(CHECKPOINT)
# a key, a text and its signature from the tests of the Go project, whose tools read signed notes
GO_KEY: Final = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SEED: Final = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_TEXT: Final = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
GO_SIGNED: Final = (
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
)

names = st.text(
    st.characters(categories=["L", "N", "P"], exclude_characters="+"), min_size=1, max_size=20
)
checkpoints = st.builds(
    Checkpoint,
    origin=names,
    size=st.integers(0, 10**18),
    root=st.binary(min_size=32, max_size=32),
)


@given(checkpoints, st.binary(min_size=32, max_size=32))
def test_a_note_says_what_was_signed_and_by_whom(checkpoint: Checkpoint, seed: bytes) -> None:
    key = SigningKey(seed)
    signed = parse_checkpoint(key.sign(checkpoint))
    assert signed.checkpoint == checkpoint
    assert signed.names(key.public)
    signed.check([KEY.public, key.public])


def test_the_document_opens_what_is_signed() -> None:
    expected = (CHECKPOINT.origin, CHECKPOINT.size, CHECKPOINT.root)
    assert document.opened(NOTE, KEY.public.verifier(ORIGIN)) == expected
    assert document.opened(NOTE, base64.b64encode(KEY.public.key).decode()) == expected
    with pytest.raises(AssertionError, match="nobody"):
        document.opened(NOTE, OTHER.public.verifier(ORIGIN))


def test_a_note_looks_as_the_field_writes_it() -> None:
    text, signatures = NOTE.split("\n\n")
    assert text.split("\n") == [ORIGIN, "4711", base64.b64encode(bytes(range(32))).decode()]
    assert signatures.startswith(f"\N{EM DASH} {ORIGIN} ")
    assert NOTE.endswith("\n")


def test_keys_and_signatures_are_those_of_the_field() -> None:
    key = parse_public_key(GO_KEY)
    assert key.name == "PeterNeumann"
    assert key.verifier("PeterNeumann") == GO_KEY
    seed = base64.b64decode(GO_SEED)[1:]
    assert SigningKey(seed).public.key == key.key
    signed = base64.b64decode(GO_SIGNED)
    assert signed[:4] == key_id("PeterNeumann", key.key)
    assert document.ed25519_is_signed(key.key, GO_TEXT.encode(), signed[4:])
    assert not document.ed25519_is_signed(key.key, GO_TEXT.encode()[1:], signed[4:])


@pytest.mark.parametrize("text", [KEY.public.verifier(ORIGIN), GO_KEY])
def test_a_public_key_is_parsed_back(text: str) -> None:
    key = parse_public_key(f" {text}\n")
    assert key.verifier(key.name or "") == text


def test_a_public_key_may_be_spelled_without_a_name() -> None:
    bare = base64.b64encode(KEY.public.key).decode()
    assert parse_public_key(bare) == PublicKey(KEY.public.key)
    for seed in range(40):  # some of them have a plus sign, which is no separator here
        key = SigningKey(bytes([seed]) * 32).public
        assert parse_public_key(base64.b64encode(key.key).decode()) == key
        assert parse_public_key(key.verifier(ORIGIN)).key == key.key


def test_every_part_of_a_public_key_is_refused() -> None:
    for start in range(len(GO_KEY)):
        for end in range(start, len(GO_KEY) + 1):
            if (start, end) != (0, len(GO_KEY)):
                with pytest.raises(BadKey):
                    parse_public_key(GO_KEY[start:end])


@pytest.mark.parametrize(
    "text",
    [
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        GO_KEY.replace("c74f", "C74f"),
        "A" * 44,
    ],
)
def test_a_key_of_another_kind_or_id_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(BadKey) as refused:
        parse_public_key(text)
    assert text not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", "secret", "A" * 43, "A" * 44, base64.b64encode(b"x" * 31).decode()]
)
def test_a_signing_key_must_be_32_bytes(text: str) -> None:
    with pytest.raises(BadKey, match="openssl rand"):
        SigningKey.parse(text)


def test_a_signing_key_does_not_show_itself() -> None:
    seed = base64.b64encode(bytes(range(32))).decode()
    key = SigningKey.parse(seed)
    assert key.public == KEY.public
    assert seed not in repr(key)


def test_who_did_not_sign_is_not_trusted() -> None:
    signed = parse_checkpoint(NOTE)
    with pytest.raises(Untrusted, match="a key that you did not give"):
        signed.check([OTHER.public])
    with pytest.raises(Untrusted, match="a key that you did not give"):
        signed.check([])
    with pytest.raises(Untrusted, match="a key that you did not give"):
        signed.check([PublicKey(KEY.public.key, "chaching/another")])
    signed.check([PublicKey(KEY.public.key, ORIGIN)])


def test_one_good_signature_is_enough_and_one_bad_of_a_trusted_key_is_too_many() -> None:
    by_both = NOTE + OTHER.sign(CHECKPOINT).rpartition("\n\n")[2]
    parse_checkpoint(by_both).check([KEY.public])
    parse_checkpoint(by_both).check([OTHER.public])
    forged = NOTE + _with_id_of(KEY, OTHER.sign(CHECKPOINT)).rpartition("\n\n")[2]
    with pytest.raises(Untrusted, match="is wrong"):
        parse_checkpoint(forged).check([KEY.public])


@given(st.data())
def test_a_note_with_one_byte_changed_is_no_note_or_not_trusted(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(NOTE) - 1))
    with_another = data.draw(st.characters(max_codepoint=0x7E).filter(lambda c: c != NOTE[at]))
    changed = NOTE[:at] + with_another + NOTE[at + 1 :]
    with pytest.raises((NotANote, Untrusted)):
        parse_checkpoint(changed).check([KEY.public])


def test_a_signature_is_spelled_in_one_way() -> None:
    last, signed = NOTE[-3], NOTE.rpartition(" ")[2].strip()
    again = f"{signed[:-2]}{chr(ord(last) + 1)}="
    assert base64.b64decode(again) == base64.b64decode(signed)
    with pytest.raises(NotANote):
        parse_checkpoint(NOTE.replace(signed, again))


@given(st.text(max_size=200))
def test_any_text_is_a_note_or_refused(text: str) -> None:
    with pytest.raises(NotANote):
        parse_checkpoint(text)
    with pytest.raises(NotANote):
        parse_checkpoint(text + "\n\n" + text)


@pytest.mark.parametrize(
    "note",
    [
        NOTE[:-1],
        NOTE + "Unexpected line.\n",
        NOTE.replace("4711", "04711"),
        NOTE.replace("4711", "-4711"),
        NOTE.replace("4711\n", ""),
        NOTE.replace("\n\n", "\nan extension\n\n"),
        NOTE.replace("\N{EM DASH}", "-"),
        NOTE + NOTE.rpartition("\n\n")[2] * 64,
        "x" * 70_000 + NOTE,
    ],
)
def test_what_is_not_in_the_form_of_a_note_is_refused(note: str) -> None:
    with pytest.raises(NotANote):
        parse_checkpoint(note)


def test_an_empty_log_has_a_checkpoint_too() -> None:
    empty = Checkpoint(origin=ORIGIN, size=0, root=EMPTY_ROOT)
    assert parse_checkpoint(KEY.sign(empty)).checkpoint == empty


def _with_id_of(key: SigningKey, note: str) -> str:
    text, _, line = note.rpartition("\n\n")
    name, encoded = line[2:-1].split(" ")
    signed = key_id(name, key.public.key) + base64.b64decode(encoded)[4:]
    return f"{text}\n\n\N{EM DASH} {name} {base64.b64encode(signed).decode()}\n"
