"""The settings of each process, read once from the environment in its ``__main__``.

A setting is a field; its variable is the field's name in capitals. An empty variable counts as
missing. What is missing or wrong is told in one line that never repeats a URL, since URLs carry
passwords.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

import msgspec

DatabaseUrl: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^postgres(ql)?://")]
AmqpUrl: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^amqps?://")]
PublicUrl: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s?#]*[^\s?#/]$")]
Port: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=65535)]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]

Config = TypeVar("Config", bound=msgspec.Struct)

WANTED: Final = {
    "DATABASE_URL": "the log's PostgreSQL, as in postgresql://user@host/name",
    "AMQP_URL": "the broker, as in amqp://user@host/",
    "HOST": "the address to listen on",
    "PORT": "the port to listen on, from 1 to 65535",
    "PUBLIC_URL": "where callers reach the gateway, as in https://host, without a slash at its end",
    "LOG_LEVEL": "the least severe line to write: debug, info, warning, error or critical",
}


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway must be told."""

    database_url: DatabaseUrl
    host: str = "127.0.0.1"
    port: Port = 8000
    public_url: PublicUrl | None = None
    log_level: LogLevel = "info"


class RelayConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the relay must be told."""

    database_url: DatabaseUrl
    amqp_url: AmqpUrl
    log_level: LogLevel = "info"


class ProjectorConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the projector must be told; without a broker it follows the log by itself."""

    database_url: DatabaseUrl
    amqp_url: AmqpUrl | None = None
    log_level: LogLevel = "info"


class ConfigError(Exception):
    """A setting is missing or wrong; the message is one line for the operator."""


def read(config: type[Config], environ: Mapping[str, str] = os.environ) -> Config:
    """Return the settings that the environment gives.

    Raises:
        ConfigError: a setting is missing or wrong.
    """
    values: dict[str, object] = {}
    for field in msgspec.structs.fields(config):
        name = field.name.upper()
        text = environ.get(name) or None
        if text is not None:
            values[field.name] = _converted(name, text, field.type)
        elif field.required:
            raise ConfigError(f"{name} is not set: {WANTED[name]}")
    return config(**values)


def read_or_exit(config: type[Config], environ: Mapping[str, str] = os.environ) -> Config:
    """Return the settings, or end the process with code 1 and one line on stderr."""
    try:
        return read(config, environ)
    except ConfigError as error:
        sys.exit(f"chaching: {error}")


def _converted(name: str, text: str, wanted: Any) -> object:
    value = text.lower() if name == "LOG_LEVEL" else text
    try:
        return msgspec.convert(value, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name} is not usable: it must be {WANTED[name]}") from error
