"""Who there is: organizations, their keys, and what a key may see."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, Field

KeyKind = Literal["personal", "organization", "project"]


@dataclass(frozen=True)
class Organization:
    """An organization and the plan that it pays for."""

    id: str
    name: str = "Local"
    plan: str = "scale"


@dataclass(frozen=True)
class GivenKey:
    """A key that is there from the start.

    Attributes:
        token: what a client sends.
        kind: a personal key sees all organizations, the others see only ``org_id``.
        org_id: whose key it is; None for a personal one.
        project_id: the one project of a project's key.
    """

    token: str = field(repr=False)
    kind: KeyKind
    org_id: str | None = None
    project_id: str | None = None


class ApiKey(BaseModel):
    """A key as it is kept: its token cannot be told from it."""

    id: int
    name: str
    digest: str = Field(repr=False)
    kind: KeyKind
    org_id: str | None = None
    project_id: str | None = None
    created_at: float
    last_used_at: float | None = None
    revoked: bool = False


class Account(BaseModel):
    """What is kept beside the projects: every key that was ever made."""

    keys: list[ApiKey] = Field(default_factory=list)


@dataclass(frozen=True)
class Access:
    """What the key of a request lets its bearer do.

    Attributes:
        account_id: what ``GET /auth`` says, and whose limits count the request.
        organizations: ids of the organizations that are visible.
        project_id: the only project that is visible, with a project's key.
    """

    kind: KeyKind
    account_id: str
    organizations: tuple[str, ...]
    project_id: str | None = None


def digest_of(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()
