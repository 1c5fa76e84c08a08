"""Paths: every resource has one spelling."""

from __future__ import annotations

import pytest

from api.http.canonical_paths import is_canonical

GOOD = [
    "/",
    "/metrics",
    "/ee/apps/abc/events",
    "/ee/a-b._~!$&'()*+,=:@",
    "/ee/z%C3%B6e",
    "/ee/z%c3%b6e",
    "/ee/a%20b",
    "/ee/a%3Bb",
    "/...",
]
BAD = [
    "", "metrics", "*", "http://api/metrics", "/%6detrics", "/%6Detrics", "/ee%2fapps", "/ee%2Fapps", "/%7e", "/%41",
    "/ee/%2e%2e/metrics", "//metrics", "/ee//apps", "/ee/apps/", "/./metrics", "/ee/../metrics", "/ee/..", "/.",
    "/ee\\apps", "/ee%5capps", "/metrics;x", "/ee;/apps", "/metrics%", "/metrics%2", "/metrics%zz", "/%2565",
    "/ee/a b", '/"', "/a|b", "/ee/%c0%af", "/ee/%ff", "/metrics#",
]  # fmt: skip


@pytest.mark.parametrize("path", [*GOOD, *BAD])
def test_is_canonical_accepts_one_spelling(path: str) -> None:
    assert is_canonical(path.encode()) == (path in GOOD)


def test_is_canonical_refuses_raw_bytes_beyond_ascii() -> None:
    assert not is_canonical(b"/ee/z\xc3\xb6e")
