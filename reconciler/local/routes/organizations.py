"""Routes of organizations, their members and their API keys."""

from __future__ import annotations

from pydantic import Field

from reconciler.local.auth.api_keys import USER_ID
from reconciler.local.auth.models import ApiKey
from reconciler.local.errors import not_found
from reconciler.local.options import KeyKind
from reconciler.local.protocol import Response
from reconciler.local.routes.context import RequestContext
from reconciler.local.routes.current_user import (
    EMAIL,
    organization_document,
    organization_of,
    require_personal_key,
)
from reconciler.local.schemas.requests import Body, Identifier, parse
from reconciler.local.schemas.responses import format_timestamp
from reconciler.local.state.account_state import ACCOUNT
from reconciler.local.state.models import Json

_MEMBER_ID = "3a1f6f0e-0c55-4b7c-8f6b-2f8f8f0f4d11"


class KeyCreate(Body):
    """``POST /api_keys``; the fields are the whole body."""

    key_name: str = Field(max_length=64)


class OrganizationKeyCreate(KeyCreate):
    """``POST /organizations/{id}/api_keys``."""

    project_id: Identifier | None = None


def read_organization(context: RequestContext) -> Response:
    """Handle ``GET /organizations/{id}``."""
    return Response(200, organization_document(context.account.keys.organization(_organization(context))))


def list_members(context: RequestContext) -> Response:
    """Handle ``GET /organizations/{id}/members``: the only member."""
    member = {"id": _MEMBER_ID, "user_id": USER_ID, "org_id": _organization(context), "role": "admin"}
    return Response(200, {"members": [{"member": member, "user": {"email": EMAIL}}], "pagination": {}})


def list_keys(context: RequestContext) -> Response:
    """Handle ``GET /organizations/{id}/api_keys``, without tokens."""
    return _listed(context, _organization(context))


def create_key(context: RequestContext) -> Response:
    """Handle ``POST /organizations/{id}/api_keys``: the only response that shows the token."""
    org_id = _organization(context)
    request = parse(OrganizationKeyCreate, context.request.body, None)
    if request.project_id is not None and context.account.project(request.project_id).org_id != org_id:
        raise not_found("project")
    kind: KeyKind = "organization" if request.project_id is None else "project"
    return _created(context, kind, request.key_name, org_id, request.project_id)


def revoke_key(context: RequestContext) -> Response:
    """Handle ``DELETE /organizations/{id}/api_keys/{id}``; the key is invalid from then on."""
    return _revoked(context, _organization(context))


def list_personal_keys(context: RequestContext) -> Response:
    """Handle ``GET /api_keys``."""
    require_personal_key(context)
    return _listed(context, None)


def create_personal_key(context: RequestContext) -> Response:
    """Handle ``POST /api_keys``."""
    require_personal_key(context)
    return _created(context, "personal", parse(KeyCreate, context.request.body, None).key_name, None, None)


def revoke_personal_key(context: RequestContext) -> Response:
    """Handle ``DELETE /api_keys/{id}``."""
    require_personal_key(context)
    return _revoked(context, None)


def _organization(context: RequestContext) -> str:
    return organization_of(context, context.path["organization"])


def _listed(context: RequestContext, org_id: str | None) -> Response:
    creator = {"created_by": {"id": USER_ID, "name": "Local User", "image": ""}}
    return Response(200, [_document(key) | creator for key in context.account.keys.issued(org_id)])


def _created(context: RequestContext, kind: KeyKind, name: str, org_id: str | None, project_id: str | None) -> Response:
    token = context.account.key_token()
    key = context.account.keys.issue(kind, name, token, org_id, project_id, context.now)
    context.account.changed.add(ACCOUNT)
    return Response(200, _document(key) | {"key": token, "created_by": USER_ID})


def _revoked(context: RequestContext, org_id: str | None) -> Response:
    number = context.path["key"]
    for key in context.account.keys.issued(org_id):
        if str(key.id) == number:
            key.revoked = True
            context.account.changed.add(ACCOUNT)
            return Response(200, _document(key) | {"created_by": USER_ID, "revoked": True})
    raise not_found("API key")


def _document(key: ApiKey) -> Json:
    document: Json = {
        "id": key.id,
        "name": key.name,
        "created_at": format_timestamp(key.created_at),
        "last_used_from_addr": "" if key.last_used_at is None else "127.0.0.1",
    }
    if key.last_used_at is not None:
        document["last_used_at"] = format_timestamp(key.last_used_at)
    if key.project_id is not None:
        document["project_id"] = key.project_id
    return document
