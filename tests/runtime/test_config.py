from __future__ import annotations

import pytest
from tests.support.keyrings import MASTER_KEY

from chaching.runtime import config
from chaching.runtime.config import ConfigError, GatewayConfig, ProjectorConfig, RelayConfig

URL = "postgresql://user:secret@host/name"
DATABASE = {"DATABASE_URL": URL, "MASTER_KEY": MASTER_KEY}
RATE_LIMITS = (
    "RATE_LIMIT_PER_S",
    "RATE_LIMIT_BURST",
    "RATE_LIMIT_SEARCH_PER_S",
    "RATE_LIMIT_WRITES_PER_S",
    "RATE_LIMIT_CONCURRENT",
)


def test_what_is_not_set_has_its_default() -> None:
    settings = config.read(GatewayConfig, DATABASE)
    assert (settings.host, settings.port, settings.log_level) == ("127.0.0.1", 8000, "info")


def test_what_is_set_is_read() -> None:
    given = {**DATABASE, "HOST": "::1", "PORT": "8001", "LOG_LEVEL": "DEBUG"}
    settings = config.read(GatewayConfig, given)
    assert (settings.host, settings.port, settings.log_level) == ("::1", 8001, "debug")


def test_the_projector_does_without_a_broker() -> None:
    assert config.read(ProjectorConfig, {**DATABASE, "AMQP_URL": ""}).amqp_url is None


def test_what_is_missing_is_told_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^AMQP_URL is not set: the broker, as in amqp://.*$"):
        config.read(RelayConfig, DATABASE)


@pytest.mark.parametrize("port", ["0", "65536", "http", "80.5"])
def test_a_wrong_port_is_refused(port: str) -> None:
    with pytest.raises(ConfigError, match="PORT is not usable"):
        config.read(GatewayConfig, {**DATABASE, "PORT": port})


def test_rate_limits_are_off_unless_they_are_set() -> None:
    off = dict.fromkeys(RATE_LIMITS, "")
    for settings in (
        config.read(GatewayConfig, {**DATABASE, **off}),
        GatewayConfig(database_url=URL, master_key=MASTER_KEY),
    ):
        assert [getattr(settings, name.lower()) for name in RATE_LIMITS] == [None] * 5


def test_rate_limits_are_read_as_numbers() -> None:
    given = dict(zip(RATE_LIMITS, ("0.5", "20", "2", "1e3", "7"), strict=True))
    settings = config.read(GatewayConfig, {**DATABASE, **given})
    read = [getattr(settings, name.lower()) for name in RATE_LIMITS]
    assert read == [0.5, 20, 2.0, 1000.0, 7]


@pytest.mark.parametrize("name", RATE_LIMITS)
@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e9", "many", "null", "true"])
def test_a_wrong_rate_limit_is_refused(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name} is not usable: it must be .* of one key"):
        config.read(GatewayConfig, {**DATABASE, "RATE_LIMIT_PER_S": "1", name: text})


def test_a_wrong_url_is_refused_without_repeating_its_password() -> None:
    with pytest.raises(ConfigError) as raised:
        config.read(GatewayConfig, {"DATABASE_URL": "mysql://user:secret@host/name"})
    assert "secret" not in str(raised.value)


def test_a_wrong_setting_ends_the_process_with_one_line() -> None:
    with pytest.raises(SystemExit) as raised:
        config.read_or_exit(GatewayConfig, {})
    assert str(raised.value.code).startswith("chaching: DATABASE_URL is not set")


@pytest.mark.parametrize("url", ["https://api.example.com", "http://host:8000/billing"])
def test_where_callers_reach_the_gateway_is_read(url: str) -> None:
    assert config.read(GatewayConfig, {**DATABASE, "PUBLIC_URL": url}).public_url == url


@pytest.mark.parametrize("url", ["https://host/", "host", "ftp://host", "https://h?a", "https://"])
def test_an_address_that_errors_cannot_lead_to_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="PUBLIC_URL is not usable"):
        config.read(GatewayConfig, {**DATABASE, "PUBLIC_URL": url})
