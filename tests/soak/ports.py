"""Ports that stay free while nobody listens on them."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 12_000
_FIRST_OUTGOING = 32_768


def quiet_ports(number: int) -> list[int]:
    """So many free ports below those that the system gives to outgoing connections.

    A process that is started again must find its port free, and any connection may have taken another one.
    """
    first = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else _FIRST_OUTGOING
    places, found = random.SystemRandom(), list[int]()
    while len(found) < number:
        port = places.randrange(_LOWEST, max(first, _LOWEST + 1000))
        if port not in found and _is_free(port):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
