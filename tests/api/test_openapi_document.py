"""The document is valid, complete and true to what validates."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import pytest
from aiohttp import web
from tests.support.gateways import FORM
from tests.support.openapi import DOCUMENT, body_schema, faults_of, misfits, nodes, resolved

from chaching.eventstore.database import Database
from chaching.eventstore.store import EventStore
from chaching_api.app import Dependencies, create_app
from chaching_api.bodies import decode_json
from chaching_api.boundary import JSON
from chaching_api.documentation import wire
from chaching_api.documentation.error_codes import REASONS
from chaching_api.documentation.expanded import ONLY_EXPANDED
from chaching_api.documentation.operations import OPERATIONS, Operation
from chaching_api.documentation.schemas import Shape
from chaching_api.errors import Malformed
from chaching_api.parameter_types import (
    Emptied,
    FilledText,
    Integer,
    Items,
    Leaf,
    Parameter,
    Required,
    TestModeOnly,
)
from chaching_api.parameters import read_create, read_update

CUSTOMERS: Final = "/v1/customers"
CUSTOMER: Final = "/v1/customers/{customer}"
NOT_ECMA: Final = re.compile(r"\(\?P|\(\?[aiLmsux]|\\[AZ]|\(\?\(|\(\?#")
SHAPE: Final = Shape(encoding="json", words={})


class Unheard(Leaf, frozen=True):
    """A kind of parameter that nobody has described."""

    def read(self, value: object, param: str) -> str:
        return f"{param}={value}"


def test_the_document_is_valid() -> None:
    assert faults_of(DOCUMENT) == []


def test_a_document_that_is_not_valid_is_found_out() -> None:
    assert faults_of({**DOCUMENT, "info": {"title": "no version"}})


def test_every_reference_leads_somewhere() -> None:
    references = [node for _, node in nodes(DOCUMENT) if "$ref" in node]
    assert references
    assert all(resolved(node) for node in references)


def test_the_document_tells_every_route_and_no_other(database: Database, store: EventStore) -> None:
    app = create_app(Dependencies(database=database, searches=database, store=store))
    assert routes_of(app) == {
        (method.upper(), path)
        for path, operations in DOCUMENT["paths"].items()
        for method in operations
    }


def routes_of(app: web.Application) -> set[tuple[str, str]]:
    return {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "*"
    }


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_the_document_tells_every_parameter_of_an_operation(operation: Operation) -> None:
    told = DOCUMENT["paths"][operation.path][operation.method]
    query = [p["name"] for p in map(resolved, told["parameters"]) if p["in"] == "query"]
    assert [name.removesuffix("[]") for name in query] == list(operation.query)
    assert ("requestBody" in told) == (operation.body is not None)
    for content in told.get("requestBody", {}).get("content", {}).values():
        assert_has_names(content["schema"], operation.body or {})


def assert_has_names(schema: Mapping[str, Any], table: Mapping[str, Parameter[object]]) -> None:
    assert list(schema["properties"]) == list(table)
    assert schema["additionalProperties"] is False
    for name, parameter in table.items():
        inner = parameter.parameter if isinstance(parameter, Emptied | Required) else parameter
        children = getattr(inner, "children", None)
        if children is not None:
            assert_has_names(schema["properties"][name], children)


def test_every_parameter_and_every_attribute_is_described() -> None:
    silent = [
        f"{path}/{name}"
        for path, node in nodes(DOCUMENT)
        if isinstance(node.get("properties"), dict) and "type" in node
        for name, schema in node["properties"].items()
        if not schema.get("description")
    ]
    silent += [
        f"{path}: {node['name']}"
        for path, node in nodes(DOCUMENT)
        if "in" in node and "name" in node and not node.get("description")
    ]
    assert silent == []


def test_a_kind_of_parameter_without_a_schema_is_found_out() -> None:
    with pytest.raises(TypeError, match="Unheard"):
        SHAPE.of_table({"a": Items(Unheard())})


def test_every_pattern_reads_the_same_in_ecmascript() -> None:
    patterns = [n["pattern"] for _, n in nodes(DOCUMENT) if isinstance(n.get("pattern"), str)]
    assert patterns
    for pattern in patterns:
        assert re.compile(pattern)
        assert not NOT_ECMA.search(pattern), pattern
        assert pattern.startswith("^"), pattern
        assert pattern.endswith("$"), pattern


def test_all_names_of_operations_differ() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert sorted(set(names)) == sorted(names)


def test_every_struct_of_the_wire_is_closed_and_has_all_its_keys() -> None:
    for name, struct in wire.ANSWERED.items():
        schema = DOCUMENT["components"]["schemas"][name]
        assert schema["additionalProperties"] is False
        assert set(struct.__struct_encode_fields__) <= schema["properties"].keys()
    customer = DOCUMENT["components"]["schemas"]["Customer"]
    expanded = set(ONLY_EXPANDED)
    assert customer["properties"].keys() - set(customer["required"]) == {"updated", *expanded}
    assert len(customer["required"]) == 22


def test_the_known_reasons_are_examples() -> None:
    fields = DOCUMENT["components"]["schemas"]["ErrorFields"]["properties"]
    assert fields["reason"]["examples"] == list(REASONS)
    assert "enum" not in fields["reason"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_example_fits_its_own_schema(operation: Operation) -> None:
    told = DOCUMENT["paths"][operation.path][operation.method]
    for content in told.get("requestBody", {}).get("content", {}).values():
        for example in content.get("examples", {}).values():
            assert misfits(example["value"], content["schema"]) == []
    for response in map(resolved, told["responses"].values()):
        for content in response.get("content", {}).values():
            if "example" in content:
                assert misfits(content["example"], content["schema"]) == []


# --- A schema accepts what the service accepts ----------------------------------------------------

LONG: Final = "x" * 5001
BODIES: Final[tuple[str, ...]] = (
    "{}",
    '{"name": "Jane"}',
    '{"name": null, "phone": "", "description": 5, "email": null}',
    '{"name": true, "description": 0.5}',
    f'{{"description": "{LONG}"}}',
    '{"description": ["a"]}',
    '{"name": "a\\u0000b"}',
    '{"email": "x@y.z"}',
    '{"email": "x@y"}',
    '{"email": true}',
    '{"balance": -5}',
    '{"balance": "-5"}',
    '{"balance": "abc"}',
    '{"balance": ""}',
    '{"balance": null}',
    '{"balance": 9223372036854775807}',
    '{"balance": 9223372036854775808}',
    '{"balance": true}',
    '{"balance": 0.5}',
    '{"next_invoice_sequence": 0}',
    '{"next_invoice_sequence": "1"}',
    '{"next_invoice_sequence": "0"}',
    '{"address": ""}',
    '{"address": null}',
    '{"address": {"line1": "a", "city": null, "state": 5}}',
    '{"address": {"nope": "a"}}',
    '{"address": "a"}',
    '{"address": []}',
    '{"shipping": {"name": "J", "address": {"line1": "a"}, "phone": ""}}',
    '{"shipping": {"name": "", "address": {"line1": "a"}}}',
    '{"metadata": {"a": "1", "b": 2, "c": null, "d": ""}}',
    '{"metadata": {}}',
    '{"metadata": ""}',
    '{"metadata": null}',
    '{"metadata": []}',
    '{"metadata": {"a[b]": "1"}}',
    '{"metadata": {"": "1"}}',
    f'{{"metadata": {{"{LONG[:41]}": "1"}}}}',
    f'{{"metadata": {{"a": "{LONG[:501]}"}}}}',
    '{"metadata": {"a": {"b": "c"}}}',
    '{"preferred_locales": ["en", "fr-CA"]}',
    '{"preferred_locales": ""}',
    '{"preferred_locales": []}',
    '{"preferred_locales": ["no locale!"]}',
    '{"preferred_locales": "en"}',
    '{"tax_exempt": "none"}',
    '{"tax_exempt": ""}',
    '{"tax_exempt": null}',
    '{"tax_exempt": "maybe"}',
    '{"tax": {"ip_address": ""}}',
    '{"tax": {"ip_address": null, "validate_location": "deferred"}}',
    '{"tax": {"validate_location": ""}}',
    '{"tax": null}',
    '{"tax_id_data": [{"type": "eu_vat", "value": "DE123456789"}]}',
    '{"tax_id_data": [{"type": "eu_vat"}]}',
    '{"tax_id_data": [{"type": "nope", "value": "1"}]}',
    '{"tax_id_data": ""}',
    '{"invoice_settings": {"custom_fields": [{"name": "a", "value": "b"}]}}',
    '{"invoice_settings": {"custom_fields": [{"name": "a"}]}}',
    '{"invoice_settings": {"custom_fields": ""}}',
    '{"invoice_settings": {"custom_fields": null, "footer": null}}',
    '{"invoice_settings": {"rendering_options": {"amount_tax_display": ""}}}',
    '{"invoice_settings": {"rendering_options": {"amount_tax_display": "nope"}}}',
    '{"invoice_settings": ""}',
    '{"invoice_prefix": "ABC"}',
    '{"invoice_prefix": "abc"}',
    '{"invoice_prefix": "AB"}',
    '{"payment_method": "pm_1"}',
    '{"payment_method": "pm_"}',
    '{"payment_method": "card_1"}',
    '{"source": "tok_visa"}',
    '{"source": "card_a_b"}',
    '{"source": ""}',
    '{"test_clock": "clock_1"}',
    '{"cash_balance": {"settings": {"reconciliation_mode": "manual"}}}',
    '{"cash_balance": {"settings": {"reconciliation_mode": ""}}}',
    '{"expand": ["default_source"]}',
    '{"expand": ["invoice_settings"]}',
    '{"expand": ["default_source.customer.default_source.customer.tax"]}',
    '{"expand": [""]}',
    '{"expand": "tax"}',
    '{"wat": 1}',
)
ONLY_CREATE: Final = (
    '{"id": "cus_1"}',
    '{"id": "search"}',
    '{"id": 5}',
    '{"id": true}',
    '{"id": ""}',
    '{"id": "a b"}',
    '{"tax": {"validate_location": "auto"}}',
)


@pytest.mark.parametrize("body", [*BODIES, *ONLY_CREATE])
def test_the_schema_of_a_create_accepts_what_a_create_accepts(body: str) -> None:
    fits = not misfits(value_of(body), body_schema("post", CUSTOMERS, JSON))
    assert fits == is_read(read_create, body)


@pytest.mark.parametrize("body", BODIES)
def test_the_schema_of_an_update_accepts_what_an_update_accepts(body: str) -> None:
    fits = not misfits(value_of(body), body_schema("post", CUSTOMER, JSON))
    assert fits == is_read(read_update, body)


def value_of(body: str) -> object:

    return json.loads(body)


def numbered(prefix: str) -> str:
    return f"{prefix}1"


def is_read(read: Any, body: str) -> bool:
    try:
        read(decode_json(body.encode()), livemode=False, at=0, new_id=numbered)
    except Malformed:
        return False
    return True


@pytest.mark.parametrize("name", ["address", "metadata", "expand", "tax_id_data"])
def test_what_is_nested_is_spelled_with_brackets_in_a_form(name: str) -> None:
    content = DOCUMENT["paths"][CUSTOMERS]["post"]["requestBody"]["content"][FORM]
    assert content["encoding"][name] == {"style": "deepObject", "explode": True}
    assert "name" not in content["encoding"]


def test_the_items_of_a_list_come_one_by_one_in_a_query() -> None:
    told = {p["name"]: p for p in DOCUMENT["paths"][CUSTOMER]["get"]["parameters"] if "in" in p}
    expand = told["expand[]"]
    assert (expand["name"], expand["schema"]["type"]) == ("expand[]", "array")
    assert "style" not in expand


def test_what_a_request_needs_is_required() -> None:
    told = {
        p["name"]: p["required"]
        for p in DOCUMENT["paths"]["/v1/customers/search"]["get"]["parameters"]
        if "in" in p
    }
    assert told == {"query": True, "limit": False, "page": False, "expand[]": False}


def test_a_form_has_no_null() -> None:
    assert misfits(None, body_schema("post", CUSTOMERS, FORM)["properties"]["name"])


def test_what_can_only_be_in_test_mode_has_no_value_in_live_mode() -> None:
    assert misfits("clock_1", SHAPE.bare(TestModeOnly(), "test_clock"))


@pytest.mark.parametrize("minimum", [0, 1, 7])
def test_an_integer_written_as_a_text_keeps_its_least_value(minimum: int) -> None:
    schema = SHAPE.bare(Integer(minimum=minimum), "n")
    assert not misfits(minimum, schema)
    assert misfits(minimum - 1, schema)
    assert misfits(str(minimum - 1), schema)


def test_a_text_that_must_be_filled_takes_no_null() -> None:
    schema = SHAPE.bare(FilledText(9), "a")
    assert not misfits(True, schema)
    assert misfits(None, schema)
    assert misfits("", schema)
