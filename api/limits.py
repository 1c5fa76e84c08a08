"""Limits on rates, kept in this process: requests of an owner, and failed tokens of an address."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from specs.settings import SettingsError

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MOST_KEYS = 20_000
_IPV6_PREFIX = 64


class RateLimit:
    """A token bucket per key: ``per_minute`` at once, refilled evenly. The least recently used keys are forgotten.

    Args:
        per_minute: requests per minute.
        clock: seconds that only grow.
        most_keys: how many keys are remembered.
    """

    def __init__(
        self, per_minute: int, *, clock: Callable[[], float] = time.monotonic, most_keys: int = _MOST_KEYS
    ) -> None:
        self._size = float(per_minute)
        self._per_second = per_minute / 60
        self._clock = clock
        self._most_keys = most_keys
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> int:
        """Use one up: 0 when it was there, else the whole seconds until the next one is."""
        now = self._clock()
        level, at = self._buckets.pop(key, (self._size, now))
        level = min(self._size, level + (now - at) * self._per_second)
        wait = 0 if level >= 1 else math.ceil((1 - level) / self._per_second)
        self._buckets[key] = (level if wait else level - 1, now)
        if len(self._buckets) > self._most_keys:
            self._buckets.popitem(last=False)
        return wait

    def __len__(self) -> int:
        return len(self._buckets)


class ClientAddress:
    """Whose address a request comes from, behind proxies that are known.

    Args:
        trusted_proxies: addresses or networks whose ``X-Forwarded-For`` is believed.

    Raises:
        SettingsError: one of them is neither.
    """

    def __init__(self, trusted_proxies: Iterable[str]) -> None:
        try:
            self._trusted: list[_Network] = [ipaddress.ip_network(text, strict=False) for text in trusted_proxies]
        except ValueError:
            raise SettingsError("TRUSTED_PROXIES must hold addresses or networks such as 10.0.0.0/8") from None

    def of(self, peer: str, forwarded_for: Iterable[str]) -> str:
        """The last address in the chain that is not a known proxy; of IPv6 its /64, which one client has whole.

        Args:
            peer: the address that connected.
            forwarded_for: values of the ``X-Forwarded-For`` headers, in their order.
        """
        address = peer
        hops = [hop.strip() for value in forwarded_for for hop in value.split(",")]
        while self._is_trusted(address) and hops:
            hop = hops.pop()
            if _parsed(hop) is None:
                break
            address = hop
        parsed = _parsed(address)
        if isinstance(parsed, ipaddress.IPv6Address):
            return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
        return address

    def _is_trusted(self, address: str) -> bool:
        parsed = _parsed(address)
        return parsed is not None and any(parsed in network for network in self._trusted)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return parsed.ipv4_mapped or parsed if isinstance(parsed, ipaddress.IPv6Address) else parsed
