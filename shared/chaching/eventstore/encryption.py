"""Personal values at rest: encrypted with a key per customer, and gone when that key is.

Theory of operation. A customer's data key is 32 random bytes, made with the first event that has
something to encrypt and stored with it, wrapped by a master key that the database never sees. What
an event says about the person (the part ``personal`` of its payload and of the state beside it) is
stored as one text, encrypted by AES-256-GCM with the data key; so are the answers kept under
idempotency keys. Everything else stays readable, and so do the names of the attributes that an
update changed. Encryption happens right before an append and opening right after a read, so nobody
above the event store sees an encrypted value, and the schema of events knows nothing of it.

An encrypted text is bound to its place: account, mode, stream, version and column are authenticated
with it, so one that was moved does not open. It then stays as it is, which no decoder of events
takes: that event is Undecodable and no other is. Nonces are random; a key encrypts a few texts a
version, far from the 2 ** 32 that random nonces allow.

When the data key is destroyed, its row says so by an empty key, and what it had encrypted opens as
blank: a customer without personal values, an update whose changed attributes have names and no
values. Every statement that reads encrypted texts reads the key beside them, in one snapshot. No
key is remembered between two reads: unwrapping costs a microsecond, and what is not remembered need
not be forgotten.

Master keys can be several: the first wraps, each unwraps. A wrapped key begins with the id of its
master key, so a wrong one is told from a damaged text: nothing is opened, and WrongMasterKey says
so before a healthy event could be taken for a broken one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from chaching.domain.customer_object import render_erased
from chaching.domain.ids import mode_of
from chaching.envelope import (
    BROKEN_JSON,
    KeptAnswer,
    PendingAnswer,
    PendingEvent,
    StreamKey,
    Undecodable,
    WrappedKey,
)
from chaching.eventstore.errors import WrongMasterKey

MASTER_KEY_BYTES: Final = 32
MASTER_KEY_ID_BYTES: Final = 4
DATA_KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
DESTROYED: Final = WrappedKey(b"")

PAYLOAD: Final = "payload"
STATE: Final = "state"
PERSONAL: Final = "personal"
CHANGED: Final = "personal_names"
_PERSONAL_PART: Final = f'"{PERSONAL}":{{"'  # inside a JSON text its quotes would be escaped
_DELTA: Final = f'{_PERSONAL_PART}changes":'
_NOTHING: Final = b"{}"
PLAIN_ANSWER: Final = "{"  # a kept answer is a JSON object; an encrypted one is base64

Pending: TypeAlias = PendingEvent | PendingAnswer
_Parts: TypeAlias = dict[str, msgspec.Raw]


class MasterKeyError(ValueError):
    """A master key is not 32 bytes in base64; the message does not repeat it."""


class Encrypted(msgspec.Struct, frozen=True):
    """What is appended, with no personal value to be read in it; its data key if that is new."""

    pending: Pending
    new_data_key: WrappedKey | None


class _Changes(msgspec.Struct):
    changes: dict[str, msgspec.Raw] = {}


_decode_parts = msgspec.json.Decoder(_Parts).decode
_decode_names = msgspec.json.Decoder(list[str]).decode
_decode_changes = msgspec.json.Decoder(_Changes).decode
_encode = msgspec.json.Encoder().encode
# how an attribute stands that has no value: null, but for a map and a list
_BLANKS: Final = {"metadata": msgspec.Raw(b"{}"), "tax_ids": msgspec.Raw(b"[]")}
_NULL: Final = msgspec.Raw(b"null")


class Keyring:
    """The master keys of one process; the first wraps new data keys, each unwraps."""

    def __init__(self, master_keys: Sequence[bytes], *, is_lenient: bool = False) -> None:
        self._is_lenient = is_lenient
        self.ids: Sequence[bytes] = [_master_key_id(key) for key in master_keys]
        self._master_keys = master_keys
        self._masters = {
            key_id: AESGCM(key) for key_id, key in zip(self.ids, master_keys, strict=True)
        }

    def lenient(self) -> Keyring:
        """Return one that leaves closed what it has no master key for.

        It is for whoever shows what there is: one changed data key must not hide what stands
        beside. Who acts on events needs WrongMasterKey, or all of them would look broken.
        """
        return Keyring(self._master_keys, is_lenient=True)

    def __reduce__(self) -> tuple[type[Keyring], tuple[Sequence[bytes]]]:
        """Let processes of one's own have it too: what stands in it cannot be copied as it is."""
        return Keyring, (self._master_keys,)

    @classmethod
    def of(cls, text: str) -> Keyring:
        """Return the keys that a setting spells: base64, with commas between several.

        Raises:
            MasterKeyError: one is no base64 of 32 bytes.
        """
        return cls(list(dict.fromkeys(_master_key(word) for word in text.split(","))))

    def encrypt(self, pending: Pending) -> Encrypted:
        """Return what is appended in the place of something; who has no data key gets one."""
        if not _has_something_to_encrypt(pending):
            return Encrypted(pending, None)
        if pending.data_key == DESTROYED:
            return Encrypted(_without_answer(pending), None)
        data_key, new = self._data_key_for(pending)
        kept = _encrypted_answer(pending, data_key)
        if isinstance(pending, PendingAnswer):
            return Encrypted(msgspec.structs.replace(pending, kept=kept), new)
        key, version, state = pending.key, pending.expected_version + 1, pending.state
        encrypted = msgspec.structs.replace(
            pending,
            payload=_encrypted_text(pending.payload, data_key, _place(key, version, PAYLOAD)),
            state=state and _encrypted_text(state, data_key, _place(key, version, STATE)),
            kept=kept,
        )
        return Encrypted(encrypted, new)

    def opened(
        self, key: StreamKey, version: int, payload: str, state: str | None, wrapped: bytes | None
    ) -> tuple[str, str | None]:
        """Return an event's payload and the state beside it as they were before encryption.

        ``wrapped`` is the stream's data key as it is stored, None if it has none: then nothing of
        it is encrypted. What was encrypted with a destroyed key is blank, what does not open stays.

        Raises:
            WrongMasterKey: the data key was wrapped with a master key that is not here.
        """
        if wrapped is None:
            return payload, state
        if wrapped == DESTROYED:
            return _blank(payload), state and _blank(state)
        try:
            data_key = AESGCM(self._unwrap(key, wrapped))
        except InvalidTag:  # another customer's, or damaged
            return payload, state
        except WrongMasterKey:
            if self._is_lenient:
                return payload, state
            raise
        return (
            _opened(payload, data_key, _place(key, version, PAYLOAD)),
            state and _opened(state, data_key, _place(key, version, STATE)),
        )

    def opened_answer(
        self, key: StreamKey, idempotency_key: str, answer: str, wrapped: bytes | None
    ) -> bytes:
        """Return an answer that was kept; of an erased customer there is one answer left.

        Raises:
            WrongMasterKey: the data key was wrapped with a master key that is not here.
            Undecodable: the answer was kept elsewhere, or damaged.
        """
        if wrapped == DESTROYED:
            return render_erased(key.id)
        if wrapped is None or answer.startswith(PLAIN_ANSWER):
            return answer.encode()
        try:
            data_key = AESGCM(self._unwrap(key, wrapped))
            return _decrypted(answer.encode(), data_key, _answer_place(key, idempotency_key))
        except (InvalidTag, ValueError):
            raise Undecodable("an answer that was kept does not open") from None

    def rewrapped(self, key: StreamKey, wrapped: WrappedKey) -> WrappedKey:
        """Return a data key wrapped with the first master key."""
        return self._wrap(key, self._unwrap(key, wrapped))

    def _data_key_for(self, pending: Pending) -> tuple[AESGCM, WrappedKey | None]:
        """Return what to encrypt something with, and in its wrapping when it is new."""
        if pending.data_key is not None:
            return AESGCM(self._unwrap(pending.key, pending.data_key)), None
        fresh = os.urandom(DATA_KEY_BYTES)
        return AESGCM(fresh), self._wrap(pending.key, fresh)

    def _wrap(self, key: StreamKey, data_key: bytes) -> WrappedKey:
        key_id, nonce = self.ids[0], os.urandom(NONCE_BYTES)
        master = self._masters[key_id]
        return WrappedKey(key_id + nonce + master.encrypt(nonce, data_key, _owner(key)))

    def _unwrap(self, key: StreamKey, wrapped: bytes) -> bytes:
        master = self._masters.get(wrapped[:MASTER_KEY_ID_BYTES])
        if master is None:
            raise WrongMasterKey(wrapped[:MASTER_KEY_ID_BYTES].hex())
        nonce_at = MASTER_KEY_ID_BYTES
        text_at = nonce_at + NONCE_BYTES
        return master.decrypt(wrapped[nonce_at:text_at], wrapped[text_at:], _owner(key))


