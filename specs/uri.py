"""``morphik://<role>:<password>@<host>:<port>/<database>``: the address an app's owner gets, percent-encoded."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

DEFAULT_PORT = 5432
LONGEST_URI = 4096
"""Characters. ``urlsplit`` normalizes the host, which takes time that grows with the square of its length."""
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]")
_POSTGRES = ("postgresql", "postgres")


class InvalidURI(ValueError):
    """The text is not a URI of the expected form. The message never repeats it: it may hold a password."""


@dataclass(frozen=True, slots=True)
class MorphikURI:
    """A database's address with its credentials, decoded.

    ``str`` and ``repr`` hide the password; ``build`` does not.
    """

    role: str
    password: str = field(repr=False)
    host: str
    database: str
    port: int = DEFAULT_PORT

    def __post_init__(self) -> None:
        if not self.role or not self.password or not self.database:
            raise InvalidURI("role, password and database must not be empty")
        if not _HOST.fullmatch(self.host):
            raise InvalidURI("the host is neither a name nor an address")
        if not 0 < self.port < 65536:
            raise InvalidURI("the port must lie between 1 and 65535")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a ``morphik://`` URI; raises InvalidURI."""
        return cls._parse(text, ("morphik",), allow_query=False)

    @classmethod
    def from_postgresql(cls, text: str) -> Self:
        """Read the address out of a ``postgresql://`` URI; its query is left out. Raises InvalidURI."""
        return cls._parse(text, _POSTGRES, allow_query=True)

    @classmethod
    def _parse(cls, text: str, schemes: tuple[str, ...], *, allow_query: bool) -> Self:
        if len(text) > LONGEST_URI:
            raise InvalidURI(f"the URI is longer than {LONGEST_URI} characters")
        scheme, separator, rest = text.partition("://")
        if not separator or scheme not in schemes:
            raise InvalidURI(f"the URI must start with {schemes[0]}://")
        try:
            parts = urlsplit(f"//{rest}")
            port = parts.port or DEFAULT_PORT
        except ValueError:
            raise InvalidURI("the host or the port cannot be read") from None
        if (parts.query and not allow_query) or parts.fragment:
            raise InvalidURI("there must be nothing behind the database's name")
        userinfo, at, address = parts.netloc.rpartition("@")
        role, colon, password = userinfo.partition(":")
        if not at or not colon:
            raise InvalidURI("role and password must stand before the host")
        bracketed = address.startswith("[") and "]" in address
        host = address[: address.index("]") + 1] if bracketed else address.partition(":")[0]
        try:
            decoded = [unquote(part, errors="strict") for part in (role, password, parts.path.removeprefix("/"))]
        except UnicodeDecodeError:
            raise InvalidURI("a percent-encoded part is not UTF-8") from None
        return cls(role=decoded[0], password=decoded[1], host=host, port=port, database=decoded[2])

    def build(self) -> str:
        """The whole URI, with the password."""
        return f"morphik://{self._rest(quote(self.password, safe=''))}"

    def to_postgresql(self, **query: str) -> str:
        """The same address for a Postgres client; ``query`` holds connection parameters such as ``sslmode``."""
        text = f"postgresql://{self._rest(quote(self.password, safe=''))}"
        return f"{text}?{urlencode(query)}" if query else text

    def redacted(self) -> str:
        """The URI with ``***`` in the password's place."""
        return f"morphik://{self._rest('***')}"

    def _rest(self, password: str) -> str:
        role = quote(self.role, safe="")
        return f"{role}:{password}@{self.host}:{self.port}/{quote(self.database, safe='')}"

    def __str__(self) -> str:
        return self.redacted()


def query_of(text: str) -> dict[str, str]:
    """The connection parameters at the end of a ``postgresql://`` URI."""
    return dict(parse_qsl(text.partition("?")[2]))
