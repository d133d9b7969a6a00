from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from urllib.parse import quote, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stripe._encode import _api_encode  # pyright: ignore[reportPrivateUsage] - the encoding tested

from chaching_api.bodies import (
    BODY_BYTES_MAX,
    FORM,
    JSON,
    LEVELS_MAX,
    PAIRS_MAX,
    Node,
    Tree,
    decode,
    decode_form,
    decode_json,
)
from chaching_api.errors import BodyTooLarge, Malformed


def refusal(decoder: Callable[[bytes], Tree], raw: bytes) -> Malformed:
    with pytest.raises(Malformed) as raised:
        decoder(raw)
    return raised.value


# --- forms: what is read ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "tree"),
    [
        (b"", {}),
        (b"name=Jane", {"name": "Jane"}),
        (b"name=", {"name": ""}),
        (b"name", {"name": ""}),
        (b"&name=a&&email=b&", {"name": "a", "email": "b"}),
        (b"name=a=b", {"name": "a=b"}),
        (b"name=Jane Doe", {"name": "Jane Doe"}),
        (b"name=Jane+Doe", {"name": "Jane Doe"}),
        (b"name=Jane%20Doe", {"name": "Jane Doe"}),
        (b"name=a%2Bb%2bc", {"name": "a+b+c"}),
        (b"name=J%C3%B6rg", {"name": "J\N{LATIN SMALL LETTER O WITH DIAERESIS}rg"}),
        (b"name=J\xc3\xb6rg", {"name": "J\N{LATIN SMALL LETTER O WITH DIAERESIS}rg"}),
        (b"n%61me=a", {"name": "a"}),
        (b"metadata[k]=v", {"metadata": {"k": "v"}}),
        (b"metadata%5Bk%5D=v", {"metadata": {"k": "v"}}),
        (b"metadata%5bk%5d=v", {"metadata": {"k": "v"}}),
        (b"metadata[a+b%26c]=v", {"metadata": {"a b&c": "v"}}),
        (b"metadata[k]=[v]", {"metadata": {"k": "[v]"}}),
        (b"address[line1]=a&address[city]=b", {"address": {"line1": "a", "city": "b"}}),
        (b"a[b][c][d][e]=x", {"a": {"b": {"c": {"d": {"e": "x"}}}}}),
    ],
)
def test_a_form_is_a_tree(raw: bytes, tree: Tree) -> None:
    assert decode_form(raw) == tree


@pytest.mark.parametrize(
    ("raw", "tree"),
    [
        (b"a[0]=x&a[1]=y", {"a": ["x", "y"]}),
        (b"a[1]=y&a[0]=x", {"a": ["x", "y"]}),
        (b"a%5B0%5D=x", {"a": ["x"]}),
        (b"a[%30]=x", {"a": ["x"]}),
        (b"a[]=x&a[]=y", {"a": ["x", "y"]}),
        (b"a[]=x&b=1&a[]=y", {"a": ["x", "y"], "b": "1"}),
        (b"a[0]=x&a[]=y", {"a": ["x", "y"]}),
        (b"a[0][b]=1&a[0][c]=2&a[1][b]=3", {"a": [{"b": "1", "c": "2"}, {"b": "3"}]}),
        (b"a[][b]=1&a[][c]=2&a[][b]=3", {"a": [{"b": "1", "c": "2"}, {"b": "3"}]}),
        (b"a[b][0]=x", {"a": {"b": ["x"]}}),
        (b"a[b][0][c]=x&a[b][1][c]=y", {"a": {"b": [{"c": "x"}, {"c": "y"}]}}),
        (b"a[0][0]=x", {"a": [["x"]]}),
    ],
)
def test_keys_that_run_from_zero_or_are_empty_make_a_list(raw: bytes, tree: Tree) -> None:
    assert decode_form(raw) == tree


@pytest.mark.parametrize("raw", [b"a[1]=x", b"a[0]=x&a[2]=y", b"a[00]=x", b"a[0]=x&a[b]=y"])
def test_keys_that_do_not_run_from_zero_stay_names(raw: bytes) -> None:
    assert isinstance(decode_form(raw)["a"], dict)


