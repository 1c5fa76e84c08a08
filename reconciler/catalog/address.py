"""Addresses of the catalog. libpq alone decides what is one: a URI or ``key=value`` pairs, several hosts, sockets."""

from __future__ import annotations

import re
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from specs.settings import CatalogSettings, SettingsError

FORM = "postgresql://user:password@host:port/database"
# A path below this is no socket, so an attempt to connect to it ends before anything is sent.
_NOWHERE = "/dev/null"
# What libpq and Postgres say when a connection cannot be made, and what may be repeated of it: no name and no value.
# A server in another language is known by libpq's own words only.
_REASONS = (
    (r"could not translate host name|failed to resolve|Name or service not known", "the host's name is not known"),
    (r"Connection refused", "nothing listens at that host and port"),
    (r"No such file or directory|Not a directory", "there is no socket at that path"),
    (r"timeout expired|[Tt]imed out|unreachable", "the host did not answer in time"),
    (r"password authentication failed|no password supplied", "the user or the password is wrong"),
    (r'FATAL: +role "', "the user does not exist"),
    (r'FATAL: +database "[^\n]*" does not exist', "the database does not exist"),
    (r"permission denied for database|pg_hba\.conf", "the server does not let this user in from here"),
    (r"no such user|no such database", "the pooler does not know this user or database"),
    (r"too many (connections|clients)|remaining connection slots", "all its connections are in use"),
    (r"starting up|shutting down|recovery mode", "the server is starting or stopping"),
    (r"SSL|certificate|TLS", "TLS failed"),
    (r"statement timeout", "a statement exceeded the server's timeout"),
    (r"does not carry client_encoding", "the pooler does not carry client_encoding"),
    (r"server closed the connection|terminating connection", "the server closed the connection"),
)


def validated_url(url: str) -> str:
    """The address as it came, once it is known that libpq accepts it and every parameter in it.

    Raises:
        ValueError: it does not. The text is what is wrong and what to do; it repeats nothing of the address.
    """
    if any(letter < " " or letter == "\x7f" for letter in url):
        raise ValueError("holds a line break or another control character; remove it, or percent-encode it")
    try:
        given = conninfo_to_dict(url)
    except psycopg.Error:
        raise ValueError(f"cannot be read by libpq; write {FORM} and percent-encode what is special in it") from None
    refused = _refused_parameter(given)
    if refused is not None:
        raise ValueError(f"libpq refuses its {refused}; correct it, there or in the PG… variables of the environment")
    return url


def _refused_parameter(given: dict[str, Any]) -> str | None:
    """The parameter whose value libpq refuses, which it finds out only when it begins to connect."""
    known = {option.keyword.decode(): (option.val or b"").decode() for option in pq.Conninfo.get_defaults()}
    if "service" in given or known["service"]:
        return None  # the hosts are in a file
    hosts = given.get("hostaddr") or given.get("host") or known["hostaddr"] or known["host"] or ""
    elsewhere = {name: value for name, value in given.items() if name not in {"host", "hostaddr"}}
    begun = pq.PGconn.connect_start(
        make_conninfo("", **elsewhere, host=",".join([_NOWHERE] * (hosts.count(",") + 1))).encode()
    )
    message = begun.error_message.decode(errors="replace")
    begun.finish()
    if _NOWHERE in message or not message:
        return None
    named = re.search(r'connection option "(\w+)"', message)
    words = [named[1]] if named else re.findall(r"\w+", re.sub(r'"[^"]*"', "", message))
    return next((word for word in words if word in known), "parameters")


def reason_of(error: BaseException) -> str:
    """Why a connection could not be made or was lost, in words that hold no part of the address."""
    text = str(error)
    return next((reason for pattern, reason in _REASONS if re.search(pattern, text)), type(error).__name__)


def load_catalog_settings(**absent: Any) -> CatalogSettings:
    """``CatalogSettings.load`` whose addresses libpq accepts.

    Raises:
        SettingsError: one line that names the setting and repeats nothing of its value.
    """
    settings = CatalogSettings.load(**absent)
    addresses = {"DATABASE_URL": settings.database_url, "DATABASE_DIRECT_URL": settings.database_direct_url}
    for name, address in addresses.items():
        try:
            if address is not None:
                validated_url(address.get_secret_value())
        except ValueError as error:
            raise SettingsError(f"{name}: {error}") from None
    return settings
