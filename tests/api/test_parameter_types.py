from __future__ import annotations

import json

import pytest
from tests.api.reading import AT, creating, details, json_details, refusal, updating

from chaching.domain.values import (
    AddressChange,
    CustomField,
    Details,
    TaxChange,
    TaxId,
)
from chaching_api.bodies import decode_form
from chaching_api.errors import Malformed

# --- lengths ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("param", "limit"),
    [
        ("address[city]", 5000),
        ("address[country]", 5000),
        ("description", 5000),
        ("name", 256),
        ("phone", 20),
        ("shipping[address][line1]", 5000),
        ("invoice_settings[footer]", 5000),
        ("invoice_settings[rendering_options][template]", 5000),
    ],
)
def test_a_text_is_as_long_as_its_limit_in_code_points_and_no_longer(
    param: str, limit: int
) -> None:
    party = "\N{PARTY POPPER}"
    assert details(f"{param}={party * limit}") != Details()
    fault = refusal(f"{param}={party * (limit + 1)}")
    assert fault.message == (
        f"Invalid string: {party * 4}...{party * 4}; must be at most {limit} characters"
    )
    assert fault.param == param


def test_white_space_around_a_name_does_not_count() -> None:
    assert details(f"name=++{'a' * 256}++").name == "a" * 256


def test_a_country_is_measured_as_it_is_stored() -> None:
    sharp_s = "\N{LATIN SMALL LETTER SHARP S}"  # two letters when upper-cased
    assert details(f"address[country]={sharp_s * 2500}").address == AddressChange(
        country="S" * 5000
    )
    assert refusal(f"address[country]={sharp_s * 2501}").param == "address[country]"


def test_an_email_may_have_512_characters() -> None:
    longest = "a" * (512 - len("@b.de")) + "@b.de"
    assert details(f"email={longest}").email == longest
    assert refusal(f"email=a{longest}").message == (
        "Invalid string: aaaa...b.de; must be at most 512 characters"
    )


# --- email --------------------------------------------------------------------------------------


@pytest.mark.parametrize("email", ["x@y.z", "a.b%2Bc@d-e.co.uk", "jörg@müller.de"])
def test_an_address_has_a_name_and_a_domain_with_a_dot(email: str) -> None:
    assert details(f"email={email}").email == email.replace("%2B", "+")


@pytest.mark.parametrize(
    "email",
    [
        "x",
        "x@y",
        "@y.z",
        "x@",
        "x@.z",
        "x@y.",
        "x@y..z",
        "x@@y.z",
        "x@y@z.de",
        "x y@z.de",
        "x@y.z+",
    ],
)
def test_anything_else_is_no_address(email: str) -> None:
    fault = refusal(f"email={email}")
    assert fault.message == f"Invalid email address: {email.replace('+', ' ')}"
    assert (fault.reason, fault.param) == ("email_invalid", "email")


# --- integers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("-0", 0),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775807", 2**63 - 1),
        ("007", 7),
    ],
)
def test_an_integer_has_64_bits_and_a_sign(text: str, number: int) -> None:
    assert details(f"balance={text}").balance == number


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("9223372036854775808", "9223372036854775808"),
        ("-9223372036854775809", "-9223372036854775809"),
        ("1.0", "1.0"),
        ("1e3", "1e3"),
        ("1_000", "1_000"),
        ("%2B1", "+1"),
        ("--1", "--1"),
        ("-", "-"),
        ("+1", " 1"),
        ("٣", "٣"),
        ("9" * 5000, "9999...9999"),
    ],
)
def test_anything_else_is_no_integer(text: str, shown: str) -> None:
    fault = refusal(f"balance={text}")
    assert fault.message == f"Invalid integer: {shown}"
    assert fault.reason == "parameter_invalid_integer"


def test_an_invoice_sequence_starts_at_one() -> None:
    assert details("next_invoice_sequence=1").next_invoice_sequence == 1
    fault = refusal("next_invoice_sequence=0")
    assert fault.message == "Invalid integer: 0; must be at least 1"
    assert fault.reason == "parameter_invalid_integer"


# --- metadata -----------------------------------------------------------------------------------


def test_metadata_has_keys_of_40_and_values_of_500_characters() -> None:
    key, value = "k" * 40, "\N{PARTY POPPER}" * 500
    assert details(f"metadata[{key}]={value}").metadata == {key: value}