def test_metadata_keys_may_be_numbers() -> None:
    assert decode_form(b"metadata[0]=x&metadata[1]=y") == {"metadata": {"0": "x", "1": "y"}}
    assert decode_json(b'{"metadata": {"0": "x"}}') == {"metadata": {"0": "x"}}


# --- forms: the plus of telephone numbers -------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "tree"),
    [
        (b"phone=+1987654321", {"phone": "+1987654321"}),
        (b"phone=%2B1987654321", {"phone": "+1987654321"}),
        (b"phone=+1+987+654", {"phone": "+1 987 654"}),
        (b"phone=+1%20987", {"phone": "+1 987"}),
        (b"shipping[phone]=+1987654321", {"shipping": {"phone": "+1987654321"}}),
        (b"shipping%5Bphone%5D=+1987654321", {"shipping": {"phone": "+1987654321"}}),
        (b"phone=+(1)", {"phone": " (1)"}),
        (b"phone=+%31", {"phone": " 1"}),
        (b"phone=1+2", {"phone": "1 2"}),
        (b"phone=+", {"phone": " "}),
        (b"name=+1987654321", {"name": " 1987654321"}),
        (b"metadata[phone]=+1987654321", {"metadata": {"phone": " 1987654321"}}),
    ],
)
def test_only_telephone_numbers_keep_a_leading_plus(raw: bytes, tree: Tree) -> None:
    assert decode_form(raw) == tree


def test_the_body_that_curl_sends_for_the_seed_is_read() -> None:
    raw = (
        b"name=Jane Doe Updated&email=jane.updated@example.com&phone=+1987654321"
        b"&metadata[plan]=premium&address[line1]=123 Updated St&address[city]=New York"
        b"&address[country]=US&shipping[name]=Jane Doe&shipping[address][line1]=123 Updated St"
        b"&shipping[address][city]=New York"
    )
    assert decode(FORM, raw) == {
        "name": "Jane Doe Updated",
        "email": "jane.updated@example.com",
        "phone": "+1987654321",
        "metadata": {"plan": "premium"},
        "address": {"line1": "123 Updated St", "city": "New York", "country": "US"},
        "shipping": {
            "name": "Jane Doe",
            "address": {"line1": "123 Updated St", "city": "New York"},
        },
    }


# --- forms: what is refused, by name ------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "message", "param"),
    [
        (b"ok=1&name=%", "Invalid percent-encoding in parameter: name", "name"),
        (b"name=%4", "Invalid percent-encoding in parameter: name", "name"),
        (b"name=%zz", "Invalid percent-encoding in parameter: name", "name"),
        (b"name=%C3%B6%2", "Invalid percent-encoding in parameter: name", "name"),
        (b"address%5Bcity%5D=%", "Invalid percent-encoding in parameter: address[city]",
         "address[city]"),
        (b"na%me=x", "Invalid percent-encoding in parameter: na%me", "na%me"),
        (b"ok=1&name=%FF", "Invalid UTF-8 in parameter: name", "name"),
        (b"ok=1&name=\xff&b=2", "Invalid UTF-8 in parameter: name", "name"),
        (b"name=%ED%A0%80", "Invalid UTF-8 in parameter: name", "name"),
        (b"n\xff=1", "Invalid UTF-8 in parameter: n\ufffd", "n\ufffd"),
        (b"name=a%00b", "Invalid character in parameter: name; NUL is not allowed", "name"),
        (b"a=1&name=a\0b", "Invalid character in parameter: name; NUL is not allowed", "name"),
        (b"n%00=1", "Invalid character in parameter: n\ufffd; NUL is not allowed", "n\ufffd"),
        (b"name=a&name=b", "Received parameter more than once: name", "name"),
        (b"name=&name=", "Received parameter more than once: name", "name"),
        (b"metadata[k]=a&metadata[k]=b", "Received parameter more than once: metadata[k]",
         "metadata[k]"),
        (b"a=1&a[b]=2", "Received parameter more than once: a", "a"),
        (b"a[b]=2&a=1", "Received parameter more than once: a", "a"),
        (b"a[b]=2&a[b][c]=1", "Received parameter more than once: a[b]", "a[b]"),
        (b"a[]=x&a[0]=y", "Received parameter more than once: a[0]", "a[0]"),
        (b"a[b][c][d][e][f]=x",
         "Invalid parameter: a[b][c][d][e][f]; must be at most 5 levels deep",
         "a[b][c][d][e][f]"),
        (b"metadata[a[b]]=x", "Invalid parameter name: metadata[a[b]]", "metadata[a[b]]"),
        (b"metadata[]=x", "Invalid object: metadata needs named keys", "metadata"),
        (b"a[b=x", "Invalid parameter name: a[b", "a[b"),
        (b"a]=x", "Invalid parameter name: a]", "a]"),
        (b"[a]=x", "Invalid parameter name: [a]", "[a]"),
        (b"a[b]c=x", "Invalid parameter name: a[b]c", "a[b]c"),
        (b"a[b]]=x", "Invalid parameter name: a[b]]", "a[b]]"),
        (b"=x", "Invalid parameter name: ", ""),
    ],
)  # fmt: skip
def test_a_broken_form_is_refused_by_name(raw: bytes, message: str, param: str) -> None:
    fault = refusal(decode_form, raw)
    assert (fault.message, fault.param) == (message, param)


