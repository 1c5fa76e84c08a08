"""The mark: what a project of ours carries from its first moment, and how it is proven.

The name can be changed by anyone with access to Neon's console; the annotations of a branch cannot be changed by any
call (Neon OpenAPI document, annotations), but a restore from a snapshot may lose them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.core.context import ControlPlane, CreateIntent
from specs.metadata import AppMetadata
from specs.names import parse_project_name
from specs.neon import BranchList, Project

CONTROL_PLANE_ID = "morphik_plane"
CATALOG = "morphik_catalog"
CREATE_SEQ = "morphik_create_seq"
APP_ID = "morphik_app_id"
INCARNATION = "morphik_incarnation"
NONCE = "morphik_nonce"
OWNER = "morphik_owner"
APP_NAME = "morphik_app_name"


@dataclass(frozen=True, slots=True)
class OwnershipAnnotations:
    """What a project says about who made it, and for whom; what is absent or cannot be read is None."""

    control_plane_id: str
    catalog_id: str | None
    create_seq: int | None
    app_id: str | None
    incarnation: int | None
    nonce: str | None
    owner_id: str | None
    app_name: str | None


def build_annotations(app: AppMetadata, plane: ControlPlane, intent: CreateIntent) -> dict[str, str]:
    """The annotations of a new project's default branch; from them a lost row can be rebuilt."""
    return {
        CONTROL_PLANE_ID: plane.control_plane_id,
        CATALOG: plane.catalog_id,
        CREATE_SEQ: str(intent.create_seq),
        APP_ID: app.app_id,
        INCARNATION: str(intent.incarnation),
        NONCE: intent.nonce,
        OWNER: app.owner_id,
        APP_NAME: app.app_name,
    }


def parse_annotations(branches: BranchList) -> OwnershipAnnotations | None:
    """The mark on a project, whoever's it is: that of the default branch, else of any; None where there is none."""
    default_first = sorted(branches.branches, key=lambda branch: not branch.default)
    named = [branches.annotations.get(branch.id, {}) for branch in default_first]
    for found in (*named, *(branches.annotations[each] for each in sorted(branches.annotations))):
        if CONTROL_PLANE_ID in found:
            return OwnershipAnnotations(
                control_plane_id=found[CONTROL_PLANE_ID],
                catalog_id=found.get(CATALOG),
                create_seq=_parse_int(found.get(CREATE_SEQ)),
                app_id=found.get(APP_ID),
                incarnation=_parse_int(found.get(INCARNATION)),
                nonce=found.get(NONCE),
                owner_id=found.get(OWNER),
                app_name=found.get(APP_NAME),
            )
    return None


def is_in_organization(project: Project, org_id: str) -> bool:
    """Whether an organization owns the project; ``owner_id`` names it where ``org_id`` is left out (Neon OpenAPI)."""
    return (project.org_id or project.owner_id) == org_id


def has_app_name(project: Project, app: AppMetadata) -> bool:
    """Whether the project's name is one that this app's project can have."""
    parsed = parse_project_name(project.name)
    return parsed is not None and parsed.app_id == app.app_id


def has_app_annotations(branches: BranchList, app: AppMetadata, plane: ControlPlane) -> bool:
    """Whether any branch says that it belongs to this app."""
    wanted = {CONTROL_PLANE_ID: plane.control_plane_id, APP_ID: app.app_id, INCARNATION: str(app.incarnation)}
    return any(_contains_all(found, wanted) for found in branches.annotations.values())


def matching_intent(
    branches: BranchList, app: AppMetadata, plane: ControlPlane, intents: Iterable[CreateIntent]
) -> CreateIntent | None:
    """The intent of this app whose nonce any branch carries, or None."""
    for intent in intents:
        wanted = {
            CONTROL_PLANE_ID: plane.control_plane_id,
            APP_ID: app.app_id,
            INCARNATION: str(intent.incarnation),
            NONCE: intent.nonce,
        }
        if any(_contains_all(found, wanted) for found in branches.annotations.values()):
            return intent
    return None


def _parse_int(text: str | None) -> int | None:
    """A count that fits the catalog's columns."""
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 19 else None


def _contains_all(found: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(found.get(key) == value for key, value in wanted.items())
