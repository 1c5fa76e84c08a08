"""``morphik://<role>:<password>@<host>:<port>/<database>?<query>``: the connection URI of an app, percent-encoded.

This is the only parser of connection URIs. libpq accepts more than one host, and any connection parameter in the query
(PostgreSQL documentation, 32.1.1.2): a second reading of the same text could connect elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, Self
from urllib.parse import quote, unquote

DEFAULT_PORT: Final = 5432
MAX_URI_LENGTH: Final = 4096
"""Characters."""
SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
CHANNEL_BINDINGS: Final = ("disable", "prefer", "require")

_MORPHIK = ("morphik",)
_POSTGRES = ("postgresql", "postgres")
_QUERY_VALUES = {"sslmode": SSL_MODES, "channel_binding": CHANNEL_BINDINGS}
# RFC 3986: the characters that may be unencoded in the user information, without the colon.
_PART = r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+"
_URI = re.compile(
    rf"(?P<scheme>[a-z]+)://(?P<role>{_PART}):(?P<password>{_PART})"
    r"@(?P<host>[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[1-9][0-9]{0,4}))?"
    rf"/(?P<database>{_PART})(?:\?(?P<query>[a-z_=&-]+))?"
)
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
# Resolvers read a name like this as an IPv4 address: 127.1, 2130706433, 0x7f.1 (inet_aton).
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")


class InvalidURI(ValueError):
    """The text is not a URI of the expected form. The message never repeats it, as it may contain a password."""


@dataclass(frozen=True, slots=True)
class MorphikURI:
    """A database's address with its credentials, decoded.

    ``str`` and ``repr`` hide the password; ``build`` does not.

    Attributes:
        host: a DNS name in lower case, an IPv4 address, or an IPv6 address in brackets, compressed.
        port: 1 to 65535.
        sslmode: one of ``SSL_MODES``, None where the URI has none.
        channel_binding: one of ``CHANNEL_BINDINGS``, None where the URI has none.

    Raises:
        InvalidURI: a part is not allowed in a URI.
    """

    role: str
    password: str = field(repr=False)
    host: str
    database: str
    port: int = DEFAULT_PORT
    sslmode: str | None = None
    channel_binding: str | None = None

    def __post_init__(self) -> None:
        for part in (self.role, self.password, self.database):
            if not part or any(ord(char) < 0x20 or ord(char) == 0x7F for char in part):
                raise InvalidURI("role, password and database must have characters, and no control characters")
        if not _is_host(self.host):
            raise InvalidURI("the host must be a DNS name in lower case, an IPv4 address, or an IPv6 address")
        if not 0 < self.port < 65536:
            raise InvalidURI("the port must be between 1 and 65535")
        if self.sslmode is not None and self.sslmode not in SSL_MODES:
            raise InvalidURI(f"sslmode must be one of {', '.join(SSL_MODES)}")
        if self.channel_binding is not None and self.channel_binding not in CHANNEL_BINDINGS:
            raise InvalidURI(f"channel_binding must be one of {', '.join(CHANNEL_BINDINGS)}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a ``morphik://`` URI; raises InvalidURI."""
        return cls._parse(text, _MORPHIK)

    @classmethod
    def from_postgresql(cls, text: str) -> Self:
        """Parse a ``postgresql://`` or ``postgres://`` URI; raises InvalidURI."""
        return cls._parse(text, _POSTGRES)

    @classmethod
    def _parse(cls, text: str, schemes: tuple[str, ...]) -> Self:
        if len(text) > MAX_URI_LENGTH:
            raise InvalidURI(f"the URI is longer than {MAX_URI_LENGTH} characters")
        parts = _URI.fullmatch(text)
        if parts is None or parts["scheme"] not in schemes:
            raise InvalidURI(
                f"the URI must be {schemes[0]}://role:password@host[:port]/database, percent-encoded, with no query "
                "other than sslmode and channel_binding"
            )
        try:
            role, password, database = (
                unquote(parts[name], errors="strict") for name in ("role", "password", "database")
            )
        except UnicodeDecodeError:
            raise InvalidURI("a percent-encoded part is not UTF-8") from None
        query = _query_params(parts["query"])
        return cls(
            role=role,
            password=password,
            host=_canonical(parts["host"]),
            database=database,
            port=int(parts["port"] or DEFAULT_PORT),
            sslmode=query.get("sslmode"),
            channel_binding=query.get("channel_binding"),
        )

    def build(self) -> str:
        """Return the complete URI, with the password."""
        return f"morphik://{self._authority_and_path(quote(self.password, safe=''))}"

    def to_postgresql(self) -> str:
        """Return the same URI for a Postgres client."""
        return f"postgresql://{self._authority_and_path(quote(self.password, safe=''))}"

    def redacted(self) -> str:
        """Return the URI with ``***`` in place of the password."""
        return f"morphik://{self._authority_and_path('***')}"

    def _authority_and_path(self, password: str) -> str:
        role, database = quote(self.role, safe=""), quote(self.database, safe="")
        params = (("sslmode", self.sslmode), ("channel_binding", self.channel_binding))
        query = "&".join(f"{key}={value}" for key, value in params if value is not None)
        return f"{role}:{password}@{self.host}:{self.port}/{database}{'?' if query else ''}{query}"

    def __str__(self) -> str:
        return self.redacted()


def _query_params(text: str | None) -> dict[str, str]:
    """Return the parameters of a query; a key that could change where or how a client connects raises InvalidURI."""
    query: dict[str, str] = {}
    for pair in text.split("&") if text is not None else ():
        key, _, value = pair.partition("=")
        if key in query or value not in _QUERY_VALUES.get(key, ()):
            raise InvalidURI("the query may contain only sslmode and channel_binding, once each, with values of libpq")
        query[key] = value
    return query


def _canonical(host: str) -> str:
    """Return the canonical form of a host. An invalid IPv6 address stays as it is, and ``_is_host`` rejects it."""
    if not host.startswith("["):
        return host.lower()
    try:
        return f"[{IPv6Address(host[1:-1]).compressed}]"
    except AddressValueError:
        return host


def _is_host(host: str) -> bool:
    try:
        if host.startswith("["):
            return host == f"[{IPv6Address(host[1:-1]).compressed}]"
        if _NUMERIC.fullmatch(host):
            return host == str(IPv4Address(host))
    except AddressValueError:
        return False
    return len(host) <= 253 and _NAME.fullmatch(host) is not None
