"""Signed checkpoints: C2SP signed notes whose text is a C2SP tlog-checkpoint, signed with Ed25519.

A note is a text, an empty line and signature lines; a checkpoint's text is the origin of the log,
the size of its tree and the root hash, a line each. Tools of the field read them as they are.
A key is named by the log's origin and its key id, which are four bytes of a hash over both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from chaching.audit.hashing import HASH_BYTES, from_base64, to_base64

ORIGIN_PREFIX: Final = "chaching/"
NOTE_BYTES_MAX: Final = 64 * 1024
SIGNATURES_MAX: Final = 64
SEED_BYTES: Final = 32
PUBLIC_KEY_BYTES: Final = 32
BARE_KEY_CHARACTERS: Final = 44
KEY_ID_BYTES: Final = 4
ED25519: Final = b"\x01"
SIGNATURE_LINE: Final = "\N{EM DASH} "

_NAME: Final = re.compile(r"[^\s+\x00-\x1f]+")
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")


class NotANote(Exception):  # noqa: N818 - says what the text is
    """A text is no signed checkpoint; the message says why, in one line."""


class BadKey(Exception):  # noqa: N818 - says what the key is
    """A text is no key of the wanted kind; the message never repeats it."""


class Untrusted(Exception):  # noqa: N818 - says what the note is
    """A checkpoint carries no good signature of a trusted key; the message says why."""


class UnknownKey(Untrusted):
    """A checkpoint is signed by other keys than those that were given; nothing else is known."""

    def __init__(self, key_ids: Sequence[bytes]) -> None:
        ids = ", ".join(dict.fromkeys(one.hex() for one in key_ids))
        super().__init__(f"signed by a key that you did not give (key id {ids})")


class PublicKey(msgspec.Struct, frozen=True):
    """An Ed25519 public key (32 bytes); with a name it speaks for the log of that origin only."""

    key: bytes
    name: str | None = None

    def verifier(self, origin: str) -> str:
        """Return the key as tools of the field take it: name, key id and key in one line."""
        identified = to_base64(ED25519 + self.key)
        return f"{origin}+{key_id(origin, self.key).hex()}+{identified}"


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a log says of itself: whose log it is, how many events it has, the root over them."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{to_base64(self.root)}\n"


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a note: the name of a key, its id, and what it signed the text with."""

    name: str
    key_id: bytes
    signature: bytes


class SignedCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint as it came: its note, what the note says, and the signatures under it."""

    note: str
    checkpoint: Checkpoint
    signatures: tuple[Signature, ...]

    def names(self, key: PublicKey) -> bool:
        """Whether a signature is said to be this key's; whether it is, ``check`` tells."""
        origin = self.checkpoint.origin
        named = key_id(origin, key.key)
        return any(s.name == origin and s.key_id == named for s in self.signatures)

    def check(self, keys: Sequence[PublicKey]) -> None:
        """Return when one of the keys signed this checkpoint.

        Raises:
            UnknownKey: no signature is said to be one of theirs.
            Untrusted: one of them is said to have signed and did not.
        """
        origin, text = self.checkpoint.origin, self.checkpoint.text().encode()
        trusted = {key_id(origin, key.key): key.key for key in keys if key.name in (None, origin)}
        found = [s for s in self.signatures if s.name == origin and s.key_id in trusted]
        if not found:
            raise UnknownKey([signature.key_id for signature in self.signatures])
        for signature in found:
            public = Ed25519PublicKey.from_public_bytes(trusted[signature.key_id])
            try:
                public.verify(signature.signature, text)
            except InvalidSignature:
                raise Untrusted(f"the signature of {signature.key_id.hex()} is wrong") from None


