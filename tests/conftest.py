"""What every test may ask for: the URLs of a real PostgreSQL and a real RabbitMQ."""

from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from tests.databases import database, database_template, database_url, store
from tests.servers import Servers
from tests.support.brokers import bare_prefix, prefix

from chaching.local.errors import LocalError

__all__ = [
    "bare_prefix",
    "database",
    "database_template",
    "database_url",
    "prefix",
    "store",
]

Answer = TypeVar("Answer")

# how long an example takes proves nothing, and what fails in `make test` fails again; examples that
# nobody has tried yet are what `make properties` is for
EVERYDAY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
WIDE = settings(EVERYDAY, max_examples=3_000, derandomize=False, print_blob=True)
settings.register_profile("everyday", EVERYDAY)
settings.register_profile("wide", WIDE)
settings.load_profile("everyday")

SERVERS = pytest.StashKey[Servers]()
DATABASE_INPUT = "chaching_database_url"
AMQP_INPUT = "chaching_amqp_url"


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SERVERS] = Servers(volatile=True)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start both servers before the workers exist; without workers each test asks for its own."""
    config = session.config
    if config.getoption("numprocesses", None) and not is_worker(config):
        or_exit(config.stash[SERVERS].start)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: pytest.Item) -> None:
    """Tell a worker where the servers are; `node` is the controller's view of that worker."""
    servers = node.config.stash[SERVERS]
    inputs = worker_input(node)
    inputs[DATABASE_INPUT] = or_exit(servers.database_url)
    inputs[AMQP_INPUT] = or_exit(servers.amqp_url)


def pytest_unconfigure(config: pytest.Config) -> None:
    if SERVERS in config.stash:
        config.stash[SERVERS].close()


@pytest.fixture(scope="session")
def database_admin_url(pytestconfig: pytest.Config) -> str:
    """The URL of a database, as a user who may create others and roles."""
    if is_worker(pytestconfig):
        return worker_input(pytestconfig)[DATABASE_INPUT]
    return or_exit(pytestconfig.stash[SERVERS].database_url)


@pytest.fixture(scope="session")
def amqp_url(pytestconfig: pytest.Config) -> str:
    """The URL of a broker."""
    if is_worker(pytestconfig):
        return worker_input(pytestconfig)[AMQP_INPUT]
    return or_exit(pytestconfig.stash[SERVERS].amqp_url)


def is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def worker_input(holder: object) -> dict[str, str]:
    """Answer what the controller passes to a worker, seen from either side."""
    inputs: dict[str, str] = vars(holder)["workerinput"]
    return inputs


def or_exit(ask: Callable[[], Answer]) -> Answer:
    """Ask for a server; where there is none, end the session with what a person must do."""
    try:
        return ask()
    except LocalError as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
