"""The rule for connection URIs that the product connects to and publishes.

Neon's response is the authority on addresses, within the hosts that ``NEON_HOST_SUFFIXES`` allows. The probe and the
owner receive only ``CheckedURI``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import InitVar, dataclass, field, replace

from pydantic import SecretStr

from reconciler.neon.codec import InvalidConnectionURI, build_connection_string
from specs.settings import LOOPBACK_HOSTS
from specs.uri import DEFAULT_PORT, InvalidURI, MorphikURI

_UNENCRYPTED_MODES = ("disable", "allow", "prefer")


class AddressNotAllowed(ValueError):
    """A URI that the rule does not allow. The message is a sentence for a condition, without the URI."""


@dataclass(frozen=True, slots=True)
class AddressRule:
    """The rule for URIs of one app.

    Attributes:
        host_suffixes: suffixes of the allowed hosts; one without a leading dot is a complete name.
        role: the app's role at Neon.
        database: the app's database at Neon.
    """

    host_suffixes: tuple[str, ...]
    role: str
    database: str

    def check(self, text: str) -> MorphikURI:
        """Return the parsed URI; raises AddressNotAllowed."""
        try:
            uri = MorphikURI.from_postgresql(text)
        except InvalidURI:
            raise AddressNotAllowed("Neon returned a connection URI of an unknown form.") from None
        if not is_host_allowed(uri.host, self.host_suffixes):
            raise AddressNotAllowed("Neon returned a host outside NEON_HOST_SUFFIXES.")
        # Local Neon has one server for all projects, without TLS, and its own names of databases and roles.
        if uri.host in LOOPBACK_HOSTS:
            return uri
        if uri.port != DEFAULT_PORT and uri.host not in self.host_suffixes:
            raise AddressNotAllowed(f"Neon returned a port other than {DEFAULT_PORT}.")
        if (uri.role, uri.database) != (self.role, self.database):
            raise AddressNotAllowed("Neon returned the connection URI of another role or database.")
        if uri.sslmode in _UNENCRYPTED_MODES:
            raise AddressNotAllowed("Neon returned a connection URI that does not require TLS.")
        return uri


@dataclass(frozen=True, slots=True)
class CheckedURI:
    """A connection URI of an app, as Neon returned it, that passed the app's rule.

    Attributes:
        text: the unchanged ``postgresql://`` URI.
        parsed: its parts.

    Raises:
        AddressNotAllowed: the URI breaks the rule.
    """

    text: SecretStr
    rule: InitVar[AddressRule]
    parsed: MorphikURI = field(init=False, compare=False, repr=False)

    def __post_init__(self, rule: AddressRule) -> None:
        object.__setattr__(self, "parsed", rule.check(self.text.get_secret_value()))

    def get_secret_value(self) -> str:
        """Return the URI with its password."""
        return self.text.get_secret_value()

    def same_address(self, other: CheckedURI) -> bool:
        """Whether both address the same database with the same login; their queries are not compared."""
        bare, other_bare = (replace(uri.parsed, sslmode=None, channel_binding=None) for uri in (self, other))
        return bare == other_bare

    def same_login(self, other: CheckedURI) -> bool:
        """Whether both have the same role, password and database."""
        left, right = self.parsed, other.parsed
        return (left.role, left.password, left.database) == (right.role, right.password, right.database)


def is_host_allowed(host: str, host_suffixes: Iterable[str]) -> bool:
    """Whether a host has one of the suffixes; one without a leading dot is a complete name."""
    host, suffixes = host.lower(), [suffix.lower() for suffix in host_suffixes]
    return any(host.endswith(suffix) if suffix.startswith(".") else host == suffix for suffix in suffixes)


def pooled_uri(direct: SecretStr, pooler_host: str, rule: AddressRule) -> CheckedURI:
    """Return the same URI with the host of Neon's pooler; raises AddressNotAllowed."""
    try:
        return CheckedURI(SecretStr(build_connection_string(direct.get_secret_value(), pooler_host)), rule)
    except InvalidConnectionURI:
        raise AddressNotAllowed("Neon returned a pooler host that is not a host name.") from None
