"""Which names roles and databases may have."""

from __future__ import annotations

from reconciler.local.errors import unprocessable

_RESERVED_ROLES = {"neon_superuser", "cloud_admin", "zenith_admin", "public", "none"}
_RESERVED_DATABASES = {"postgres", "template0", "template1"}


def check_role_name(name: str) -> None:
    """Refuse a name that is too long, or kept by Postgres or Neon."""
    if len(name.encode()) > 63 or name.startswith("pg_") or name in _RESERVED_ROLES:
        raise unprocessable(f"role name {name!r} is not allowed")


def check_database_name(name: str) -> None:
    """Refuse a name that is too long, or kept by Postgres."""
    if len(name.encode()) > 63 or name in _RESERVED_DATABASES:
        raise unprocessable(f"database name {name!r} is not allowed")