def test_a_thousand_pairs_are_read_and_one_more_is_refused() -> None:
    pairs = [b"k%d=v" % i for i in range(PAIRS_MAX)]
    assert len(decode_form(b"&".join([*pairs, b""]))) == PAIRS_MAX
    assert "at most 1000" in refusal(decode_form, b"&".join([*pairs, b"one=more"])).message


def test_long_names_are_shortened_in_refusals() -> None:
    assert refusal(decode_form, b"a" * 5000 + b"=%").param == "aaaa...aaaa"
    long = b"metadata[" + b"k" * 5000 + b"]=v"
    assert refusal(decode_form, long + b"&" + long).param == "metadata[kkkk...kkkk]"
    deep = b"".join([b"[%b]" % (b"%d" % level * 40) for level in range(9)])
    assert refusal(decode_form, b"a" + deep + b"=v").param == (
        "a[0000...0000][1111...1111][2222...2222][3333...3333][4444...4444]"
    )


# --- JSON ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "tree"),
    [
        (b"", {}),
        (b" {} ", {}),
        (b'{"name": "Jane"}', {"name": "Jane"}),
        (b'{"name": null}', {"name": ""}),
        (b'{"balance": -5, "big": 9223372036854775808}',
         {"balance": "-5", "big": "9223372036854775808"}),
        (b'{"balance": 1.50, "e": 1e3}', {"balance": "1.50", "e": "1e3"}),
        (b'{"a": true, "b": false}', {"a": "true", "b": "false"}),
        (b'{"metadata": {}, "expand": []}', {"metadata": {}, "expand": []}),
        (b'{"a": ["x", {"b": "y"}]}', {"a": ["x", {"b": "y"}]}),
        (b'{"a": {"0": "x", "1": "y"}}', {"a": ["x", "y"]}),
        (b'{"name": "\\ud83c\\udf89"}', {"name": "\N{PARTY POPPER}"}),
    ],
)  # fmt: skip
def test_json_gives_the_tree_that_a_form_would(raw: bytes, tree: Tree) -> None:
    assert decode_json(raw) == tree