@pytest.mark.parametrize(
    ("text", "message", "param"),
    [
        (
            json.dumps({"metadata": {"k" * 41: "v"}}),
            (
                "Metadata keys can have up to 40 characters, but you passed in a key that is 41 "
                "characters. Invalid key: kkkk...kkkk"
            ),
            "metadata[kkkk...kkkk]",
        ),
        (
            json.dumps({"metadata": {"k": "v" * 501}}),
            (
                "Metadata values can have up to 500 characters, but you passed in a value that is "
                "501 characters. Invalid value: vvvv...vvvv"
            ),
            "metadata[k]",
        ),
        (
            '{"metadata": {"a[b": "v"}}',
            "Metadata keys cannot contain square brackets. Invalid key: a[b",
            "metadata",
        ),
        ('{"metadata": {"": "v"}}', "Metadata keys cannot be empty.", "metadata"),
        (
            '{"metadata": {"k": {"l": "v"}}}',
            "Invalid string: metadata[k] must be a single value",
            "metadata[k]",
        ),
        ('{"metadata": ["v"]}', "Invalid object: metadata must have named members", "metadata"),
        ('{"metadata": []}', "Invalid object: metadata must have named members", "metadata"),
        ('{"metadata": "x"}', "Invalid object: metadata must have named members", "metadata"),
    ],
)
def test_broken_metadata_is_refused(text: str, message: str, param: str) -> None:
    with pytest.raises(Malformed) as raised:
        json_details(text)
    assert (raised.value.message, raised.value.param) == (message, param)


def test_metadata_keys_may_be_numbers() -> None:
    assert details("metadata[0]=x&metadata[1]=y").metadata == {"0": "x", "1": "y"}


# --- kinds --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("name[a]=x", "Invalid string: name must be a single value"),
        ("name[]=x", "Invalid string: name must be a single value"),
        ("email[a]=x", "Invalid string: email must be a single value"),
        ("balance[a]=x", "Invalid string: balance must be a single value"),
        ("address=x", "Invalid object: address must have named members"),
        ("address[]=x", "Invalid object: address must have named members"),
        ("tax_id_data[]=x", "Invalid object: tax_id_data[0] must have named members"),
        ("preferred_locales=fr", "Invalid array: preferred_locales must be a list"),
        ("preferred_locales[a]=fr", "Invalid array: preferred_locales must be a list"),
        (
            "preferred_locales[1]=fr",
            "Invalid array: the keys of preferred_locales must run 0, 1, 2 and so on",
        ),
        (
            "preferred_locales[0]=fr&preferred_locales[2]=de",
            "Invalid array: the keys of preferred_locales must run 0, 1, 2 and so on",
        ),
    ],
)
def test_a_value_of_another_kind_is_refused(form: str, message: str) -> None:
    assert refusal(form).message == message


# --- invoice prefix, locales, enumerations, addresses of the network ----------------------------


@pytest.mark.parametrize("prefix", ["ABC", "0759376C", "A" * 12])
def test_an_invoice_prefix_has_3_to_12_characters(prefix: str) -> None:
    assert details(f"invoice_prefix={prefix}").invoice_prefix == prefix


@pytest.mark.parametrize("prefix", ["AB", "A" * 13, "abc", "A-B", "ABC%0A", "ÄBC"])
def test_another_invoice_prefix_is_refused(prefix: str) -> None:
    assert refusal(f"invoice_prefix={prefix}").param == "invoice_prefix"


@pytest.mark.parametrize("locale", ["fr", "en-US", "zh-Hans-CN", "es-419", "x-private", "sl-rozaj"])
def test_a_locale_is_an_ietf_tag(locale: str) -> None:
    assert details(f"preferred_locales[]={locale}").preferred_locales == (locale,)


@pytest.mark.parametrize("locale", ["e", "en_US", "en-", "-en", "fr-abcdefghi", "1n", "en US"])
def test_a_bad_locale_is_named_by_its_place(locale: str) -> None:
    fault = refusal(f"preferred_locales[0]=fr&preferred_locales[1]={locale}")
    assert (fault.message, fault.param) == (
        f"Invalid locale: {locale}; must be an IETF language tag such as en or en-US",
        "preferred_locales[1]",
    )


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (
            "cash_balance[settings][reconciliation_mode]=x",
            (
                "Invalid cash_balance[settings][reconciliation_mode]: "
                "must be one of automatic, manual, or merchant_default"
            ),
        ),
        (
            "invoice_settings[rendering_options][amount_tax_display]=x",
            (
                "Invalid invoice_settings[rendering_options][amount_tax_display]: "
                "must be one of exclude_tax or include_inclusive_tax"
            ),
        ),
    ],
)
def test_an_enumeration_tells_what_is_allowed(form: str, message: str) -> None:
    assert refusal(form).message == message


def test_a_location_is_validated_automatically_on_update_only() -> None:
    tree = decode_form(b"tax[validate_location]=auto")
    assert updating(tree).details == Details(tax=TaxChange(validate_location="auto"))
    with pytest.raises(Malformed, match="must be one of deferred or immediately"):
        creating(tree)


@pytest.mark.parametrize("address", ["127.0.0.1", "2001:db8::1"])
def test_an_ip_address_is_of_version_4_or_6(address: str) -> None:
    assert details(f"tax[ip_address]={address}").tax == TaxChange(ip_address=address)


@pytest.mark.parametrize("address", ["1.2.3", "256.1.1.1", "fe80::1%25eth0", "localhost", "1"])
def test_another_ip_address_is_refused(address: str) -> None:
    fault = refusal(f"tax[ip_address]={address}")
    shown = address.replace("%25", "%")
    assert fault.message == f"Invalid IP address: {shown}; must be an IPv4 or IPv6 address"
    assert fault.param == "tax[ip_address]"


