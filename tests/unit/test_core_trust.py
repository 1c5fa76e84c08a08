"""Which connection URIs may be connected to and published."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from reconciler.core.context import Credentials
from reconciler.core.host_allow_list import AddressNotAllowed, AddressRule, CheckedURI, is_host_allowed, pooled_uri

RULE = AddressRule((".neon.tech", "db.example", "localhost", "127.0.0.1"), "app_x", "app")
URI = "postgresql://app_x:secret@ep-one.neon.tech/app?sslmode=require"


def _checked(text: str) -> CheckedURI:
    return CheckedURI(SecretStr(text), RULE)


@pytest.mark.parametrize(
    ("host", "allowed"),
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
def test_a_host_ends_as_one_of_the_suffixes_or_is_a_whole_name(host: str, allowed: bool) -> None:
    for suffixes in ((".neon.tech", "db.example"), ("DB.example", ".Neon.tech")):
        assert is_host_allowed(host, suffixes) is allowed
    assert is_host_allowed(host, ()) is False


@pytest.mark.parametrize(
    "uri",
    [
        URI,
        URI.removesuffix("?sslmode=require"),
        f"{URI}&channel_binding=require",
        URI.replace("require", "verify-full"),
        URI.replace("ep-one.neon.tech", "EP-one.Neon.Tech:5432"),
        # A name that the operator gave whole, and this machine, may have another port.
        URI.replace("ep-one.neon.tech", "db.example:6432"),
        "postgresql://nr_1:secret@127.0.0.1:41137/nd_1?sslmode=disable",
        "postgresql://nr_1:secret@localhost:41137/nd_1",
    ],
)
def test_an_allowed_uri_is_kept_as_it_is(uri: str) -> None:
    checked = _checked(uri)
    assert checked.get_secret_value() == uri
    assert "secret" not in repr(checked)


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("", "unknown form"),
        (URI.replace("postgresql", "mysql"), "unknown form"),
        # libpq would connect elsewhere.
        (f"{URI}&hostaddr=127.0.0.1&port=23999", "unknown form"),
        (URI.replace("@", "@127.0.0.1:23999,@"), "unknown form"),
        (URI.replace("ep-one.neon.tech", "evil.example,ep-one.neon.tech"), "unknown form"),
        (URI.replace("ep-one.neon.tech", "ep-one.neon.tech."), "unknown form"),
        (URI.replace("ep-one.neon.tech", "evil.example%2eneon.tech"), "unknown form"),
        (URI.replace("ep-one.neon.tech", "evil。neon.tech"), "unknown form"),
        (URI.replace("ep-one.neon.tech", "evil.example\\.neon.tech"), "unknown form"),
        (URI.replace("ep-one.neon.tech", "evil.example"), "NEON_HOST_SUFFIXES"),
        (URI.replace("ep-one.neon.tech", "10.0.0.1"), "NEON_HOST_SUFFIXES"),
        (URI.replace("ep-one.neon.tech", "[::1]"), "NEON_HOST_SUFFIXES"),
        (URI.replace("neon.tech", "neon.tech:6432"), "port"),
        (URI.replace("app_x", "app_y"), "another role"),
        (URI.replace("/app?", "/postgres?"), "another role or database"),
        (URI.replace("require", "disable"), "TLS"),
        (URI.replace("require", "allow"), "TLS"),
        (URI.replace("require", "prefer"), "TLS"),
    ],
)
def test_another_uri_is_refused_without_repeating_it(uri: str, why: str) -> None:
    with pytest.raises(AddressNotAllowed, match=why) as refused:
        _checked(uri)
    assert "secret" not in str(refused.value)
    assert "evil" not in str(refused.value)


@pytest.mark.parametrize(
    ("other", "address", "login"),
    [
        (URI, True, True),
        (f"{URI}&channel_binding=require", True, True),
        (URI.replace("neon.tech", "neon.tech:5432"), True, True),
        (URI.replace("secret", "another"), False, False),
        (URI.replace("ep-one", "ep-two"), False, True),
        ("postgresql://app_x:secret@localhost/app", False, True),
        ("postgresql://app_x:secret@localhost/other", False, False),
        ("postgresql://other:secret@localhost/app", False, False),
    ],
)
def test_addresses_and_logins_are_compared_without_the_query(other: str, address: bool, login: bool) -> None:
    one, two = _checked(URI), _checked(other)
    assert (one.same_address(two), two.same_address(one)) == (address, address)
    assert (one.same_login(two), two.same_login(one)) == (login, login)


def test_ports_tell_addresses_apart() -> None:
    one, two = (_checked(f"postgresql://r:p@localhost:{port}/d") for port in (1, 2))
    assert not one.same_address(two)


@pytest.mark.parametrize("pooler", ["no host", "evil.example", "ep.neon.tech,evil", "127.0.0.1:1,@ep.neon.tech", ""])
def test_a_pooler_host_that_is_not_allowed_is_refused(pooler: str) -> None:
    with pytest.raises(AddressNotAllowed):
        pooled_uri(SecretStr(URI), pooler, RULE)


def test_the_pooled_uri_is_the_same_at_the_host_of_the_pooler() -> None:
    through = pooled_uri(SecretStr(URI), "ep-one-pooler.neon.tech", RULE)
    assert through == _checked(URI.replace("ep-one", "ep-one-pooler"))
    with pytest.raises(AddressNotAllowed):
        pooled_uri(SecretStr("nonsense"), "ep-one-pooler.neon.tech", RULE)


def test_two_uris_of_different_logins_are_no_credentials() -> None:
    direct = _checked(URI)
    assert Credentials(direct, _checked(URI.replace("ep-one", "ep-one-pooler"))).pooled_uri is not None
    with pytest.raises(AddressNotAllowed, match="login"):
        Credentials(direct, _checked(URI.replace("secret", "another")))


def _calls(name: str) -> Iterator[str]:
    root = Path(__file__).parents[2]
    for folder in ("api", "reconciler", "specs"):
        for file in sorted((root / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == name:
                    yield str(file.relative_to(root))


def test_no_other_module_parses_or_publishes_a_connection_uri() -> None:
    """mypy holds the rest: ``Credentials`` and ``ProbeDatabase`` take a ``CheckedURI``, whose constructor checks."""
    assert set(_calls("CheckedURI")) == {
        "reconciler/catalog/status_store.py",
        "reconciler/core/stages/create.py",
        "reconciler/core/stages/credentials.py",
        "reconciler/core/host_allow_list.py",
    }
    parsing = {"api/app_uri.py", "api/resources/apps/examples.py", "reconciler/core/host_allow_list.py"}
    assert set(_calls("from_postgresql")) == parsing
