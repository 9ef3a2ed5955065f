"""Ports of this machine that nobody uses."""

import socket


def free_port() -> int:
    """Give the number of a port of the loopback interface that is free."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