@pytest.mark.parametrize(
    ("raw", "message", "param"),
    [
        (b" \n", "Invalid JSON: the request body could not be parsed.", None),
        (b"{", "Invalid JSON: the request body could not be parsed.", None),
        (b'{"a": NaN}', "Invalid JSON: the request body could not be parsed.", None),
        (b'{"a": "\xff"}', "Invalid JSON: the request body could not be parsed.", None),
        (b"[" * 100_000, "Invalid JSON: the request body could not be parsed.", None),
        (b'["a"]', "Invalid JSON: the request body must be an object.", None),
        (b'"a"', "Invalid JSON: the request body must be an object.", None),
        (b"null", "Invalid JSON: the request body must be an object.", None),
        (b'{"a": 1, "a": 2}', "Received parameter more than once: a", "a"),
        (b'{"a": {"b": 1, "b": 1}}', "Received parameter more than once: a[b]", "a[b]"),
        (b'{"a": [{"b": 1, "b": 1}]}', "Received parameter more than once: a[0][b]", "a[0][b]"),
        (b'{"a": "\\u0000"}', "Invalid character in parameter: a; NUL is not allowed", "a"),
        (b'{"a": "\\ud800"}', "Invalid Unicode in parameter: a", "a"),
        (b'{"\\ud800": "a"}', "Invalid Unicode in parameter: ?", "?"),
        (b'{"metadata[k]": "v"}', "Invalid parameter name: metadata[k]", "metadata[k]"),
        (b'{"a": {"b]": "v"}}', "Invalid parameter name: a[b]]", "a[b]]"),
        (b'{"": "v"}', "Invalid parameter name: ", ""),
        (b'{"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}',
         "Invalid parameter: a[b][c][d][e][f]; must be at most 5 levels deep",
         "a[b][c][d][e][f]"),
    ],
)  # fmt: skip
def test_broken_json_is_refused(raw: bytes, message: str, param: str | None) -> None:
    fault = refusal(decode_json, raw)
    assert (fault.message, fault.param) == (message, param)


@pytest.mark.parametrize("member", ['"\\u0000"', '"\\ud800"', '{"a": 1, "a": 1}'])
def test_a_long_name_in_json_is_shortened_in_refusals(member: str) -> None:
    body = f'{{"{"k" * 5000}": {member}}}'.encode()
    fault = refusal(decode_json, body)
    assert (fault.param or "").startswith("kkkk...kkkk")
    assert len(fault.message) < 100


def test_json_is_bounded_like_a_form() -> None:
    assert len(decode_json(json.dumps({"a": ["x"] * PAIRS_MAX}).encode())["a"]) == PAIRS_MAX
    for member in ('"x"', "[]", "{}"):
        members = ",".join([member] * (PAIRS_MAX + 1))
        fault = refusal(decode_json, f'{{"a": [{members}]}}'.encode())
        assert fault.message == "Received too many parameters; must be at most 1000"


# --- the entry point ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type", [FORM, f"{FORM}; charset=utf-8", FORM.upper(), f" {FORM} ;x"]
)
def test_a_form_body_is_known_by_its_content_type(content_type: str) -> None:
    assert decode(content_type, b"name=a") == {"name": "a"}


@pytest.mark.parametrize("content_type", [JSON, "application/json; charset=utf-8"])
def test_a_json_body_is_known_by_its_content_type(content_type: str) -> None:
    assert decode(content_type, b'{"name": "a"}') == {"name": "a"}


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "multipart/form-data; b=x"])
def test_any_other_body_is_refused(content_type: str | None) -> None:
    with pytest.raises(Malformed, match="Invalid content type"):
        decode(content_type, b"name=a")


@pytest.mark.parametrize("content_type", [None, FORM, JSON, "text/plain"])
def test_without_a_body_the_content_type_is_nothing(content_type: str | None) -> None:
    assert decode(content_type, b"") == {}
    assert decode(content_type, b"", b"limit=3&created[gt]=5") == {
        "limit": "3",
        "created": {"gt": "5"},
    }


def test_query_and_body_count_alike() -> None:
    assert decode(FORM, b"name=a", b"email=b&expand[]=tax") == {
        "name": "a",
        "email": "b",
        "expand": ["tax"],
    }


