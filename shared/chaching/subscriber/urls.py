"""Where servers are, as a subscriber is told; what cannot be that is refused at once.

Else it would look like a server that is away, and be waited for.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

BROKER_SCHEMES: Final = ("amqp", "amqps")
DATABASE_SCHEMES: Final = ("postgresql", "postgres")


def broker_url(url: str) -> str:
    """Return what can be the broker's URL; raises ValueError for what cannot."""
    _expect("the broker's URL", url, BROKER_SCHEMES)
    try:
        port = urlsplit(url).port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("the port in the broker's URL is no port")
    return url


def database_url(url: str) -> str:
    """Return what can be a database's URL, of several hosts too; raises ValueError otherwise."""
    _expect("the database's URL", url, DATABASE_SCHEMES)
    return url


def _expect(what: str, url: str, schemes: tuple[str, ...]) -> None:
    if url.partition("://")[0] not in schemes:
        # without the URL itself, since it has a password
        raise ValueError(f"{what} must begin with {schemes[0]}://")
