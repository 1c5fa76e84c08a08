"""API keys as stored, and the scope that a key grants."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pydantic import BaseModel, Field

from reconciler.local.options import KeyKind


class ApiKey(BaseModel):
    """A key as stored: the digest does not reveal the token."""

    id: int
    name: str
    digest: str = Field(repr=False)
    kind: KeyKind
    org_id: str | None = None
    project_id: str | None = None
    created_at: float
    last_used_at: float | None = None
    revoked: bool = False


class AccountDocument(BaseModel):
    """The stored part of the account beside its projects: every key ever issued."""

    keys: list[ApiKey] = Field(default_factory=list)


@dataclass(frozen=True)
class KeyScope:
    """The permissions of the key of a request.

    Attributes:
        kind: the kind of the key.
        account_id: the account that ``GET /auth`` returns; the rate limits count its requests.
        organizations: ids of the visible organizations.
        project_id: the only visible project of a project key.
    """

    kind: KeyKind
    account_id: str
    organizations: tuple[str, ...]
    project_id: str | None = None


def digest_of(token: str) -> str:
    """Return the digest of a token, as stored."""
    return hashlib.sha256(token.encode()).hexdigest()
