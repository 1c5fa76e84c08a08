"""The mark: what a project of ours carries from its first moment, and how it is proven.

The name can be changed by anyone with access to Neon's console; the annotations of a branch cannot be changed by any
call (Neon OpenAPI document, annotations), but a restore from a snapshot may lose them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reconciler.core.snapshot import CreateIntent, Plane
from specs.metadata import AppMetadata
from specs.names import parse_project_name
from specs.neon import BranchList, Project

PLANE = "morphik_plane"
CATALOG = "morphik_catalog"
CREATE_SEQ = "morphik_create_seq"
APP_ID = "morphik_app_id"
INCARNATION = "morphik_incarnation"
NONCE = "morphik_nonce"
OWNER = "morphik_owner"
APP_NAME = "morphik_app_name"


def annotations_of(app: AppMetadata, plane: Plane, intent: CreateIntent) -> dict[str, str]:
    """The annotations of a new project's default branch; from them a lost row can be rebuilt."""
    return {
        PLANE: plane.control_plane_id,
        CATALOG: plane.catalog_id,
        CREATE_SEQ: str(intent.create_seq),
        APP_ID: app.app_id,
        INCARNATION: str(intent.incarnation),
        NONCE: intent.nonce,
        OWNER: app.owner_id,
        APP_NAME: app.app_name,
    }


def belongs_to(project: Project, org_id: str) -> bool:
    """Whether an organization owns the project; ``owner_id`` names it where ``org_id`` is left out (Neon OpenAPI)."""
    return (project.org_id or project.owner_id) == org_id


def carries_name(project: Project, app: AppMetadata) -> bool:
    """Whether the project's name is one that this app's project can have."""
    parsed = parse_project_name(project.name)
    return parsed is not None and parsed.app_id == app.app_id


def carries_annotation(branches: BranchList, app: AppMetadata, plane: Plane) -> bool:
    """Whether any branch says that it belongs to this app."""
    wanted = {PLANE: plane.control_plane_id, APP_ID: app.app_id, INCARNATION: str(app.incarnation)}
    return any(_holds(found, wanted) for found in branches.annotations.values())


def made_by(
    branches: BranchList, app: AppMetadata, plane: Plane, intents: Iterable[CreateIntent]
) -> CreateIntent | None:
    """The intent of this app whose nonce any branch carries, or None."""
    for intent in intents:
        wanted = {
            PLANE: plane.control_plane_id,
            APP_ID: app.app_id,
            INCARNATION: str(intent.incarnation),
            NONCE: intent.nonce,
        }
        if any(_holds(found, wanted) for found in branches.annotations.values()):
            return intent
    return None


def _holds(found: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(found.get(key) == value for key, value in wanted.items())
