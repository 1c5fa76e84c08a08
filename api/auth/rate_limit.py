"""Rate limits of this process: the requests of an owner, and the invalid tokens of an address."""

from __future__ import annotations

import ipaddress
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from specs.settings import SettingsError

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MAX_KEYS = 20_000
_IPV6_PREFIX = 64
# An address with a port, or an IPv6 address in brackets (RFC 7239 6).
_NODE = re.compile(
    r"(?:\[(?P<bracketed>[0-9A-Fa-f:.]++)\]|(?P<address>[0-9.]++))(?::(?:[0-9]{1,5}+|_[0-9A-Za-z._-]++))?"
)
_PAIR = r"([!#$%&'*+.^_`|~0-9A-Za-z-]++)=([^\s\",;]++|\"[^\"\\]*+\")"
_FORWARDED = re.compile(rf"{_PAIR}(?:[ \t]*+;[ \t]*+(?:{_PAIR})?+)*+")


class RateLimit:
    """A token bucket per key with a burst of ``per_minute``. The least recently used keys are dropped.

    Args:
        per_minute: requests per minute.
        clock: monotonic seconds.
        max_keys: the maximum number of keys.
    """

    def __init__(
        self, per_minute: int, *, clock: Callable[[], float] = time.monotonic, max_keys: int = _MAX_KEYS
    ) -> None:
        self._size = float(per_minute)
        self._per_second = per_minute / 60
        self._clock = clock
        self._max_keys = max_keys
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> int:
        """Take a token. Return 0, or if there was none the whole seconds until the next one."""
        now = self._clock()
        level, at = self._buckets.pop(key, (self._size, now))
        level = min(self._size, level + (now - at) * self._per_second)
        wait = 0 if level >= 1 else math.ceil((1 - level) / self._per_second)
        self._buckets[key] = (level if wait else level - 1, now)
        if len(self._buckets) > self._max_keys:
            self._buckets.popitem(last=False)
        return wait

    def __len__(self) -> int:
        return len(self._buckets)


class ClientAddress:
    """Finds the client's address behind trusted proxies.

    Args:
        trusted_proxies: addresses or networks whose forwarding header counts.

    Raises:
        SettingsError: one of them is neither.
    """

    def __init__(self, trusted_proxies: Iterable[str]) -> None:
        try:
            self._trusted: list[_Network] = [ipaddress.ip_network(text, strict=False) for text in trusted_proxies]
        except ValueError:
            raise SettingsError("TRUSTED_PROXIES must hold addresses or networks such as 10.0.0.0/8") from None

    def of(self, peer: str, forwarded: Iterable[str]) -> str:
        """Return the last address in the chain that is not a trusted proxy; of IPv6 its /64, which one client owns.

        Each element is parsed separately, from the last one backwards, so elements that a client sends do not change
        how the elements of the proxies are parsed.

        Args:
            peer: the address that connected.
            forwarded: the values of the ``X-Forwarded-For`` or ``Forwarded`` headers (RFC 7239), in order.
        """
        address = _parsed(peer)
        hops = [hop for value in forwarded for hop in value.split(",") if hop.strip()]
        while address is not None and self._is_trusted(address) and hops:
            hop = _parsed(_node(hops.pop()))
            if hop is None:
                break
            address = hop
        if isinstance(address, ipaddress.IPv6Address):
            return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
        return peer if address is None else str(address)

    def _is_trusted(self, address: _Address) -> bool:
        return any(address in network for network in self._trusted)


def _node(hop: str) -> str:
    """Return the address of one element of either header, without its port; empty if there is none."""
    hop = hop.strip(" \t")
    if "=" in hop:
        if not _FORWARDED.fullmatch(hop):
            return ""
        values = [value for name, value in re.findall(_PAIR, hop) if name.lower() == "for"]
        hop = values[0] if len(values) == 1 else ""
    if len(hop) >= 2 and hop[0] == hop[-1] == '"':
        hop = hop[1:-1]
    match = _NODE.fullmatch(hop)
    return (match["bracketed"] or match["address"]) if match else hop


def _parsed(address: str) -> _Address | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address):
        return None if parsed.scope_id else parsed.ipv4_mapped or parsed
    return parsed
