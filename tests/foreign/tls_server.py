"""A Postgres that refuses connections without TLS, with a certificate of a certificate authority of its own."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests import npm
from tests.postgres import TestServer, own_server

HOST = "ep-one.neon.tech"
ROLE = "app_x_1"
PASSWORD = "p@ss:w/rd?#%"
DAY = dt.timedelta(days=1)
METHODS = ("md5", "password", "trust")
"""Weaker ways to authenticate; each is the name of a role, too."""

_HBA = f"""
hostnossl all postgres 127.0.0.1/32 scram-sha-256
hostssl all {ROLE} 127.0.0.1/32 scram-sha-256
{"".join(f"hostssl all {each}_role 127.0.0.1/32 {each}{chr(10)}" for each in METHODS)}"""


@dataclass(frozen=True)
class TlsServer:
    """The running server.

    Attributes:
        url: the superuser's address, without TLS.
        ca: the file of the authority that signed the server's certificate.
        other_ca: the file of an authority that did not.
        other_crl: the file of that authority's list of revoked certificates.
    """

    url: str
    ca: Path
    other_ca: Path
    other_crl: Path

    @property
    def port(self) -> int:
        """The server's port on 127.0.0.1."""
        port = urlsplit(self.url).port
        assert port is not None
        return port

    @contextmanager
    def without_tls(self) -> Iterator[None]:
        """Let the server not offer TLS."""
        self._set("off")
        try:
            yield
        finally:
            self._set("on")

    def _set(self, ssl: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET ssl = {ssl}".encode())
            connection.execute("SELECT pg_reload_conf()")
        for _ in range(1000):
            with psycopg.connect(self.url) as connection:
                [shown] = connection.execute("SHOW ssl").fetchone() or ("",)
            if shown == ssl:
                return
        raise AssertionError(f"ssl is not {ssl}")


@contextmanager
def tls_server(node_modules: Path) -> Iterator[TlsServer]:
    """Run it, from the package of npm that holds a Postgres with OpenSSL."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with own_server(_binaries(node_modules, folder)) as server:
            yield _configured(server, folder)


def _binaries(node_modules: Path, folder: Path) -> Path:
    """A copy that the server's user can reach, with the links that the package makes in its install script."""
    package = node_modules / npm.POSTGRES
    shutil.copytree(package / "native", folder / "native")
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        target = folder / link["target"]
        target.unlink(missing_ok=True)
        target.symlink_to(folder / link["source"])
    for program in (folder / "native" / "bin").iterdir():
        program.chmod(0o755)
    return folder / "native" / "bin"


def _configured(server: TestServer, folder: Path) -> TlsServer:
    assert server.data is not None
    cluster = server.data / "db"
    ca, other_ca, crl = folder / "ca.pem", folder / "other-ca.pem", folder / "other.crl"
    _issue(ca, cluster)
    _issue(other_ca, None, crl)
    (cluster / "pg_hba.conf").write_text(_HBA)
    with psycopg.connect(server.url, autocommit=True) as connection:
        _make_role(connection, ROLE, PASSWORD)
        connection.execute("SET password_encryption = 'md5'")
        for method in METHODS:
            _make_role(connection, f"{method}_role", PASSWORD)
        connection.execute("CREATE DATABASE app")
    running = TlsServer(server.url, ca, other_ca, crl)
    running._set("on")
    return running


def _make_role(connection: psycopg.Connection, name: str, password: str) -> None:
    connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'".encode())


def _issue(ca_file: Path, cluster: Path | None, crl_file: Path | None = None) -> None:
    """Write an authority's certificate, and a server's key and certificate of it into a cluster."""
    ca_key, ca_name = ec.generate_private_key(ec.SECP256R1()), _name(ca_file.stem)
    ca = _certificate(ca_name, ca_key.public_key(), ca_name, ca=True).sign(ca_key, hashes.SHA256())
    ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    if crl_file is not None:
        now = dt.datetime.now(dt.UTC)
        crl = x509.CertificateRevocationListBuilder().issuer_name(ca_name).last_update(now).next_update(now + DAY)
        crl_file.write_bytes(crl.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    if cluster is None:
        return
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName(HOST), x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    leaf = _certificate(_name("server"), key.public_key(), ca_name, ca=False)
    leaf = leaf.add_extension(x509.SubjectAlternativeName(names), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    certificate = leaf.add_extension(issuer, critical=False).sign(ca_key, hashes.SHA256())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    owner = (cluster / "PG_VERSION").stat()
    for name, content in (("server.key", pem), ("server.crt", certificate.public_bytes(serialization.Encoding.PEM))):
        file = cluster / name
        file.write_bytes(content)
        file.chmod(0o600)
        os.chown(file, owner.st_uid, owner.st_gid)


def _certificate(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, issuer: x509.Name, *, ca: bool
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
