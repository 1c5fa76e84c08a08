"""The proof that an app's database answers: connect with the URI as Neon gave it, and run one statement."""

from __future__ import annotations

import asyncio

import psycopg
from psycopg import conninfo
from pydantic import SecretStr

from reconciler.errors import TenantUnreachable
from specs.settings import LOOPBACK_HOSTS
from specs.uri import InvalidURI, MorphikURI, query_of

CONNECT_SECONDS = 10
PROOF_SECONDS = 15
ENCRYPTED = ("require", "verify-ca", "verify-full")


async def probe(uri: SecretStr) -> None:
    """Connect, ``SELECT 1``, disconnect.

    The URI's own query is honoured; without encryption nothing but this machine is connected to.

    Raises:
        TenantUnreachable: it did not work; the message holds no part of the URI.
    """
    text = uri.get_secret_value()
    try:
        host = MorphikURI.from_postgresql(text).host
    except InvalidURI as error:
        raise TenantUnreachable(str(error)) from None
    mode = query_of(text).get("sslmode")
    failed = ""
    try:
        if host not in LOOPBACK_HOSTS and mode not in ENCRYPTED:
            text = conninfo.make_conninfo(text, sslmode="require")
        async with asyncio.timeout(PROOF_SECONDS):
            connection = await psycopg.AsyncConnection.connect(
                text, autocommit=True, connect_timeout=CONNECT_SECONDS, prepare_threshold=None
            )
            async with connection:
                await connection.execute("SELECT 1")
    except psycopg.Error as error:
        # libpq's own text may repeat parts of the URI.
        failed = f"SQLSTATE {error.sqlstate}" if error.sqlstate else type(error).__name__
    except (OSError, TimeoutError) as error:
        failed = type(error).__name__
    if failed:
        raise TenantUnreachable(failed)
