"""Addresses of the catalog, as libpq parses them: a URI or ``key=value`` pairs, several hosts, sockets."""

from __future__ import annotations

import re
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from specs.settings import CatalogSettings, SettingsError

FORM = "postgresql://user:password@host:port/database"
# A path below this is not a socket, so a connection attempt ends before anything is sent.
_NOWHERE = "/dev/null"
# Error texts of libpq and Postgres, and the reasons to report, which contain no name and no value.
# The texts of a server in another language do not match; those of libpq do.
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
    """Return the address unchanged if libpq accepts it and every parameter in it.

    Raises:
        ValueError: it does not. The message is the error and the remedy, without any part of the address.
    """
    if any(letter < " " or letter == "\x7f" for letter in url):
        raise ValueError("holds a line break or another control character; remove it, or percent-encode it")
    try:
        parameters = conninfo_to_dict(url)
    except psycopg.Error:
        raise ValueError(f"cannot be read by libpq; write {FORM} and percent-encode what is special in it") from None
    rejected = _rejected_parameter(parameters)
    if rejected is not None:
        raise ValueError(f"libpq rejects its {rejected}; correct it, there or in the PG… variables of the environment")
    return url


def _rejected_parameter(parameters: dict[str, Any]) -> str | None:
    """Return the parameter whose value libpq rejects, which happens only when it starts to connect."""
    known = {option.keyword.decode(): (option.val or b"").decode() for option in pq.Conninfo.get_defaults()}
    if "service" in parameters or known["service"]:
        return None  # the hosts are in a file
    hosts = parameters.get("hostaddr") or parameters.get("host") or known["hostaddr"] or known["host"] or ""
    others = {name: value for name, value in parameters.items() if name not in {"host", "hostaddr"}}
    begun = pq.PGconn.connect_start(
        make_conninfo("", **others, host=",".join([_NOWHERE] * (hosts.count(",") + 1))).encode()
    )
    message = begun.error_message.decode(errors="replace")
    begun.finish()
    if _NOWHERE in message or not message:
        return None
    option = re.search(r'connection option "(\w+)"', message)
    names = [option[1]] if option else re.findall(r"\w+", re.sub(r'"[^"]*"', "", message))
    return next((name for name in names if name in known), "parameters")


def reason_of(error: BaseException) -> str:
    """Return the reason of a failed or lost connection, without any part of the address."""
    text = str(error)
    return next((reason for pattern, reason in _REASONS if re.search(pattern, text)), type(error).__name__)


def load_catalog_settings(**absent: Any) -> CatalogSettings:
    """Load the catalog's settings, with addresses that libpq accepts.

    Raises:
        SettingsError: one line with the setting's name and without its value.
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