def _has_something_to_encrypt(pending: Pending) -> bool:
    if pending.kept is not None or isinstance(pending, PendingAnswer):
        return True
    return _PERSONAL_PART in pending.payload or _PERSONAL_PART in (pending.state or "")


def _encrypted_text(text: str, data_key: AESGCM, place: bytes) -> str:
    """Return the JSON of an event or a state with its personal part encrypted, if it has one."""
    parts = _decode_parts(text)
    personal = parts.get(PERSONAL)
    if personal is None or bytes(personal) == _NOTHING:
        return text
    parts[PERSONAL] = msgspec.Raw(b'"%b"' % _encrypted(personal, data_key, place))
    if _DELTA in text:
        parts[CHANGED] = msgspec.Raw(_encode(list(_decode_changes(personal).changes)))
    return _encode(parts).decode()


def _opened(text: str, data_key: AESGCM, place: bytes) -> str:
    parts = _encrypted_parts(text)
    if parts is None:
        return text
    try:
        personal = _decrypted(bytes(parts[PERSONAL])[1:-1], data_key, place)
    except (InvalidTag, ValueError):  # the latter when it is no base64, or too short
        return text
    parts.pop(CHANGED, None)
    parts[PERSONAL] = msgspec.Raw(personal)
    return _encode(parts).decode()


