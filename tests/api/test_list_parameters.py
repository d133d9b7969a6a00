from __future__ import annotations

import pytest

from chaching_api.bodies import decode_form
from chaching_api.errors import Malformed
from chaching_api.parameter_tables import Seconds
from chaching_api.parameter_types import INT64_MAX, INT64_MIN
from chaching_api.parameters import LIST, ListInput, read_list


def listing(query: str) -> ListInput:
    return read_list(decode_form(query.encode()))


def refusal(query: str) -> Malformed:
    with pytest.raises(Malformed) as raised:
        listing(query)
    return raised.value


def test_nothing_said_lists_ten_of_all() -> None:
    assert listing("") == ListInput()
    assert listing("").limit == 10


def test_every_parameter_is_read() -> None:
    query = (
        "limit=3&starting_after=cus_1&email=j@x.io&created[gte]=5&created[lt]=9"
        "&test_clock=clock_1&expand[]=data.sources&expand[]=data.subscriptions.data.latest_invoice"
    )
    assert listing(query) == ListInput(
        limit=3,
        starting_after="cus_1",
        email="j@x.io",
        created=Seconds(5, 8),
        test_clock="clock_1",
        expand=("data.sources", "data.subscriptions.data.latest_invoice"),
    )
    assert listing("ending_before=cus_2").ending_before == "cus_2"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("1", 1),
        ("100", 100),
        ("0", 1),
        ("101", 100),
        ("-7", 1),
        ("9" * 20, 100),
        ("9" * 30, 100),
        ("-" + "9" * 30, 1),
        ("0" * 30 + "7", 7),
    ],
)
def test_a_limit_is_clamped(said: str, meant: int) -> None:
    assert listing(f"limit={said}").limit == meant


@pytest.mark.parametrize(
    ("query", "meant"),
    [
        ("created=7", Seconds(7, 7)),
        ("created[gt]=7", Seconds(8, INT64_MAX)),
        ("created[gte]=7", Seconds(7, INT64_MAX)),
        ("created[lt]=7", Seconds(INT64_MIN, 6)),
        ("created[lte]=7", Seconds(INT64_MIN, 7)),
        ("created[gt]=1&created[gte]=3&created[lt]=9&created[lte]=7", Seconds(3, 7)),
        ("created[gt]=3&created[gte]=3&created[lt]=7&created[lte]=7", Seconds(4, 6)),
        (f"created[gt]={INT64_MAX}", Seconds(INT64_MAX + 1, INT64_MAX)),
    ],
)
def test_created_is_a_second_or_a_stretch_of_them(query: str, meant: Seconds) -> None:
    assert listing(query).created == meant


@pytest.mark.parametrize(
    ("query", "message", "reason", "param"),
    [
        ("limit=abc", "Invalid integer: abc", "parameter_invalid_integer", "limit"),
        ("limit=-", "Invalid integer: -", "parameter_invalid_integer", "limit"),
        ("limit=1.5", "Invalid integer: 1.5", "parameter_invalid_integer", "limit"),
        ("created=now", "Invalid integer: now", "parameter_invalid_integer", "created"),
        ("created[gt]=x", "Invalid integer: x", "parameter_invalid_integer", "created[gt]"),
        (
            "created[foo]=1&created[gt]=x&wat=1",
            "Received unknown parameters: created[foo], wat",
            "parameter_unknown",
            "created[foo]",
        ),
        ("created[]=1", "Invalid object: created must have named members", None, "created"),
        (
            "starting_after=cus_1&ending_before=cus_2",
            "You may only specify one of these parameters: starting_after, ending_before.",
            None,
            "ending_before",
        ),
        ("email[]=j@x.io", "Invalid string: email must be a single value", None, "email"),
        (
            f"email={'a' * 513}",
            "Invalid string: aaaa...aaaa; must be at most 512 characters",
            None,
            "email",
        ),
        ("expand[]=sources", "This property cannot be expanded (sources).", None, "expand[0]"),
        (
            "expand[]=data.sources.data.customer.sources",
            (
                "You cannot expand more than 4 levels of a property "
                "(data.sources.data.customer.sources)."
            ),
            "property_expansion_max_depth",
            "expand[0]",
        ),
        ("query=x", "Received unknown parameter: query", "parameter_unknown", "query"),
    ],
)
def test_a_fault_is_told_in_the_words_of_the_contract(
    query: str, message: str, reason: str | None, param: str
) -> None:
    fault = refusal(query)
    assert (fault.message, fault.reason, fault.param) == (message, reason, param)


@pytest.mark.parametrize("param", [*LIST, "created[lte]", "expand[0]"])
def test_an_empty_value_is_refused(param: str) -> None:
    fault = refusal(f"{param}=")
    assert (fault.reason, fault.param) == ("parameter_invalid_empty", param)


def test_of_two_faults_the_one_that_is_declared_first_is_told() -> None:
    faults = [f"{name}=" for name in LIST]
    for name in LIST:
        assert refusal("&".join(reversed(faults))).param == name
        faults.remove(f"{name}=")


def test_an_empty_object_says_nothing_of_created() -> None:
    assert read_list({"created": {}}) == ListInput()
