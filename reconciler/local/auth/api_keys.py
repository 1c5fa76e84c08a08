"""The store of API keys, with the scope that each key grants."""

from __future__ import annotations

import hmac

from reconciler.local.auth.models import (
    AccountDocument,
    ApiKey,
    KeyScope,
    digest_of,
)
from reconciler.local.errors import unauthorized
from reconciler.local.options import KeyKind, LocalNeonOptions, Organization

USER_ID = "9d2bd3a6-6d1f-4c39-8f0e-5a7c1b3e2f48"


class ApiKeyStore:
    """All keys: those of the options, and those issued through the API."""

    def __init__(self, options: LocalNeonOptions) -> None:
        self._options = options
        own = Organization(options.org_id, "Local", options.plan)
        self.organizations = {organization.id: organization for organization in (own, *options.organizations)}
        self._seeded = {digest_of(key.token): self._scope(key.kind, key.org_id, key.project_id) for key in options.keys}
        self._issued: dict[str, ApiKey] = {}

    def organization(self, org_id: str) -> Organization:
        """Return an organization; one that only stored projects and keys name has the default name and plan."""
        return self.organizations.get(org_id, Organization(org_id))

    def scope(self, token: str | None, now: float) -> KeyScope:
        """Return the scope of a token, and record its use.

        Raises:
            ApiError: 401 for an absent, unknown or revoked token.
        """
        if not token:
            raise unauthorized()
        digest = digest_of(token)
        issued = self._issued.get(digest)
        if issued is not None:
            if issued.revoked:
                raise unauthorized()
            issued.last_used_at = now
            return self._scope(issued.kind, issued.org_id, issued.project_id)
        seeded = self._seeded.get(digest)
        if seeded is not None:
            return seeded
        expected = self._options.api_key
        if self._options.keys and expected is None:
            raise unauthorized()
        if expected is not None and not hmac.compare_digest(token.encode(), expected.encode()):
            raise unauthorized()
        return self._scope("organization", None, None)

    def issue(
        self, kind: KeyKind, name: str, token: str, org_id: str | None, project_id: str | None, now: float
    ) -> ApiKey:
        """Store a new key."""
        number = max((key.id for key in self._issued.values()), default=100_000) + 1
        key = ApiKey(
            id=number,
            name=name,
            digest=digest_of(token),
            kind=kind,
            org_id=org_id,
            project_id=project_id,
            created_at=now,
        )
        self._issued[key.digest] = key
        return key

    def issued(self, org_id: str | None) -> list[ApiKey]:
        """Return the valid keys of an organization, or the personal ones, oldest first."""
        return [key for key in self._issued.values() if key.org_id == org_id and not key.revoked]

    def dump(self) -> AccountDocument:
        """Return the document to store."""
        return AccountDocument(keys=list(self._issued.values()))

    def load(self, account: AccountDocument) -> None:
        """Load a stored document."""
        self._issued = {key.digest: key for key in account.keys}

    def _scope(self, kind: KeyKind, org_id: str | None, project_id: str | None) -> KeyScope:
        if kind == "personal":
            return KeyScope(kind, USER_ID, tuple(self.organizations))
        owner = self._options.org_id if org_id is None else org_id
        return KeyScope(kind, owner, (owner,), project_id)
