"""Which connection URIs are believed, and which are the same."""

from __future__ import annotations

import pytest

from reconciler.core.trust import believed, pooled, same_address

URI = "postgresql://app_x:secret@ep-one.neon.tech/app"


@pytest.mark.parametrize(
    ("host", "trusted"),
    [
        ("ep-one.neon.tech", True),
        ("EP-ONE.Neon.Tech", True),
        ("ep-one.eu.neon.tech", True),
        ("db.example", True),
        ("DB.example", True),
        ("sub.db.example", False),
        ("another-db.example", False),
        ("neon.tech", False),
        ("ep-one-neon.tech", False),
        ("ep-one.neon.tech.example", False),
    ],
)
def test_a_host_ends_as_one_of_the_suffixes_or_is_a_whole_name(host: str, trusted: bool) -> None:
    uri = f"postgresql://u:p@{host}/app"
    assert believed(uri, (".neon.tech", "db.example")) is trusted
    assert believed(uri, ("db.example", ".neon.tech")) is trusted


def test_without_suffixes_nothing_is_believed() -> None:
    assert believed(URI, ()) is False


@pytest.mark.parametrize(
    "uri", ["", "nonsense.neon.tech", "mysql://u:p@ep-one.neon.tech/app", "postgresql://.neon.tech"]
)
def test_what_cannot_be_read_is_neither_believed_nor_the_same_as_anything(uri: str) -> None:
    assert believed(uri, (".neon.tech",)) is False
    assert same_address(uri, URI) is False
    assert same_address(URI, uri) is False
    assert same_address(uri, uri) is False


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (URI, True),
        (f"{URI}?sslmode=require", True),
        (URI.replace("neon.tech", "neon.tech:5432"), True),
        (URI.replace("neon.tech", "neon.tech:5433"), False),
        (URI.replace("app_x", "app_y"), False),
        (URI.replace("secret", "another"), False),
        (URI.replace("ep-one", "ep-two"), False),
        (f"{URI}2", False),
    ],
)
def test_an_address_is_the_same_by_all_but_its_query(other: str, same: bool) -> None:
    assert same_address(URI, other) is same
    assert same_address(other, URI) is same


@pytest.mark.parametrize(
    ("uri", "pooler", "through"),
    [
        (URI, "ep-one-pooler.neon.tech", "postgresql://app_x:secret@ep-one-pooler.neon.tech/app"),
        (URI, None, None),
        (URI, "no host", None),
        ("nonsense", "ep-one-pooler.neon.tech", None),
    ],
)
def test_the_way_through_the_pooler_is_the_same_uri_at_its_host(
    uri: str, pooler: str | None, through: str | None
) -> None:
    assert pooled(uri, pooler) == through
