"""Routes about the key, its organization and the regions."""

from __future__ import annotations

from reconciler.local.neon.call import Call
from reconciler.local.neon.messages import Response
from reconciler.local.neon.problems import not_found

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
_SINCE = "2025-01-01T00:00:00Z"


def auth(call: Call) -> Response:
    """Answer ``GET /auth``."""
    return Response(200, {"account_id": call.world.options.org_id, "auth_method": "api_key_org"})


def organizations(call: Call) -> Response:
    """Answer ``GET /users/me/organizations``."""
    organization = {
        "id": call.world.options.org_id,
        "name": "Local",
        "handle": call.world.options.org_id,
        "plan": "scale",
        "created_at": _SINCE,
        "updated_at": _SINCE,
        "managed_by": "console",
    }
    return Response(200, {"organizations": [organization]})


def regions(call: Call) -> Response:
    """Answer ``GET /regions``."""
    check_organization(call, call.request.query.get("org_id"))
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


def check_organization(call: Call, org_id: str | None) -> None:
    """Refuse an organization that is not the key's own; without one the key's own is meant."""
    if org_id is not None and org_id != call.world.options.org_id:
        raise not_found("organization")
