"""Probes an app's database: connects with the parts of its URI, and executes one statement."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from typing import Final

import certifi
import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from reconciler.core.host_allow_list import CheckedURI
from reconciler.errors import AppDatabaseUnreachable
from specs.settings import LOOPBACK_HOSTS
from specs.uri import MorphikURI

CONNECT_SECONDS = 10
PROBE_SECONDS = 15

PINNED_PARAMETERS: Final[Mapping[str, str]] = {
    "connect_timeout": str(CONNECT_SECONDS),
    "hostaddr": "",
    "passfile": "",
    "require_auth": "scram-sha-256",
    "sslnegotiation": "postgres",
    "sslcompression": "0",
    "sslsni": "1",
    "ssl_min_protocol_version": "TLSv1.2",
    "ssl_max_protocol_version": "",
    "sslcert": "",
    "sslkey": "",
    "sslpassword": "",
    "sslcertmode": "disable",
    # If this is empty, libpq reads ~/.postgresql/root.crl; it ignores an empty file.
    "sslcrl": os.devnull,
    "sslcrldir": "",
    "sslkeylogfile": "",
    "gssencmode": "disable",
    "gssdelegation": "0",
    "gsslib": "",
    "krbsrvname": "postgres",
    "requirepeer": "",
    "min_protocol_version": "3.0",
    "max_protocol_version": "3.0",
    "application_name": "morphik-apps",
    "fallback_application_name": "",
    "client_encoding": "UTF8",
    "options": "",
    "replication": "",
    "target_session_attrs": "any",
    "load_balance_hosts": "disable",
    # The connection exists for seconds. Without keepalives libpq ignores the other parameters.
    "keepalives": "0",
    "keepalives_idle": "",
    "keepalives_interval": "",
    "keepalives_count": "",
    "tcp_user_timeout": "0",
    "oauth_issuer": "",
    "oauth_client_id": "",
    "oauth_client_secret": "",
    "oauth_scope": "",
}
"""Every parameter of libpq that is not in the URI: libpq reads absent ones from the process's environment."""

NOT_PINNED: Final = ("service", "scram_client_key", "scram_server_key")
"""The parameters that libpq does not accept as empty. A service file (``PGSERVICE``) sets only absent parameters.

libpq also sends ``PGTZ``, ``PGDATESTYLE`` and ``PGGEQO``, which have no parameter and do not matter here. An invalid
value in one of these four fails the catalog's connections too.
"""

# libpq's own message may repeat parts of the URI, so a condition contains one of these texts instead.
_CAUSES = (
    ("certificate", "the server's TLS certificate is not valid for its host"),
    ("does not support SSL", "the server does not offer TLS"),
    ("authentication method requirement", "the server does not authenticate with SCRAM-SHA-256"),
    ("channel binding", "the server does not support channel binding"),
)


def parameters(uri: MorphikURI) -> dict[str, str]:
    """Return all parameters of a connection, so that the environment sets none.

    Except on loopback, the server's certificate must be valid for the host, independent of the URI's ``sslmode``. The
    certificate authorities are those of ``SSL_CERT_FILE``, of Python's default file, or of certifi, in this order.
    """
    local = uri.host in LOOPBACK_HOSTS
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    return {
        **{key: value for key, value in PINNED_PARAMETERS.items() if key in known or key == "require_auth"},
        "host": uri.host.strip("[]"),
        "port": str(uri.port),
        "user": uri.role,
        "password": uri.password,
        "dbname": uri.database,
        "sslmode": (uri.sslmode or "prefer") if local else "verify-full",
        "sslrootcert": ssl.get_default_verify_paths().cafile or certifi.where(),
        "channel_binding": uri.channel_binding or "prefer",
    }


async def probe(uri: CheckedURI) -> None:
    """Connect, ``SELECT 1``, disconnect.

    Raises:
        AppDatabaseUnreachable: the connection failed. The message contains no part of the URI.
    """
    failed = ""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            connection = await psycopg.AsyncConnection.connect(
                make_conninfo(**parameters(uri.parsed)), autocommit=True, prepare_threshold=None
            )
            async with connection:
                await connection.execute("SELECT 1")
    except psycopg.Error as error:
        failed = _cause(error)
    except (OSError, TimeoutError) as error:
        failed = type(error).__name__
    if failed:
        raise AppDatabaseUnreachable(failed)


def _cause(error: psycopg.Error) -> str:
    if error.sqlstate:
        return f"SQLSTATE {error.sqlstate}"
    text = str(error)
    return next((cause for sign, cause in _CAUSES if sign in text), type(error).__name__)