@pytest.mark.parametrize(("content_type", "body"), [(FORM, b"name=a"), (JSON, b'{"name": "a"}')])
def test_a_parameter_in_query_and_body_is_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(Malformed, match="both query and body: name") as raised:
        decode(content_type, body, b"name=a")
    assert raised.value.param == "name"
    with pytest.raises(Malformed, match=r"both query and body: nnnn\.\.\.nnnn$"):
        decode(FORM, b"n" * 5000 + b"=a", b"n" * 5000 + b"=b")


def test_a_body_of_one_mebibyte_is_read_and_one_byte_more_is_too_large() -> None:
    body = b"a=" + b"x" * (BODY_BYTES_MAX - 2)
    assert decode(FORM, body) == {"a": "x" * (BODY_BYTES_MAX - 2)}
    with pytest.raises(BodyTooLarge):
        decode(FORM, body + b"x")


# --- properties ---------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0[]0123456789"),
    min_size=1,
    max_size=8,
)


def structures(depth: int) -> st.SearchStrategy[Node]:
    if depth == 0:
        return TEXTS
    inner = structures(depth - 1)
    lists = st.lists(inner, min_size=1, max_size=3)
    return TEXTS | lists | st.dictionaries(NAMES, inner, min_size=1, max_size=3)


REQUESTS = st.dictionaries(
    NAMES.filter(lambda name: name not in {"phone", "shipping", "metadata"}),
    structures(LEVELS_MAX - 1),
    max_size=4,
)


def flat_as_stripe_does(request: Tree) -> list[tuple[str, str]]:
    return list(_api_encode(request))


def as_stripe_python(request: Tree) -> bytes:
    encoded = urlencode(flat_as_stripe_does(request))
    return encoded.replace("%5B", "[").replace("%5D", "]").encode()


def as_stripe_node(request: Tree) -> bytes:
    pairs = [
        f"{quote(name, safe='[]')}={quote(text, safe='')}"
        for name, text in flat_as_stripe_does(request)
    ]
    return "&".join(pairs).encode()


def as_old_stripe_ruby(request: Tree) -> bytes:
    return urlencode(list(flattened(request)), quote_via=quote).encode()


def flattened(node: Node, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for key, child in node.items():
            yield from flattened(child, f"{name}[{key}]" if name else key)
    elif isinstance(node, list):
        for child in node:
            yield from flattened(child, f"{name}[]")
    else:
        yield name, node


@given(REQUESTS)
@example({"a": "%5B", "b": "+1", "c": "%", "d": "&=", "e": "]["})
def test_what_official_clients_encode_is_decoded_to_the_same_structure(
    request: Tree,
) -> None:
    assert decode_form(as_stripe_python(request)) == request
    assert decode_form(as_stripe_node(request)) == request


@given(st.dictionaries(NAMES, TEXTS | st.lists(TEXTS, min_size=1, max_size=4), max_size=4))
def test_lists_that_are_appended_to_are_decoded_to_the_same_structure(
    request: Tree,
) -> None:
    if not request.keys() & {"phone", "metadata"}:
        assert decode_form(as_old_stripe_ruby(request)) == request


@given(REQUESTS)
def test_form_and_json_of_the_same_content_are_equal(request: Tree) -> None:
    assert decode_json(json.dumps(request).encode()) == decode_form(as_stripe_python(request))


def only_malformed(content_type: str, body: bytes, query: bytes) -> None:
    try:
        decode(content_type, body, query)
    except Malformed as fault:
        f"{fault.message}{fault.param}".encode()


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_arbitrary_bytes_raise_nothing_but_malformed(body: bytes, query: bytes) -> None:
    only_malformed(FORM, body, query)
    only_malformed(JSON, body, query)


@given(st.text("ab01[]&=%+25BDC3\0\xff", max_size=60))
def test_bracket_soup_raises_nothing_but_malformed(soup: str) -> None:
    only_malformed(FORM, soup.encode(), b"")
    only_malformed(FORM, soup.encode("latin-1"), b"")


@given(st.text('{}[]:,"ab01.\\udnul\0', max_size=60))
def test_json_soup_raises_nothing_but_malformed(soup: str) -> None:
    only_malformed(JSON, soup.encode(), b"")
