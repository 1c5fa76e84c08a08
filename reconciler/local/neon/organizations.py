"""Routes of organizations: themselves, their members, and their API keys."""

from __future__ import annotations

from pydantic import Field

from reconciler.local.neon.account import EMAIL, only_for_people, organization_document, organization_of
from reconciler.local.neon.bodies import Body, Identifier, parse
from reconciler.local.neon.call import Call
from reconciler.local.neon.documents import when
from reconciler.local.neon.keys import USER_ID
from reconciler.local.neon.messages import Response
from reconciler.local.neon.problems import not_found
from reconciler.local.neon.state import Json
from reconciler.local.neon.tenancy import ApiKey, KeyKind
from reconciler.local.neon.world import ACCOUNT

_MEMBER_ID = "3a1f6f0e-0c55-4b7c-8f6b-2f8f8f0f4d11"


class KeyCreate(Body):
    """``POST /api_keys``; here the whole body."""

    key_name: str = Field(max_length=64)


class OrganizationKeyCreate(KeyCreate):
    """``POST /organizations/{id}/api_keys``."""

    project_id: Identifier | None = None


def read_organization(call: Call) -> Response:
    """Answer ``GET /organizations/{id}``."""
    return Response(200, organization_document(call.world.keys.organization(_organization(call))))


def list_members(call: Call) -> Response:
    """Answer ``GET /organizations/{id}/members``: the one person that there is."""
    member = {"id": _MEMBER_ID, "user_id": USER_ID, "org_id": _organization(call), "role": "admin"}
    return Response(200, {"members": [{"member": member, "user": {"email": EMAIL}}], "pagination": {}})


def list_keys(call: Call) -> Response:
    """Answer ``GET /organizations/{id}/api_keys``, without tokens."""
    return _listed(call, _organization(call))


def create_key(call: Call) -> Response:
    """Answer ``POST /organizations/{id}/api_keys``: the only answer that shows the token."""
    org_id = _organization(call)
    asked = parse(OrganizationKeyCreate, call.request.body, None)
    if asked.project_id is not None and call.world.project(asked.project_id).org_id != org_id:
        raise not_found("project")
    kind: KeyKind = "organization" if asked.project_id is None else "project"
    return _created(call, kind, asked.key_name, org_id, asked.project_id)


def revoke_key(call: Call) -> Response:
    """Answer ``DELETE /organizations/{id}/api_keys/{id}``; from then on the key is nobody's."""
    return _revoked(call, _organization(call))


def list_personal_keys(call: Call) -> Response:
    """Answer ``GET /api_keys``."""
    only_for_people(call)
    return _listed(call, None)


def create_personal_key(call: Call) -> Response:
    """Answer ``POST /api_keys``."""
    only_for_people(call)
    return _created(call, "personal", parse(KeyCreate, call.request.body, None).key_name, None, None)


def revoke_personal_key(call: Call) -> Response:
    """Answer ``DELETE /api_keys/{id}``."""
    only_for_people(call)
    return _revoked(call, None)


def _organization(call: Call) -> str:
    return organization_of(call, call.path["organization"])


def _listed(call: Call, org_id: str | None) -> Response:
    creator = {"created_by": {"id": USER_ID, "name": "Local User", "image": ""}}
    return Response(200, [_document(key) | creator for key in call.world.keys.made(org_id)])


def _created(call: Call, kind: KeyKind, name: str, org_id: str | None, project_id: str | None) -> Response:
    token = call.world.key_token()
    key = call.world.keys.make(kind, name, token, org_id, project_id, call.now)
    call.world.changed.add(ACCOUNT)
    return Response(200, _document(key) | {"key": token, "created_by": USER_ID})


def _revoked(call: Call, org_id: str | None) -> Response:
    number = call.path["key"]
    for key in call.world.keys.made(org_id):
        if str(key.id) == number:
            key.revoked = True
            call.world.changed.add(ACCOUNT)
            return Response(200, _document(key) | {"created_by": USER_ID, "revoked": True})
    raise not_found("API key")


def _document(key: ApiKey) -> Json:
    document: Json = {
        "id": key.id,
        "name": key.name,
        "created_at": when(key.created_at),
        "last_used_from_addr": "" if key.last_used_at is None else "127.0.0.1",
    }
    if key.last_used_at is not None:
        document["last_used_at"] = when(key.last_used_at)
    if key.project_id is not None:
        document["project_id"] = key.project_id
    return document
