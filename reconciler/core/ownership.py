"""Ownership annotations: how an owned project is identified from its creation on, and how that is verified.

Any user of Neon's console can change the name. No call can change the annotations of a branch (Neon OpenAPI document,
annotations), but a restore from a snapshot may lose them.
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
    """A project's creator and app, from its annotations; absent and invalid values are None."""

    control_plane_id: str
    catalog_id: str | None
    create_seq: int | None
    app_id: str | None
    incarnation: int | None
    nonce: str | None
    owner_id: str | None
    app_name: str | None


def build_annotations(app: AppMetadata, control_plane: ControlPlane, intent: CreateIntent) -> dict[str, str]:
    """Return the annotations of a new project's default branch; a promotion rebuilds lost rows from them."""
    return {
        CONTROL_PLANE_ID: control_plane.control_plane_id,
        CATALOG: control_plane.catalog_id,
        CREATE_SEQ: str(intent.create_seq),
        APP_ID: app.app_id,
        INCARNATION: str(intent.incarnation),
        NONCE: intent.nonce,
        OWNER: app.owner_id,
        APP_NAME: app.app_name,
    }


def parse_annotations(branches: BranchList) -> OwnershipAnnotations | None:
    """Return the annotations of a project, owned or foreign: the default branch's, else any branch's, else None."""
    default_first = sorted(branches.branches, key=lambda branch: not branch.default)
    listed = [branches.annotations.get(branch.id, {}) for branch in default_first]
    for values in (*listed, *(branches.annotations[branch_id] for branch_id in sorted(branches.annotations))):
        if CONTROL_PLANE_ID in values:
            return OwnershipAnnotations(
                control_plane_id=values[CONTROL_PLANE_ID],
                catalog_id=values.get(CATALOG),
                create_seq=_parse_int(values.get(CREATE_SEQ)),
                app_id=values.get(APP_ID),
                incarnation=_parse_int(values.get(INCARNATION)),
                nonce=values.get(NONCE),
                owner_id=values.get(OWNER),
                app_name=values.get(APP_NAME),
            )
    return None


def is_in_organization(project: Project, org_id: str) -> bool:
    """Whether the organization owns the project; ``owner_id`` names it if ``org_id`` is absent (Neon OpenAPI)."""
    return (project.org_id or project.owner_id) == org_id


def has_app_name(project: Project, app: AppMetadata) -> bool:
    """Whether the project's name contains this app's id in the form of a project name."""
    parsed = parse_project_name(project.name)
    return parsed is not None and parsed.app_id == app.app_id


def has_app_annotations(branches: BranchList, app: AppMetadata, control_plane: ControlPlane) -> bool:
    """Whether any branch has the annotations of this app and incarnation."""
    expected = {CONTROL_PLANE_ID: control_plane.control_plane_id, APP_ID: app.app_id, INCARNATION: str(app.incarnation)}
    return any(_contains_all(values, expected) for values in branches.annotations.values())


def matching_intent(
    branches: BranchList, app: AppMetadata, control_plane: ControlPlane, intents: Iterable[CreateIntent]
) -> CreateIntent | None:
    """Return the intent of this app whose nonce is in the annotations of any branch, or None."""
    for intent in intents:
        expected = {
            CONTROL_PLANE_ID: control_plane.control_plane_id,
            APP_ID: app.app_id,
            INCARNATION: str(intent.incarnation),
            NONCE: intent.nonce,
        }
        if any(_contains_all(values, expected) for values in branches.annotations.values()):
            return intent
    return None


def _parse_int(text: str | None) -> int | None:
    """Return a count that fits the catalog's columns, or None."""
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 19 else None


def _contains_all(values: Mapping[str, str], expected: Mapping[str, str]) -> bool:
    return all(values.get(key) == value for key, value in expected.items())
