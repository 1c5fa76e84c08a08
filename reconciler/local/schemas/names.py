"""The rules for names of roles and databases."""

from __future__ import annotations

from reconciler.local.errors import unprocessable

_RESERVED_ROLES = {"neon_superuser", "cloud_admin", "zenith_admin", "public", "none"}
_RESERVED_DATABASES = {"postgres", "template0", "template1"}


def check_role_name(name: str) -> None:
    """Reject a role name that is too long, or reserved by Postgres or Neon.

    Raises:
        ApiError: 422.
    """
    if len(name.encode()) > 63 or name.startswith("pg_") or name in _RESERVED_ROLES:
        raise unprocessable(f"role name {name!r} is not allowed")


def check_database_name(name: str) -> None:
    """Reject a database name that is too long, or reserved by Postgres.

    Raises:
        ApiError: 422.
    """
    if len(name.encode()) > 63 or name in _RESERVED_DATABASES:
        raise unprocessable(f"database name {name!r} is not allowed")
