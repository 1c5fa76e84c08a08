"""Rates: a bucket per key, in bounded memory, and whose address counts."""

from __future__ import annotations

import pytest

from api.auth.rate_limit import ClientAddress, RateLimit
from specs.settings import SettingsError


def test_a_bucket_empties_and_fills_evenly() -> None:
    now = [0.0]
    limit = RateLimit(60, clock=lambda: now[0])
    assert [limit.take("a") for _ in range(61)] == [0] * 60 + [1]
    assert limit.take("b") == 0
    now[0] = 2.0
    assert [limit.take("a") for _ in range(3)] == [0, 0, 1]
    now[0] = 1000.0
    assert [limit.take("a") for _ in range(61)] == [0] * 60 + [1]


def test_a_slow_rate_says_how_long() -> None:
    limit = RateLimit(1, clock=lambda: 0.0)
    assert [limit.take("a"), limit.take("a")] == [0, 60]


def test_memory_is_bounded() -> None:
    limit = RateLimit(10, clock=lambda: 0.0, max_keys=100)
    for number in range(1000):
        limit.take(str(number))
    assert len(limit) == 100


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.9"], "192.0.2.1"),
        ("10.1.2.3", ["198.51.100.9"], "198.51.100.9"),
        ("10.1.2.3", ["6.6.6.6, 198.51.100.9"], "198.51.100.9"),
        ("10.1.2.3", ["6.6.6.6", "198.51.100.9, 10.0.0.1"], "198.51.100.9"),
        ("10.1.2.3", ["not an address"], "10.1.2.3"),
        ("10.1.2.3", [], "10.1.2.3"),
        ("::ffff:10.1.2.3", ["198.51.100.9"], "198.51.100.9"),
        ("10.1.2.3", ["203.0.113.9:51234"], "203.0.113.9"),
        ("10.1.2.3", ["[2001:db8::1]:443"], "2001:db8::/64"),
        ("10.1.2.3", ['"[2001:db8::1]"'], "2001:db8::/64"),
        ("10.1.2.3", ["2001:db8::1"], "2001:db8::/64"),
        ("10.1.2.3", ["fe80::1%client"], "10.1.2.3"),
        ("10.1.2.3", ["6.6.6.6:80,203.0.113.9:1 , 10.0.0.1:80"], "203.0.113.9"),
        ("10.1.2.3", ['for="[2001:db8::1]:4711";proto=https, for=10.0.0.1'], "2001:db8::/64"),
        ("10.1.2.3", ["proto=http; For=203.0.113.9 ;by=10.0.0.1"], "203.0.113.9"),
        ("10.1.2.3", ['for="203.0.113.9:80"', 'for="10.0.0.1:_x"; proto=https;'], "203.0.113.9"),
        ("10.1.2.3", ["for=unknown"], "10.1.2.3"),
        ("10.1.2.3", ["192.0.2.1, ,", ""], "192.0.2.1"),
        ("10.1.2.3", ["for=6.6.6.6, for=_hidden"], "10.1.2.3"),
        ("10.1.2.3", ["for=6.6.6.6;for=203.0.113.9"], "10.1.2.3"),
        ("10.1.2.3", ['for="6.6.6.6, for=203.0.113.9'], "203.0.113.9"),
        ("10.1.2.3", ['for=203.0.113.9;host="x;for=6.6.6.6"'], "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
        ("unknown", ["6.6.6.6"], "unknown"),
    ],
)
def test_only_known_proxies_are_believed(peer: str, forwarded: list[str], address: str) -> None:
    assert ClientAddress(["10.0.0.0/8"]).of(peer, forwarded) == address


def test_a_wrong_setting_is_named() -> None:
    with pytest.raises(SettingsError, match="TRUSTED_PROXIES"):
        ClientAddress(["a proxy"])