class SigningKey:
    """The private key; nothing prints it."""

    def __init__(self, seed: bytes) -> None:
        """Make the key of a seed of 32 random bytes."""
        self._private = Ed25519PrivateKey.from_private_bytes(seed)

    @classmethod
    def parse(cls, text: str) -> SigningKey:
        """Return the key whose seed is spelled in Base64.

        Raises:
            BadKey: the text is not 32 bytes in Base64.
        """
        try:
            seed = from_base64(text)
        except ValueError:
            seed = b""
        if len(seed) != SEED_BYTES:
            raise BadKey("a signing key is 32 random bytes in Base64: openssl rand -base64 32")
        return cls(seed)

    @property
    def public(self) -> PublicKey:
        return PublicKey(self._private.public_key().public_bytes_raw())

    def sign(self, checkpoint: Checkpoint) -> str:
        """Return the note of a checkpoint."""
        text, name = checkpoint.text(), checkpoint.origin
        signed = key_id(name, self.public.key) + self._private.sign(text.encode())
        return f"{text}\n{SIGNATURE_LINE}{name} {to_base64(signed)}\n"


def origin_of(log_id: str) -> str:
    """Return how a log is named in its checkpoints."""
    return f"{ORIGIN_PREFIX}{log_id}"


def key_id(name: str, public: bytes) -> bytes:
    """Return the four bytes by which a signature names an Ed25519 key."""
    return sha256(name.encode() + b"\n" + ED25519 + public).digest()[:KEY_ID_BYTES]


def parse_public_key(text: str) -> PublicKey:
    """Return a key that is spelled as name, key id and key, or as 32 bytes in Base64.

    Raises:
        BadKey: it is neither, or its id is another key's.
    """
    text = text.strip()
    if len(text) == BARE_KEY_CHARACTERS:
        return PublicKey(_checked_public(_decoded(text)))
    name, _, identified = text.partition("+")
    spelled_id, _, encoded = identified.partition("+")
    decoded = _decoded(encoded)
    if decoded[:1] != ED25519 or not _NAME.fullmatch(name):
        raise BadKey("a public key is spelled NAME+ID+KEY, and its kind is Ed25519")
    public = _checked_public(decoded[1:])
    if key_id(name, public).hex() != spelled_id:
        raise BadKey("the id of the public key is not that of its name and key")
    return PublicKey(public, name)


def parse_checkpoint(note: str) -> SignedCheckpoint:
    """Return what a note says; nothing of it may be trusted before it is checked.

    Raises:
        NotANote: it is no signed checkpoint.
    """
    if len(note.encode(errors="replace")) > NOTE_BYTES_MAX:
        raise NotANote("it is too long")
    text, separator, signatures = note.rpartition("\n\n")
    lines = signatures.split("\n")
    if not separator or lines.pop() or not lines or len(lines) > SIGNATURES_MAX:
        raise NotANote("it has no text, empty line and signature lines")
    return SignedCheckpoint(
        note=note,
        checkpoint=_checkpoint(text),
        signatures=tuple(_signature(line) for line in lines),
    )


def _checkpoint(text: str) -> Checkpoint:
    match text.split("\n"):
        case [origin, size, root] if _NAME.fullmatch(origin) and _SIZE.fullmatch(size):
            return Checkpoint(origin=origin, size=int(size), root=_root(root))
        case _:
            raise NotANote("its text is not the three lines origin, size and root hash")


def _root(text: str) -> bytes:
    try:
        root = from_base64(text)
    except ValueError:
        root = b""
    if len(root) != HASH_BYTES:
        raise NotANote("its root hash is not 32 bytes in Base64")
    return root


def _signature(line: str) -> Signature:
    name, separator, encoded = line.removeprefix(SIGNATURE_LINE).partition(" ")
    try:
        signed = from_base64(encoded)
    except ValueError:
        signed = b""
    is_one = line.startswith(SIGNATURE_LINE) and separator and _NAME.fullmatch(name)
    if not is_one or len(signed) <= KEY_ID_BYTES:
        raise NotANote("a line under it is no signature")
    return Signature(name=name, key_id=signed[:KEY_ID_BYTES], signature=signed[KEY_ID_BYTES:])


def _checked_public(public: bytes) -> bytes:
    if len(public) != PUBLIC_KEY_BYTES:
        raise BadKey("a public key is NAME+ID+KEY, or 32 bytes in Base64")
    return public


def _decoded(text: str) -> bytes:
    try:
        return from_base64(text)
    except ValueError:
        raise BadKey("a public key is NAME+ID+KEY, or 32 bytes in Base64") from None
