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
MasterKeys: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z0-9+/]{43}=(,[A-Za-z0-9+/]{43}=)*$")
]
SigningSeed: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9+/]{43}=$")]
Port: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=65535)]
PerSecond: TypeAlias = Annotated[float, msgspec.Meta(ge=0.001, le=1_000_000)]
Patience: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=2_592_000)]
Amount: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]

Config = TypeVar("Config", bound=msgspec.Struct)

_RATES: Final = "from 0.001 to 1000000"
_AMOUNTS: Final = "a whole number from 1 to 1000000"

WANTED: Final = {
    "DATABASE_URL": "the log's PostgreSQL, as in postgresql://user@host/name",
    "AMQP_URL": "the broker, as in amqp://user@host/",
    "MASTER_KEY": "what personal values are encrypted with: 32 random bytes in base64, as "
    "`openssl rand -base64 32` makes them, with commas between several",
    "HOST": "the address to listen on",
    "PORT": "the port to listen on, from 1 to 65535",
    "PUBLIC_URL": "where callers reach the gateway, as in https://host, without a slash at its end",
    "RATE_LIMIT_PER_S": f"requests a second of one key, {_RATES}",
    "RATE_LIMIT_BURST": f"requests of one key that may come at once, {_AMOUNTS}",
    "RATE_LIMIT_SEARCH_PER_S": f"searches a second of one key, {_RATES}",
    "RATE_LIMIT_WRITES_PER_S": f"writes a second of one key, {_RATES}",
    "RATE_LIMIT_CONCURRENT": f"requests of one key under way at a time, {_AMOUNTS}",
    "PURGE_AFTER_S": "seconds until the broker forgets an erased customer, from 0 to 2592000",
    "AUDIT_SIGNING_KEY": "32 random bytes in Base64, as `openssl rand -base64 32` prints them",
    "LOG_LEVEL": "the least severe line to write: debug, info, warning, error or critical",
}


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway must be told.

    Rate limits hold for each key in this process, and what is not set is not limited. The burst is
    how many of the requests may come at once; without it, as many as a second brings.
    """

    database_url: DatabaseUrl
    master_key: MasterKeys
    host: str = "127.0.0.1"
    port: Port = 8000
    public_url: PublicUrl | None = None
    log_level: LogLevel = "info"
    rate_limit_per_s: PerSecond | None = None
    rate_limit_burst: Amount | None = None
    rate_limit_search_per_s: PerSecond | None = None
    rate_limit_writes_per_s: PerSecond | None = None
    rate_limit_concurrent: Amount | None = None


class RelayConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the relay must be told."""

    database_url: DatabaseUrl
    amqp_url: AmqpUrl
    master_key: MasterKeys
    purge_after_s: Patience = 3_600.0
    log_level: LogLevel = "info"


class ProjectorConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the projector must be told; without a broker it follows the log by itself."""

    database_url: DatabaseUrl
    master_key: MasterKeys
    amqp_url: AmqpUrl | None = None
    log_level: LogLevel = "info"


class AuditorConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the auditor must be told: above all, what to sign checkpoints of the log with."""

    database_url: DatabaseUrl
    audit_signing_key: SigningSeed
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
    unusable = ConfigError(f"{name} is not usable: it must be {WANTED[name]}")
    if value == "null":  # which msgspec takes for nothing
        raise unusable
    try:
        return msgspec.convert(value, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise unusable from error
