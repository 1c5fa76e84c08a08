"""A database that refuses connections without TLS, as Neon does: the proof, and the clients of a served URI."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pg8000.native
import psycopg
import pytest

from api.app_uri import morphik_uri
from reconciler.app_database import probe as app_database
from reconciler.errors import AppDatabaseUnreachable
from specs.status import Reason
from specs.uri import MorphikURI
from tests.addresses import checked
from tests.catalogs import SEALER
from tests.foreign.lives import plain_environment
from tests.foreign.tls_server import HOST, METHODS, PASSWORD, ROLE, TlsServer, tls_server
from tests.unit.test_core_recovering import app

OF_NEON = "sslmode=require&channel_binding=require"


@pytest.fixture(scope="module")
def server(node_modules: Path) -> Iterator[TlsServer]:
    with tls_server(node_modules) as running:
        yield running


@pytest.fixture
def probe(server: TlsServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The proof, with Neon's names at this machine and the server's authority trusted."""
    resolve = socket.getaddrinfo

    def resolved(host: Any, *args: Any, **named: Any) -> Any:
        return resolve("127.0.0.1" if str(host).endswith(".neon.tech") else host, *args, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    monkeypatch.setenv("SSL_CERT_FILE", str(server.ca))

    def run(query: str = OF_NEON, **changes: Any) -> None:
        parts: dict[str, Any] = {"role": ROLE, "password": PASSWORD, "host": HOST, "port": server.port}
        uri = MorphikURI(**(parts | changes), database="app").to_postgresql()
        asyncio.run(app_database.probe(checked(f"{uri}?{query}".removesuffix("?"))))

    return run


@pytest.mark.parametrize("query", [OF_NEON, "sslmode=require", ""])
def test_probe_valid_certificate_and_scram_connects(probe: Any, query: str) -> None:
    probe(query)


def test_probe_other_host_is_refused(probe: Any) -> None:
    with pytest.raises(AppDatabaseUnreachable, match="TLS certificate is not valid"):
        probe(host="ep-two.neon.tech")


def test_probe_other_authority_is_refused(probe: Any, server: TlsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(server.other_ca))
    with pytest.raises(AppDatabaseUnreachable, match="TLS certificate is not valid"):
        probe()


def test_probe_without_a_default_file_uses_certifi(
    probe: Any, server: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/none")
    with pytest.raises(AppDatabaseUnreachable, match="TLS certificate is not valid"):
        probe()
    monkeypatch.setattr("certifi.where", lambda: str(server.ca))
    probe()


def test_probe_ignores_the_home_folder_and_the_environment(
    probe: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: TlsServer
) -> None:
    """libpq reads files of ~/.postgresql where their parameters are absent, and fails on those that it cannot use."""
    folder = tmp_path / ".postgresql"
    folder.mkdir()
    for name in ("root.crt", "postgresql.crt", "postgresql.key"):
        (folder / name).write_text("hostile")
    (folder / "root.crl").write_bytes(server.other_crl.read_bytes())
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGSSLCRL", "PGSSLMODE", "PGCHANNELBINDING"):
        monkeypatch.setenv(variable, "hostile")
    probe()
    probe("")


@pytest.mark.parametrize("query", [OF_NEON, "sslmode=require", ""])
def test_probe_server_without_tls_is_refused(probe: Any, server: TlsServer, query: str) -> None:
    with server.without_tls(), pytest.raises(AppDatabaseUnreachable, match="does not offer TLS"):
        probe(query)


@pytest.mark.parametrize("method", METHODS)
def test_probe_weaker_authentication_is_refused(probe: Any, method: str) -> None:
    for query in ("sslmode=require", OF_NEON):
        with pytest.raises(AppDatabaseUnreachable, match=r"SCRAM-SHA-256|channel binding"):
            probe(query, role=f"{method}_role")


def _served(server: TlsServer, query: str = f"?{OF_NEON}") -> str:
    """What the API serves of Neon's URI, with postgresql:// in place of morphik://."""
    of_neon = MorphikURI(ROLE, PASSWORD, "localhost", "app", server.port).to_postgresql() + query
    row = app(Reason.AVAILABLE, project_id="p-1", data_key_version=1)
    key = SEALER.new_data_key(row.app_id, row.incarnation)
    sealed = SEALER.seal(
        key.key, "connection_uri", of_neon, owner_id=row.owner_id, app_id=row.app_id, incarnation=row.incarnation,
        org_id="org-1", project_id="p-1", version=key.version,
    )  # fmt: skip
    row = row.model_copy(
        update={
            "data_key_sealed": key.sealed,
            "data_key_wrapped_by": key.wrapped_by,
            "connection_uri_sealed": sealed,
        }
    )
    served = morphik_uri(row, SEALER, "connection_uri")
    assert served is not None
    return served.replace("morphik://", "postgresql://")


def _node(uri: str, ca: Path, node_modules: Path, folder: Path) -> dict[str, str]:
    # Node looks for packages from where a script lies.
    program = shutil.copy(Path(__file__).with_name("pg.mjs"), node_modules.parent)
    given = plain_environment(folder) | {"PG_URI": uri, "NODE_EXTRA_CA_CERTS": str(ca)}
    ran = subprocess.run(["node", program], env=given, capture_output=True, text=True, timeout=60, check=True)
    answer: dict[str, str] = json.loads(ran.stdout)
    return answer


def test_served_uri_connects_with_psycopg(server: TlsServer) -> None:
    with psycopg.connect(_served(server)) as connection:
        assert connection.execute("SELECT current_user, current_database()").fetchone() == (ROLE, "app")
        assert connection.pgconn.used_password
        assert connection.info.get_parameters()["channel_binding"] == "require"


def test_served_uri_connects_with_pg8000(server: TlsServer) -> None:
    """It takes no URI; these are the parts that any reader of URIs finds."""
    uri = MorphikURI.parse(_served(server).replace("postgresql://", "morphik://"))
    assert (uri.sslmode, uri.channel_binding) == ("require", "require")
    context = ssl.create_default_context(cafile=str(server.ca))
    connection = pg8000.native.Connection(
        uri.role, host=uri.host, port=uri.port, password=uri.password, database=uri.database, ssl_context=context
    )
    assert connection.run("SELECT current_user::text") == [[ROLE]]
    connection.close()


def test_served_uri_connects_with_node_postgres(server: TlsServer, node_modules: Path, tmp_path: Path) -> None:
    assert _node(_served(server), server.ca, node_modules, tmp_path) == {"role": ROLE, "database": "app"}
    bare = _node(_served(server, ""), server.ca, node_modules, tmp_path)
    assert "no encryption" in bare["error"]
