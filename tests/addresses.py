"""Connection URIs for tests that need one which passed its app's rule."""

from __future__ import annotations

from pydantic import SecretStr

from reconciler.core.host_allow_list import AddressRule, CheckedURI
from specs.uri import MorphikURI


def checked(text: str | SecretStr) -> CheckedURI:
    """A URI under the rule that allows its own host, role and database."""
    secret = SecretStr(text) if isinstance(text, str) else text
    parts = MorphikURI.from_postgresql(secret.get_secret_value())
    return CheckedURI(secret, AddressRule((parts.host,), parts.role, parts.database))
