import socket

from chaching.local.ports import FIRST_PORT, LAST_PORT, LOOPBACK, free_port, is_free, keep_or_choose


def test_private_ports_lie_below_those_of_outgoing_connections() -> None:
    port = free_port()
    assert FIRST_PORT <= port <= LAST_PORT < 32768
    assert is_free(port)


def test_a_free_port_is_kept_and_a_taken_one_replaced() -> None:
    port = free_port()
    assert keep_or_choose(port) == port
    with socket.create_server((LOOPBACK, port)):
        assert not is_free(port)
        assert keep_or_choose(port) != port


def test_ports_of_one_server_never_meet() -> None:
    port = free_port()
    assert keep_or_choose(port, avoid={port}) != port