def _blank(text: str) -> str:
    """Return the JSON of an event or a state whose personal part cannot be opened any more."""
    parts = _encrypted_parts(text)
    if parts is None:
        return text
    del parts[PERSONAL]
    changed = parts.pop(CHANGED, None)
    if changed is not None:
        try:
            names = _decode_names(changed)
        except BROKEN_JSON:
            return text
        blanks = {name: _BLANKS.get(name, _NULL) for name in names}
        parts[PERSONAL] = msgspec.Raw(_encode({"changes": blanks, "previous": blanks}))
    return _encode(parts).decode()


def _encrypted_parts(text: str) -> _Parts | None:
    """Return the parts of a JSON object whose personal part is encrypted, None for other texts."""
    try:
        parts = _decode_parts(text)
    except BROKEN_JSON:
        return None
    return parts if bytes(parts.get(PERSONAL, b"")).startswith(b'"') else None


def _encrypted_answer(pending: Pending, data_key: AESGCM) -> KeptAnswer | None:
    kept = pending.kept
    if kept is None:
        return None
    place = _answer_place(pending.key, kept.idempotency_key)
    return msgspec.structs.replace(kept, answer=_encrypted(kept.answer, data_key, place))


def _without_answer(pending: Pending) -> Pending:
    """Return what is kept of an erased customer: that a key was used, not what was answered."""
    kept = pending.kept and msgspec.structs.replace(pending.kept, answer=b"")
    return msgspec.structs.replace(pending, kept=kept)


def _encrypted(text: bytes | msgspec.Raw, data_key: AESGCM, place: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return binascii.b2a_base64(nonce + data_key.encrypt(nonce, text, place), newline=False)


def _decrypted(encrypted: bytes, data_key: AESGCM, place: bytes) -> bytes:
    raw = binascii.a2b_base64(encrypted)
    return data_key.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], place)


def _owner(key: StreamKey) -> bytes:
    return f"{key.account}\0{mode_of(livemode=key.livemode)}\0{key.id}".encode()


def _place(key: StreamKey, version: int, column: str) -> bytes:
    return b"%b\0%d\0%b" % (_owner(key), version, column.encode())


def _answer_place(key: StreamKey, idempotency_key: str) -> bytes:
    return b"%b\0answer\0%b" % (_owner(key), idempotency_key.encode())


def _master_key_id(master_key: bytes) -> bytes:
    return hashlib.sha256(b"chaching master key\0" + master_key).digest()[:MASTER_KEY_ID_BYTES]


def _master_key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != MASTER_KEY_BYTES:
        raise MasterKeyError(f"a master key is {MASTER_KEY_BYTES} bytes in base64")
    return key