# --- custom fields ------------------------------------------------------------------------------


def custom_fields(count: int) -> str:
    name = "invoice_settings[custom_fields]"
    return "&".join(f"{name}[{i}][name]=n{i}&{name}[{i}][value]=v{i}" for i in range(count))


def test_an_invoice_has_up_to_four_custom_fields() -> None:
    settings = details(custom_fields(4)).invoice_settings
    assert settings
    assert settings.custom_fields == tuple(
        CustomField(name=f"n{i}", value=f"v{i}") for i in range(4)
    )
    assert refusal(custom_fields(5)).message == (
        "Invalid array: invoice_settings[custom_fields] can have up to 4 entries, but you've set 5."
    )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("[name]=a", "Missing required param: invoice_settings[custom_fields][0][value]."),
        ("[value]=a", "Missing required param: invoice_settings[custom_fields][0][name]."),
        (f"[name]={'a' * 41}", "Invalid string: aaaa...aaaa; must be at most 40 characters"),
        (
            f"[name]=a&invoice_settings[custom_fields][0][value]={'b' * 141}",
            "Invalid string: bbbb...bbbb; must be at most 140 characters",
        ),
    ],
)
def test_a_custom_field_has_a_short_name_and_a_short_value(entry: str, message: str) -> None:
    assert refusal(f"invoice_settings[custom_fields][0]{entry}").message == message


# --- tax ids ------------------------------------------------------------------------------------


def test_tax_ids_of_both_parameters_go_into_one_list_in_the_order_of_the_table() -> None:
    said = details(
        "tax_id_data[0][type]=eu_vat&tax_id_data[0][value]=DE123456789"
        "&tax[tax_ids][0][type]=us_ein&tax[tax_ids][0][value]=12-3456789"
    )
    assert said.tax_ids == (
        TaxId(id="txi_1", type="us_ein", value="12-3456789", created=AT),
        TaxId(id="txi_2", type="eu_vat", value="DE123456789", created=AT),
    )


@pytest.mark.parametrize("name", ["tax_id_data", "tax[tax_ids]"])
def test_a_tax_id_without_the_shape_of_its_type_is_refused(name: str) -> None:
    fault = refusal(
        f"{name}[0][type]=eu_vat&{name}[0][value]=DE123456789"
        f"&{name}[1][type]=eu_vat&{name}[1][value]=DE12"
    )
    assert fault.message == "Invalid value for eu_vat: DE12"
    assert (fault.reason, fault.param) == ("tax_id_invalid", f"{name}[1][value]")


@pytest.mark.parametrize(
    ("form", "reason", "param"),
    [
        ("tax_id_data[0][type]=eu_vat", "parameter_missing", "tax_id_data[0][value]"),
        ("tax_id_data[0][value]=DE123456789", "parameter_missing", "tax_id_data[0][type]"),
        ("tax_id_data[0][type]=&tax_id_data[0][value]=1", "parameter_invalid_empty",
         "tax_id_data[0][type]"),
        ("tax_id_data[0][type]=xx_vat&tax_id_data[0][value]=1", None, "tax_id_data[0][type]"),
        ("tax_id_data[0][type]=unknown&tax_id_data[0][value]=1", None, "tax_id_data[0][type]"),
    ],
)  # fmt: skip
def test_a_tax_id_has_a_known_type_and_a_value(form: str, reason: str | None, param: str) -> None:
    fault = refusal(form)
    assert (fault.reason, fault.param) == (reason, param)


# --- payment ids and test clocks ----------------------------------------------------------------


def test_a_token_becomes_a_new_card() -> None:
    assert details("source=tok_visa").source == "card_1"


@pytest.mark.parametrize("source", ["src_1", "card_1a2B", "ba_1"])
def test_another_source_is_taken_as_it_is(source: str) -> None:
    assert details(f"source={source}").source == source


@pytest.mark.parametrize(
    ("form", "message", "param"),
    [
        ("source=visa", "No such source: 'visa'", "source"),
        ("source=tok_", "No such source: 'tok_'", "source"),
        ("source=tok_%C3%B6", "No such source: 'tok_ö'", "source"),
        ("source=pm_1", "No such source: 'pm_1'", "source"),
        ("payment_method=card_1", "No such PaymentMethod: 'card_1'", "payment_method"),
        ("payment_method=pm_a-b", "No such PaymentMethod: 'pm_a-b'", "payment_method"),
        (f"payment_method=pm_{'a' * 253}", "No such PaymentMethod: 'pm_a...aaaa'",
         "payment_method"),
        ("test_clock=1", "No such test clock: '1'", "test_clock"),
    ],
)  # fmt: skip
def test_an_id_that_is_not_well_formed_names_nothing(form: str, message: str, param: str) -> None:
    fault = refusal(form)
    assert (fault.message, fault.reason, fault.param) == (message, "resource_missing", param)


def test_a_test_clock_is_refused_in_live_mode() -> None:
    fault = refusal("test_clock=clock_1", livemode=True)
    assert fault.message == "Invalid parameter: test_clock can only be used in test mode"
    assert fault.param == "test_clock"
