"""The proof that an app's database answers takes part in nothing but the URI."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import pq

from reconciler.app_database.probe import NOT_PINNED, parameters, probe
from reconciler.core.host_allow_list import CheckedURI
from reconciler.errors import AppDatabaseUnreachable
from specs.uri import MorphikURI
from tests.addresses import checked
from tests.postgres import TestServer

PARAMETERS = {each.keyword.decode(): each.envvar for each in pq.Conninfo.get_defaults()}
VARIABLES = [each.decode() for each in PARAMETERS.values() if each is not None and each != b"PGSERVICE"]
# In a conninfo string, these would end the password and begin another parameter.
PASSWORD = "p' \\ hostaddr='192.0.2.1' host=a,b &?#%@:/"


@pytest.fixture(scope="module")
def uri(postgres: TestServer) -> Iterator[CheckedURI]:
    """The URI of a role of its own on the session's server."""
    name = postgres.create_database()
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("CREATE ROLE proof LOGIN PASSWORD {}").format(PASSWORD))
        address = urlsplit(postgres.url)
        yield checked(MorphikURI("proof", PASSWORD, "127.0.0.1", name, address.port or 5432).to_postgresql())
        postgres.drop_database(name)
        connection.execute("DROP ROLE proof")


def test_parameters_cover_every_keyword_of_libpq(uri: CheckedURI) -> None:
    """libpq takes what is absent from the environment. A keyword of a new libpq must be pinned, too."""
    assert set(parameters(uri.parsed)) | set(NOT_PINNED) == set(PARAMETERS)
    assert not set(parameters(uri.parsed)) & set(NOT_PINNED)


@pytest.mark.parametrize("variable", VARIABLES)
def test_probe_ignores_the_environment(uri: CheckedURI, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "hostile")
    asyncio.run(probe(uri))


def test_probe_ignores_a_service_file(uri: CheckedURI, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """PGSERVICE cannot be emptied; a service sets only parameters that are absent."""
    named = [each for each in PARAMETERS if each not in NOT_PINNED]
    service = tmp_path / "services"
    service.write_text("[catalog]\n" + "".join(f"{each}=hostile\n" for each in named))
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    monkeypatch.setenv("PGSERVICE", "catalog")
    asyncio.run(probe(uri))


@pytest.mark.parametrize("query", ["sslmode=require", "sslmode=verify-full", "channel_binding=require"])
def test_probe_on_loopback_honors_the_query(uri: CheckedURI, query: str) -> None:
    with pytest.raises(AppDatabaseUnreachable, match=r"TLS|channel binding"):
        asyncio.run(probe(checked(f"{uri.get_secret_value()}?{query}")))


@pytest.mark.parametrize("sslmode", [None, "require", "verify-ca", "verify-full"])
def test_parameters_off_loopback_require_a_valid_certificate(sslmode: str | None) -> None:
    found = parameters(MorphikURI("r", "p", "ep-one.neon.tech", "app", sslmode=sslmode))
    assert (found["sslmode"], found["require_auth"]) == ("verify-full", "scram-sha-256")
    assert Path(found["sslrootcert"]).is_file()
    assert parameters(MorphikURI("r", "p", "[::1]", "app"))["host"] == "::1"
