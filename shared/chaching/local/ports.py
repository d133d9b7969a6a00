"""Ports for private servers: on loopback and below 32768.

Above that line systems pick the source ports of outgoing connections, and a client that reconnects
while its server is away can take the very port the server wants back.
"""

import errno
import random
import socket
from collections.abc import Collection

LOOPBACK = "127.0.0.1"
FIRST_PORT = 20_000
LAST_PORT = 32_000
TRIES_MAX = 200

_SPREAD = random.SystemRandom()


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Say whether a server could listen on this port now."""
    return bind_error(port, host) is None


def bind_error(port: int, host: str) -> OSError | None:
    """Try to listen for a moment; answer what the system says against it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            return error
    return None


def free_port(avoid: Collection[int] = ()) -> int:
    """Choose a free port of the private range at random, never one of `avoid`."""
    for _ in range(TRIES_MAX):
        port = _SPREAD.randint(FIRST_PORT, LAST_PORT)
        if port not in avoid and is_free(port):
            return port
    raise OSError(errno.EADDRINUSE, f"no free port between {FIRST_PORT} and {LAST_PORT}")


def keep_or_choose(wanted: int | None, avoid: Collection[int] = ()) -> int:
    """Answer the port used last time when it is still free, else another one."""
    if wanted is not None and wanted not in avoid and is_free(wanted):
        return wanted
    return free_port(avoid)
