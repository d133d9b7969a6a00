"""Inputs as hypothesis draws them: what clients send, then broken a little or a lot.

``inputs`` draws a structure of parameters, mostly of names that exist with values that nearly fit,
writes it as a client would, and then cuts, repeats and spoils the bytes.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from hypothesis import strategies as st
from tests.fuzz.clients import Saying, as_json, as_stripe_node
from tests.fuzz.given import Given

from chaching_api.bodies import BODY_BYTES_MAX, FORM, JSON, LEVELS_MAX, PAIRS_MAX

SPOILS_MAX: Final = 4
VARIANTS: Final = 10
ONE_BULK_IN_DRAWS: Final = 60

# --- Structures ---------------------------------------------------------------------------------

ODD_TEXTS: Final = (
    *("", " ", "\t\n", "0", "-", "+1", "null", "None", "true", "[", "]", "[]", "%", "%41", "&="),
    *("\0", "a\0b", "\x7f", "\u0085", "\u2028", "\u202e", "\ufeff", "\ufffd", "\ud800", "\udfff"),
    *("J\u00f6rg", "\u00df", "\u0149", "\u0130", "\U0001f389", "\u00b2", "\u0661", "\u3000x\u3000"),
    *("a" * 41, "a" * 257, "a" * 501, "a" * 513, "a" * 5001, "\u0149" * 5000, "\U0001f389" * 300),
)
ODD_NUMBERS: Final = (0, 1, -1, 2**31, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**19, 10**400)
ODD_NAMES: Final = ("a", "0", "1", "00", "-1", "k", "name", "metadata", "", "a]", "[a", "x" * 120)

odd_texts = st.sampled_from(ODD_TEXTS) | st.text(max_size=8)
leaves = odd_texts | st.sampled_from(ODD_NUMBERS) | st.booleans() | st.none()
names = st.sampled_from(ODD_NAMES) | odd_texts
wild = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


def nearly(*fitting: object) -> st.SearchStrategy[Any]:
    """One of these values, and now and then anything at all."""
    fits = st.sampled_from(fitting)
    return st.one_of(fits, fits, fits, fits, leaves, wild)


ADDRESSES: Final[tuple[dict[str, str | None], ...]] = (
    {"line1": "1 Main St", "city": "Oslo", "country": "no", "state": "", "postal_code": "0150"},
    {"country": "\u00df", "line2": None},
    {"planet": "Mars"},
    {},
)
TAX_NUMBERS: Final = (
    {"type": "eu_vat", "value": "DE123456789"},
    {"type": "mx_rfc", "value": "\u00d1AB010203AB1"},
    {"type": "eu_vat", "value": "DE1"},
    {"type": "wat", "value": "1"},
    {"type": "eu_vat"},
)
FITTING: Final[dict[str, tuple[object, ...]]] = {
    "address": (*ADDRESSES, ""),
    "balance": (-5, 2**63 - 1, "0", "007", "-0"),
    "cash_balance": ({"settings": {"reconciliation_mode": "manual"}}, {"settings": {}}, {}),
    "description": ("a customer", ""),
    "email": ("jane@example.com", "5", "a@b.", "a@b\u2028.c"),
    "expand": (["tax_ids"], ["default_source.customer"], ["wat"], ["a.b.c.d.e"], "tax"),
    "id": ("cus_1", "search", "cus 1"),
    "invoice_prefix": ("ABC123", "abc", ""),
    "invoice_settings": (
        {"custom_fields": [{"name": "PO", "value": "7"}], "footer": "thanks"},
        {"custom_fields": {"1": {"name": "a", "x": "y"}}, "rendering_options": {"template": ""}},
        {"custom_fields": [{"name": "PO"}] * 5},
        {"default_payment_method": "pm_1", "rendering_options": ""},
    ),
    "metadata": ({"k": "v", "0": "w", "gone": None}, {"a[b": "c"}, {"k": {"l": "m"}}, {}, "", []),
    "name": ("Jane", " Jane ", ""),
    "next_invoice_sequence": (1, 0, 2**63),
    "payment_method": ("pm_1", "pm_", "card_1"),
    "phone": ("+4712345678", "", "\u3000"),
    "preferred_locales": (["fr", "nb-NO"], ["x-1", "?"], {"1": "fr"}, ""),
    "shipping": ({"name": "Jane", "address": ADDRESSES[0], "phone": "+1"}, {"name": ""}, ""),
    "source": ("tok_visa", "src_1", "card_1", "wat"),
    "tax": (
        {"ip_address": "203.0.113.7", "validate_location": "deferred", "tax_ids": TAX_NUMBERS[:1]},
        {"ip_address": "fe80::1%eth0", "validate_location": "auto"},
        {"ip_address": "1.2.3.4.5"},
    ),
    "tax_exempt": ("none", "exempt", "wat", ""),
    "x" * 120: ("a name longer than is shown",),
    "tax_id_data": (TAX_NUMBERS[:2], TAX_NUMBERS[2:], {"x" * 300: TAX_NUMBERS[0]}),
    "test_clock": ("clock_1", "clock"),
}


def _parameter(name: str) -> st.SearchStrategy[tuple[str, Any]]:
    return st.tuples(st.just(name), nearly(*FITTING[name]))


parameters = st.one_of(
    *(_parameter(name) for name in FITTING),
    st.tuples(st.sampled_from(tuple(FITTING)) | names, wild),
)
structures = (st.lists(parameters, max_size=2) | st.lists(parameters, max_size=6)).map(dict)

# --- Bytes --------------------------------------------------------------------------------------


def _as_form(said: Saying) -> bytes:
    """What stripe-node sends; half surrogate pairs, which it would not, become question marks."""
    encodable = json.dumps(said, ensure_ascii=False).encode("utf-8", "replace")
    return as_stripe_node(json.loads(encodable))


def _as_appending_form(said: Saying) -> bytes:
    return _as_form(said).replace(b"[0]=", b"[]=").replace(b"[1]=", b"[]=")


def _as_utf8_json(said: Saying) -> bytes:
    return json.dumps(said, ensure_ascii=False).encode("utf-8", "surrogatepass")


WRITERS: Final[tuple[tuple[str, Callable[[Saying], bytes]], ...]] = (
    (FORM, _as_form),
    (FORM, _as_appending_form),
    (JSON, as_json),
    (JSON, _as_utf8_json),
)
PIECES: Final = (
    *(b"[", b"]", b"[]", b"][", b"[[", b"[a][b][c][d][e]", b"%5B", b"%5d", b"%", b"%4", b"%zz"),
    *(b"%00", b"\0", b"%ff", b"\xff", b"\xc3", b"\xed\xa0\x80", b"%ED%A0%80", b"%F0%9F%8E%89"),
    *(b"&", b"&&", b"=", b"==", b"+", b"+1", b"%2B", b"&a=1&a[b]=2", b"&name=a&name=b"),
    *(b'{"a":1,"a":2}', b"NaN", b"-Infinity", b"1e999", b"-0", b"\\ud800", b"\\u0000", b"\\x"),
    *(b'"', b",", b":", b"{", b"}", b"\xef\xbb\xbf", b" ", b"\r\n", b"0" * 30, b"9" * 5000),
    *(b"[" * 2000, b"[0]" * 7, b"metadata[", b"phone=+1", b"shipping[phone]=+1", b"a" * 5000),
)
CONTENT_TYPES: Final = (
    *(
        None,
        "",
        ";",
        FORM,
        f"{FORM}; charset=utf-8",
        FORM.upper(),
        JSON,
        f" {JSON} ;charset=utf-16",
    ),
    *("text/plain", "multipart/form-data; boundary=x", "application/json/", "\udcff", "a" * 8000),
    "\u202e\x7f",
)

pieces = st.sampled_from(PIECES) | st.binary(max_size=4)
spoils = st.lists(
    st.tuples(st.sampled_from("+-*x<"), st.integers(0, 2**16), st.integers(0, 64), pieces),
    max_size=SPOILS_MAX,
)


def _spoiled(raw: bytes, what: str, place: int, length: int, piece: bytes) -> bytes:
    at = place * len(raw) >> 16
    before, middle, after = raw[:at], raw[at : at + length], raw[at + length :]
    match what:
        case "+":
            return before + piece + middle + after
        case "-":
            return before + after
        case "*":
            return before + middle * 3 + after
        case "x":
            return before + piece + after
        case _:
            return before


@st.composite
def small_inputs(draw: st.DrawFn) -> Given:
    """Requests of a few parameters, whole or spoiled."""
    media_type, write = draw(st.sampled_from(WRITERS))
    body = write(draw(structures))
    for spoil in draw(spoils):
        body = _spoiled(body, *spoil)
    fits = draw(st.integers(0, 7))
    content_type = media_type if fits else draw(st.sampled_from(CONTENT_TYPES))
    query = b""
    if fits == 1:
        query = _as_form(draw(structures))
    elif fits == 2:
        query, body = body, b""
    elif fits == 3:
        query = body
    return Given(content_type=content_type, body=body, query=query)


@st.composite
def bulky_inputs(draw: st.DrawFn) -> Given:
    """Requests near the limits: about 1,000 pairs, about 1 MiB."""
    form = draw(st.booleans())
    head = draw(st.sampled_from(tuple(FITTING)) | st.just("a"))
    piece = draw(pieces) or b"a"
    match draw(st.integers(0, 3)):
        case 0:
            pairs = draw(st.integers(PAIRS_MAX - 1, PAIRS_MAX + 1))
            named = [
                f"{head}[k{index}][{draw(names) if index < 3 else 'x'}]" for index in range(pairs)
            ]
            body = _many_pairs(named) if form else _many_members(head, pairs, piece)
        case 1:
            body = (head.encode() + b"=" if form else b'{"' + head.encode() + b'":') + piece * (
                BODY_BYTES_MAX // 8 // len(piece)
            )
        case 2:
            long = draw(st.sampled_from("a0[]%&\u00f6")) * draw(
                st.integers(1, BODY_BYTES_MAX // 16)
            )
            said: Saying = {
                head: {long: {f"n{index}": "x" for index in range(draw(st.integers(1, 40)))}}
            }
            body = _as_form(said) if form else json.dumps(said).encode()
        case _:
            body = (b"a=" if form else b'{"a":"') + b"x" * (
                BODY_BYTES_MAX - draw(st.integers(0, 9))
            )
            body += b"" if form else b'"}'
    return Given(content_type=FORM if form else JSON, body=body)


def _many_pairs(named: list[str]) -> bytes:
    return "&".join([f"{name}=x" for name in named]).encode("utf-8", "surrogatepass")


def _many_members(head: str, count: int, piece: bytes) -> bytes:
    members = b",".join([b'"k%d":"%b"' % (index, piece[:8]) for index in range(count)])
    return b'{"' + head.encode() + b'":{' + members + b"}}"


inputs = st.integers(0, ONE_BULK_IN_DRAWS).flatmap(
    lambda drawn: bulky_inputs() if drawn == ONE_BULK_IN_DRAWS else small_inputs()
)

seeds = st.integers(0, 2**32 - 1)


def variants(given: Given, seed: int) -> Iterator[Given]:
    """Yield an input and others like it, spoiled by chance: drawing costs more than judging."""
    yield given
    chance = random.Random(seed)  # noqa: S311 - the same again from the same seed
    for _ in range(VARIANTS - 1):
        body = given.body or given.query
        for _ in range(chance.randint(1, SPOILS_MAX)):
            what, place = chance.choice("+-*x<"), chance.randrange(2**16)
            body = _spoiled(body, what, place, chance.randint(0, 64), chance.choice(PIECES))
        if given.body:
            yield Given(content_type=given.content_type, body=body, query=given.query)
        else:
            yield Given(content_type=given.content_type, body=b"", query=body)


# --- Structures as a program gives them to a client ----------------------------------------------

# a phone that begins with a space and a digit is encoded as one with a plus, which curl's -d leaves
# as it is: the latter is what people mean
sound_texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12
).filter(lambda text: not re.match(" [0-9]", text))
sound_names = st.sampled_from(("name", "phone", "shipping", "preferred_locales")) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0[]0123456789"),
    min_size=1,
    max_size=6,
).filter(lambda name: name != "metadata")
numbered = sound_texts | st.integers()
said_by_any = numbered | st.booleans() | st.none()


def nested(plain: st.SearchStrategy[Any], levels: int) -> st.SearchStrategy[Any]:
    """What can stand under a name: empty lists and objects, which forms leave out, excepted."""
    if levels == 0:
        return plain
    inner = nested(plain, levels - 1)
    lists = st.lists(inner, min_size=1, max_size=3)
    return plain | lists | st.dictionaries(sound_names, inner, min_size=1, max_size=3)


def sayings(plain: st.SearchStrategy[Any]) -> st.SearchStrategy[Saying]:
    """Parameters whose leaves are plain, metadata among them."""
    keys = st.text("ab01 +%&=\u00f6", min_size=1, max_size=4)
    metadata = st.dictionaries(keys, plain, min_size=1, max_size=3)
    parameters = st.dictionaries(sound_names, nested(plain, LEVELS_MAX - 1), max_size=4)
    kept = st.just(Saying()) | st.fixed_dictionaries({"metadata": metadata})
    return st.builds(_both, parameters, kept)


def _both(said: Saying, kept: Saying) -> Saying:
    return {**said, **kept}
