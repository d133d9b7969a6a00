"""The AsyncAPI 3.0 document, put together from the types of messages and the broker's topology.

It speaks from the view of this service, which sends; whoever subscribes receives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, get_args

import msgspec

from chaching.broker.messages import CONTENT_TYPE, PERSISTENT
from chaching.broker.topology import names_under
from chaching.domain.ids import Mode
from chaching_api.documentation.events.examples import ACCOUNT, Example, examples
from chaching_api.documentation.events.schemas import headers_of, message_schemas
from chaching_api.documentation.events.words import ENTRIES, MessageEntry
from chaching_api.documentation.schemas import COMPONENTS, Schema
from chaching_api.requests import OWN_VERSION

AMQP_BINDING: Final = "0.3.0"
ADDRESS: Final = "{type}.{mode}.{account}"
EVENTS: Final = "events"
HISTORY: Final = "history"

ABOUT: Final = """\
Every change of a customer is published to RabbitMQ as a CloudEvent 1.0 in binary mode. A message \
carries the customer after the event, so a subscriber keeps its own copy without calling back. \
Messages come at least once and in order of position.

A client whose connection is lost, as when the broker restarts, connects again after a pause, \
declares and binds its queue again, and consumes on. Its durable queue kept what came meanwhile, \
and what was not acknowledged comes again.

This document speaks from the view of the service: it sends, subscribers receive. Generate a \
subscriber's code with the operations reversed.

[How to subscribe](/docs/events), with a program to begin with; \
[the REST API](/docs).
"""


@cache
def document() -> Mapping[str, Any]:
    """Return the document as an object; it is made once."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Chaching Customers events",
            "version": OWN_VERSION,
            "description": ABOUT,
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {"broker": _server()},
        "channels": {EVENTS: _events(), HISTORY: _history()},
        "operations": {
            "publishEvents": {
                **_sending(EVENTS),
                "title": "Publish every event",
                "summary": "Each event of the log, in order of position, at least once.",
            },
            "keepHistory": {
                **_sending(HISTORY),
                "title": "Keep every event",
                "summary": "The same messages, which the broker also puts into the stream.",
            },
        },
        "components": {
            "messages": {name: _message(name, entry) for name, entry in ENTRIES.items()},
            "schemas": message_schemas(),
            "securitySchemes": {
                "account": {
                    "type": "userPassword",
                    "description": "A user of the broker who may configure and write queues of "
                    f"its own and read `{names_under().events}` and `{names_under().history}`.",
                }
            },
        },
    }


def encoded_document() -> bytes:
    """Return the document as JSON."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=1)


def _server() -> Schema:
    return {
        "host": "{host}:{port}",
        "protocol": "amqp",
        "protocolVersion": "0.9.1",
        "description": "The RabbitMQ of this installation, as in `AMQP_URL` of the relay. Beside "
        "`make run` the command `chaching info` tells it.",
        "variables": {
            "host": {"default": "127.0.0.1", "description": "Where the broker is."},
            "port": {"default": "5672", "description": "The port it listens on."},
        },
        "security": [{"$ref": "#/components/securitySchemes/account"}],
    }


def _events() -> Schema:
    return {
        "address": ADDRESS,
        "title": "Events",
        "description": "A topic exchange; the address is the routing key. Bind a queue of your own "
        "to it: `customer.#` brings all messages, `customer.*.live.acct_main` those of one account "
        "in live mode, `customer.deleted.#` all deletions.",
        "messages": dict(_references("#/components/messages/")),
        "parameters": {
            "type": {
                "description": "What happened; two words of the routing key.",
                "enum": list(ENTRIES),
                "location": "$message.header#/cloudEvents:type",
            },
            "mode": {
                "description": "The mode that the customer belongs to.",
                "enum": list(get_args(Mode)),
                "location": "$message.header#/mode",
            },
            "account": {
                "description": "The account that the customer belongs to.",
                "examples": [ACCOUNT],
                "location": "$message.header#/account",
            },
        },
        "bindings": _binding(
            {
                "is": "routingKey",
                "exchange": {
                    "name": names_under().events,
                    "type": "topic",
                    "durable": True,
                    "autoDelete": False,
                    "vhost": "/",
                },
            }
        ),
    }


def _history() -> Schema:
    return {
        "address": names_under().history,
        "title": "History",
        "description": "A stream with the same messages, for those who come later. Consume it "
        "with a prefetch limit and the argument `x-stream-offset`: `first`, or an offset that came "
        "in the header of that name. The oldest messages go when the stream is full.",
        "messages": dict(_references("#/components/messages/")),
        "bindings": _binding(
            {
                "is": "queue",
                "queue": {
                    "name": names_under().history,
                    "durable": True,
                    "exclusive": False,
                    "autoDelete": False,
                    "vhost": "/",
                },
            }
        ),
    }


def _sending(channel: str) -> Schema:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [target for _, target in _references(f"#/channels/{channel}/messages/")],
        "bindings": _binding({"deliveryMode": PERSISTENT, "mandatory": True}),
    }


def _message(name: str, entry: MessageEntry) -> Schema:
    return {
        "name": name,
        "title": entry.title,
        "summary": entry.summary,
        "description": entry.description,
        "contentType": CONTENT_TYPE,
        "headers": headers_of(name),
        "payload": {"$ref": COMPONENTS + entry.body},
        "correlationId": {
            "description": "The trace of the request that caused the event.",
            "location": "$message.header#/traceparent",
        },
        "examples": [_example(name, examples()[name])],
        "bindings": _binding({}),
    }


def _example(name: str, example: Example) -> Schema:
    return {
        "name": name.replace(".", "-"),
        "summary": f"Sent with the routing key `{example.routing_key}`.",
        "headers": dict(example.headers),
        "payload": dict(example.body),
    }


def _references(target: str) -> Iterator[tuple[str, Schema]]:
    for name in ENTRIES:
        yield name, {"$ref": target + name}


def _binding(told: Schema) -> Schema:
    return {"amqp": {**told, "bindingVersion": AMQP_BINDING}}
