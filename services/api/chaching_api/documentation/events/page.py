"""The page on how to subscribe: a text, and what the AsyncAPI document says of the messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from string import Template
from typing import Final

from chaching.broker.topology import HISTORY_BYTES_MAX
from chaching_api.documentation.assets import ASSETS, read_content
from chaching_api.documentation.events.document import EVENTS, HISTORY, document
from chaching_api.documentation.events.schemas import HEADERS
from chaching_api.documentation.events.words import UPDATE_BODY
from chaching_api.documentation.page_frame import framed, marked
from chaching_api.documentation.schemas import Schema

PATH: Final = "/docs/events"
PROGRAM: Final = "subscriber.txt"
BYTES_OF_A_GB: Final = 1_000_000_000
FIRST: Final = "cloudEvents:"


def events_page() -> bytes:
    """Return the page as UTF-8."""
    told = document()
    events, components = told["channels"][EVENTS], told["components"]
    content = Template(read_content("events.html").body.decode()).substitute(
        account=events["parameters"]["account"]["examples"][0],
        address=events["address"],
        body="".join(_keys(components["schemas"][UPDATE_BODY])),
        content_type=told["defaultContentType"],
        contents="".join(_contents(components["messages"])),
        exchange=events["bindings"]["amqp"]["exchange"]["name"],
        headers="".join(_keys(components["schemas"][HEADERS])),
        history_gb=HISTORY_BYTES_MAX // BYTES_OF_A_GB,
        messages="".join(_messages(components["messages"])),
        parameters="".join(_parameters(events["parameters"])),
        program=escape(ASSETS[PROGRAM].body.decode()),
        stream=told["channels"][HISTORY]["address"],
    )
    return framed("Events of Chaching", PATH, ("/asyncapi.json", "AsyncAPI"), content)


def _contents(messages: Schema) -> Iterator[str]:
    for name in messages:
        yield f'<li><a href="#{name}"><code>{name}</code></a></li>\n'


def _parameters(parameters: Schema) -> Iterator[str]:
    for name, told in parameters.items():
        values = told.get("enum") or told["examples"]
        shown = ", ".join(f"<code>{escape(value)}</code>" for value in values)
        lead = "" if "enum" in told else "as in "
        yield f"<dt><code>{name}</code></dt><dd>{marked(told['description'])} "
        yield f"{lead.capitalize()}{shown}</dd>\n"


def _keys(schema: Schema) -> Iterator[str]:
    """Yield the keys of an object, those of CloudEvents first."""
    properties: Schema = schema["properties"]
    for name in sorted(properties, key=lambda name: not name.startswith(FIRST)):
        yield f"<dt><code>{name}</code></dt><dd>{marked(properties[name]['description'])}</dd>\n"


def _messages(messages: Schema) -> Iterator[str]:
    for name, told in messages.items():
        [example] = told["examples"]
        yield f'<section id="{name}">\n<h2><a href="#{name}"><code>{name}</code></a></h2>\n'
        yield f"<p>{marked(told['summary'])} {marked(told['description'])}</p>\n"
        yield f"<p>{marked(example['summary'])} Headers:</p>\n{_json(example['headers'])}"
        yield f"<p>Body:</p>\n{_json(example['payload'])}</section>\n\n"


def _json(value: object) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return f'<pre tabindex="0"><code>{escape(text, quote=False)}</code></pre>\n'
