"""Routes of the key, its user, its organizations and the regions."""

from __future__ import annotations

from reconciler.local.auth.api_keys import USER_ID
from reconciler.local.errors import not_for_organizations, not_found, organization_required
from reconciler.local.options import Organization
from reconciler.local.protocol import Response
from reconciler.local.routes.context import RequestContext
from reconciler.local.state.models import Json

REGIONS = {
    "aws-us-east-1": ("AWS US East 1 (N. Virginia)", "39.0438", "-77.4874"),
    "aws-us-east-2": ("AWS US East 2 (Ohio)", "39.9612", "-82.9988"),
    "aws-us-west-2": ("AWS US West 2 (Oregon)", "45.8399", "-119.7006"),
    "aws-eu-central-1": ("AWS Europe Central 1 (Frankfurt)", "50.1109", "8.6821"),
    "aws-eu-west-2": ("AWS Europe West 2 (London)", "51.5072", "-0.1276"),
    "aws-ap-southeast-1": ("AWS Asia Pacific 1 (Singapore)", "1.3521", "103.8198"),
    "aws-ap-southeast-2": ("AWS Asia Pacific 2 (Sydney)", "-33.8688", "151.2093"),
    "aws-sa-east-1": ("AWS South America East 1 (São Paulo)", "-23.5558", "-46.6396"),
}
DEFAULT_REGION = "aws-us-east-2"
EMAIL = "local@example.com"
_SINCE = "2025-01-01T00:00:00Z"


def auth(context: RequestContext) -> Response:
    """Handle ``GET /auth``, for a key of any kind."""
    method = "api_key_user" if context.scope.kind == "personal" else "api_key_org"
    return Response(200, {"account_id": context.scope.account_id, "auth_method": method})


def user(context: RequestContext) -> Response:
    """Handle ``GET /users/me``, for personal keys only."""
    require_personal_key(context)
    names = {"email": EMAIL, "name": "Local", "login": "local", "image": ""}
    body: Json = {
        "id": USER_ID,
        "last_name": "User",
        "plan": "scale",
        "active_seconds_limit": 0,
        "projects_limit": context.account.options.project_limit or 0,
        "branches_limit": 0,
        "max_autoscaling_limit": 0,
        "auth_accounts": [{"provider": "keycloak", **names}],
        **names,
    }
    return Response(200, body)


def organizations(context: RequestContext) -> Response:
    """Handle ``GET /users/me/organizations``: all of the user, or the one that owns the key."""
    visible = [context.account.keys.organization(org_id) for org_id in context.scope.organizations]
    return Response(200, {"organizations": [organization_document(organization) for organization in visible]})


def organization_document(organization: Organization) -> Json:
    """Render an ``Organization``."""
    return {
        "id": organization.id,
        "name": organization.name,
        "handle": organization.id,
        "plan": organization.plan,
        "created_at": _SINCE,
        "updated_at": _SINCE,
        "managed_by": "console",
    }


def regions(context: RequestContext) -> Response:
    """Handle ``GET /regions``, for personal keys only."""
    require_personal_key(context)
    if context.request.query.get("org_id") is not None:
        organization_of(context, context.request.query.get("org_id"))
    listed = [
        {
            "region_id": region_id,
            "name": name,
            "default": region_id == DEFAULT_REGION,
            "geo_lat": latitude,
            "geo_long": longitude,
        }
        for region_id, (name, latitude, longitude) in REGIONS.items()
    ]
    return Response(200, {"regions": listed})


def organization_of(context: RequestContext, org_id: str | None) -> str:
    """Return the organization of a request: ``org_id``, or the one that owns the key.

    Raises:
        ApiError: 400 for a personal key without ``org_id``, 404 for an organization that is not visible to the key.
    """
    if org_id is None:
        if context.scope.kind == "personal":
            raise organization_required()
        return context.scope.account_id
    if org_id not in context.scope.organizations:
        raise not_found("organization")
    return org_id


def require_personal_key(context: RequestContext) -> None:
    """Reject the key of an organization or of a project.

    Raises:
        ApiError: 404, as Neon returns for a route outside the key's scope.
    """
    if context.scope.kind != "personal":
        raise not_for_organizations()
