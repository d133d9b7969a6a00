"""What a test asks of the OpenAPI document: is it valid, and does a value or an answer fit it?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias, cast

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from tests.support.gateways import Answer

from chaching_api.documentation.document import document

Schema: TypeAlias = Mapping[str, Any]

DOCUMENT: Final = document()


def faults_of(described: Mapping[str, Any]) -> list[str]:
    """Return what keeps a document from being valid OpenAPI 3.1."""
    found = OpenAPIV31SpecValidator(cast("Any", described)).iter_errors()
    return [cast("Any", fault).message for fault in found]


def misfits(value: object, schema: Schema) -> list[str]:
    """Return where a value does not fit a schema, whose references are into the document."""
    whole = {**schema, "components": DOCUMENT["components"]}
    validator = Draft202012Validator(cast("Any", whole))
    faults = cast("Iterator[Any]", validator.iter_errors(cast("Any", value)))  # pyright: ignore[reportUnknownMemberType] - it has no types
    return [f"{fault.json_path}: {fault.message}" for fault in faults]


def operation(method: str, path: str) -> Schema:
    found: Schema = DOCUMENT["paths"][path][method.lower()]
    return found


def body_schema(method: str, path: str, media_type: str) -> Schema:
    found: Schema = operation(method, path)["requestBody"]["content"][media_type]["schema"]
    return found


def resolved(node: Schema) -> Schema:
    """Return what a reference refers to."""
    if "$ref" not in node:
        return node
    found: Any = DOCUMENT
    for step in node["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return cast("Schema", found)


def undocumented(method: str, path: str, answer: Answer) -> list[str]:
    """Return what of an answer the document does not say: status, headers, type or body."""
    responses = operation(method, path)["responses"]
    if str(answer.status) not in responses:
        return [f"status {answer.status}"]
    response = resolved(responses[str(answer.status)])
    faults = [
        f"no header {name}"
        for name, header in response["headers"].items()
        if resolved(header).get("required") and name not in answer.headers
    ]
    faults += [
        f"header {name}: {fault}"
        for name, told in response["headers"].items()
        if name in answer.headers
        for fault in _header_faults(answer.headers[name], resolved(told)["schema"])
    ]
    content = response.get("content", {})
    content_type = answer.headers.get("Content-Type")
    if content and content_type not in content:
        return [*faults, f"type {content_type}"]
    if content_type == "application/json":
        faults += misfits(answer.json, content[content_type]["schema"])
    return faults


def _header_faults(text: str, schema: Schema) -> list[str]:
    return misfits(int(text) if schema.get("type") == "integer" else text, schema)


def nodes(tree: object, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield every object of the document with its path."""
    if isinstance(tree, dict):
        members = cast("dict[str, object]", tree)
        yield path, members
        for key, value in members.items():
            yield from nodes(value, f"{path}/{key}")
    elif isinstance(tree, list):
        for index, value in enumerate(cast("list[object]", tree)):
            yield from nodes(value, f"{path}/{index}")
