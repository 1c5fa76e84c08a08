"""Which connection URIs may be connected to and published.

Neon's answer is the authority on addresses, within the hosts that ``NEON_HOST_SUFFIXES`` allows. ``CheckedURI`` is the
only way from an answer to the probe and to the owner.
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
    """A URI that may not be connected to or published. The message is a sentence for a condition, without the URI."""


@dataclass(frozen=True, slots=True)
class AddressRule:
    """What a URI of one app must be.

    Attributes:
        host_suffixes: endings of the allowed hosts; one without a dot in front is a whole name.
        role: the app's role at Neon.
        database: the app's database at Neon.
    """

    host_suffixes: tuple[str, ...]
    role: str
    database: str

    def check(self, text: str) -> MorphikURI:
        """The parsed URI; raises AddressNotAllowed."""
        try:
            uri = MorphikURI.from_postgresql(text)
        except InvalidURI:
            raise AddressNotAllowed("Neon returned a connection URI of an unknown form.") from None
        if not is_host_allowed(uri.host, self.host_suffixes):
            raise AddressNotAllowed("Neon returned a host outside NEON_HOST_SUFFIXES.")
        # Local Neon has one server for all projects, without TLS, and gives databases and roles names of its own.
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
        text: the ``postgresql://`` URI, byte for byte.
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
        """The URI with its password."""
        return self.text.get_secret_value()

    def same_address(self, other: CheckedURI) -> bool:
        """Whether both lead to the same database with the same login; their queries are not compared."""
        bare, other_bare = (replace(each.parsed, sslmode=None, channel_binding=None) for each in (self, other))
        return bare == other_bare

    def same_login(self, other: CheckedURI) -> bool:
        """Whether both have the same role, password and database."""
        one, two = self.parsed, other.parsed
        return (one.role, one.password, one.database) == (two.role, two.password, two.database)


def is_host_allowed(host: str, host_suffixes: Iterable[str]) -> bool:
    """Whether a host ends as one of the suffixes; one without a dot in front is a whole name."""
    host, endings = host.lower(), [end.lower() for end in host_suffixes]
    return any(host.endswith(end) if end.startswith(".") else host == end for end in endings)


def pooled_uri(direct: SecretStr, pooler_host: str, rule: AddressRule) -> CheckedURI:
    """The same URI at the host of Neon's pooler; raises AddressNotAllowed."""
    try:
        return CheckedURI(SecretStr(build_connection_string(direct.get_secret_value(), pooler_host)), rule)
    except InvalidConnectionURI:
        raise AddressNotAllowed("Neon returned a pooler host that is not a host name.") from None
